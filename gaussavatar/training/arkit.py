"""Fitting a person's map between ARKit's shapes and their mouth codes from the clip's own coefficients."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32

from gaussavatar.avatar.arkit import MOUTH_SHAPES, ArkitMap, channel_rows, seen_codes
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.statistics import correlation
from gaussavatar.tracking.face.motion import mouth_region
from gaussavatar.tracking.head.expression import build_rig
from gaussavatar.tracking.head.signals import fitted_weights
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.types import FaceMotion

_SURE = 0.02
"""A shape that moves by this much over the clip (root mean square) is told half by the clip, half by geometry."""
_ROUNDS, _ASTRAY = 3, 1.5
"""Rounds of reweighting, and the error (in median errors) from which on a frame counts less."""
_AGREES, _LARGEST_FACTOR = 0.3, 4.0
"""Correlation from which on the clip tells how strong a channel is, and how far from 1 that may be."""
_LEAST_IMPORTANCE = 0.05


def fit_arkit_map(
    track: HeadTrack, motion: FaceMotion, closed: Float[np.ndarray, "m"], used: Bool[np.ndarray, "n"]
) -> ArkitMap:
    """The map from the shapes' fitted weights to codes and channels, and back.

    Forth: least squares on the weights less those of the rest, around what the shapes' geometry says (ridge in closed
    form), so that a shape that the clip hardly shows moves the mouth as it moves the head model's. Frames that go
    astray count less (Huber's weights).

    Args:
        track: a head with ARKit shapes, fitted to the clip.
        motion: codes and channels of the same frames.
        closed: codes of the closed mouth.
        used: frames to learn from.

    Raises:
        ValueError: the track's head has no ARKit shapes.
    """
    weights = fitted_weights(track).astype(np.float64)
    codes, upper = motion.mouth_codes.astype(np.float64), motion.upper.astype(np.float64)
    rest, rest_upper = rest_weights(weights, motion, used), np.median(upper[used], axis=0)
    moved = (weights - rest)[used]
    by_geometry = _mouth_by_geometry(track, motion)
    mouth = np.zeros((len(ARKIT_EXPRESSIONS), codes.shape[1]))
    shapes = list(MOUTH_SHAPES)
    mouth[shapes] = _ridge(moved[:, shapes], (codes - closed)[used], by_geometry[shapes])
    channels = _channels(moved, (upper - rest_upper)[used], motion.upper_names)
    reach = np.linalg.norm(motion.mouth_basis.reshape(codes.shape[1], -1), axis=1)
    importance = np.maximum(reach / reach.max(), _LEAST_IMPORTANCE)
    arrays = (closed, rest_upper, mouth, channels, *seen_codes(codes[used]), importance)
    return ArkitMap(*(array.astype(np.float32) for array in arrays))


def _channels(
    moved: Float[np.ndarray, "n 52"], upper: Float[np.ndarray, "n u"], names: tuple[str, ...]
) -> Float[np.ndarray, "52 u"]:
    """Channels per unit of the shapes that make them, with one factor each, which is the clip's where it is sure."""
    rows = channel_rows(names).astype(np.float64)
    for column in range(rows.shape[1]):
        shown = moved @ rows[:, column]
        if shown.std() > 0 and correlation(shown, upper[:, column]) > _AGREES:
            factor = float(shown @ upper[:, column] / (shown @ shown))
            rows[:, column] *= np.clip(factor, 1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
    return rows


def rest_weights(
    weights: Float[np.ndarray, "n 52"], motion: FaceMotion, used: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "52"]:
    """The weights of the resting face: of the mouth where the lips are shut, of all else their median."""
    rest = np.median(weights[used], axis=0)
    shut = used & (motion.aperture <= np.percentile(motion.aperture[used], 10))
    shapes = list(MOUTH_SHAPES)
    rest[shapes] = weights[shut][:, shapes].mean(axis=0)
    return rest


def _mouth_by_geometry(track: HeadTrack, motion: FaceMotion) -> Float[np.ndarray, "52 m"]:
    """Codes whose landmarks move as those of the head's own shapes.

    Appearance codes, which move no landmark, go with the others as they do in the clip.
    """
    rig = build_rig(track.head, np.arange(468), hinged=False)
    points, steady = rig.landmarks, np.arange(len(rig.landmarks) - rig.n_sliding)
    importance = np.sqrt(mouth_region(motion_rest(track, rig.place, points))[points[steady]])[:, None]
    moving = np.abs(motion.mouth_basis).reshape(len(motion.mouth_basis), -1).max(axis=1) > 0
    basis = (motion.mouth_basis[moving][:, points[steady]] * importance).reshape(moving.sum(), -1).astype(np.float64)
    gram = basis @ basis.T
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    outline = motion.mouth_codes[:, moving].astype(np.float64)
    follow = np.linalg.lstsq(outline - outline.mean(0), motion.mouth_codes - motion.mouth_codes.mean(0), rcond=None)[0]
    codes = np.zeros((len(ARKIT_EXPRESSIONS), motion.mouth_codes.shape[1]))
    for row, name in enumerate(ARKIT_EXPRESSIONS):
        if name in track.head.expression_names and row in MOUTH_SHAPES:
            moved = rig.basis[track.head.expression_names.index(name)][steady] * importance
            codes[row] = np.linalg.solve(gram, basis @ moved.ravel()) @ follow
    return codes


def motion_rest(track: HeadTrack, place: Float[np.ndarray, "p 3"], points: np.ndarray) -> Float32[np.ndarray, "478 3"]:
    """The head's landmarks at rest in the places of all 478; those that the head does not have are far above."""
    rest = np.full((478, 3), -1.0, np.float32)
    rest[points] = place
    return rest


def _ridge(
    features: Float[np.ndarray, "n f"],
    targets: Float[np.ndarray, "n t"],
    prior: Float[np.ndarray, "f t"],
    sure: float = _SURE,
) -> Float[np.ndarray, "f t"]:
    """Ridge regression around a prior, with Huber's weights on the frames."""
    counts = np.ones(len(features))
    solved = prior
    for _ in range(_ROUNDS):
        gram = (features * counts[:, None]).T @ features + counts.sum() * sure**2 * np.eye(features.shape[1])
        solved = prior + np.linalg.solve(gram, (features * counts[:, None]).T @ (targets - features @ prior))
        errors = np.linalg.norm(targets - features @ solved, axis=1)
        counts = np.minimum(1, _ASTRAY * np.median(errors) / np.maximum(errors, 1e-9))
    return solved
