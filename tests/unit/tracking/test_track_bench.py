"""The steadiness figures see what shakes, and the main clip meets its figures."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.bench.tracking import bench_tracking, steadiness
from gaussavatar.bench.truth import closures, mouth_height, onto_head, pose_figures
from gaussavatar.fitting.preparation import PREPARED
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.progress import QuietProgress
from gaussavatar.synthetic.actor import ActorTruth
from gaussavatar.tracking.face.motion import extract_motion
from gaussavatar.tracking.poses.fit import track_landmarks
from gaussavatar.tracking.poses.rotations import exp_rotation, log_rotation
from gaussavatar.tracking.poses.skull_skin import landmark_places
from gaussavatar.types import Tracking

from .conftest import MadeUpClip

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"the real clips at {CLIPS} are absent")


def test_shaking_is_measured_in_degrees_and_millimetres(clip: MadeUpClip) -> None:
    landmarks = clip.landmarks()
    tracking = track_landmarks(landmarks)
    calm = steadiness(landmarks, tracking)
    assert calm["shake_deg"] < 0.03 and calm["shake_mm"] < 0.2 and calm["invalid"] == calm["jumps"] == 0
    wave = np.cos(2 * np.pi * 9.0 * np.arange(150) / 25)
    pitch = exp_rotation(np.deg2rad(0.5) * wave[:, None] * [[1.0, 0.0, 0.0]])
    moved = tracking.t_camera_head + 1e-3 * wave[:, None] * np.float32([0, 1, 0])
    shaken = replace(
        tracking,
        R_camera_head=(pitch @ tracking.R_camera_head).astype(np.float32),
        t_camera_head=moved.astype(np.float32),
    )
    figures = steadiness(landmarks, shaken)
    assert figures["shake_deg"] == pytest.approx(0.5 / np.sqrt(2), rel=0.15)
    assert figures["shake_mm"] == pytest.approx(1 / np.sqrt(2), rel=0.15)
    assert figures["rms_stable_px"] > calm["rms_stable_px"] + 0.3


def test_depth_that_goes_with_blinks_is_seen(clip: MadeUpClip) -> None:
    landmarks = clip.landmarks()
    tracking = track_landmarks(landmarks)
    motion = extract_motion(landmarks, tracking)
    assert abs(steadiness(landmarks, tracking, motion)["depth_blink_r"]) < 0.3
    shut = motion.upper[:, :2].mean(1)
    pumped = tracking.t_camera_head + 2e-3 * shut[:, None] * np.float32([0, 0, 1])
    leaky = replace(tracking, t_camera_head=pumped.astype(np.float32))
    assert steadiness(landmarks, leaky, motion)["depth_blink_r"] > 0.8


@needs_clips
@pytest.mark.long
def test_a_news_clip_meets_its_figures(tmp_path: Path) -> None:
    """Long: 200 frames are decoded, detected, fitted, aligned and segmented."""
    words = ["-i", CLIPS / "news_20s.mp4", "-t", "8", "-crf", "12", "-preset", "fast", tmp_path / "news.mp4"]
    subprocess.run([find_ffmpeg(), "-v", "error", *words], check=True)
    figures = bench_tracking(tmp_path / "news.mp4", QuietProgress(), size=256)
    assert figures["frames"] == 200 and figures["invalid"] == figures["jumps"] == 0
    check_steady(figures)


@needs_clips
@pytest.mark.long
def test_the_main_clip_meets_its_figures() -> None:
    """Long: the same for 1779 frames at 512 pixels, with four cuts."""
    figures = bench_tracking(CLIPS / "anchor_71s.mp4", QuietProgress())
    assert figures["frames"] in range(1775, 1781) and figures["invalid"] <= 5 and figures["jumps"] == 4
    check_steady(figures)


def check_steady(figures: dict[str, float]) -> None:
    assert figures["rms_all_px"] < 1.0 and figures["shake_deg"] < 0.05 and figures["shake_mm"] < 0.3
    assert abs(figures["pitch_aperture_r"]) < 0.15 and abs(figures["depth_blink_r"]) < 0.15
    assert figures["landmark_fit_rms_px"] < figures["landmark_fit_free_rms_px"] + 0.15
    assert figures["peak_mib"] < 4096
    assert all(figures[f"fps_{stage}"] > 0 for stage in PREPARED)


def truth_of(R: np.ndarray, t: np.ndarray) -> ActorTruth:
    """An actor's truth of which only the poses matter."""
    n = len(R)
    return ActorTruth(
        video=Path("x"), sound=Path("x"), fps=25.0, size=512, R_camera_head=R.astype(np.float32),
        t_camera_head=t.astype(np.float32), K=np.eye(3, dtype=np.float32), expression=np.zeros((n, 52), np.float32),
        expression_names=(), aperture=np.zeros(n, np.float32), landmarks=np.zeros((n, 478, 3), np.float32), masks=None,
    )  # fmt: skip


def poses(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """A head that turns slowly and nods at 3 Hz between second 16 and 20."""
    time = np.arange(n) / 25
    nod = np.deg2rad(4) * np.sin(2 * np.pi * 3 * time) * ((time > 16) & (time < 20))
    turn = np.deg2rad(20) * np.sin(time)
    return exp_rotation(np.stack([nod, turn, 0 * turn], 1)), np.stack(
        [0.02 * np.sin(time), 0 * time, 0.8 + 0 * time], 1
    )


def tracked(R: np.ndarray, t: np.ndarray) -> Tracking:
    empty = np.zeros((len(R), 0), np.float32)
    return Tracking(
        R.astype(np.float32), t.astype(np.float32), np.eye(3, dtype=np.float32), 512,
        np.zeros((478, 3), np.float32), np.zeros((0, 478, 3), np.float32), empty, np.ones(len(R), bool),
        np.zeros(len(R), np.float32),
    )  # fmt: skip


def test_another_head_space_and_scale_is_no_error() -> None:
    R, t = poses()
    Q = exp_rotation(np.array([[0.1, -0.2, 0.05]]))[0]
    offset, scale = np.array([0.01, 0.02, -0.03]), 1.1
    figures = pose_figures(tracked(R @ Q, (t + R @ offset) / scale), truth_of(R, t))
    assert figures["rotation_deg"] < 1e-2 and figures["frame_to_frame_deg"] < 1e-2
    assert figures["plane_mm"] < 1e-2 and figures["depth_mm"] < 1e-2
    assert figures["nod_kept"] == pytest.approx(1.0, abs=0.01)


def test_errors_are_counted_in_degrees_and_millimetres() -> None:
    R, t = poses()
    wobble = np.deg2rad(0.5) * np.where(np.arange(len(R)) % 2, 1, -1)[:, None] * [[0.0, 0.0, 1.0]]
    shift = 1e-3 * np.where(np.arange(len(R)) % 2, 1, -1)[:, None] * [[0.0, 1.0, 0.0]]
    figures = pose_figures(tracked(exp_rotation(wobble) @ R, t + shift), truth_of(R, t))
    assert figures["rotation_deg"] == pytest.approx(0.5, rel=0.02)
    assert figures["frame_to_frame_deg"] == pytest.approx(1.0, rel=0.05)
    assert figures["plane_mm"] == pytest.approx(1.0, rel=0.05)
    damped = exp_rotation(log_rotation(R) * [[0.7, 1.0, 1.0]])
    assert pose_figures(tracked(damped, t), truth_of(R, t))["nod_kept"] == pytest.approx(0.7, abs=0.02)


def test_closures_are_found_by_their_middle() -> None:
    shut = np.zeros(30, bool)
    shut[3:8] = shut[20:22] = shut[29:] = True
    np.testing.assert_array_equal(closures(shut), [5.0, 20.5, 29.0])


def test_a_tracking_is_brought_onto_a_head() -> None:
    head = builtin_head()
    places = landmark_places(head)
    R, t = poses(40)
    Q, offset, scale = exp_rotation(np.array([[0.2, 0.1, 0.0]]))[0], np.array([0.01, 0.0, 0.02]), 0.9
    # The tracked face is the head's own, in another space and unit.
    shape = ((places - offset) @ Q / scale).astype(np.float32)
    other = replace(tracked(R @ Q, (t + R @ offset) / scale), shape=shape)
    found = onto_head(other, head)
    np.testing.assert_allclose(found.R_camera_head, R, atol=1e-4)
    np.testing.assert_allclose(found.t_camera_head, t, atol=1e-4)
    np.testing.assert_allclose(found.shape[:400], places[:400], atol=2e-4)


def test_the_mouths_height_is_measured_between_its_corners() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[45:57, 30:70] = 255
    assert mouth_height(mask, np.array([[25.0, 50.0], [75.0, 52.0]])) == pytest.approx(12 / 50, rel=0.01)
    assert mouth_height(np.zeros_like(mask), np.array([[25.0, 50.0], [75.0, 52.0]])) == 0
