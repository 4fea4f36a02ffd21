"""Numbers of a ``.gsa`` file: 16 bits between a row's least and greatest, or few bits with a step per row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int8, UInt16

MOST = 65535


@dataclass(frozen=True)
class Bits:
    """Bits of the bases: of the positions, and of everything else."""

    position: int
    rest: int


QUALITIES: dict[str, Bits] = {"small": Bits(5, 4), "normal": Bits(7, 6), "full": Bits(8, 8)}
"""How many bits the bases get, by the word of ``--quality``."""


def ranged(rows: Float[np.ndarray, "r n"]) -> tuple[UInt16[np.ndarray, "r n"], Float32[np.ndarray, "r 2"]]:
    """Rows as 16 bits between the least and the greatest value of each; the largest error is half a step."""
    low, high = rows.min(axis=1).astype(np.float32), rows.max(axis=1).astype(np.float32)
    span = np.maximum(high.astype(float) - low, 1e-30)[:, None]
    steps = np.clip(np.round((rows - low[:, None]) / span * MOST), 0, MOST)
    return steps.astype(np.uint16), np.stack([low, high], axis=1)


def unranged(steps: UInt16[np.ndarray, "r n"], limits: Float32[np.ndarray, "r 2"]) -> Float32[np.ndarray, "r n"]:
    """What :func:`ranged` was given, to half a step."""
    low, high = limits[:, :1], limits[:, 1:]
    return (low + (high - low) * (steps.astype(np.float32) / np.float32(MOST))).astype(np.float32)


def stepped(rows: Float[np.ndarray, "*r m"], bits: int) -> tuple[Int8[np.ndarray, "*r m"], Float32[np.ndarray, "*r"]]:
    """Rows in whole steps, symmetric about 0, and each row's step; the largest error is half a step."""
    most = 2 ** (bits - 1) - 1
    step = (np.abs(rows).max(axis=-1) / most).astype(np.float32)
    safe = np.where(step > 0, step, 1).astype(float)
    return np.clip(np.round(rows / safe[..., None]), -most, most).astype(np.int8), step


def unstepped(steps: Int8[np.ndarray, "*r m"], step: Float32[np.ndarray, "*r"]) -> Float32[np.ndarray, "*r m"]:
    """What :func:`stepped` was given, to half a step."""
    return steps.astype(np.float32) * step[..., None]
