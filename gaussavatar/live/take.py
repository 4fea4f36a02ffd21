"""A recording while it is made: an mp4 in fragments, which can be read as far as it goes when its maker is killed."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError

from gaussavatar.avatar.live.records import FPS
from gaussavatar.errors import UserError
from gaussavatar.storage import atomic_path, where_unlocked

FRAGMENTS = {
    "movflags": "+delay_moov+default_base_moof", "frag_duration": "1000000", "flush_packets": "1",
    "max_interleave_delta": "0",
}  # fmt: skip
"""Options of ffmpeg's muxer: every second is on its way to the disk when it is over, and sound waits for its picture.

What comes first says which streams there are: a first second without a picture would be one of sound alone.
"""

_TAKE = re.compile(r"\.(?P<stem>.+)\.\d+\.recording(?P<suffix>\.mp4)", re.DOTALL | re.IGNORECASE)


def take_path(path: Path) -> Path:
    """Where this process writes what is to become ``path``."""
    return path.with_name(f".{path.stem}.{os.getpid()}.recording{path.suffix}")


def make_whole(take: Path, path: Path, broken_off: bool = False) -> float:
    """Copy what can be read of a take into a file that every player can seek in; nothing is encoded again.

    Args:
        take: in fragments.
        path: the file to write, atomically.
        broken_off: whether the end of the take may be missing; all of it has to be readable otherwise.

    Returns:
        The seconds of its sound.

    Raises:
        UserError: the file cannot be written.
        FFmpegError: the take cannot be read.
    """
    end = 0.0
    with atomic_path(path) as temporary, av.open(str(take)) as found:
        with av.open(str(temporary), "w", format="mp4", options={"movflags": "+faststart"}) as whole:
            whole.metadata.update(found.metadata)
            streams = {stream.index: whole.add_stream_from_template(stream) for stream in found.streams}
            for packet in _readable(found, broken_off):
                if packet.stream.type == "audio":
                    end = float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
                else:
                    # Only the last one's counts; where pictures were left out, fragments have another one.
                    packet.duration = round(1 / (FPS * packet.time_base))
                packet.stream = streams[packet.stream.index]
                whole.mux(packet)
    return end


def _readable(found: InputContainer, broken_off: bool) -> Iterator[av.Packet]:
    try:
        for packet in found.demux():
            if packet.pts is not None and packet.dts is not None and not packet.is_corrupt:
                yield packet
    except FFmpegError:
        if not broken_off:
            raise


def recover_takes(folder: Path, say: Callable[[str], None]) -> None:
    """Give what killed servers were recording in a folder a name, and say so; what another one records stays.

    Args:
        folder: of recordings.
        say: called with a line for each.
    """
    for take in sorted(folder.iterdir()):
        if (named := _TAKE.fullmatch(take.name)) and take.is_file() and not take.is_symlink():
            where_unlocked(take, partial(_recover, take, named["stem"], named["suffix"], say))


def _end_with_a_fragment(take: Path) -> None:
    """Cut off what is left of a box that breaks off, so that ffmpeg opens the file; of sound and pictures all may stay.

    Boxes of ISO/IEC 14496-12, 4.2: the length, of which 1 says that eight bytes behind the name have it, and the name.
    """
    size, at, kinds = take.stat().st_size, 0, set[bytes]()
    with take.open("r+b") as file:
        while at + 16 <= size:
            file.seek(at)
            length, name, longer = struct.unpack(">I4sQ", file.read(16))
            length = longer if length == 1 else length
            if length < 8 or (at + length > size and name != b"mdat"):
                break
            at = min(at + length, size)
            kinds.add(name)
        file.truncate(at if {b"moof", b"mdat"} <= kinds else 0)


def _recover(take: Path, stem: str, suffix: str, say: Callable[[str], None]) -> None:
    lost = f"{take.parent / (stem + suffix)}, whose server was killed"
    _end_with_a_fragment(take)
    if not take.stat().st_size:
        take.unlink()
        return say(f"not recorded: {lost} within its first seconds")
    names = (f"{stem}-recovered{'' if number == 1 else f'-{number}'}{suffix}" for number in count(1))
    path = next(take.with_name(name) for name in names if not take.with_name(name).exists())
    try:
        seconds = make_whole(take, path, broken_off=True)
    except (UserError, FFmpegError) as error:
        return say(f"not recovered: {lost} ({error}); what there is lies in {take}: delete it, or repair it")
    take.unlink()
    say(f"recovered: {path}, {seconds:.1f} s of {lost}")
