"""The library for another processor, built here and run under an emulator: the golden scenes, and what ours gives."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.bench.golden import INPUTS, RECIPES, Golden, load_golden
from gaussavatar.native.library import native_info

CHECKOUT = Path(__file__).resolve().parents[3]
SCENES = CHECKOUT / "tests" / "unit" / "render" / "golden"
LOADER = Path("/usr/aarch64-linux-gnu")
"""Where Debian's libc6-arm64-cross puts what programs for ARM load."""
TOLERANCE = 1e-3
"""As for every backend: of the mean of an image, and of each gradient's norm."""
CLOSE = 2e-5
"""Between two processors: of the norm."""

pytestmark = pytest.mark.long
"""Compiles the whole library for ARM, which takes a minute or two."""

Results = dict[str, np.ndarray]


def results(command: list[str], given: bytes = b"") -> Results:
    """What the golden program says: a line "name kind count" before each array."""
    done = subprocess.run(command, input=given, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    found, left = {}, done.stdout
    while left:
        line, _, left = left.partition(b"\n")
        name, kind, count = line.decode().split()
        size = int(count) * np.dtype(f"<{kind}").itemsize
        found[name], left = np.frombuffer(left[:size], f"<{kind}"), left[size:]
    return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The golden program of this machine's library."""
    build = wheels().builder()
    program = build.build_golden(tmp_path_factory.mktemp("ours"), Path(native_info()["library"]))
    return [str(program)]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The golden program of the ARM wheel's library, with what runs it here."""
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if emulator is None or not LOADER.is_dir():
        pytest.skip("no qemu-aarch64 with ARM's C library (apt install qemu-user-static libc6-arm64-cross)")
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no compiler for ARM (pip install ziglang)")
    folder, packaging = tmp_path_factory.mktemp("foreign"), wheels()
    goal = packaging.GOALS["linux-aarch64"]
    library = packaging.build_library(goal, folder)
    program = packaging.builder().build_golden(folder, library, packaging.target(goal))
    return [emulator, "-L", str(LOADER), str(program)]


def wheels():
    """``packaging/wheels.py``, which is no package."""
    folder = str(CHECKOUT / "packaging")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        spec = importlib.util.spec_from_file_location("wheels", f"{folder}/wheels.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def packed(golden: Golden) -> bytes:
    """A scene as the golden program reads it."""
    batch, height, width = golden.image[1].shape
    count = golden.inputs["means"].shape[1]
    sizes = np.array([batch, count, width, height, golden.shared], "<i4")
    arrays = [golden.inputs[name] for name in INPUTS]
    arrays += [golden.cameras.T_camera_world, golden.cameras.K, *golden.weights]
    return sizes.tobytes() + b"".join(array.contiguous().numpy().astype("<f4").tobytes() for array in arrays)


def off(found: Results, golden: Golden) -> dict[str, float]:
    """How far an image and its gradients are off, as :func:`gaussavatar.bench.golden.disagreement` counts."""
    rgb, alpha = (image.numpy().ravel() for image in golden.image)
    batch = len(golden.image[1])
    far = {"rgb": np.abs(found["rgb"] - rgb).mean(), "alpha": np.abs(found["alpha"] - alpha).mean()}
    for name, true in golden.gradients.items():
        got = found[name].reshape(batch, -1)
        if name == "pose":
            got = got.reshape(batch, 4, 4)[:, :3]
        elif golden.shared:
            got = got.sum(axis=0)
        far[name] = np.linalg.norm(got.ravel() - true.numpy().ravel()) / np.linalg.norm(true.numpy())
    return far


@pytest.mark.parametrize("name", RECIPES)
def test_arm_gives_the_golden_scene(foreign: list[str], ours: list[str], name: str) -> None:
    golden = load_golden(SCENES / f"{name}.safetensors")
    given = packed(golden)
    for command in (ours, foreign):
        far = off(results([*command, "scene", "generic"], given), golden)
        assert max(far.values()) < TOLERANCE, (command[0], far)


def test_arm_comes_to_the_same_in_every_function(foreign: list[str], ours: list[str]) -> None:
    here, there = (results([*command, "functions", "generic"]) for command in (ours, foreign))
    assert list(here) == list(there) and len(here) > 35
    for name, mine in here.items():
        theirs = there[name]
        if mine.dtype.kind == "f":
            far = np.linalg.norm(mine - theirs) / np.linalg.norm(mine)
            assert np.isfinite(mine).all() and far < CLOSE, (name, far)
        elif name.startswith(("packed", "unpacked")):
            assert np.array_equal(mine, theirs), name
        else:
            # Triangles that share an edge, and bytes at a half, may fall to either side.
            assert (np.abs(mine.astype(int) - theirs) > (name == "mesh.picture")).mean() < 2e-3, name
    assert np.array_equal(there["unpacked"], there["unpacked.true"])


def test_a_wrong_result_is_noticed(ours: list[str]) -> None:
    golden = load_golden(SCENES / "opaque.safetensors")
    found = results([*ours, "scene", "generic"], packed(golden))
    assert max(off(found, golden).values()) < TOLERANCE
    assert off({**found, "quats": found["quats"] * np.float32(1.01)}, golden)["quats"] > TOLERANCE
    assert off({**found, "rgb": found["rgb"] + np.float32(0.002)}, golden)["rgb"] > TOLERANCE
