"""Soft person alpha from a network's coarse probability and the colours of the frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.image.filling import channel_sum, disc, grow, shrunk, soft_step
from gaussavatar.image.luma import LUMA
from gaussavatar.segmentation.plate import Plate

CONTRAST = 24.0
"""Colour distance (0..255) of fore- and background at which colour and network count alike."""

COLOUR_SIDE = 128
"""Side of the images in which the local fore- and background colours are averaged."""


def largest_person(probability: Float32[np.ndarray, "p p"], seed: tuple[float, float]) -> Float32[np.ndarray, "p p"]:
    """Zero everything that is not connected with the person at ``seed`` (x, y in 0..1)."""
    count, labels = cv2.connectedComponents((probability > 0.3).astype(np.uint8), connectivity=4, ltype=cv2.CV_16U)
    if count <= 2:
        return probability
    height, width = probability.shape
    column = int(np.clip(seed[0] * width, 0, width - 1))
    row = int(np.clip(seed[1] * height, 0, height - 1))
    own = labels[row, column]
    if own == 0:
        return probability
    return np.where(grow(labels == own, 2), probability, 0.0).astype(np.float32)


def refine_alpha(
    image: UInt8[np.ndarray, "h h 3"],
    probability: Float32[np.ndarray, "p p"],
    plate: Plate | None,
    radius: float,
    bare: Plate | None = None,
) -> UInt8[np.ndarray, "h h"]:
    """Person alpha, 0..255: ``probability`` sharpened within a band of ``radius`` image pixels about its edge.

    In the band the frame's colour I is taken as alpha F + (1 - alpha) B, with F the mean
    of the sure foreground nearby and B the known background where the ``plate`` is trusted, else
    the mean of the sure background nearby; alpha is the projection of I on the line
    from B to F (Chuang et al., A Bayesian Approach to Digital Matting, 2001, equation 9). Where F and B are
    alike, or either varies as much as they differ (a textured background that was never
    seen bare), the guided-filtered probability is kept. ``plate`` is small; ``bare`` is the same plate at
    the image's size: where it is trusted every pixel is compared with its own background (:func:`_against`).
    """
    size, side = image.shape[0], probability.shape[0]
    reach = max(1, round(radius * side / size))
    person = cv2.erode(cv2.compare(probability, 0.85, cv2.CMP_GT), disc(reach), borderType=cv2.BORDER_REPLICATE)
    empty = cv2.bitwise_not(cv2.dilate(cv2.compare(probability, 0.15, cv2.CMP_GT), disc(reach)))
    zones = cv2.max(person, cv2.min(cv2.bitwise_not(empty), 1))
    alpha = cv2.resize(zones, (size, size), interpolation=cv2.INTER_NEAREST)
    band = np.flatnonzero(alpha.ravel() == 1)
    if not len(band):
        return alpha
    places = np.stack(np.divmod(band.astype(np.int32), np.int32(size))[::-1]).astype(np.float32)
    colours = _colour_line(image, person, empty, plate, radius)
    smooth = _guided_coefficients(image, probability, max(2, round(0.5 * radius * side / size)))
    pixels = np.take(image.reshape(-1, 3), band, 0).astype(np.float32)
    line, share, front = _sample(colours, places, size)
    colour = channel_sum(pixels * line[:, :3]) + line[:, 3]
    slope, offset = _sample((smooth,), places, size)[0].T
    edge = slope * (pixels @ _GREY) + offset
    weight = share[:, 0]
    if bare is not None:
        own, own_weight = _against(pixels, np.take(bare.image.reshape(-1, 3), band, 0), front)
        trust = bare.trust.ravel()[band]
        colour, weight = colour + trust * (own - colour), weight + trust * (own_weight - weight)
    mixed = weight * _stretch(colour) + (1 - weight) * np.clip(edge, 0, 1)
    alpha.ravel()[band] = np.round(mixed * 255.0).astype(np.uint8)
    return alpha


_GREY = np.array(LUMA, np.float32) / np.float32(255.0)


def _against(
    pixels: Float32[np.ndarray, "m 3"], bare: Float32[np.ndarray, "m 3"], front: Float32[np.ndarray, "m 4"]
) -> tuple[Float32[np.ndarray, "m"], Float32[np.ndarray, "m"]]:
    """Alpha of pixels before a known background, and how far it is to be believed, 0..1.

    Dark hair beside light skin is off the line from the background to their mean ``front`` (colour and
    variance); but what is far from the background is not background. So a pixel's distance from the background
    counts, in units of the front's: for true mixtures that is the projection.
    """
    line, away = front[:, :3] - bare, pixels - bare
    length = channel_sum(line * line)
    projected = channel_sum(away * line) / np.maximum(length, 1.0)
    apart = np.sqrt(channel_sum(away * away) / np.maximum(length, CONTRAST**2))
    share = length / (length + CONTRAST**2 + front[:, 3])
    # Distinctly other than the background, whatever the front's mean is: that is worth as much as contrast.
    distinct = channel_sum(away * away) / (channel_sum(away * away) + 4 * CONTRAST**2)
    return np.maximum(projected, apart), np.maximum(share, distinct).astype(np.float32)


def _stretch(alpha: Float32[np.ndarray, "m"]) -> Float32[np.ndarray, "m"]:
    """Steepen the projection a little: sensor noise must not leave a veil over sure pixels."""
    return np.clip((alpha - 0.08) / 0.84, 0.0, 1.0)


def _colour_line(
    image: UInt8[np.ndarray, "h h 3"],
    person: UInt8[np.ndarray, "p p"],
    empty: UInt8[np.ndarray, "p p"],
    plate: Plate | None,
    radius: float,
) -> tuple[Float32[np.ndarray, "s s 4"], Float32[np.ndarray, "s s"], Float32[np.ndarray, "s s 4"]]:
    """Affine map from colour to alpha, how far it is to be believed, 0..1, and the foreground's colour and variance."""
    side = (min(COLOUR_SIDE, image.shape[0]),) * 2
    reach = max(1, round(radius * side[0] / image.shape[0]))
    small = shrunk(image, side[0]).astype(np.float32)
    packed = cv2.merge([small, channel_sum(small * small)])
    # Only cells that lie wholly inside count, or the mean would hold the other side's colour.
    in_person, in_empty = (
        cv2.compare(cv2.resize(zone, side, interpolation=cv2.INTER_AREA), 252, cv2.CMP_GT) for zone in (person, empty)
    )
    front, front_spread, front_weight = _local_colour(packed, in_person, 2 * reach)
    back, back_spread, back_weight = _local_colour(packed, in_empty, 4 * reach)
    seen = (back_weight > 0.005).astype(np.float32)
    if plate is not None:
        share = cv2.resize(plate.trust, side, interpolation=cv2.INTER_AREA)
        bare = cv2.resize(plate.image, side, interpolation=cv2.INTER_AREA)
        back = back + share[..., None] * (bare - back)
        back_spread = (1 - share) * back_spread
        seen = np.maximum(seen, share)
    line = front - back
    length = channel_sum(line * line)
    slope = line / np.maximum(length, 1.0)[..., None]
    share = seen * (front_weight > 0.005) * length / (length + CONTRAST**2 + front_spread + back_spread)
    known = np.where(front_weight > 0.005, front_spread, 1e6).astype(np.float32)
    return cv2.merge([slope, -channel_sum(back * slope)]), share.astype(np.float32), cv2.merge([front, known])


def _local_colour(
    packed: Float32[np.ndarray, "s s 4"], where: UInt8[np.ndarray, "s s"], radius: int
) -> tuple[Float32[np.ndarray, "s s 3"], Float32[np.ndarray, "s s"], Float32[np.ndarray, "s s"]]:
    """Mean colour of the pixels in ``where``, its variance summed over the channels, and their share of the window.

    Taken over a small window where that holds enough of them, else over a three times wider one. ``packed`` is
    the picture with the sum of its squares.
    """
    counted, one = cv2.copyTo(packed, where), where * np.float32(1 / 255)
    windows = [(2 * reach + 1, 2 * reach + 1) for reach in (radius, 3 * radius)]
    near_weight, wide_weight = (cv2.blur(one, window) for window in windows)
    near, wide = (cv2.blur(counted, window) for window in windows)
    share = soft_step(near_weight, 0.01, 0.08)
    # One factor per pixel for all four channels: several times faster in OpenCV than broadcast in numpy.
    factors = (share / np.maximum(near_weight, 1e-4), (1.0 - share) / np.maximum(wide_weight, 1e-4))
    near, wide = (
        cv2.multiply(mean, cv2.merge([factor] * 4)) for mean, factor in zip((near, wide), factors, strict=True)
    )
    mean = cv2.add(near, wide)
    colour = np.ascontiguousarray(mean[..., :3])
    return colour, np.maximum(mean[..., 3] - channel_sum(colour * colour), 0.0), wide_weight


def _guided_coefficients(
    image: UInt8[np.ndarray, "h h 3"], values: Float32[np.ndarray, "p p"], radius: int, epsilon: float = 1e-3
) -> Float32[np.ndarray, "p p 2"]:
    """Slope and offset of the locally linear map from the grey image (0..1) to ``values``.

    He, Sun and Tang, Guided Image Filtering, 2010, equations 5, 6 and 8, with box
    windows; evaluated at the size of ``values`` and meant to be enlarged.
    """
    small = shrunk(image, values.shape[0])
    guide = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    window = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_values = cv2.blur(guide, window), cv2.blur(values, window)
    covariance = cv2.blur(guide * values, window) - mean_guide * mean_values
    variance = cv2.blur(guide * guide, window) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    return cv2.merge([cv2.blur(slope, window), cv2.blur(mean_values - slope * mean_guide, window)])


def _sample(
    images: tuple[Float32[np.ndarray, "s s *_"], ...], places: Float32[np.ndarray, "2 m"], size: int
) -> list[Float32[np.ndarray, "m _"]]:
    """Bilinear values of images of one size at the pixels (columns, rows) of a ``size`` image."""
    scale, count = np.float32(images[0].shape[0] / size), places.shape[1]
    width = 256  # OpenCV's remap takes no dimension above 32767.
    padded = np.zeros((2, -(-count // width) * width), np.float32)
    padded[:, :count] = places * scale + (0.5 * scale - 0.5)
    x, y = padded.reshape(2, -1, width)
    # Fixed point, 1/32 pixel, is what bilinear sampling rounds to anyway.
    x, y = cv2.convertMaps(x, y, cv2.CV_16SC2)
    return [
        cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(padded.shape[1], -1)[:count]
        for values in images
    ]
