"""What the face does besides the head: the 52 ARKit coefficients and action units of every frame, for this person.

Every channel is calibrated on the clip: 0 is this person's rest, 1 their strong movement. A floor keeps a channel
that never moves near 0 instead of blowing up its noise. The action units (Ekman and Friesen 1978) are those that
avatars are driven by: 1 inner brow, 2 outer brow, 4 brow lowered, 5 upper lid raised, 6 cheek raised, 7 lid
tightened, 45 blink; left and right are the person's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8
from scipy.signal import savgol_filter

from gaussavatar.errors import UserError
from gaussavatar.landmarks.detect import fill_gaps
from gaussavatar.landmarks.face_mesh import FaceScorer
from gaussavatar.landmarks.indices import (
    LEFT_EYE_CORNERS,
    LEFT_LID_PAIRS,
    MIRROR,
    RIGHT_EYE_CORNERS,
    RIGHT_LID_PAIRS,
)
from gaussavatar.landmarks.measures import eye_openness, lip_aperture, lip_width
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.face.motion import head_space_landmarks
from gaussavatar.tracking.face.upper_face import blink_closure
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.types import Landmarks, Tracking

ACTION_UNITS = (
    "AU01", "AU02_left", "AU02_right", "AU04_left", "AU04_right", "AU05_left", "AU05_right", "AU06_left",
    "AU06_right", "AU07_left", "AU07_right", "AU45_left", "AU45_right",
)  # fmt: skip
SIGNAL_NAMES = (*ARKIT_EXPRESSIONS, *ACTION_UNITS)

_UNIT_OF_SCORES = {
    "AU01": "browInnerUp",
    "AU02": "browOuterUp",
    "AU04": "browDown",
    "AU05": "eyeWide",
    "AU06": "cheekSquint",
    "AU07": "eyeSquint",
    "AU45": "eyeBlink",
}
"""The face landmarker's scores that stand for the action units."""

_STRONG_PERCENTILE = 97.0
_WEIGHT_FLOOR, _SCORE_FLOOR = 0.15, 0.15
_BROW_FLOOR, _LID_FLOOR, _CHEEK_FLOOR = 0.002, 0.0008, 0.0015
"""Least movements that count as strong: weights, scores, and metres."""

_CLOSED_SCORE = 0.4
"""What counts as a closed eye even in a clip without a blink."""

_MAX = 1.5
_LEAKY = ("brow", "cheekSquint", "eyeWide", "eyeSquint")
"""Weights into which speech and blinks leak."""

_INNER_BROW = (55, 107, 65, 66)
_OUTER_BROW = (46, 70, 53, 63)
_MIDDLE_BROW = (52, 105)
_CHEEK = (50, 205, 117, 118)


@dataclass(frozen=True)
class FaceSignals:
    """Calibrated channels of every frame: 0 rest, 1 this person's strong movement, at most 1.5.

    ``rest`` and ``strong`` are what was taken off and divided by, in each channel's own units: a fitted or scored
    weight is ``rest + values * strong``. ``source`` says what was read: ``fit`` or ``face_landmarker``.
    """

    names: tuple[str, ...]
    values: Float32[np.ndarray, "n c"]
    rest: Float32[np.ndarray, "c"]
    strong: Float32[np.ndarray, "c"]
    source: str

    def channel(self, name: str) -> Float32[np.ndarray, "n"]:
        """One channel of every frame."""
        return self.values[:, self.names.index(name)]


def fitted_weights(track: HeadTrack) -> Float32[np.ndarray, "n 52"]:
    """The 52 ARKit weights of a head track, in the order of :data:`ARKIT_EXPRESSIONS`.

    Raises:
        ValueError: the head has no ARKit shapes (fit the built-in head as well and read that).
    """
    names = track.head.expression_names
    if "jawOpen" not in names:
        raise ValueError(f"the head {track.model} has no ARKit expressions")
    weights = np.zeros((len(track.expression), len(ARKIT_EXPRESSIONS)), np.float32)
    for column, name in enumerate(ARKIT_EXPRESSIONS):
        if name in names:
            weights[:, column] = track.expression[:, names.index(name)]
    return weights


def face_signals(
    track: HeadTrack,
    landmarks: Landmarks,
    tracking: Tracking,
    scores: Float[np.ndarray, "n 52"] | None = None,
) -> FaceSignals:
    """Read and calibrate the face's channels of a clip.

    The ARKit weights are the fit's, or the face landmarker's where its scores are given. The action units are read
    from the landmarks with the pose taken out (which reads brows better than the fit does: correlations with the
    demo actor's truth are higher by about 0.2), AU7 from the fit; or all from the scores. What goes with fast
    movements of the mouth and with blinks is taken out of brows, cheeks and lids.

    Args:
        track: a head with ARKit shapes fitted to the clip.
        landmarks: landmarks of every frame.
        tracking: poses of every frame.
        scores: the face landmarker's scores in the order of :data:`ARKIT_EXPRESSIONS`, frames without a face filled.

    Raises:
        ValueError: the track's head has no ARKit shapes, and no scores are given.
    """
    used = tracking.valid if tracking.valid.any() else np.ones(len(tracking.valid), bool)
    points = head_space_landmarks(landmarks, tracking)
    shut = np.stack([blink_closure(eye_openness(points)[:, eye], used) for eye in (1, 0)], 1)
    mouth = mouth_features(points)
    weights = fitted_weights(track) if scores is None else np.asarray(scores, np.float32)
    floor = _WEIGHT_FLOOR if scores is None else _SCORE_FLOOR
    causes = np.concatenate([mouth, shut.max(1, keepdims=True)], 1)
    columns = []
    for name, column in zip(ARKIT_EXPRESSIONS, weights.T.astype(np.float64), strict=True):
        if name.startswith("eyeBlink"):
            columns.append(_blink(column, used))
            continue
        leaky = name.startswith(_LEAKY)
        columns.append(calibrate(without_leaks(column, causes, used) if leaky else column, used, floor))
    if scores is None:
        units = units_of_landmarks(points, shut, mouth, used)
        for side in ("left", "right"):
            # The fit tells a tightened lid from a narrower eye; heights alone do not.
            fitted = columns[ARKIT_EXPRESSIONS.index(f"eyeSquint{side.capitalize()}")]
            units[ACTION_UNITS.index(f"AU07_{side}")] = fitted
        columns += units
    else:
        columns += _units_of_scores(np.asarray(scores, np.float64), shut, mouth, used)
    return FaceSignals(
        names=SIGNAL_NAMES,
        values=np.stack([values for values, _, _ in columns], 1).astype(np.float32),
        rest=np.array([rest for _, rest, _ in columns], np.float32),
        strong=np.array([strong for _, _, strong in columns], np.float32),
        source="fit" if scores is None else "face_landmarker",
    )


def score_faces(
    images: Iterable[UInt8[np.ndarray, "h w 3"]], path: Path
) -> tuple[Float32[np.ndarray, "n 52"], Bool[np.ndarray, "n"]]:
    """The face landmarker's 52 scores of every frame of a video, and in which frames it found a face.

    Frames without a face get their neighbours' scores. About 15 ms per frame; the images are read one by one.

    Args:
        images: the frames in order.
        path: the user's ``face_landmarker.task``.

    Raises:
        UserError: the file is missing or damaged.
    """
    found: list[np.ndarray | None] = []
    with FaceScorer(path, ARKIT_EXPRESSIONS) as scorer:
        found.extend(scorer.score(image) for image in images)
    known = np.array([scores is not None for scores in found], bool)
    nothing = np.zeros(len(ARKIT_EXPRESSIONS), np.float32)
    rows = np.stack([nothing if scores is None else scores for scores in found] or [nothing])[: len(found)]
    return fill_gaps(rows[:, None], known)[:, 0], known


def mouth_features(points: Float[np.ndarray, "n 478 3"]) -> Float[np.ndarray, "n 4"]:
    """Opening, width, height of the upper lip and of the corners: what of the mouth leaks into the upper face."""
    return np.stack(
        [lip_aperture(points), lip_width(points), 10 * points[:, 0, 1], 10 * points[:, [61, 291], 1].mean(1)], 1
    )


def without_leaks(
    values: Float[np.ndarray, "n"],
    causes: Float[np.ndarray, "n k"],
    used: Bool[np.ndarray, "n"],
) -> Float[np.ndarray, "n"]:
    """Take out what goes linearly with the causes' frame-to-frame changes.

    Changes, and not values: a brow that is raised through a whole phrase is no leak of the mouth's, however the
    mouth stands meanwhile; one that jumps with every syllable is.
    """
    both = used[1:] & used[:-1]
    if both.sum() < 4 * causes.shape[1]:
        return values
    changes = np.diff(causes, axis=0)[both]
    gram = changes.T @ changes
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram)) + 1e-12 * np.eye(len(gram))
    slopes = np.linalg.solve(gram, changes.T @ np.diff(values)[both])
    return values - (causes - np.median(causes[used], axis=0)) @ slopes


def units_of_landmarks(
    points: np.ndarray, shut: np.ndarray, mouth: np.ndarray, used: np.ndarray
) -> list[tuple[np.ndarray, float, float]]:
    """Action units from head-space landmarks (metres), calibrated on the used frames: values, rest and strong of each.

    Args:
        points: landmarks with the pose taken out.
        shut: how far each eye is closed, left then right.
        mouth: :func:`mouth_features`, whose leaks are taken out.
        used: frames to calibrate on.
    """
    causes = np.concatenate([mouth, shut.max(1, keepdims=True)], 1)

    def height(indices: tuple[int, ...], side: str) -> np.ndarray:
        # The lists name the right side; the left one is its mirror image.
        chosen = [MIRROR[index] if side == "left" else index for index in indices]
        return -points[:, chosen, 1].mean(1)

    def brow(values: np.ndarray) -> tuple[np.ndarray, float, float]:
        return calibrate(_smooth(without_leaks(values, causes, used)), used, _BROW_FLOOR)

    closeness = points[:, 55, 0] - points[:, 285, 0]
    units = [brow((height(_INNER_BROW, "left") + height(_INNER_BROW, "right")) / 2)]
    units += [brow(height(_OUTER_BROW, side)) for side in ("left", "right")]
    for side in ("left", "right"):
        lowered = -sum(height(part, side) for part in (_INNER_BROW, _MIDDLE_BROW, _OUTER_BROW)) / 3
        units.append(brow(lowered + 0.5 * closeness))
    eyes = ((LEFT_LID_PAIRS, LEFT_EYE_CORNERS), (RIGHT_LID_PAIRS, RIGHT_EYE_CORNERS))
    upper, lower = [], []
    for eye, (pairs, corners) in enumerate(eyes):
        line = -points[:, list(corners), 1].mean(1)
        opened = np.clip(1 - 2 * shut[:, eye], 0, 1)
        for heights, which in ((upper, 0), (lower, 1)):
            rise = -points[:, [pair[which] for pair in pairs], 1].mean(1) - line
            calm = used & (shut[:, eye] < 0.3)
            rise = without_leaks(rise, mouth, calm)
            heights.append(calibrate(_smooth(opened * (rise - _median(rise, calm))), calm, _LID_FLOOR))
    cheeks = [
        calibrate(_smooth(without_leaks(height(_CHEEK, side), causes, used)), used, _CHEEK_FLOOR)
        for side in ("left", "right")
    ]
    return [*units, *upper, *cheeks, *lower, *[(shut[:, eye], 0.0, 1.0) for eye in (0, 1)]]


def _units_of_scores(
    scores: np.ndarray, shut: np.ndarray, mouth: np.ndarray, used: np.ndarray
) -> list[tuple[np.ndarray, float, float]]:
    """Action units from the face landmarker's scores; its blinks saturate differently from person to person."""
    causes = np.concatenate([mouth, shut.max(1, keepdims=True)], 1)
    units = []
    for unit in ACTION_UNITS:
        name, _, side = unit.partition("_")
        values = scores[:, ARKIT_EXPRESSIONS.index(_UNIT_OF_SCORES[name] + side.capitalize())]
        if name == "AU45":
            units.append(_blink(values, used))
        else:
            units.append(calibrate(_smooth(without_leaks(values, causes, used)), used, _SCORE_FLOOR))
    return units


def _blink(values: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, float, float]:
    """A blink's calibration: 1 is the closed eye, which the clip may show for a few frames only, or never."""
    rest = float(np.percentile(values[used], 40))
    strong = max(float(np.percentile(values[used], 99.5)), _CLOSED_SCORE) - rest
    return np.clip((values - rest) / max(strong, 0.2), 0.0, 1.0), rest, max(strong, 0.2)


def _median(values: np.ndarray, used: np.ndarray) -> float:
    return float(np.median(values[used])) if used.any() else float(np.median(values))


def calibrate(values: np.ndarray, used: np.ndarray, floor: float) -> tuple[np.ndarray, float, float]:
    """Values with rest at 0 and strong at 1, and what was taken off and divided by."""
    used = used if used.any() else np.ones(len(values), bool)
    rest = float(np.median(values[used]))
    strong = max(floor, float(np.percentile(values[used], _STRONG_PERCENTILE)) - rest)
    return np.clip((values - rest) / strong, 0.0, _MAX), rest, strong


def _smooth(values: np.ndarray) -> np.ndarray:
    return savgol_filter(values, 5, 2) if len(values) >= 5 else values


def save_face_signals(path: Path, signals: FaceSignals) -> None:
    """Write signals as safetensors, atomically."""
    arrays = {name: getattr(signals, name) for name in ("values", "rest", "strong")}
    write_arrays(path, arrays, {"names": ",".join(signals.names), "source": signals.source})


def load_face_signals(path: Path) -> FaceSignals:
    """Read :func:`save_face_signals`.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, metadata = read_arrays(path)
    try:
        signals = FaceSignals(names=tuple(metadata["names"].split(",")), source=metadata["source"], **arrays)
    except (KeyError, TypeError) as error:
        raise UserError(f"face signals in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
    if signals.values.ndim != 2 or signals.values.shape[1] != len(signals.names):
        raise UserError(
            f"{len(signals.names)} channels in {path}", f"shape {signals.values.shape}", "delete it and run again"
        )
    return signals
