from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.statistics import correlation


def test_correlation_ignores_missing_frames_and_scale() -> None:
    a = np.array([1.0, 2, np.nan, 4, 3])
    b = np.array([1.0, 3, 5, 2, np.nan])
    assert correlation(a, 3 * a - 5) == pytest.approx(1.0)
    assert correlation(a, -a) == pytest.approx(-1.0)
    assert correlation(a, b) == pytest.approx(np.corrcoef([1, 2, 4], [1, 3, 2])[0, 1])
    assert correlation(a.astype(np.float32), b.astype(np.float32)) == pytest.approx(correlation(a, b), abs=1e-6)


def test_nothing_that_moves_is_no_correlation() -> None:
    a = np.array([1.0, 2, 3])
    assert correlation(a, np.ones(3)) == 0.0
    assert correlation(a[:1], a[:1]) == 0.0
    assert correlation(a, np.full(3, np.nan)) == 0.0
