"""The device check, shrunk, where the tests run; and that no section, whatever becomes of it, stops the others.

On a prepared capture it runs in ``tests/e2e/test_fit_synthetic.py``, which has one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gaussavatar.media.images import read_image
from tests.gpu.started import Ran, check

SECTIONS = (
    "environment", "kernels", "golden", "parity-raster", "parity-step", "recorded", "audio", "operations", "raster",
    "step", "profile", "frames", "train-default", "train-quality", "train-talking-gaussian",
)  # fmt: skip


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Ran]]:
    """The shrunk check on a device, run once."""
    kept: dict[str, tuple[Path, Ran]] = {}

    def ran(device: str) -> tuple[Path, Ran]:
        if device == "cuda" and not torch.cuda.is_available():
            pytest.skip("no CUDA device")
        if device not in kept:
            out = tmp_path_factory.mktemp(device)
            kept[device] = out, check(out, "--device", device, "--small")
        return kept[device]

    return ran


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_every_section_is_well(device: str, on: Callable[[str], tuple[Path, Ran]]) -> None:
    out, (done, results) = on(device)
    assert tuple(results) == (*SECTIONS, "capture", "capture-quality"), done.stderr
    states = {name: (entry["state"], entry["reason"]) for name, entry in results.items()}
    assert states.pop("capture") == states.pop("capture-quality") == ("skipped", "no --capture folder")
    allowed = {"operations"} if device == "cuda" else set()
    wrong = {name: said for name, said in states.items() if said[0] != "ok" and name not in allowed}
    assert not wrong and done.returncode == 0, (wrong, (out / "log.txt").read_text()[-3000:])
    assert all(entry["figures"] and entry["seconds"] > 0 for name, entry in results.items() if name in SECTIONS)
    table = done.stdout.splitlines()[-1]
    assert table.startswith(f"{len(SECTIONS)} ok, 0 failed, 2 skipped")


def test_the_figures_are_those_of_what_was_done(on: Callable[[str], tuple[Path, Ran]]) -> None:
    out, (_, results) = on("cpu")
    figures = {name: entry["figures"] for name, entry in results.items()}
    assert max(figures["golden"]["torch"].values()) < 1e-4 and "native generic" in figures["golden"]
    assert set(figures["parity-raster"]["gradients"]) == {"means", "quats", "scales", "opacities", "colors", "pose"}
    assert 0 < figures["parity-step"]["default: gradients"]["face:shading"] < 1e-3, "the clip's head turns"
    assert {"activate", "blendshapes", "photometric", "ssim", "composite"} <= set(figures["operations"])
    assert figures["step"]["default"]["steps_per_second"] > 0
    assert figures["profile"]["default"]["operators"] > 100
    assert "aten::" in (out / "profile.txt").read_text()
    for recipe in ("default", "quality", "talking-gaussian"):
        found = figures[f"train-{recipe}"]
        assert found["psnr"]["after"] > found["psnr"]["before"] + 1
        assert found["training"]["face"] == 400 if recipe == "default" else found["training"]["face"] > 400
        assert read_image(out / f"train-{recipe}.png").shape == (128, 256, 3)


def test_no_section_stops_the_others(tmp_path: Path) -> None:
    done, results = check(tmp_path, "--budget", "100", script="broken_sections.py")
    said = {name: (entry["state"], entry["reason"]) for name, entry in results.items()}
    assert said["raises"] == ("failed", "ValueError: a reason of its own")
    assert results["raises"]["figures"] == {"before": {"reached": True}}
    assert said["misses"] == ("failed", "0.5 is above the bound")
    assert results["misses"]["figures"] == {"after": {"reached": True}}
    assert said["skips"] == ("skipped", "nothing to do here")
    assert said["crashes"] == ("failed", "ended by SIGSEGV")
    assert said["leaves"] == ("failed", "ended with exit code 7")
    assert said["absent"][0] == "failed" and "no_such_module" in said["absent"][1]
    assert said["good"] == ("ok", "") and results["good"]["figures"] == {"sum": {"two": 2, "given": ["a", "b"]}}
    assert done.returncode == 1 and done.stdout.splitlines()[-1].startswith("1 ok, 6 failed, 1 skipped")
    # A section that hangs keeps what it noted, tells where it was, and takes its own children with it.
    assert said["hangs"] == ("failed", "not done after 6 s; log.txt says where it was")
    assert "in hangs" in (tmp_path / "log.txt").read_text()
    child = Path(f"/proc/{results['hangs']['figures']['before']['child']}/status")
    assert not child.exists() or "zombie" in child.read_text()
    assert "a reason of its own" in (tmp_path / "log.txt").read_text()


def test_sections_are_chosen_and_none_is_begun_without_time(tmp_path: Path) -> None:
    done, results = check(tmp_path, "--only", "good,skips", "--skip", "skip", script="broken_sections.py")
    assert tuple(results) == ("good",) and done.returncode == 0
    done, results = check(tmp_path, "--only", "good", "--budget", "1", script="broken_sections.py")
    assert (results["good"]["state"], results["good"]["reason"]) == ("skipped", "no time left")
    done, _ = check(tmp_path / "none", "--only", "nothing", script="broken_sections.py")
    assert done.returncode == 1 and "no section is left" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path) -> None:
    done, results = check(tmp_path, "--only", "environment,parity-raster")
    assert results["environment"]["state"] == "failed" and "a CUDA device" in results["environment"]["reason"]
    assert results["parity-raster"]["reason"] == "no CUDA device" and done.returncode == 1
