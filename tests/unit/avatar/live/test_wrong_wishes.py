"""What a program gets wrong ends in one line."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.errors import UserError
from tests.unit.avatar.live.sessions import RATE, heard, run, session


@pytest.mark.parametrize(
    ("sound", "rate", "message"),
    [
        (b"\0", RATE, "whole samples"),
        (np.zeros(10, np.float32) + np.nan, RATE, "finite"),
        (np.zeros(10, np.int32), RATE, "int16"),
        (np.zeros((3, 4, 5), np.int16), RATE, "shape"),
        ([1, 2, 3], RATE, "bytes or an array"),
        (np.zeros(10, np.int16), 0, "rate"),
        (np.zeros(10, np.int16), -16000, "rate"),
        (np.zeros(10, np.int16), float("nan"), "rate"),
        (np.zeros(10, np.int16), "16000", "rate"),
        (np.zeros(RATE * 601, np.int16), RATE, "waits to be said"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_what_is_no_sound_is_refused_in_one_line(avatar: Avatar, sound: object, rate: object, message: str) -> None:
    live, clock = session(avatar)
    with pytest.raises(UserError, match=message):
        live.push(sound, rate)  # type: ignore[arg-type]
    assert not heard(run(live, clock, 3)).any()


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"render": "video"}, "render"),
        ({"hearing": "loud"}, "hearing"),
        ({"seed": -1}, "seed"),
        ({"buffer": float("nan")}, "buffer"),
        ({"cushion": 100}, "cushion"),
        ({"rate": 16_001}, "multiple"),
        ({"render": "image", "size": 0}, "size"),
        ({"render": "image", "background": "#12"}, "colour"),
        ({"render": "image", "background": "none"}, "older version"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_wishes_that_cannot_be_had_are_refused(avatar: Avatar, wish: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        avatar.live(**wish)
