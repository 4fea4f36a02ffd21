"""Beginning a live session of a loaded avatar, from what a program wishes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

from gaussavatar.avatar.behind import TorsoKind
from gaussavatar.avatar.controlled import person_of
from gaussavatar.avatar.live.hearing import Hearing
from gaussavatar.avatar.live.painter import Painter
from gaussavatar.avatar.live.presence import Presence
from gaussavatar.avatar.live.records import FPS
from gaussavatar.avatar.live.session import Live, Pace
from gaussavatar.avatar.load import Hearing as Heard
from gaussavatar.avatar.load import hearing_of
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.voice import known_voice
from gaussavatar.errors import UserError
from gaussavatar.media.sound import Sound

Render = Literal["motion", "image"]
RATE = 48_000
LARGEST_BUFFER = 10.0


def open_live(
    avatar: LoadedAvatar,
    *,
    render: Render,
    hearing: Heard,
    seed: int | None,
    buffer: float,
    cushion: float,
    rate: int,
    size: int | None,
    background: str | Path,
    torso: TorsoKind,
    clock: Callable[[], float],
    voice: Sound | str | None = None,
) -> Live:
    """See :meth:`gaussavatar.Avatar.live`.

    Raises:
        UserError: a wish that cannot be had.
    """
    for what, value, known in (("render", render, Render), ("hearing", hearing, Heard)):
        if value not in get_args(known):
            raise UserError(f"{what}: {' or '.join(get_args(known))}", repr(value), "give one of these")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise UserError("a seed of 0 or more", repr(seed), "give a whole number, or None for another one each time")
    for what, value in (("buffer", buffer), ("cushion", cushion)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_BUFFER:
            raise UserError(f"a {what} of 0 to {LARGEST_BUFFER:.0f} seconds", repr(value), "change it")
    if isinstance(rate, bool) or not isinstance(rate, int) or not 8000 <= rate <= 192_000 or rate % FPS:
        do = "give 16000, 24000, 44100 or 48000"
        raise UserError(f"a rate of 8000 to 192000 samples per second, a multiple of {FPS}", repr(rate), do)
    encoder = hearing_of(avatar, hearing)
    known = known_voice(avatar, encoder.config.features, voice)
    heard = Hearing(encoder, avatar.closed.cpu().numpy(), avatar.record.drive, known, sure=voice is not None)
    presence = Presence(person_of(avatar), secrets.randbits(63) if seed is None else seed)
    painter = Painter(avatar, size, background, torso) if render == "image" else None
    return Live(heard, presence, painter, rate, Pace(float(buffer), float(cushion)), clock)
