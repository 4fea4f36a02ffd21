"""Runs of true values along an axis of frames."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int


def true_runs(flags: Bool[np.ndarray, "n"]) -> Int[np.ndarray, "k 2"]:
    """The first index and the index after the last of every run of true values, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return edges.reshape(-1, 2)
