"""``track`` from end to end against the demo actor's truth: with the built-in head, an installed FLAME, and ICT."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "head"))
from synthetic_flame import write_synthetic_flame

from gaussavatar.bench.truth import closures, mask_figures, pose_figures
from gaussavatar.cli.main import run
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.segmentation.parts import PART_NAMES
from gaussavatar.segmentation.records import load_segmentation
from gaussavatar.storage import FrameStore
from gaussavatar.synthetic.actor import ActorTruth, load_truth, make_actor_clip
from gaussavatar.synthetic.motion import Performance
from gaussavatar.tracking.head.signals import load_face_signals
from gaussavatar.tracking.head.track import camera_vertices, load_head_track
from gaussavatar.tracking.poses.fit import load_tracking

pytestmark = pytest.mark.slow
"""Draws a clip of 6 seconds and tracks it, then half of it with each other head: about a minute."""

SIZE, SMALL = 384, 128
HALF = 3.0
"""Seconds of the clip that are tracked with heads besides the built-in one."""
ICT = Path(__file__).parents[3] / "shared" / "data" / "heads" / "ict_facekit_raw.npz"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> ActorTruth:
    folder = tmp_path_factory.mktemp("clip")
    make_actor_clip(folder, 6.0, 4, SIZE, masks=True, performance=Performance(turn_deg=20))
    return load_truth(folder / "truth.safetensors")


def track(truth: ActorTruth, out: Path, *words: str, video: Path | None = None, masks: int = SIZE) -> Path:
    size = ["--set", f"capture.size={SIZE}", f"image_size={masks}", "capture.min_seconds=3"]
    words = (*size, "--focal", f"{truth.K[0, 0]}", *words)
    assert run(["track", str(video or truth.video), "--out", str(out), *words]) == 0
    return out / "capture"


@pytest.fixture(scope="module")
def half(truth: ActorTruth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's beginning."""
    video = tmp_path_factory.mktemp("half") / "half.mp4"
    command = [find_ffmpeg(), "-v", "error", "-i", str(truth.video), "-t", f"{HALF}", "-crf", "12", str(video)]
    subprocess.run(command, check=True)
    return video


def jaw_r(truth: ActorTruth, found: np.ndarray) -> float:
    """Correlation of a head's jaw with the actor's over the frames of ``half``."""
    return np.corrcoef(found, truth.expression[: len(found), truth.expression_names.index("jawOpen")])[0, 1]


@pytest.fixture(scope="module")
def built_in(truth: ActorTruth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return track(truth, tmp_path_factory.mktemp("track"), "--head", "built-in")


def test_poses_follow_the_truth(truth: ActorTruth, built_in: Path) -> None:
    figures = pose_figures(load_tracking(built_in / "tracking.safetensors"), truth)
    assert figures["rotation_deg"] < 1.0 and figures["frame_to_frame_deg"] < 0.25 and figures["plane_mm"] < 1.2


def test_masks_cover_the_truth(truth: ActorTruth, built_in: Path) -> None:
    segmentation = load_segmentation(built_in / f"segmentation_{SIZE}")
    assert truth.masks is not None
    figures = mask_figures(segmentation, FrameStore(truth.masks), truth)
    assert figures["iou_person"] > 0.97 and figures["iou_face"] > 0.93 and figures["lip_opening_r"] > 0.9
    total = sum(segmentation.part(name, 40)[0].astype(int) for name in PART_NAMES)
    assert np.abs(total - 255).max() <= len(PART_NAMES)


def test_blinks_come_in_time(truth: ActorTruth, built_in: Path) -> None:
    signals = load_face_signals(built_in / "face_signals.safetensors")
    shut = signals.values[:, [signals.names.index(f"AU45_{side}") for side in ("left", "right")]].mean(1)
    wanted = closures(truth.expression[:, truth.expression_names.index("eyeBlinkLeft")] > 0.45)
    found = closures(shut > 0.5)
    assert len(wanted) >= 1
    assert all(np.abs(found - middle).min() <= 1.0 for middle in wanted)


def test_the_quality_page_and_its_video_are_there(built_in: Path) -> None:
    quality = json.loads((built_in / "quality.json").read_text())
    assert quality["verdict"] == "usable" and "length" in {finding["subject"] for finding in quality["findings"]}
    assert "<script src" not in (built_in / "quality.html").read_text()
    assert probe(built_in / "quality.mp4").seconds > 3


def test_again_does_nothing_twice(truth: ActorTruth, built_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (built_in / "tracking.safetensors").stat().st_mtime_ns
    track(truth, built_in.parent, "--head", "built-in")
    assert (built_in / "tracking.safetensors").stat().st_mtime_ns == before
    told = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith(("quality: usable", "sound: it"))
    ]
    assert len(told) > 5 and all(line.endswith(": kept from before") for line in told), told


def test_an_installed_flame_is_what_is_tracked(
    truth: ActorTruth, half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    file = tmp_path / "flame2023.pkl"
    write_synthetic_flame(file, 2)
    assert run(["head", "install", str(file)]) == 0
    capture = track(truth, tmp_path / "flame", video=half, masks=SMALL)
    fitted = load_head_track(capture)
    assert fitted.head.joint_names == ("root", "neck", "jaw", "eye_left", "eye_right")
    assert fitted.identity.shape == (300,) and fitted.expression.shape[1] >= 100
    assert len(fitted.rms) == HALF * 25 and abs(jaw_r(truth, fitted.joint_rotations[:, 2, 0])) > 0.6
    vertices = camera_vertices(fitted, load_tracking(capture / "tracking.safetensors"), np.array([50]))[0]
    seen = vertices @ truth.K.T
    pixels = seen[:, :2] / seen[:, 2:]
    face = fitted.head.region("face")
    low, high = truth.landmarks[50, :468, :2].min(0), truth.landmarks[50, :468, :2].max(0)
    assert (np.abs(pixels[face].mean(0) - (low + high) / 2) < 0.15 * (high - low)).all()


@pytest.mark.long
@pytest.mark.skipif(not ICT.is_file(), reason=f"the ICT-FaceKit arrays at {ICT} are absent")
def test_ict_is_installed_and_tracked(
    truth: ActorTruth, half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long: a third tracking of the clip; that an installed head is tracked, FLAME's tells in the usual run."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert run(["head", "install", str(ICT), "--name", "ict"]) == 0
    capture = track(truth, tmp_path / "ict", "--head", "ict", video=half, masks=SMALL)
    fitted = load_head_track(capture)
    assert "jawOpen" in fitted.head.expression_names and len(fitted.identity) == 100
    assert jaw_r(truth, fitted.expression[:, fitted.head.expression_names.index("jawOpen")]) > 0.6
    assert float(np.median(fitted.rms)) < 2.0
