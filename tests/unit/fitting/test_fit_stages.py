"""The stages of a real fit: which are done again when which part of the request or the recipe changes; the lock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.fitting.fit import fit_stages, only_writer
from gaussavatar.fitting.preparation import PREPARED, Job
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import stage_keys
from gaussavatar.progress import QuietProgress
from gaussavatar.training.layout import FitLayout

ALL = ["capture", "landmarks", "tracking", "sound", "head", "masks", "appearance", "quality", "training", "avatar"]
ALL += ["evaluation"]
TRAINED = ["training", "avatar", "evaluation"]


def keys(request: FitRequest) -> dict[str, str]:
    config = load_recipe(request.recipe, request.overrides)
    job = Job(request, config, FitLayout(request.out or Path("out")), QuietProgress())
    return stage_keys(fit_stages(job, torch.device("cpu")))


def files(folder: Path) -> FitRequest:
    """A request whose files are there; nothing of it is run."""
    for name in ("clip.mp4", "parser.onnx", "face.task", "net.pth", "other.pth"):
        (folder / name).write_bytes(name.encode())
    return FitRequest(folder / "clip.mp4", folder / "out", "preview", head="built-in")


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"overrides": ("capture.size=384",)}, ALL),
        ({"av_offset_ms": 40.0}, ALL),
        ({"av_offset_ms": 0.0}, ["sound", "quality", *TRAINED]),
        ({"focal": 900.0}, ALL[2:]),
        ({"overrides": ("tracking.max_gap=3",)}, ALL[2:]),
        ({"overrides": ("motion.n_mouth=4",)}, ALL[2:]),
        ({"overrides": ("photometric.enabled=false",)}, ALL[2:]),
        ({"blendshapes": "face.task"}, ["head", "masks", "quality", *TRAINED]),
        ({"parser": "parser.onnx"}, ["masks", "quality", *TRAINED]),
        ({"overrides": ("image_size=128",)}, ["masks", "quality", *TRAINED]),
        ({"overrides": ("appearance.n_codes=0",)}, ["appearance", *TRAINED]),
        ({"overrides": ("training.stages.1.iterations=7",)}, TRAINED),
        ({"overrides": ("model.face.count=7",)}, TRAINED),
        ({"overrides": ("audio.steps=7",)}, TRAINED),
        ({"overrides": ("torso.enabled=true",)}, TRAINED),
        ({"overrides": ("torso.count=7",)}, []),
        ({"seed": 1}, TRAINED),
        ({"recipe": "default", "overrides": ()}, ["masks", "quality", *TRAINED]),
        ({"overrides": ("speaking.mouth_gain=1.3",)}, ["avatar", "evaluation"]),
        ({"overrides": ("speaking.gate.threshold=-0.8",)}, ["avatar", "evaluation"]),
        ({"overrides": ("progress.preview_every=0", "progress.checkpoint_every=7")}, []),
        ({"subject": "A. Person"}, ["avatar"]),
        ({"consent": "written"}, ["avatar"]),
        ({"device": "cuda", "out": Path("elsewhere")}, []),
    ],
)
def test_what_is_done_again(change: dict, again: list[str], tmp_path: Path) -> None:
    request = files(tmp_path)
    paths = {name: tmp_path / change[name] for name in ("blendshapes", "parser") if name in change}
    before, after = keys(request), keys(replace(request, **{**change, **paths}))
    assert list(before) == ALL and tuple(ALL[:8]) == PREPARED
    assert [name for name in ALL if before[name] != after[name]] == again


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    request = replace(files(tmp_path), overrides=("training.perceptual_weights=" + str(tmp_path / "net.pth"),))
    (tmp_path / "moved.mp4").write_bytes(request.video.read_bytes())
    (tmp_path / "moved.pth").write_bytes((tmp_path / "net.pth").read_bytes())
    moved = ("training.perceptual_weights=" + str(tmp_path / "moved.pth"),)
    before, after = keys(request), keys(replace(request, video=tmp_path / "moved.mp4", overrides=moved))
    assert [name for name in before if before[name] != after[name]] == ["avatar"], "it says which video it came from"
    (tmp_path / "net.pth").write_bytes(b"trained longer")
    assert [name for name, key in keys(request).items() if key != before[name]] == TRAINED
    request.video.write_bytes(b"another clip")
    assert not set(keys(request).values()) & set(before.values())


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with only_writer(tmp_path / "new" / "avatar"):
        with pytest.raises(UserError, match="another gaussavatar"), only_writer(tmp_path / "new" / "avatar"):
            pass
        with only_writer(tmp_path / "other"):
            pass
    with only_writer(tmp_path / "new" / "avatar"):
        pass
