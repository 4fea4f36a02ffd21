"""Lips of sound that is still coming against those of the whole file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.voice import known_voice, stored_voice, voice_arrays
from gaussavatar.errors import UserError
from tests.unit.avatar.live.sessions import RATE, babble, run, session


def test_the_lips_do_not_depend_on_where_pieces_end(avatar: Avatar) -> None:
    sound = babble(3.0)

    def said(pieces: list[list[np.ndarray]]) -> np.ndarray:
        live, clock = session(avatar)

        def act(index: int) -> None:
            for piece in pieces[index] if index < len(pieces) else []:
                live.push(piece, RATE)
            if index == len(pieces):
                live.flush()

        return np.array([frame.motion.codes for frame in run(live, clock, 120, act) if frame.speaking])

    frames = [sound[start : start + 640] for start in range(0, len(sound), 640)]
    trickle = said([[frame] for frame in frames])
    assert len(trickle) == 75
    np.testing.assert_array_equal(said([np.array_split(frame, [7, 100, 100, 639]) for frame in frames]), trickle)
    # What comes at once is heard with all that is known of it, which is nearer to what the whole gives.
    whole, burst = avatar.motion_for((sound, RATE)).mouth_codes, said([[sound]])

    def alike(codes: np.ndarray, rows: slice) -> float:
        return float(np.corrcoef(codes[rows].ravel(), whole[rows].ravel())[0, 1])

    assert alike(burst, slice(0, 25)) > max(0.9, alike(trickle, slice(0, 25)))
    assert alike(burst, slice(50, 75)) > 0.97
    assert alike(trickle, slice(50, 75)) > 0.95


def test_a_voice_that_is_known_is_heard_right_from_its_first_word(avatar: Avatar) -> None:
    sound = babble(4.0)
    whole = avatar.motion_for((sound, RATE)).mouth_codes[:20]

    def away(speaker: Avatar = avatar, **known: object) -> float:
        live, clock = session(speaker, **known)
        frames = run(live, clock, 40, lambda index: live.push(sound[index * 640 : (index + 1) * 640], RATE))
        said = np.array([frame.motion.codes for frame in frames if frame.speaking])[3:20]
        return float(np.abs(said - whole[3:]).mean())

    assert away(voice=(sound, RATE)) < 0.5 * away()
    with pytest.raises(UserError, match="own voice"):
        session(avatar, voice="own")
    # An avatar that keeps the voice recognises it, without being told.
    arrays = voice_arrays(known_voice(avatar.loaded, ("mel",), (sound, RATE)))
    kept = Avatar(replace(avatar.loaded, voice=stored_voice(arrays)))
    assert away(kept, voice="own") < 0.5 * away()
    assert away(kept) < 0.8 * away()
