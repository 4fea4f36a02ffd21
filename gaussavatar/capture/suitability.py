"""What a few sampled frames say about a clip: whether it can be used, and where the crop lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from gaussavatar.errors import UserError

_CROWD_HEIGHT = 0.6
"""A second face of this part of the first one's height makes it unclear who is meant."""

_CROWD_SHARE = 1 / 3
_MIN_FACE_SHARE = 0.4

_FEW_STRANGERS = 0.1

_TURNED_SHARE = 2 / 3
"""Part of the samples with a face that is better seen after the same turn, from which on the video is turned."""

_FADED, FADE_SECONDS = 0.6, 2.0
"""Lightness of a face against the clip's usual one, below which it is in the dark, and how long a fade may last: who is
dark for longer is somebody else, or somewhere else."""

_SAME_FACE_COLOURS = 0.15
_SAME_PICTURE_COLOURS = 0.12
_SAME_SHAPE = 0.02
"""Distances under which two samples show one person. Measured over 14 samples each of six people:
face colours within one person up to 0.14, between people from 0.17; whole picture up to 0.11 and from
0.22; shape about 0.04 within (more under large turns) and from 0.026 (median 0.064) between."""

_LAB_BINS = ((0, 256, 12), (96, 176, 16), (96, 176, 16))

_FACE_CENTRE_HEIGHT = 0.46
"""Where the face's middle lies in the crop, from its top: hair needs less room than neck and shoulders."""

# Points of the forehead, nose bridge, eye corners, temples, cheeks, brows, jaw and mouth middle.
_SHAPE_POINTS = (
    10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 33, 133, 263, 362, 127, 356, 234, 454, 50, 280, 205, 425, 93, 323, 48, 278,
    129, 358, 2, 98, 327, 55, 285, 70, 300, 152, 172, 397, 61, 291, 0, 17, 105, 334, 108, 337,
)  # fmt: skip
_FOREHEAD_TOP, _CHIN = 10, 152


@dataclass(frozen=True)
class Sample:
    """One looked-at frame; lengths and points in shown source pixels.

    ``heights`` are those of all faces, largest first. The rest is None where no face was found:
    ``points`` are the main face's landmarks, ``face_colours`` and ``picture_colours`` histograms
    that sum to one.
    """

    seconds: float
    heights: tuple[float, ...]
    points: Float32[np.ndarray, "478 3"] | None = None
    face_colours: Float[np.ndarray, "c"] | None = None
    picture_colours: Float[np.ndarray, "c"] | None = None
    turn: int = 0
    """The clockwise turn, in degrees, after which a face is seen best."""
    picture: UInt8[np.ndarray, "h w 3"] | None = None
    """The whole frame, small."""
    face: UInt8[np.ndarray, "s s 3"] | None = None
    """The face, small."""

    @property
    def lightness(self) -> float:
        """Mean lightness of the face, 0 to 1."""
        assert self.face_colours is not None
        bins = _LAB_BINS[0][2]
        part = self.face_colours[:bins]
        return float(part @ (np.arange(bins) + 0.5) / (bins * part.sum()))

    @property
    def face_px(self) -> float:
        """Height of the face from the hairline to the chin."""
        assert self.points is not None
        return float(np.linalg.norm(self.points[_CHIN, :2] - self.points[_FOREHEAD_TOP, :2]))


def colour_histogram(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "c"]:
    """Histogram of the three CIELAB channels of an RGB image, summing to one.

    Every pixel is shared between the two nearest bins, so that a slight change of light makes a slight change.
    """
    lab = cv2.cvtColor(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)
    parts = [_soft_histogram(lab[..., channel], *bins) for channel, bins in enumerate(_LAB_BINS)]
    histogram = np.concatenate(parts)
    return histogram / histogram.sum()


def _soft_histogram(values: np.ndarray, low: float, high: float, count: int) -> np.ndarray:
    place = np.clip((values.ravel() - low) / (high - low) * count - 0.5, 0, count - 1.001)
    left = place.astype(int)
    part = place - left
    return np.bincount(left, 1 - part, count) + np.bincount(left + 1, part, count)


def shape_distance(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> float:
    """Root mean square distance of two point sets after the best similarity, relative to their size.

    Orthogonal Procrustes with scale (Umeyama 1991, eq. 40-42).
    """
    a, b = a - a.mean(0), b - b.mean(0)
    U, s, Vt = np.linalg.svd(a.T.astype(np.float64) @ b)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(U @ Vt))])
    scale = (s * signs).sum() / (a**2).sum()
    return float(np.sqrt(((scale * a @ (U * signs @ Vt) - b) ** 2).sum() / (b**2).sum()))


def check_samples(samples: Sequence[Sample], name: str, min_face_px: float) -> list[Sample]:
    """Refuse a clip without one clear person; returns the samples that show that person.

    Raises:
        UserError: a turned picture, no face, two faces of like size, a face that is too small, or a cut to another
            person.
    """
    _check_upright(samples, name)
    seen = [sample for sample in samples if sample.points is not None]
    if len(seen) < max(1, _MIN_FACE_SHARE * len(samples)):
        came = "no face" if not seen else f"a face in only {len(seen)} of {len(samples)} sampled frames"
        raise UserError(f"a face that looks at the camera in {name}", came, "film one person from the front, closer")
    crowded = [s for s in samples if len(s.heights) > 1 and s.heights[1] >= _CROWD_HEIGHT * s.heights[0]]
    if len(crowded) >= max(1, _CROWD_SHARE * len(samples)):
        raise UserError(
            f"one face in {name}", f"two of like size (at {crowded[0].seconds:.1f} s)", "crop the video to one person"
        )
    face_px = float(np.median([sample.face_px for sample in seen]))
    if face_px < min_face_px:
        raise UserError(
            f"a face at least {min_face_px:.0f} pixels high in {name}",
            f"one of {face_px:.0f} pixels",
            "film closer or give a larger video",
        )
    return check_one_person(seen, name)


def _check_upright(samples: Sequence[Sample], name: str) -> None:
    found = [sample.turn for sample in samples if sample.turn or sample.points is not None]
    for turn, came in ((180, "one that is upside down"), (90, "one on its side"), (270, "one on its side")):
        if found and found.count(turn) >= _TURNED_SHARE * len(found):
            do = f"turn it by {turn} degrees: ffmpeg -display_rotation {-turn % 360} -i {name} -c copy upright.mp4"
            raise UserError(f"an upright picture in {name}", came, do)


def check_one_person(seen: Sequence[Sample], name: str) -> list[Sample]:
    """Refuse a clip that cuts to another person; samples of one person are linked by any likeness.

    Faces in the dark of a fade are left out: their colours are nobody's.

    A stranger in at most :data:`_FEW_STRANGERS` of the samples is let pass: the frames are found and left out later
    (:mod:`gaussavatar.capture.identity`). Returns the samples without the stranger's.

    Raises:
        UserError: the samples fall into unlinked groups; says when the second person appears.
    """
    seen = _without_fades(seen)
    groups = _linked_groups(_likeness(seen))
    main = max(groups, key=len)
    if len(main) >= (1 - _FEW_STRANGERS) * len(seen):
        return [seen[index] for index in sorted(main)]
    strangers = [index for index in range(len(seen)) if index not in main]
    # The clip may begin with the stranger; the cut is where the group changes for the first time.
    first_is_main = 0 in main
    change = next(index for index in range(1, len(seen)) if (index in main) != first_is_main)
    moment = (seen[change - 1].seconds + seen[change].seconds) / 2
    raise UserError(
        f"one person all through {name}",
        f"a cut to another at about {moment:.1f} s ({len(strangers)} of {len(seen)} samples differ)",
        "cut the video to one person",
    )


def _without_fades(seen: Sequence[Sample]) -> list[Sample]:
    usual = float(np.median([sample.lightness for sample in seen]))
    runs: list[list[Sample]] = [[]]
    for before, sample in zip((None, *seen), seen, strict=False):
        dark = sample.lightness < _FADED * usual
        if before is None or dark != (before.lightness < _FADED * usual):
            runs.append([])
        runs[-1].append(sample)
    kept = []
    for run in runs:
        short = run and run[-1].seconds - run[0].seconds <= FADE_SECONDS
        if not (short and run[0].lightness < _FADED * usual):
            kept += run
    return kept


def main_group(seen: Sequence[Sample], weights: Sequence[float]) -> set[int]:
    """Indices of the samples of the person whom most of the clip shows, by the sum of ``weights``."""
    groups = _linked_groups(_likeness(seen))
    return max(groups, key=lambda group: sum(weights[index] for index in group), default=set())


def shape_of(points: Float[np.ndarray, "*b 478 3"]) -> Float[np.ndarray, "*b p 3"]:
    """The landmarks that tell people apart."""
    return points[..., list(_SHAPE_POINTS), :].astype(np.float64)


def _likeness(seen: Sequence[Sample]) -> Bool[np.ndarray, "n n"]:
    linked = np.eye(len(seen), dtype=bool)
    for i, a in enumerate(seen):
        for j in range(i):
            b = seen[j]
            assert a.points is not None and b.points is not None
            linked[i, j] = linked[j, i] = (
                _histogram_distance(a.face_colours, b.face_colours) < _SAME_FACE_COLOURS
                or _histogram_distance(a.picture_colours, b.picture_colours) < _SAME_PICTURE_COLOURS
                or shape_distance(a.points[list(_SHAPE_POINTS)], b.points[list(_SHAPE_POINTS)]) < _SAME_SHAPE
            )
    return linked


def _histogram_distance(a: np.ndarray | None, b: np.ndarray | None) -> float:
    assert a is not None and b is not None
    return float(np.abs(a - b).sum() / 2)


def _linked_groups(linked: Bool[np.ndarray, "n n"]) -> list[set[int]]:
    groups: list[set[int]] = []
    left = set(range(len(linked)))
    while left:
        group, frontier = set(), {min(left)}
        while frontier:
            group |= frontier
            frontier = {int(j) for i in frontier for j in np.flatnonzero(linked[i])} - group
        groups.append(group)
        left -= group
    return groups


def choose_crop(samples: Sequence[Sample], width: int, height: int, face_fraction: float) -> tuple[int, int, int]:
    """The square ``(x, y, side)`` inside a ``width`` x ``height`` picture that holds the head all through the clip.

    The face (hairline to chin) gets ``face_fraction`` of the side. The square grows with the head's movement and is
    the largest one that fits where the face is about that large or larger.
    """
    seen = [sample for sample in samples if sample.points is not None]
    centres = np.array([(s.points[_FOREHEAD_TOP, :2] + s.points[_CHIN, :2]) / 2 for s in seen])  # type: ignore[index]
    low, high = np.percentile(centres, [5, 95], axis=0)
    wanted = float(np.median([sample.face_px for sample in seen])) / face_fraction
    # Movement up to a quarter of the side stays inside the margins that the face fraction leaves.
    wanted += max(0.0, float((high - low).max()) - 0.25 * wanted)
    largest = min(width, height)
    side = int(min(largest, wanted)) // 2 * 2
    if side > 0.9 * largest:
        side = largest // 2 * 2
    middle = (low + high) / 2
    x = int(np.clip(middle[0] - side / 2, 0, width - side)) // 2 * 2
    y = int(np.clip(middle[1] - _FACE_CENTRE_HEIGHT * side, 0, height - side)) // 2 * 2
    return x, y, side
