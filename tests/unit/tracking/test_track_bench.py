"""The steadiness figures see what shakes, and the main clip meets its figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.bench.tracking import bench_tracking, steadiness
from gaussavatar.tracking.rotations import exp_rotation
from gaussavatar.tracking.track import track_landmarks

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
    shaken = replace(tracking, R_camera_head=(pitch @ tracking.R_camera_head).astype(np.float32), t_camera_head=moved)
    figures = steadiness(landmarks, shaken)
    assert figures["shake_deg"] == pytest.approx(0.5 / np.sqrt(2), rel=0.15)
    assert figures["shake_mm"] == pytest.approx(1 / np.sqrt(2), rel=0.15)
    assert figures["rms_stable_px"] > calm["rms_stable_px"] + 0.3


@needs_clips
def test_bench_covers_every_part() -> None:
    figures = bench_tracking(CLIPS / "woman_8s.mp4", size=192)
    assert figures["frames"] == 200 and figures["invalid"] == 0
    assert all(figures[f"fps_{part}"] > 0 for part in ("capture", "landmarks", "fit", "motion"))
    assert figures["fps_all"] < figures["fps_tracking"] < figures["fps_landmarks"]
    assert figures["rms_all_px"] < 1.5


@needs_clips
@pytest.mark.slow
def test_the_main_clip_meets_its_figures() -> None:
    """Slow: 1779 frames are decoded, detected and fitted."""
    figures = bench_tracking(CLIPS / "anchor_71s.mp4")
    assert figures["frames"] in range(1775, 1781)
    assert figures["rms_stable_px"] < 0.9 and figures["rms_all_px"] < 1.0
    assert figures["shake_deg"] < 0.06 and figures["shake_mm"] < 0.3
    assert abs(figures["pitch_aperture_r"]) < 0.2
    assert figures["invalid"] <= 5 and figures["jumps"] == 4
