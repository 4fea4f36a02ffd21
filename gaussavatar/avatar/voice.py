"""The voice that an avatar was fitted with, as statistics of what is heard of it: live, it is known at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
from jaxtyping import Float32

from gaussavatar.audio.blend import heard_together, places_of
from gaussavatar.audio.features.pieces import extract_in_pieces
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.normalise import AudioStatistics, of_columns
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.errors import UserError
from gaussavatar.media.sound import Sound, as_waveform

PREFIX = "voice."
"""Before the arrays of the voice in an avatar's file."""
OWN = "own"


def voice_arrays(own: AudioStatistics) -> dict[str, Float32[np.ndarray, "d"]]:
    """What an avatar's file keeps, by name: over all features of its networks, those of the best one first."""
    return {PREFIX + field.name: getattr(own, field.name) for field in fields(AudioStatistics)}


def stored_voice(arrays: Mapping[str, np.ndarray]) -> AudioStatistics | None:
    """The voice among an avatar's arrays; None in an avatar of before it was kept."""
    names = [field.name for field in fields(AudioStatistics)]
    if any(PREFIX + name not in arrays for name in names):
        return None
    return AudioStatistics(**{name: arrays[PREFIX + name] for name in names})


def known_voice(avatar: LoadedAvatar, features: tuple[str, ...], voice: Sound | str | None) -> AudioStatistics | None:
    """What is known of a voice before it is heard, over the features of a network.

    Args:
        avatar: that speaks.
        features: of its network, in order.
        voice: ``own`` for the person's, a recording of another one, or None for one that nobody knows: that may be the
            person's own, if the avatar keeps it.

    Raises:
        UserError: the person's own, of an avatar that was fitted before it was kept; or no such recording.
    """
    if voice is None:
        return own_voice(avatar, features)
    if isinstance(voice, str) and voice == OWN:
        if (own := own_voice(avatar, features)) is None:
            do = "fit it again, or give a recording of the voice"
            raise UserError("an avatar that knows its own voice", "one of an older version", do)
        return own
    return _statistics_of(features, voice)


def own_voice(avatar: LoadedAvatar, features: tuple[str, ...]) -> AudioStatistics | None:
    """The voice that an avatar was fitted with, over some of its features; None where it was not kept."""
    among = _all_features(avatar.record)
    if avatar.voice is None or len(places_of(among, among)) != len(avatar.voice.mean):
        return None
    return of_columns(avatar.voice, places_of(features, among).numpy())


def told_by(avatar: LoadedAvatar, voice: Sound) -> AudioStatistics:
    """A recording's statistics over all features of an avatar's networks, as its file keeps them."""
    return _statistics_of(_all_features(avatar.record), voice)


def _statistics_of(features: tuple[str, ...], voice: Sound) -> AudioStatistics:
    feature = open_features(features)
    return feature.statistics(extract_in_pieces(feature, as_waveform(voice)))


def _all_features(record: AvatarRecord) -> tuple[str, ...]:
    return heard_together(record.encoder.features, () if record.light is None else record.light.features)
