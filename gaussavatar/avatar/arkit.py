"""From curves of ARKit's 52 shapes to one person's mouth codes and upper face, and back.

The map is fitted with the avatar, from the clip's own coefficients. A curve's 0 is the person's rest: closed lips, and
lids and brows as the person mostly holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, HEAD, ArkitCurves
from gaussavatar.motion.edit import OPEN_APERTURE
from gaussavatar.motion.poses import deviated, deviations, mean_pose
from gaussavatar.motion.track import MotionTrack

PREFIX = "arkit."
"""Before the map's arrays in an avatar's file."""

MOUTH_SHAPES = tuple(
    index for index, name in enumerate(ARKIT_EXPRESSIONS) if name.startswith(("jaw", "mouth", "cheekPuff", "tongue"))
)
"""Shapes that move the mouth; the others move the upper face, and neither moves the other's."""

CHANNEL_SHAPES: Mapping[str, Mapping[str, float]] = {
    "blink_left": {"eyeBlinkLeft": 1.0},
    "blink_right": {"eyeBlinkRight": 1.0},
    "wide": {"eyeWideLeft": 0.5, "eyeWideRight": 0.5},
    "squint": {"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5},
    "brow_inner": {"browInnerUp": 1.0},
    "brow_outer": {"browOuterUpLeft": 0.5, "browOuterUpRight": 0.5},
    "brow_down": {"browDownLeft": 0.5, "browDownRight": 0.5},
    "gaze_x": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0, "eyeLookInLeft": -1.0, "eyeLookOutRight": -1.0},
    "gaze_y": {"eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0, "eyeLookUpLeft": -1.0, "eyeLookUpRight": -1.0},
}
"""Which shapes an upper-face channel is made of. Left is the person's, and the picture's right."""

_OPENS = {
    "jawOpen": 1.1, "mouthClose": -1.1, "mouthFunnel": 0.4, "mouthLowerDownLeft": 0.1, "mouthLowerDownRight": 0.1,
    "mouthUpperUpLeft": 0.1, "mouthUpperUpRight": 0.1, "mouthRollLower": -0.07, "mouthRollUpper": -0.14,
    "mouthShrugLower": -0.15,
}  # fmt: skip
"""How far shapes of 1 open the built-in head's lips, by the mouth slider's 1; for avatars without a map."""
_SMALL = 0.002
"""What a shape costs in curves of a track, against how far a shape moves the mouth."""


@dataclass(frozen=True)
class ArkitMap:
    """A person's own map. Curves are in ARKit's units, channels in this person's strong movement."""

    rest_codes: Float32[np.ndarray, "m"]
    rest_upper: Float32[np.ndarray, "u"]
    mouth: Float32[np.ndarray, "52 m"]
    """Codes per unit of each shape."""
    upper: Float32[np.ndarray, "52 u"]
    mean: Float32[np.ndarray, "m"]
    """Of the clip's codes."""
    whiten: Float32[np.ndarray, "m m"]
    """Takes a code's difference from the mean to axes along which the clip varies by 1."""
    reach: Float32[np.ndarray, "2"]
    """How far from the mean, in those axes, 90 and 98 of a hundred frames of the clip stay."""
    importance: Float32[np.ndarray, "m"]
    """How far a unit of each code moves the mouth, by the largest."""

    def face(
        self, values: Float32[np.ndarray, "n 52"]
    ) -> tuple[Float32[np.ndarray, "n m"], Float32[np.ndarray, "n u"]]:
        """Mouth codes and upper-face channels of curves; beyond what the clip showed the mouth goes ever slower.

        Faces that no frame came near tear: a wide smile of a person who never smiled is a smaller one.
        """
        shapes = np.clip(values, -0.2, 1.5)
        codes = softly_within(self.rest_codes + shapes @ self.mouth, self.mean, self.whiten, self.reach)
        return codes, np.clip(self.rest_upper + shapes @ self.upper, -1.5, 1.5).astype(np.float32)

    def curves(
        self, codes: Float32[np.ndarray, "n m"], upper: Float32[np.ndarray, "n u"]
    ) -> Float32[np.ndarray, "n 52"]:
        """Curves of mouth codes and upper-face channels, 0 to 1: those whose face is nearest to this one.

        Channels are made of shapes of their own, so theirs are exact where no clip is reached.
        """
        shapes = np.zeros((len(codes), len(ARKIT_EXPRESSIONS)))
        rows = list(MOUTH_SHAPES)
        shapes[:, rows] = within_one((codes - self.rest_codes) * self.importance, self.mouth[rows] * self.importance)
        for row, moved in zip(self.upper.T, (upper - self.rest_upper).T, strict=True):
            for sign in (1, -1):
                part = np.clip(sign * row, 0, None)
                shapes += np.clip(sign * moved, 0, None)[:, None] * part / max(float(part @ part), 1e-9)
        return np.clip(shapes, 0, 1).astype(np.float32)

    def arrays(self) -> dict[str, Float32[np.ndarray, "..."]]:
        """What an avatar's file keeps, by name."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}


def stored_map(arrays: Mapping[str, np.ndarray]) -> ArkitMap | None:
    """The map among an avatar's arrays; None in an avatar of before there was one."""
    names = [field.name for field in fields(ArkitMap)]
    if any(PREFIX + name not in arrays for name in names):
        return None
    return ArkitMap(**{name: arrays[PREFIX + name] for name in names})


def rough_map(
    closed: Float32[np.ndarray, "m"],
    resting_upper: Float32[np.ndarray, "u"],
    open_direction: Float32[np.ndarray, "m"],
    codes: Float32[np.ndarray, "n m"],
    names: tuple[str, ...],
) -> ArkitMap:
    """For an avatar without a map: lips that open and close, and channels by their names; no width, no rounding.

    Args:
        closed: codes of the closed mouth.
        resting_upper: the upper face at rest.
        open_direction: codes per unit of lip aperture.
        codes: of the filmed track.
        names: of the upper-face channels.
    """
    mouth, shapes = np.zeros((52, len(closed)), np.float32), ARKIT_EXPRESSIONS.index
    for name, share in _OPENS.items():
        mouth[shapes(name)] = share * OPEN_APERTURE * open_direction
    importance = np.abs(open_direction) / max(float(np.abs(open_direction).max()), 1e-9)
    return ArkitMap(closed, resting_upper, mouth, channel_rows(names), *seen_codes(codes), importance)


def channel_rows(names: tuple[str, ...]) -> Float32[np.ndarray, "52 u"]:
    """Channels per unit of each shape, by their names; gaze is the mean of both eyes."""
    rows = np.zeros((len(ARKIT_EXPRESSIONS), len(names)), np.float32)
    for column, name in enumerate(names):
        for shape, value in CHANNEL_SHAPES.get(name, {}).items():
            rows[ARKIT_EXPRESSIONS.index(shape), column] = value
    return rows


def within_one(
    wanted: Float[np.ndarray, "n m"], rows: Float[np.ndarray, "s m"], steps: int = 200
) -> Float[np.ndarray, "n s"]:
    """The shapes between 0 and 1 whose sum of rows comes nearest, small ones where several would do.

    Accelerated projected gradients (Beck and Teboulle 2009, "A fast iterative shrinkage-thresholding algorithm").
    """
    gram = rows @ rows.T
    gram = gram + _SMALL * np.trace(gram) / len(gram) * np.eye(len(gram))
    aim = wanted @ rows.T
    step = 1 / max(float(np.linalg.eigvalsh(gram)[-1]), 1e-9)
    shapes = ahead = np.zeros_like(aim)
    momentum = 1.0
    for _ in range(steps):
        moved = np.clip(ahead + step * (aim - ahead @ gram), 0, 1)
        following = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead, shapes, momentum = moved + (momentum - 1) / following * (moved - shapes), moved, following
    return shapes


def seen_codes(
    codes: Float[np.ndarray, "n m"],
) -> tuple[Float32[np.ndarray, "m"], Float32[np.ndarray, "m m"], Float32[np.ndarray, "2"]]:
    """Mean, whitening and reach of the codes that a clip shows, see :class:`ArkitMap`."""
    mean = codes.mean(axis=0, dtype=float)
    spread = np.cov(codes.T.astype(float)).reshape(len(mean), len(mean))
    # A code that hardly varies is not to count for more than a tenth of the others' mean.
    values, axes = np.linalg.eigh(spread)
    whiten = axes / np.sqrt(np.maximum(values, max(0.01 * float(values.mean()), 1e-9)))
    reach = np.percentile(np.linalg.norm((codes - mean) @ whiten, axis=1), [90, 98])
    return mean.astype(np.float32), whiten.astype(np.float32), np.maximum(reach, 1e-3).astype(np.float32)


def softly_within(
    codes: Float[np.ndarray, "n m"],
    mean: Float[np.ndarray, "m"],
    whiten: Float[np.ndarray, "m m"],
    reach: Float[np.ndarray, "2"],
) -> Float32[np.ndarray, "n m"]:
    """Codes as they are within the first reach; beyond it on the same ray, ever slower, and never past the second."""
    moved = codes - mean
    away = np.maximum(np.linalg.norm(moved @ whiten, axis=1, keepdims=True), 1e-9)
    room = max(float(reach[1] - reach[0]), 1e-6)
    kept = np.where(away <= reach[0], away, reach[0] + room * np.tanh((away - reach[0]) / room))
    return (mean + moved * (kept / away)).astype(np.float32)


def track_of_curves(fitted: ArkitMap, curves: ArkitCurves, over: MotionTrack) -> MotionTrack:
    """A track that follows curves.

    Args:
        fitted: the person's map.
        curves: at the frame rate of ``over``.
        over: as many frames, whose head, places and names are taken; the head is turned as the curves' is, where they
            have one.
    """
    codes, upper = fitted.face(curves.values)
    made = dict(mouth_codes=codes, upper=upper)
    if curves.head is not None:
        turns = head_turns(curves.head)
        mean = mean_pose(over.T_camera_world)
        still = np.zeros((len(curves), 3))
        made["T_camera_world"] = deviated(mean, np.concatenate([turns - np.median(turns, axis=0), still], axis=1))
    return MotionTrack(
        **{**over.arrays(), **made}, fps=over.fps, upper_names=over.upper_names, avatar=over.avatar, about=over.about,
        movement_names=over.movement_names,
    )  # fmt: skip


def head_turns(head: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Rotation vectors of head space from ARKit's yaw, pitch and roll: x right, y down, z away from the camera."""
    yaw, pitch, roll = head.T
    return np.stack([pitch, -yaw, -roll], axis=1)


def curves_of_track(fitted: ArkitMap, track: MotionTrack) -> ArkitCurves:
    """The curves of a track, with the head's turns about its mean."""
    turned = deviations(track.T_camera_world, mean_pose(track.T_camera_world))[:, :3]
    head = np.stack([-turned[:, 1], turned[:, 0], -turned[:, 2]], axis=1).astype(np.float32)
    assert len(HEAD) == head.shape[1]
    return ArkitCurves(fitted.curves(track.mouth_codes, track.upper), track.fps, head)
