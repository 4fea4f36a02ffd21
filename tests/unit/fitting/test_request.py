"""A request is plain data: through JSON and back, refused in a line where it is none."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.fitting.request import FitRequest, check_request, dump_request, read_request

FULL = FitRequest(
    Path("clips/a b.mp4"),
    Path("out"),
    "preview",
    ("capture.size=384", "training.held_out=0.2"),
    "Ä. Person",
    "written",
    3,
    "cpu",
    900.0,
    -40.0,
    "flame",
    Path("net.onnx"),
    Path("face.task"),
)


@pytest.mark.parametrize("request_", [FULL, FitRequest(Path("clip.mp4"))], ids=["full", "default"])
def test_round_trip(request_: FitRequest) -> None:
    text = dump_request(request_)
    assert read_request(text) == request_
    assert list(json.loads(text)) == [field.name for field in fields(FitRequest)]


def test_only_the_video_has_to_be_said() -> None:
    assert read_request('{"video": "clip.mp4"}') == FitRequest(Path("clip.mp4"))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"video": 3}', '{"video": "a", "seed": "one"}', '{"video": "a", "device": "tpu"}']
)
def test_what_is_no_request_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="request"):
        read_request(text)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"focal": -3.0}, "focal"),
        ({"av_offset_ms": 90000.0}, "2000 ms"),
        ({"head": "nobody"}, "nobody"),
        ({"parser": Path("none.onnx")}, "no such file"),
        ({"blendshapes": Path("none.task")}, "face_landmarker.task"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(change: dict, part: str) -> None:
    check_request(FitRequest(Path("clip.mp4"), head="built-in"))
    with pytest.raises(UserError, match=part):
        check_request(replace(FitRequest(Path("clip.mp4"), head="built-in"), **change))
