from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.intervals import true_runs


@given(st.lists(st.booleans(), max_size=40))
def test_runs_give_the_flags_back_and_cannot_be_joined(values: list[bool]) -> None:
    flags = np.array(values, bool)
    runs = true_runs(flags)
    again = np.zeros(len(flags), bool)
    for first, last in runs:
        assert first < last
        again[first:last] = True
    np.testing.assert_array_equal(again, flags)
    assert (runs[1:, 0] > runs[:-1, 1]).all()


def test_runs_at_the_ends_and_none_at_all() -> None:
    assert true_runs(np.array([True, True, False, True])).tolist() == [[0, 2], [3, 4]]
    assert true_runs(np.zeros(5, bool)).shape == (0, 2)
    assert true_runs(np.zeros(0, bool)).shape == (0, 2)
