"""What a media file holds: read from the container by PyAV, never from what a program prints about it."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.errors import UserError
from gaussavatar.media.colour import Colour
from gaussavatar.media.given import require_file
from gaussavatar.media.process import LOCAL_ONLY

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

_LISTING_DEMUXERS = ("tty", "concat", "hls", "dash")
_BARE_DEMUXERS = ("h264", "hevc", "m4v", "mpegvideo", "mjpeg", "obu", "aac", "mp3", "ac3", "loas")
"""Formats without a beginning, as which anything can be read that holds such packets somewhere."""
_UNEVEN = 0.005
_PROGRESSIVE = (0, 1)
"""Field orders (AVFieldOrder) of whole pictures: unknown, progressive."""
_FIRST_PACKETS = 64
"""So many packets are tried until a picture comes out that says how it is turned."""


@dataclass(frozen=True)
class SoundTrack:
    """One sound track of a file."""

    index: int
    """Of the stream in the file."""
    rate: int
    channels: int
    default: bool = False
    """Whether the file says that players take it."""
    late: float = 0.0
    """As :attr:`MediaInfo.late`."""


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds. Sizes are as shown: after rotation and with square pixels.

    ``rotation`` is the clockwise turn in degrees (0, 90, 180, 270) that showing it needs. ``interlaced`` says that a
    frame holds two half pictures, ``varying`` that the frames come at uneven times, ``still`` that it is a photo.
    """

    path: Path
    seconds: float
    width: int
    height: int
    fps: float | None
    rotation: int
    has_video: bool
    has_audio: bool
    codec: str
    square_pixels: bool = True
    coded_width: int = 0
    """As it is stored: before rotation, with pixels that need not be square."""
    coded_height: int = 0
    colour: Colour = Colour()
    interlaced: bool = False
    varying: bool = False
    still: bool = False
    tracks: tuple[SoundTrack, ...] = ()
    """The sound tracks that can be decoded."""
    late: float = 0.0
    """Seconds from the file's beginning to its pictures, where ffmpeg forgets them when it reads these alone."""

    @property
    def hdr(self) -> str | None:
        """``PQ`` or ``HLG`` for pictures of high dynamic range."""
        return self.colour.hdr

    @property
    def track(self) -> SoundTrack | None:
        """The sound track that players take: the default one, else the first."""
        return next((track for track in self.tracks if track.default), next(iter(self.tracks), None))

    @property
    def audio_rate(self) -> int | None:
        """Samples per second of that track."""
        return self.track.rate if self.track else None


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A media file of this machine, to be read; nothing in it leads to another place.

    Raises:
        UserError: no such file, or none that can be read.
    """
    require_file(path)
    import av
    from av.error import FFmpegError

    try:
        container = av.open(
            f"file:{path.absolute()}", options={"protocol_whitelist": LOCAL_ONLY}, metadata_errors="replace"
        )
    except (FFmpegError, OSError, ValueError) as error:
        raise _not_media(path) from error
    with container:
        if container.format.name.split(",")[0] in _LISTING_DEMUXERS:
            raise _not_media(path)
        if container.format.name in _BARE_DEMUXERS and _holds_index(path):
            came = "a damaged file (its beginning is not that of a video)"
            raise UserError(f"a whole video in {path}", came, "copy or export the file again")
        yield container


def probe(path: Path) -> MediaInfo:
    """Look at a media file's streams; a sound file has ``has_video`` false.

    Raises:
        UserError: no such file, not a media file, or cut off before its index.
    """
    with opened(path) as container:
        attached = int(_disposition().attached_pic)
        video = next((one for one in container.streams.video if not int(one.disposition) & attached), None)
        sounds = container.streams.audio
        if video is None and not sounds:
            raise UserError(f"a video or sound file at {path}", "a file with neither", "give another file")
        default = int(_disposition().default)
        tracks = tuple(
            SoundTrack(
                one.index,
                one.codec_context.sample_rate,
                one.channels,
                bool(int(one.disposition) & default),
                _late(container, one),
            )
            for one in sounds
            if one.codec_context is not None and one.codec_context.sample_rate
        )
        heading = video if video is not None else sounds[0]
        still = container.format.name == "image2" or container.format.name.endswith("_pipe")
        codec = heading.codec_context.codec.canonical_name if heading.codec_context is not None else "unknown"
        common = {
            "path": path, "has_video": video is not None, "has_audio": bool(sounds), "codec": codec, "still": still,
            "tracks": tracks,
        }  # fmt: skip
        seconds = container.duration / 1e6 if container.duration else None
        common["late"] = 0.0 if video is None else _late(container, video)
        facts = {"width": 0, "height": 0, "fps": None, "rotation": 0} if video is None else _picture(container, video)
    return MediaInfo(seconds=_demuxed_seconds(path) if seconds is None else seconds, **common, **facts)


def _late(container: InputContainer, stream: Stream) -> float:
    """See :attr:`MediaInfo.late`: formats whose clocks may jump begin with the streams that are read."""
    from av.format import Flags

    if not container.format.flags & Flags.ts_discont.value or stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base) - (container.start_time or 0) / 1e6


def _disposition() -> type:
    from av.stream import Disposition

    return Disposition


def _picture(container: InputContainer, video: VideoStream) -> dict:
    """Facts of a picture track."""
    context = video.codec_context
    if context is None or not context.width or not context.height:
        raise UserError("a video with a known picture size", "an undecodable video stream", "convert the file to mp4")
    width, height, aspect = context.width, context.height, video.sample_aspect_ratio
    coded = {"coded_width": width, "coded_height": height}
    square = not aspect or aspect == 1
    if not square:
        width = round(width * aspect)
    # The decoder changes what the header said, so that comes first.
    colour = Colour(context.color_primaries, context.color_trc, context.colorspace, context.color_range, height)
    order = context.field_order
    rotation = _rotation(container, video)
    if rotation in (90, 270):
        width, height = height, width
    fps = float(video.average_rate) if video.average_rate else None
    meant = float(video.base_rate) if video.base_rate else fps
    return {
        **coded, "width": width, "height": height, "square_pixels": square, "rotation": rotation, "fps": fps,
        "colour": colour,
        "interlaced": int(order) not in _PROGRESSIVE,
        # The rate that the frames seem to be meant for; a mean that lies off it comes from uneven times.
        "varying": bool(fps and meant and abs(fps - meant) > _UNEVEN * meant),
    }  # fmt: skip


def _rotation(container: InputContainer, video: VideoStream) -> int:
    """The clockwise turn that the first picture asks for, degrees."""
    from av.error import FFmpegError

    for count, packet in enumerate(container.demux(video)):
        try:
            for frame in packet.decode():
                return round(-frame.rotation / 90) * 90 % 360
        except FFmpegError:
            pass
        if count >= _FIRST_PACKETS:
            break
    return 0


def require_video(info: MediaInfo) -> None:
    """Raise a UserError unless the file has moving pictures."""
    if not info.has_video:
        raise UserError(f"a video in {info.path}", f"a sound file ({info.codec})", "give a video of the person")
    if info.still:
        raise UserError(f"a video in {info.path}", f"a photo ({info.codec})", "give a video of the person talking")


def require_sound(info: MediaInfo) -> None:
    """Raise a UserError unless the file has a sound track."""
    if not info.has_audio:
        came = "a video without one"
        raise UserError(f"a sound track in {info.path.name}", came, "give a video of the person speaking")


def _demuxed_seconds(path: Path) -> float:
    """Length of a file whose header does not say it: the end of its last packet.

    Packets without a time follow each other; where they have no length either, decoded frames are counted.
    """
    from av.error import FFmpegError

    for decoding in (False, True):
        ends: dict[int, float] = {}
        with opened(path) as container:
            first = (container.start_time or 0) / 1e6
            try:
                for packet in container.demux():
                    index, rate = packet.stream_index, getattr(packet.stream, "average_rate", None)
                    for piece in packet.decode() if decoding else (packet,):
                        base = float(piece.time_base or 0)
                        length = (piece.duration or 0) * base or (float(1 / rate) if decoding and rate else 0.0)
                        before = ends.get(index, 0.0)
                        start = before if piece.pts is None else piece.pts * base - first
                        ends[index] = max(before, start + length)
            except FFmpegError:
                pass
        if any(end > 0 for end in ends.values()):
            return max(ends.values())
    return 0.0


_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")


def _not_media(path: Path) -> UserError:
    with path.open("rb") as file:
        if file.read(12)[4:8] in _MP4_BOXES and not _has_index(path):
            came = "a cut-off file (its index is missing)"
            return UserError(f"a whole video in {path}", came, "copy or export the file again")
    return UserError(f"a video or sound file at {path}", "a file that ffmpeg cannot read", "give another file")


def _holds_index(path: Path) -> bool:
    """Whether there is the beginning of an mp4 file's index anywhere in a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return re.search(rb"moov.{4}mvhd", data, re.DOTALL) is not None


def _has_index(path: Path) -> bool:
    """Whether an mp4 file has a whole ``moov`` box (ISO/IEC 14496-12, 4.2), which says where everything lies."""
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            head = file.read(16)
            length, kind = int.from_bytes(head[:4], "big"), head[4:8]
            if length == 1 and len(head) == 16:
                length = int.from_bytes(head[8:16], "big")
            length = size - at if length == 0 else length
            if length < 8:
                return False
            if kind == b"moov":
                return at + length <= size
            at += length
    return False
