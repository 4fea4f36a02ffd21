"""The pose track's back and forth has no seam."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.motion.timeline import back_and_forth, nearest


@given(n_track=st.integers(1, 400), n_frames=st.integers(1, 3000), start=st.integers(0, 50))
def test_positions_stay_in_the_track_and_never_jump(n_track: int, n_frames: int, start: int) -> None:
    positions = back_and_forth(n_track, n_frames, start)
    assert len(positions) == n_frames
    assert positions.min() >= 0
    assert positions.max() <= n_track - 1
    assert np.abs(np.diff(positions)).max(initial=0) <= 1.01
    assert np.abs(np.diff(positions, 2)).max(initial=0) <= 0.6


def test_long_speech_visits_the_whole_track_both_ways() -> None:
    places = nearest(back_and_forth(100, 400))
    assert set(range(100)) == set(places.tolist())
    assert (np.diff(places) < 0).any()
    assert (np.diff(places) > 0).any()


def test_speed_is_low_at_the_turn() -> None:
    positions = back_and_forth(100, 300)
    turn = int(np.argmax(positions))
    assert np.abs(np.diff(positions[turn - 2 : turn + 3])).max() < 0.1
