"""Skin, hair and clothing of one clip, told apart by colour histograms learnt on its own frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8, UInt32

from gaussavatar.image.filling import shrink
from gaussavatar.segmentation.geometry import OVAL, Outlines, draw_polygon

CLASSES = ("skin", "hair", "cloth")

_LEVELS = (16, 32, 32)
"""Bins of lightness, a and b. a and b are four units wide and saturate at +-64."""

N_BINS = _LEVELS[0] * _LEVELS[1] * _LEVELS[2]


@dataclass(frozen=True)
class ColourModel:
    """Posterior of the three classes for every colour bin, and the clip's neck colour."""

    posterior: UInt8[np.ndarray, "bins 3"]
    neck: Float32[np.ndarray, "3"]
    """Median RGB, 0..255, of the skin just below the chin."""

    def classify(self, image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """Probability (0..255) of skin, hair and clothing for every pixel of a person; the rest is unknown."""
        classes = np.take(self._words, _cells(image)).view(np.uint8).reshape(*image.shape[:2], 4)
        return cv2.blur(cv2.cvtColor(classes, cv2.COLOR_RGBA2RGB), (3, 3))

    @cached_property
    def _words(self) -> UInt32[np.ndarray, "cells"]:
        """The posterior of every RGB cell; four bytes looked up as one word are ten times faster than three bytes."""
        return np.take(np.concatenate([self.posterior, self.posterior[:, :1]], 1).view(np.uint32)[:, 0], _cell_bins())


def colour_bins(image: UInt8[np.ndarray, "h w 3"]) -> Int[np.ndarray, "h w"]:
    """Index of every pixel's colour bin."""
    return np.take(_cell_bins(), _cells(image))


def _cells(image: UInt8[np.ndarray, "h w 3"]) -> UInt32[np.ndarray, "h w"]:
    """The upper six bits of red, green and blue as one number."""
    word = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    return ((word >> 2) & 0x3F) | ((word >> 4) & 0xFC0) | ((word >> 6) & 0x3F000)


@cache
def _cell_bins() -> Int[np.ndarray, "cells"]:
    """The bin in which the middle of every RGB cell lies: conversions and bins of all pixels become one look-up."""
    cells = np.arange(1 << 18)
    middles = np.stack([(cells >> shift & 63) * 4 + 2 for shift in (0, 6, 12)], -1).astype(np.uint8)
    lab = np.asarray(cv2.cvtColor(middles[None], cv2.COLOR_RGB2LAB), np.uint8)[0]
    return _LIGHT_BIN[lab[:, 0]] + _A_BIN[lab[:, 1]] + _B_BIN[lab[:, 2]]


_CHROMA_BIN = np.clip((np.arange(256) - 128) // 4 + _LEVELS[1] // 2, 0, _LEVELS[1] - 1)
_LIGHT_BIN = (np.arange(256) // 16 * _LEVELS[1] * _LEVELS[2]).astype(np.int32)
_A_BIN = (_CHROMA_BIN * _LEVELS[2]).astype(np.int32)
_B_BIN = _CHROMA_BIN.astype(np.int32)


def learn_colours(
    frames: UInt8[np.ndarray, "n h w 3"],
    persons: UInt8[np.ndarray, "n h w"],
    outlines: Outlines,
    indices: Int[np.ndarray, "n"],
) -> ColourModel:
    """Learn the three classes from sampled ``frames`` with person probabilities ``persons`` (0..255).

    Skin comes from the face and the strip below the chin, hair from above the forehead
    and beside it, clothing from well below the chin. What clothing samples share
    with hair or skin counts as these: long hair and bare skin reach down to the chest, while
    clothing never sits on the head.
    """
    counts = np.zeros((3, N_BINS), np.float32)
    necks = []
    for frame, person, index in zip(frames, persons, indices, strict=True):
        bins = colour_bins(frame)
        # Well inside the person only, or the background's colours would be learnt as clothing.
        inside = shrink(person > 230, max(1, round(0.02 * outlines.face_height)))
        regions = _sample_regions(frame, outlines, int(index), inside)
        for row, region in enumerate(regions):
            counts[row] += np.bincount(bins[region], minlength=counts.shape[1])
        necks.append(frame[regions[0] & _chin_strip(outlines, int(index))])
    skin, hair, cloth = (histogram_density(count) for count in counts)
    cloth = np.maximum(cloth - 0.7 * hair - 0.7 * skin, 0.0)
    hair = np.maximum(hair - 0.5 * skin, 0.0)
    joint = np.stack([skin, hair, cloth], -1)
    # The constant leaves colours that were hardly ever seen, such as mixed edge pixels, to no class.
    posterior = np.round(joint / (joint.sum(-1, keepdims=True) + 2e-5) * 255).astype(np.uint8)
    neck = _neck_colour(np.concatenate(necks), frames, outlines, indices)
    return ColourModel(posterior, neck)


def histogram_density(count: Float32[np.ndarray, "bins"]) -> Float32[np.ndarray, "bins"]:
    """Smooth a histogram by one bin each way and normalise it."""
    table = count.reshape(_LEVELS)
    for axis in range(3):
        padded = np.pad(table, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        first, middle, last = (np.take(padded, range(k, k + table.shape[axis]), axis) for k in range(3))
        table = 0.25 * first + 0.5 * middle + 0.25 * last
    return (table / max(float(table.sum()), 1.0)).reshape(-1)


def along_head(outlines: Outlines, index: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances of a ``side`` image's pixels, in face heights: below the chin, right of the jaw's middle."""
    points = outlines.points[index]
    right, down = outlines.R_camera_head[index][:2, 0], outlines.R_camera_head[index][:2, 1]
    right, down = (axis / max(float(np.linalg.norm(axis)), 1e-3) for axis in (right, down))
    chin, middle = points[152], points[[58, 288]].mean(0)
    grid = ((np.arange(side) + 0.5) * (outlines.size / side)).astype(np.float32)
    x, y = grid[None, :], grid[:, None]
    below = (x - chin[0]) * down[0] + (y - chin[1]) * down[1]
    aside = (x - middle[0]) * right[0] + (y - middle[1]) * right[1]
    return (below / outlines.face_height).astype(np.float32), (aside / outlines.face_height).astype(np.float32)


def _chin_strip(outlines: Outlines, index: int) -> np.ndarray:
    below, aside = along_head(outlines, index, outlines.size)
    return (below > 0.025) & (below < 0.10) & (np.abs(aside) < 0.15)


def _like_the_face(frame: UInt8[np.ndarray, "h w 3"], face: np.ndarray) -> np.ndarray:
    """Pixels of the face's hue, as bright or in shadow: a neck, but no tie and no shirt."""
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32)
    if not face.any():
        return np.zeros(face.shape, bool)
    light, a, b = np.median(lab[face], axis=0)
    # Shadow scales the chroma with the lightness, so the hue is compared at the pixel's own lightness.
    scale = np.clip(lab[..., 0] / light, 0.25, 1.1)
    near = np.hypot(lab[..., 1] - 128 - (a - 128) * scale, lab[..., 2] - 128 - (b - 128) * scale) < 9.0
    return near & (lab[..., 0] > 0.2 * light) & (lab[..., 0] < 1.1 * light)


def _sample_regions(
    frame: UInt8[np.ndarray, "h w 3"], outlines: Outlines, index: int, person: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where one frame shows skin, hair and clothing for certain, or nearly so."""
    below, aside = along_head(outlines, index, outlines.size)
    oval = outlines.points[index][list(OVAL)]
    centre = oval.mean(0)
    inner = draw_polygon(centre + 0.85 * (oval - centre), outlines.size) > 0
    outer = draw_polygon(centre + 1.12 * (oval - centre), outlines.size) > 0
    face = inner & person
    skin = face | (_chin_strip(outlines, index) & person & _like_the_face(frame, face))
    hair = person & ~outer & ((below < -1.10) | ((below < -0.55) & (np.abs(aside) > 0.46)))
    bottom = np.arange(outlines.size)[:, None] > 0.93 * outlines.size
    cloth = person & ((below > 0.30) | (bottom & (below > 0.05)))
    return skin, hair, cloth


def _neck_colour(
    strip: UInt8[np.ndarray, "m 3"],
    frames: UInt8[np.ndarray, "n h w 3"],
    outlines: Outlines,
    indices: Int[np.ndarray, "n"],
) -> Float32[np.ndarray, "3"]:
    """Median colour of the skin below the chin; darkened cheek where none shows."""
    if len(strip) > 30:
        return np.median(strip, axis=0).astype(np.float32)
    cheeks = outlines.points[indices][:, [50, 280]].round().astype(int).clip(0, outlines.size - 1)
    colours = [frame[y, x] for frame, pair in zip(frames, cheeks, strict=True) for x, y in pair]
    return (0.7 * np.median(colours, axis=0)).astype(np.float32)
