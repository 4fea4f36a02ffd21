"""The public names: few, documented, and free of charge until they are used."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import gaussavatar
from gaussavatar import api
from gaussavatar.errors import UserError
from gaussavatar.fitting.request import FitRequest, FitResult


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import gaussavatar, sys, json; dir(gaussavatar); print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    heavy = {"torch", "numpy", "mediapipe", "cv2", "scipy", "viser"}
    assert "gaussavatar" in loaded and not heavy & set(loaded)


def test_playing_loads_neither_training_nor_tracking() -> None:
    program = "import gaussavatar, sys, json; gaussavatar.load_avatar; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    rooms = {name.split(".")[1] for name in loaded if name.startswith("gaussavatar.")}
    assert "avatar" in rooms and not rooms & {"training", "tracking", "segmentation", "capture", "fitting"}
    assert "mediapipe" not in loaded


def test_every_public_name_is_there_and_documented() -> None:
    for name in gaussavatar.__all__:
        value = getattr(gaussavatar, name)
        assert inspect.getdoc(value), name
        assert name in dir(gaussavatar)
    with pytest.raises(AttributeError, match="no attribute 'wings'"):
        gaussavatar.wings  # noqa: B018


def test_a_type_checker_sees_the_same_names() -> None:
    text = inspect.getsource(gaussavatar)
    block = text.split("if TYPE_CHECKING:\n")[1].split("\n\n")[0]
    assert all(name in block for name in gaussavatar.__all__)


def test_what_is_said_in_python_is_what_is_asked_for(monkeypatch: pytest.MonkeyPatch, types_unchecked: None) -> None:
    asked: list[FitRequest] = []
    result = FitResult(Path("out"), {}, Path("out/report.html"))
    monkeypatch.setattr("gaussavatar.fitting.fit.fit", lambda request, progress: asked.append(request) or result)
    settings = {"model.face.count": 500, "training.perceptual_weights": "a b.pth"}
    fitted = api.fit("me.mp4", "out", recipe="preview", settings=settings, subject="me", seed=7, parser="seg.onnx")
    assert fitted is result
    (request,) = asked
    assert request == FitRequest(
        Path("me.mp4"), Path("out"), "preview",
        ("model.face.count=500", 'training.perceptual_weights="a b.pth"'),
        subject="me", seed=7, parser=Path("seg.onnx"),
    )  # fmt: skip
    from gaussavatar.fitting.recipe import load_recipe

    config = load_recipe(request.recipe, request.overrides)
    assert config.model.face.count == 500 and config.training.perceptual_weights == "a b.pth"
    with pytest.raises(UserError, match="seed"):
        api.fit("me.mp4", seed="x")
    with pytest.raises(UserError, match="device"):
        api.fit("me.mp4", device="tpu")
    import numpy as np

    api.fit("me.mp4", settings={"model.face.count": np.int64(500)})
    assert asked[-1].overrides == ("model.face.count=500",)
    with pytest.raises(TypeError, match="wings"):
        api.fit("me.mp4", wings=2)


def test_a_mistake_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        gaussavatar.fit(tmp_path / "absent.mp4", tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        gaussavatar.load_avatar(tmp_path / "absent")
