"""Where :mod:`gaussavatar.audio.features.other_voices` was first announced; features import that, or make a circle."""

from gaussavatar.audio.features.other_voices import other_sound, pause_sound

__all__ = ["other_sound", "pause_sound"]
