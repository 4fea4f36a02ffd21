"""Soft person alpha from a network's coarse probability and the colours of the frame."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.segmentation.filling import grow, guided_filter, shrink, soft_step, weighted_blur

CONTRAST = 24.0
"""Colour distance (0..255) of fore- and background at which colour and network count alike."""


def largest_person(
    probability: Float32[np.ndarray, "h w"], seed: tuple[float, float]
) -> Float32[np.ndarray, "h w"]:
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
    image: UInt8[np.ndarray, "h w 3"],
    probability: Float32[np.ndarray, "h w"],
    background: Float32[np.ndarray, "b b 3"] | None,
    trust: Float32[np.ndarray, "b b"] | None,
    radius: int,
) -> Float32[np.ndarray, "h w"]:
    """Sharpen ``probability`` within a band of ``radius`` pixels around its edge.

    In the band the frame's colour I is taken as alpha F + (1 - alpha) B, with F the mean
    of the sure foreground nearby and B the known background where ``trust`` is 1, else
    the mean of the sure background nearby; alpha is the projection of I on the line
    from B to F (Chuang et al., 2001, section 3, without the covariances). Where F and B are alike the
    guided-filtered probability is kept. F and B are computed at half size.
    """
    height, width = probability.shape
    person = shrink(probability > 0.85, radius)
    empty = ~grow(probability > 0.15, radius)
    half = (width // 2, height // 2)
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA).astype(np.float32)
    small_person = cv2.resize(person.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    small_empty = cv2.resize(empty.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    front, front_weight = weighted_blur(small, small_person, max(2, radius))
    wide, wide_weight = weighted_blur(small, small_person, 3 * radius)
    share = soft_step(front_weight, 0.01, 0.08)[..., None]
    front = share * front + (1 - share) * wide
    back, back_weight = weighted_blur(small, small_empty, 2 * radius)
    known = np.maximum(wide_weight > 0.005, 0).astype(np.float32)
    if background is not None and trust is not None:
        plate = cv2.resize(background, half, interpolation=cv2.INTER_LINEAR)
        t = cv2.resize(trust, half, interpolation=cv2.INTER_LINEAR)
        t = np.where(back_weight > 0.005, t, 1.0)[..., None]
        back = t * plate + (1 - t) * back
    else:
        known *= back_weight > 0.005
    line = front - back
    length = (line * line).sum(-1)
    weight = known * length / (length + CONTRAST**2)
    # alpha = (I - B).(F - B) / |F - B|^2 is affine in I, so only its coefficients are enlarged.
    slope = line / np.maximum(length, 1.0)[..., None]
    offset = -(back * slope).sum(-1)
    coefficients = cv2.resize(
        np.dstack([slope, offset, weight]).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    colour = (image * coefficients[..., :3]).sum(-1) + coefficients[..., 3]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    edge = guided_filter(grey, probability, max(2, radius // 2), 1e-3)
    share = coefficients[..., 4]
    mixed = np.clip(share * soft_colour(colour) + (1 - share) * np.clip(edge, 0, 1), 0, 1)
    return np.where(person, 1.0, np.where(empty, 0.0, mixed)).astype(np.float32)


def soft_colour(alpha: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Stretch the projection a little: sensor noise must not leave a veil over sure pixels."""
    return np.clip((alpha - 0.08) / 0.84, 0.0, 1.0)
