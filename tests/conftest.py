from __future__ import annotations

import inspect
import os
import pkgutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from functools import cache, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import beartype
import jaxtyping
import numpy as np
import pytest

if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    # The workers fill the cores; threads inside them, and inside programs that they start, only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn

CHECKED_CALLS = 20
"""Calls of a function that are checked in each test, the first ones: in a loop of thousands all are alike."""
_calls: Counter[Callable] = Counter()
_let_off: list[Callable] = []
"""Functions that were called that often in this test, with their decorators."""


def checked(function: Callable) -> Callable:
    """What jaxtyping calls with a function's arguments to check them; built at the first call, for most have none."""
    build = cache(lambda: beartype.beartype(function, conf=beartype.BeartypeConf(is_pep484_tower=True)))

    @wraps(function)
    def check(*args: object, **kwargs: object) -> None:
        _calls[function] += 1
        if _calls[function] <= CHECKED_CALLS:
            build()(*args, **kwargs)
        elif _calls[function] == CHECKED_CALLS + 1:
            let_off(function)

    return check


def let_off(function: Callable) -> None:
    """Have jaxtyping pass this test's other calls on as they are: finding out that nothing is to check costs, too."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = inspect.getattr_static(found, name, None)
    found = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
    while inspect.isfunction(found):
        if not getattr(found, "__no_type_check__", False):
            found.__no_type_check__ = True
            _let_off.append(found)
        found = getattr(found, "__wrapped__", None)


UNCHECKED = ["gaussavatar.native." + name for name in ("abi", "library", "operations", "threads")]
"""Small functions that every native call goes through, two thirds of all calls of a training; they know no shapes.

After a change here delete ``__pycache__``: jaxtyping keeps bytecode apart by the name of the check only."""


def checked_modules() -> list[str]:
    """The package's modules and folders whose annotations are checked."""
    path = find_spec("gaussavatar").submodule_search_locations
    names = [module.name for module in pkgutil.iter_modules(path, "gaussavatar.")]
    names += [module.name for module in pkgutil.iter_modules([f"{path[0]}/native"], "gaussavatar.native.")]
    return [name for name in names if name not in (*UNCHECKED, "gaussavatar.native")]


if os.environ.get("GAUSSAVATAR_TEST_TYPES", "1") != "0":
    # Annotations of the package are checked, shapes included. An int may stand for a float.
    jaxtyping.install_import_hook(checked_modules(), f"sys.modules['{__name__}'].checked")

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.avatar.folder import PLATE, TRACK, UNDER, WEIGHTS, write_record
from gaussavatar.avatar.load import blank_model, model_shapes
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.media.images import write_image
from gaussavatar.media.writing import write_video
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.storage import write_arrays

_HEADS = tempfile.TemporaryDirectory(prefix="gaussavatar-tests-")
os.environ["XDG_DATA_HOME"] = _HEADS.name
"""A head that this machine's user has installed must not change what is tested."""

TOY_SIZE, TOY_MOUTH, TOY_UPPER = 96, 4, ("blink_left", "blink_right", "brow")
TOY_FRAMES = 30


def ellipsoid(count: int, radii: tuple[float, float, float], centre: tuple[float, float, float]) -> np.ndarray:
    """Points spread evenly over an ellipsoid, by the golden angle."""
    index = np.arange(count) + 0.5
    height, turn = 1 - 2 * index / count, index * np.pi * (3 - 5**0.5)
    across = np.sqrt(1 - height**2)
    points = np.stack([across * np.cos(turn), height, across * np.sin(turn)], axis=-1)
    return points * radii + centre


def write_toy_avatar(folder: Path) -> Path:
    """A complete avatar folder of a few hundred Gaussians: a skin-coloured egg with a red mouth."""
    generator = torch.Generator().manual_seed(0)
    # Layers begin with torch's own chance: without a seed, another test's use of it would make another avatar.
    torch.manual_seed(0)
    config = ModelConfig(face=BranchConfig(count=400), mouth=BranchConfig(count=60))
    shapes = {"n_mouth": TOY_MOUTH, "n_upper": len(TOY_UPPER), "face": 400, "face_moving": 200, "mouth": 60,
              "mouth_moving": 60}  # fmt: skip
    model = blank_model(config, shapes)
    with torch.no_grad():
        for branch, points, color, size in (
            (model.face, ellipsoid(400, (0.075, 0.105, 0.09), (0, 0, 0.03)), (0.8, 0.6, 0.5), 0.012),
            (model.mouth, ellipsoid(60, (0.02, 0.01, 0.01), (0, 0.05, -0.05)), (0.6, 0.1, 0.1), 0.004),
        ):
            gaussians = branch.gaussians
            gaussians.means.copy_(torch.from_numpy(points))
            gaussians.quats[:, 0] = 1
            gaussians.log_scales.fill_(float(np.log(size)))
            gaussians.logit_opacities.fill_(2.0)
            gaussians.colors.copy_(torch.tensor(color) + 0.05 * torch.randn(len(points), 3, generator=generator))
        for parameter in (*model.face.motion.parameters(), *model.mouth.motion.parameters()):
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    torch.manual_seed(0)
    encoder = AudioEncoder(EncoderConfig(n_codes=TOY_MOUTH, hidden=8, members=1))
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    arrays = {f"model.{name}": tensor.detach().numpy() for name, tensor in modules.state_dict().items()}
    arrays["closed"] = np.zeros(TOY_MOUTH, np.float32)
    arrays["mouth_open_direction"] = np.array([5, 0, 0, 0], np.float32)
    write_arrays(folder / WEIGHTS, arrays)
    write_arrays(folder / TRACK, toy_track())
    grey = np.full((TOY_SIZE, TOY_SIZE, 3), 120, np.uint8)
    write_video(folder / UNDER, [grey] * TOY_FRAMES, 25, (TOY_SIZE, TOY_SIZE))
    write_image(folder / PLATE, grey)
    shapes, facts = model_shapes(model), {"subject": "nobody", "consent": "toy"}
    write_record(folder, AvatarRecord(TOY_SIZE, config, shapes, encoder.config, TOY_UPPER, **facts))
    return folder


def toy_track() -> dict[str, np.ndarray]:
    """A head that sways before a camera 0.7 m away, blinking once."""
    phase = np.linspace(0, 2 * np.pi, TOY_FRAMES)
    poses = np.tile(np.eye(4, dtype=np.float32), (TOY_FRAMES, 1, 1))
    poses[:, 0, 3], poses[:, 2, 3] = 0.01 * np.sin(phase), 0.7
    upper = np.zeros((TOY_FRAMES, len(TOY_UPPER)), np.float32)
    upper[10:14, :2] = 1
    codes = np.sin(phase[:, None] * np.arange(1, TOY_MOUTH + 1)).astype(np.float32)
    K = np.array([[180, 0, 48], [0, 180, 48], [0, 0, 1]], np.float32)
    return {"T_camera_world": poses, "K": K, "upper": upper, "mouth_codes": codes}


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: tests wait for programs that they start, for browsers, and for the disk."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


LONGEST = (
    "e2e/test_fit_synthetic", "e2e/test_track_synthetic", "hostile/test_hostile", "gpu/test_device_check",
    "unit/tracking/test_track_bench", "errors/test_hostile_heads", "examples/test_examples", "cli/test_wheel",
    "batch/test_batch_ray",
    "soak/test_kills", "unit/native/test_native_memory", "unit/synthetic/test_demo_actor",
    "unit/quality/test_quality_damage", "unit/head/test_install", "unit/capture/test_capture_video",
    "unit/head/test_ict", "unit/quality/test_alignment", "live/test_live_page", "web/test_web_speech_best",
    "web/test_page", "unit/audio/features/test_hama",
)  # fmt: skip
"""Files of tests that take longest, the longest first: begun last, one of them would keep the others waiting."""


def by_length(item: pytest.Item) -> int:
    """The place of a test's file in the order in which files are begun."""
    name = item.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first. Tests that take minutes are left out of the usual run, and the run says so."""
    items.sort(key=by_length)
    if os.environ.get("GAUSSAVATAR_TEST_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes; set GAUSSAVATAR_TEST_LONG=1"))


@pytest.fixture(autouse=True)
def _calls_counted_anew() -> None:
    _calls.clear()
    while _let_off:
        del _let_off.pop().__no_type_check__


@pytest.fixture
def types_unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that hands over something wrong on purpose: what a user sees, for whom no types are checked."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture(scope="session")
def toy_avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small avatar folder that loads, renders and speaks; nothing in it was fitted."""
    return write_toy_avatar(tmp_path_factory.mktemp("avatars") / "toy")
