"""A drawn person who talks: a whole tracked capture whose pictures, sound and fit are known, to be damaged at will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from gaussavatar.capture.store import Capture, load_capture, save_capture
from gaussavatar.landmarks.detect import save_landmarks
from gaussavatar.landmarks.indices import FACE_OVAL, LEFT_BROW, LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_BROW, RIGHT_EYE
from gaussavatar.storage import frame_writer
from gaussavatar.tracking.face.motion import extract_motion, save_motion
from gaussavatar.tracking.poses.fit import save_tracking
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS, Landmarks, Tracking

from ..tracking.conftest import FOCAL, SIZE, MadeUpClip, make_clip

SIDE = 192
SECONDS = 32

Damage = Callable[[np.ndarray, int], np.ndarray]


def draw_person(points: np.ndarray, shade: float = 1.0) -> np.ndarray:
    """A face with crisp features at its landmarks before a striped wall, RGB."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    wall = 90 + 50 * ((columns // 9 + rows // 13) % 2)
    image = np.repeat(wall[..., None], 3, 2).astype(np.uint8)
    low, high = points.min(0), points.max(0)
    centre, axes = (low + high) / 2, (high - low) / 2
    shift = 3
    place = [round(float(value) * (1 << shift)) for value in centre]
    size = [round(float(value) * (1 << shift)) for value in axes * 1.05]
    cv2.ellipse(image, place, size, 0, 0, 360, (200, 160, 140), -1, cv2.LINE_AA, shift)
    for ring in (RIGHT_EYE, LEFT_EYE, LIPS_OUTER, LIPS_INNER, RIGHT_BROW, LEFT_BROW):
        hull = cv2.convexHull(np.rint(points[list(ring)] * 8).astype(np.int32))
        cv2.polylines(image, [hull], True, (60, 30, 30), 1, cv2.LINE_AA, shift)
    return np.clip(image * shade, 0, 255).astype(np.uint8)


def voice(aperture: np.ndarray, seed: int = 0) -> np.ndarray:
    """Sound whose loudness follows the lips, 16 kHz."""
    samples = np.arange(len(aperture) * ANALYSIS_RATE // VIDEO_FPS)
    level = np.interp(samples / ANALYSIS_RATE - 0.02, (np.arange(len(aperture)) + 0.5) / VIDEO_FPS, aperture)
    noise = np.random.default_rng(seed).standard_normal(len(samples))
    carrier = np.sin(2 * np.pi * 180 * samples / ANALYSIS_RATE) + 0.5 * noise
    return (0.4 * level / level.max() * carrier + 0.001 * noise).astype(np.float32)


def smooth_talk(clip: MadeUpClip, seed: int = 2) -> MadeUpClip:
    """The clip with its mouth moved by an unrepeated signal: a periodic one would fit the sound at many offsets."""
    n = len(clip.t)
    rng = np.random.default_rng(seed)
    wanted = np.convolve(rng.standard_normal(n + 8), np.hanning(9), "valid")[:n].clip(0) / 2
    points = clip.points.copy()
    still = clip.points[clip.mouth < 1e-6].mean(0)
    moving = np.abs(np.diff(clip.points[..., 1], axis=0)).max(0) > 0.001
    mouth = moving & (still[:, 1] > 0.03)
    points[:, mouth, 1] = still[mouth, 1] + 0.008 * wanted[:, None]
    return replace(clip, points=points, mouth=wanted)


def truth_tracking(clip: MadeUpClip, size: int) -> Tracking:
    """A tracking with the true poses."""
    n = len(clip.t)
    focal = FOCAL * size / SIZE
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
    return Tracking(
        clip.R.astype(np.float32), clip.t.astype(np.float32), K, size, clip.shape.astype(np.float32),
        np.zeros((0, 478, 3), np.float32), np.zeros((n, 0), np.float32), np.ones(n, bool),
        np.full(n, 0.4 * size / 512, np.float32),
    )  # fmt: skip


@dataclass(frozen=True)
class Person:
    """The parts of the drawn clip."""

    clip: MadeUpClip
    landmarks: Landmarks
    tracking: Tracking

    def write(
        self,
        folder: Path,
        damage: Damage | None = None,
        *,
        landmarks: Landmarks | None = None,
        tracking: Tracking | None = None,
        sound: np.ndarray | None = None,
        source: dict | None = None,
    ) -> Capture:
        """A capture folder of this clip; ``damage`` changes the pictures, the rest replaces what is true."""
        landmarks, tracking = landmarks or self.landmarks, tracking or self.tracking
        n = len(landmarks.valid)
        folder.mkdir(parents=True, exist_ok=True)
        with frame_writer(folder / "frames.u8", (SIDE, SIDE, 3)) as writer:
            for index in range(n):
                image = draw_person(self.landmarks.points[index, :, :2])
                writer.append(damage(image, index) if damage else image)
        if sound is not None:
            soundfile.write(folder / "audio.wav", sound, ANALYSIS_RATE, subtype="PCM_16")
        facts = {"name": "drawn.mp4", "seconds": n / 25, "width": 640, "height": 640, "fps": 25.0, "codec": "h264",
                 "face_px": 300.0} | (source or {})  # fmt: skip
        save_capture(
            Capture(folder, SIDE, n, 25, (0, 0, 640), facts, folder / "audio.wav" if sound is not None else None)
        )
        save_landmarks(folder / "landmarks.safetensors", landmarks)
        save_tracking(folder / "tracking.safetensors", tracking)
        save_motion(folder / "motion.safetensors", extract_motion(landmarks, tracking))
        return load_capture(folder)


@pytest.fixture(scope="session")
def person() -> Person:
    """The undamaged clip: 32 seconds."""
    clip = smooth_talk(make_clip(SECONDS * 25))
    return Person(clip, clip.landmarks(noise_px=0.2, size=SIDE), truth_tracking(clip, SIDE))


def oval_mask(points: np.ndarray) -> np.ndarray:
    """Boolean mask of the face's oval."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.rint(points[list(FACE_OVAL)]).astype(np.int32)], (1,))
    return mask > 0
