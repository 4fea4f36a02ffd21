"""Statistics of signals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

STILL = 1e-9
"""A signal with a smaller standard deviation does not move."""


def correlation(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Pearson's r over the entries where both are finite; 0 where one of them does not move, or fewer than two are."""
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both].astype(np.float64), b[both].astype(np.float64)
    if len(a) < 2 or min(a.std(), b.std()) <= STILL:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])
