"""``track`` from end to end against the demo actor's truth: with an installed FLAME, the built-in head, and ICT."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
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
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices, load_head_track
from gaussavatar.tracking.poses.fit import load_tracking

pytestmark = pytest.mark.slow
"""Draws a clip of 6 seconds and tracks it, and where asked for half of it with each other head: half a minute."""

SECONDS, HALF = 6.0, 3.0
"""Length of the clip, and of its part that is tracked with other heads than FLAME."""
SIZE, SMALL = 384, 128
ICT = Path(__file__).parents[3] / "shared" / "data" / "heads" / "ict_facekit_raw.npz"


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> ActorTruth:
    folder = tmp_path_factory.mktemp("clip")
    make_actor_clip(folder, SECONDS, 4, SIZE, masks=True, performance=Performance(turn_deg=20))
    return load_truth(folder / "truth.safetensors")


def track(truth: ActorTruth, out: Path, *words: str, video: Path | None = None, masks: int = SIZE) -> Path:
    size = ["--set", f"capture.size={SIZE}", f"image_size={masks}", "capture.min_seconds=3"]
    words = (*size, "--focal", f"{truth.K[0, 0]}", *words)
    assert run(["track", str(video or truth.video), "--out", str(out), *words]) == 0
    return out / "capture"


@pytest.fixture(scope="module")
def flame(truth: ActorTruth, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The capture of the clip, tracked with the head that is taken where a FLAME is installed."""
    folder = tmp_path_factory.mktemp("flame")
    file = folder / "flame2023.pkl"
    write_synthetic_flame(file, 2)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(folder / "data"))
        assert run(["head", "install", str(file)]) == 0
        yield track(truth, folder / "track")


def jaw_r(truth: ActorTruth, found: np.ndarray) -> float:
    """Correlation of a head's jaw with the actor's over the frames that were tracked."""
    return np.corrcoef(found, truth.expression[: len(found), truth.expression_names.index("jawOpen")])[0, 1]


def test_poses_follow_the_truth(truth: ActorTruth, flame: Path) -> None:
    figures = pose_figures(load_tracking(flame / "tracking.safetensors"), truth)
    assert figures["rotation_deg"] < 1.0 and figures["frame_to_frame_deg"] < 0.25 and figures["plane_mm"] < 1.2


def test_masks_cover_the_truth(truth: ActorTruth, flame: Path) -> None:
    segmentation = load_segmentation(flame / f"segmentation_{SIZE}")
    assert truth.masks is not None
    figures = mask_figures(segmentation, FrameStore(truth.masks), truth)
    assert figures["iou_person"] > 0.97 and figures["iou_face"] > 0.93 and figures["lip_opening_r"] > 0.9
    total = sum(segmentation.part(name, 40)[0].astype(int) for name in PART_NAMES)
    assert np.abs(total - 255).max() <= len(PART_NAMES)


def test_blinks_come_in_time(truth: ActorTruth, flame: Path) -> None:
    signals = load_face_signals(flame / "face_signals.safetensors")
    shut = signals.values[:, [signals.names.index(f"AU45_{side}") for side in ("left", "right")]].mean(1)
    wanted = closures(truth.expression[:, truth.expression_names.index("eyeBlinkLeft")] > 0.45)
    found = closures(shut > 0.5)
    assert len(wanted) >= 1
    assert all(np.abs(found - middle).min() <= 1.0 for middle in wanted)


def test_the_quality_page_and_its_video_are_there(flame: Path) -> None:
    quality = json.loads((flame / "quality.json").read_text())
    assert quality["verdict"] == "usable" and "length" in {finding["subject"] for finding in quality["findings"]}
    assert "<script src" not in (flame / "quality.html").read_text()
    assert probe(flame / "quality.mp4").seconds > 3


def test_again_does_nothing_twice(truth: ActorTruth, flame: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (flame / "tracking.safetensors").stat().st_mtime_ns
    track(truth, flame.parent)
    assert (flame / "tracking.safetensors").stat().st_mtime_ns == before
    told = [
        line for line in capsys.readouterr().err.splitlines() if not line.startswith(("quality: usable", "sound: it"))
    ]
    assert len(told) > 5 and all(line.endswith(": kept from before") for line in told), told


def test_an_installed_flame_is_what_is_tracked(truth: ActorTruth, flame: Path) -> None:
    fitted = load_head_track(flame)
    assert fitted.head.joint_names == ("root", "neck", "jaw", "eye_left", "eye_right")
    assert fitted.identity.shape == (300,) and fitted.expression.shape[1] >= 100
    assert len(fitted.rms) == SECONDS * 25 and abs(jaw_r(truth, fitted.joint_rotations[:, 2, 0])) > 0.6
    vertices = camera_vertices(fitted, load_tracking(flame / "tracking.safetensors"), np.array([50]))[0]
    seen = vertices @ truth.K.T
    pixels = seen[:, :2] / seen[:, 2:]
    face = fitted.head.region("face")
    low, high = truth.landmarks[50, :468, :2].min(0), truth.landmarks[50, :468, :2].max(0)
    assert (np.abs(pixels[face].mean(0) - (low + high) / 2) < 0.15 * (high - low)).all()


@pytest.fixture(scope="module")
def half(truth: ActorTruth, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip's beginning."""
    video = tmp_path_factory.mktemp("half") / "half.mp4"
    command = [find_ffmpeg(), "-v", "error", "-i", str(truth.video), "-t", f"{HALF}", "-crf", "12", str(video)]
    subprocess.run(command, check=True)
    return video


def tracked_half(truth: ActorTruth, half: Path, folder: Path, head: str) -> HeadTrack:
    """The head that was asked for in the clip's beginning, whatever is installed."""
    fitted = load_head_track(track(truth, folder / head, "--head", head, video=half, masks=SMALL))
    assert jaw_r(truth, fitted.expression[:, fitted.head.expression_names.index("jawOpen")]) > 0.6
    assert len(fitted.rms) == HALF * 25 and float(np.median(fitted.rms)) < 2.0
    return fitted


@pytest.mark.long
def test_the_built_in_head_is_tracked_where_asked_for(
    truth: ActorTruth, half: Path, flame: Path, tmp_path: Path
) -> None:
    """Long: in the usual run a whole fit tracks the built-in head (``test_fit_synthetic.py``)."""
    assert flame.exists()
    assert tracked_half(truth, half, tmp_path, "built-in").head.name == "built-in"


@pytest.mark.long
@pytest.mark.skipif(not ICT.is_file(), reason=f"the ICT-FaceKit arrays at {ICT} are absent")
def test_ict_is_installed_and_tracked(
    truth: ActorTruth, half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long: a third tracking of the clip."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert run(["head", "install", str(ICT), "--name", "ict"]) == 0
    assert len(tracked_half(truth, half, tmp_path, "ict").identity) == 100
