"""The map between ARKit's shapes and mouth codes is learnt from a clip whose shapes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaussavatar.audio.targets import closed_mean
from gaussavatar.avatar.arkit import ArkitMap
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.landmarks.measures import lip_aperture, lip_width
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.statistics import correlation
from gaussavatar.tracking.face.motion import MotionConfig, _mouth_codes, _regress, mouth_region
from gaussavatar.tracking.face.upper_face import CHANNEL_NAMES
from gaussavatar.tracking.head.expression import build_rig
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.training.arkit import fit_arkit_map
from gaussavatar.types import FaceMotion

SPOKEN = (
    "jawOpen",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "mouthFunnel",
)
"""Shapes that the clip shows; pucker and smile it does not."""
N, LEARNT = 400, 300


def index(name: str) -> int:
    return ARKIT_EXPRESSIONS.index(name)


@pytest.fixture(scope="module")
def clip() -> tuple[HeadTrack, FaceMotion, np.ndarray]:
    rng = np.random.default_rng(0)
    head = builtin_head()
    head = replace(head, template=head.template + np.array([0, -0.035, -0.06], np.float32))
    weights = np.zeros((N, 52), np.float32)
    for name in (*SPOKEN, "eyeBlinkLeft", "browInnerUp"):
        noise = np.convolve(rng.normal(size=N + 20), np.hanning(9), "same")[:N]
        weights[:, index(name)] = np.clip(0.15 * noise, 0, None)
    rig = build_rig(head, np.arange(468), hinged=False)
    steady = rig.landmarks[: len(rig.landmarks) - rig.n_sliding]
    rest, displaced = np.full((478, 3), -1.0, np.float32), np.zeros((N, 478, 3), np.float32)
    rest[steady] = rig.place[: len(steady)]
    displaced[:, steady] = np.einsum("ne,elk->nlk", weights, rig.basis[:, : len(steady)])
    used = np.arange(N) < LEARNT
    region = mouth_region(rest)
    codes = _mouth_codes(displaced, region, used, MotionConfig(n_mouth=8))
    upper = np.zeros((N, len(CHANNEL_NAMES)), np.float32)
    upper[:, 0], upper[:, 4] = weights[:, index("eyeBlinkLeft")], 2 * weights[:, index("browInnerUp")]
    basis, above = _regress(displaced, codes, upper, used)
    points = rest + displaced
    motion = FaceMotion(
        codes, (basis * region[:, None]).astype(np.float32), upper, above.astype(np.float32), CHANNEL_NAMES,
        lip_aperture(points).astype(np.float32), lip_width(points).astype(np.float32),
    )  # fmt: skip
    track = HeadTrack(
        head, "built-in", np.zeros(0, np.float32), weights, np.zeros((N, 4, 3), np.float32), np.zeros(N, np.float32)
    )
    return track, motion, rest


@pytest.fixture(scope="module")
def fitted(clip: tuple[HeadTrack, FaceMotion, np.ndarray]) -> ArkitMap:
    track, motion, _ = clip
    return fit_arkit_map(track, motion, closed_mean(motion.mouth_codes, motion.aperture), np.arange(N) < LEARNT)


def shown(codes: np.ndarray, clip: tuple[HeadTrack, FaceMotion, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Aperture and width of mouth codes."""
    _, motion, rest = clip
    points = rest + np.tensordot(codes, motion.mouth_basis, 1)
    return lip_aperture(points), lip_width(points)


def test_curves_of_the_clip_give_its_mouth_where_nothing_was_learnt(fitted: ArkitMap, clip) -> None:  # noqa: ANN001
    track, motion, _ = clip
    codes, upper = fitted.face(track.expression)
    later = np.arange(N) >= LEARNT
    assert correlation(shown(codes, clip)[0][later], motion.aperture[later]) > 0.97
    assert shown(codes, clip)[0][later].std() == pytest.approx(motion.aperture[later].std(), rel=0.15)
    assert correlation(upper[later, 0], motion.upper[later, 0]) > 0.99
    assert upper[later, 4].std() == pytest.approx(motion.upper[later, 4].std(), rel=0.05)
    assert (upper[:, 7:] == 0).all()


def test_a_shape_that_the_clip_never_shows_moves_the_mouth_as_it_moves_the_head(fitted: ArkitMap, clip) -> None:  # noqa: ANN001
    values = np.zeros((3, 52), np.float32)
    values[1, index("mouthPucker")] = 0.6
    values[2, [index("mouthSmileLeft"), index("mouthSmileRight")]] = 0.6
    _, width = shown(fitted.face(values)[0], clip)
    assert width[1] < width[0] < width[2]


def test_curves_of_a_motion_bring_the_motion_back(fitted: ArkitMap, clip) -> None:  # noqa: ANN001
    _, motion, _ = clip
    curves = fitted.curves(motion.mouth_codes, motion.upper)
    assert curves.min() >= 0 and curves.max() <= 1
    codes, upper = fitted.face(curves)
    assert correlation(shown(codes, clip)[0], motion.aperture) > 0.97
    # Curves begin at 0, the person's rest: a brow below it stays there.
    assert np.allclose(upper[:, 4], np.maximum(motion.upper[:, 4], fitted.rest_upper[4]), atol=0.05)


def test_a_frame_that_went_astray_hardly_counts(clip) -> None:  # noqa: ANN001
    track, motion, _ = clip
    closed, used = closed_mean(motion.mouth_codes, motion.aperture), np.arange(N) < LEARNT
    codes = motion.mouth_codes.copy()
    codes[100:106] += 40
    spoilt = fit_arkit_map(track, replace(motion, mouth_codes=codes), closed, used)
    clean = fit_arkit_map(track, motion, closed, used)
    jaw = index("jawOpen")
    assert np.abs(spoilt.mouth[jaw] - clean.mouth[jaw]).max() < 0.2 * np.abs(clean.mouth[jaw]).max()
