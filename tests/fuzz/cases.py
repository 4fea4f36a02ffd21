"""Odd media, drawn by chance and a seed: what stands in a file, in words of which :mod:`tests.fuzz.media` makes one."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from random import Random

PICTURES = {
    "mp4": ("h264", "hevc", "av1", "mpeg4", "vp9", "mjpeg"),
    "mov": ("h264", "hevc", "mpeg4", "mjpeg", "prores"),
    "mkv": ("h264", "hevc", "av1", "vp9", "mpeg4", "mjpeg", "prores", "ffv1"),
    "webm": ("vp9", "av1"),
    "avi": ("mpeg4", "mjpeg", "h264"),
    "ts": ("h264", "hevc"),
    "3gp": ("h264", "mpeg4"),
    "flv": ("h264",),
    "mpg": ("mpeg2video",),
}
"""Codecs of pictures by container."""

SOUNDS = {
    "mp4": ("aac", "mp3", "opus", "flac", "ac3", "alac"),
    "mov": ("aac", "pcm_s16le", "pcm_s24le", "alac"),
    "mkv": ("aac", "mp3", "opus", "vorbis", "flac", "ac3", "pcm_s16le", "pcm_f32le"),
    "webm": ("opus", "vorbis"),
    "avi": ("mp3", "pcm_s16le", "ac3"),
    "ts": ("aac", "mp2", "ac3"),
    "3gp": ("aac", "amr_nb"),
    "flv": ("aac", "mp3"),
    "mpg": ("mp2",),
    "wav": ("pcm_s16le", "pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_alaw"),
    "flac": ("flac",),
    "mp3": ("mp3",),
    "m4a": ("aac", "alac"),
    "ogg": ("vorbis", "opus", "flac"),
    "mka": ("aac", "mp3", "opus", "vorbis", "flac", "pcm_s16le", "pcm_f32le"),
    "aac": ("aac",),
    "aiff": ("pcm_s16be", "pcm_s24be"),
}
"""Codecs of sound by container; those without pictures come last."""

_ANY = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000)
_RATES = {
    "mp3": _ANY[:7], "mp2": (16000, 22050, 32000, 44100, 48000), "opus": (8000, 16000, 48000), "amr_nb": (8000,),
    "ac3": (32000, 44100, 48000), "vorbis": _ANY[:7],
}  # fmt: skip
_CHANNELS = {"mp3": (1, 2), "mp2": (1, 2), "amr_nb": (1,), "pcm_alaw": (1, 2)}

FRAME_RATES = ("10", "12", "15", "24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")
SIZES = ((160, 120), (96, 160), (176, 144), (161, 121), (99, 77), (320, 180), (64, 64))
COLOURS = ((190, 140, 110), (60, 90, 160), (128, 128, 128), (30, 120, 60), (210, 200, 180))
TAGGED = ("bt709", "bt601", "full", "bt2020", "p3", "hlg", "pq")
PROSE = "Duration: 00:00:09.00, start: 0; Stream #0:0: Video: vp9, 64x64, 50 fps; rotation of -90.00 degrees; 22050 Hz"
WRONG_ENDINGS = ("mp4", "avi", "wav", "mp3", "jpg", "txt", "mkv", "")


@dataclass(frozen=True)
class Case:
    """One odd file. Everything is as usual that differs not from the defaults."""

    number: int
    container: str
    picture: str | None = None
    sound: str | None = None
    size: tuple[int, int] = (160, 120)
    rate: str = "25"
    uneven: bool = False
    """Frames are missing, at their own times."""
    turn: int = 0
    """The clockwise turn that showing it needs, degrees."""
    flip: str = ""
    aspect: str = "1"
    """Width of a pixel over its height."""
    colour: tuple[int, int, int] = COLOURS[0]
    tags: str = ""
    """One of :data:`TAGGED`, or nothing is said."""
    sampling: int = 48_000
    channels: int = 1
    voice: str = "all"
    """Which channels hold the sound: all, first, last, or opposite (of two)."""
    tracks: int = 1
    taken: int = 0
    """The track that players take, marked as default."""
    late: str = ""
    """sound or picture: what begins half a second after the other."""
    cut: bool = False
    """The first half second is hidden by an edit list."""
    prose: bool = False
    damage: str = ""
    """short, flipped, head or empty."""
    ending: str | None = None
    """Of the file's name, where it is not that of its container."""

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second."""
        return Fraction(self.rate)

    def __str__(self) -> str:
        odd = (one for one in fields(self) if one.name != "number" and getattr(self, one.name) != one.default)
        return f"{self.number}: " + ", ".join(f"{one.name}={getattr(self, one.name)}" for one in odd)


def draw(number: int, seed: int = 0) -> Case:
    """Case ``number`` of a seed; it does not depend on how many are drawn."""
    chance = Random(f"{seed} {number}")
    filmed = chance.random() < 0.75
    container = chance.choice(list(PICTURES) if filmed else [name for name in SOUNDS if name not in PICTURES])
    facts: dict = {"number": number, "container": container}
    if filmed:
        facts |= _picture(chance, container)
    if not filmed or chance.random() < 0.9:
        facts |= _sound(chance, container)
    if filmed and "sound" in facts and container in ("mp4", "mov", "mkv", "webm", "ts") and chance.random() < 0.25:
        facts["late"] = chance.choice(("sound", "picture"))
    elif container in ("mp4", "mov") and not facts.get("turn") and chance.random() < 0.2:
        facts["cut"] = True
    facts["prose"] = chance.random() < 0.2
    if chance.random() < 0.2:
        facts["damage"] = chance.choice(("short", "flipped", "flipped", "head", "empty"))
    if chance.random() < 0.15:
        facts["ending"] = chance.choice(WRONG_ENDINGS)
    return Case(**facts)


def _picture(chance: Random, container: str) -> dict:
    codec = chance.choice(PICTURES[container])
    facts: dict = {"picture": codec, "colour": chance.choice(COLOURS), "size": chance.choice(SIZES)}
    facts["rate"] = chance.choice(FRAME_RATES)
    if codec == "mpeg2video":
        facts["rate"] = chance.choice(("24000/1001", "25", "30000/1001", "50"))
    if container in ("mp4", "mov", "mkv", "webm") and chance.random() < 0.2:
        facts["uneven"] = True
    if container in ("mp4", "mov") and chance.random() < 0.4:
        if chance.random() < 0.7:
            facts["turn"] = chance.choice((90, 180, 270))
        else:
            facts["flip"] = chance.choice(("hflip", "vflip"))
    if container in ("mp4", "mov", "mkv", "ts") and codec in ("h264", "hevc") and chance.random() < 0.25:
        facts["aspect"] = chance.choice(("4/3", "3/4", "16/11"))
    if codec in ("h264", "hevc", "av1") and chance.random() < 0.5:
        facts["tags"] = chance.choice(TAGGED)
    elif codec in ("h264", "mpeg4", "mjpeg", "vp9") and chance.random() < 0.1:
        # Pictures of which nothing is said are read by their size.
        facts |= {"size": (1280, 720), "rate": "10"}
    if facts.get("tags") in ("hlg", "pq"):
        facts["colour"] = (128, 128, 128)
    return facts


def _sound(chance: Random, container: str) -> dict:
    codec = chance.choice(SOUNDS[container])
    facts: dict = {"sound": codec, "sampling": chance.choice(_RATES.get(codec, _ANY))}
    if container == "flv":
        facts["sampling"] = chance.choice((11025, 22050, 44100))
    facts["channels"] = chance.choice(_CHANNELS.get(codec, (1, 2, 2, 6)))
    if facts["channels"] > 1:
        facts["voice"] = chance.choice(("all", "all", "first", "last"))
    if facts["channels"] == 2 and codec not in ("mp3", "opus") and chance.random() < 0.2:
        facts["voice"] = "opposite"
    if container in ("mp4", "mov", "mkv", "mka") and chance.random() < 0.25:
        facts["tracks"] = chance.choice((2, 3))
        facts["taken"] = chance.randrange(facts["tracks"])
    return facts
