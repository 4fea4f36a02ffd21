"""How much of a video's picture is damaged, as its decoder tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.media.probe import opened


@dataclass(frozen=True)
class Damage:
    """Pictures of a file: how many there are, and how many of them show something else than was filmed."""

    pictures: int
    damaged: int

    @property
    def share(self) -> float:
        """Part of the pictures that is damaged."""
        return self.damaged / self.pictures if self.pictures else 0.0

    def __str__(self) -> str:
        return f"{self.damaged} of {self.pictures} pictures ({100 * self.share:.0f} %) are damaged"


def damage_of(path: Path) -> Damage:
    """Decode all pictures of a video and count those that the decoder had to make up.

    What follows a damaged picture up to the next key frame is drawn from it, and counts too.

    Raises:
        UserError: no media file.
    """
    from av.error import FFmpegError

    pictures = damaged = 0
    broken = False
    with opened(path) as container:
        if not container.streams.video:
            return Damage(0, 0)
        packets = container.demux(container.streams.video[0])
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except FFmpegError:
                # The picture of this packet is missing altogether.
                pictures, damaged, broken = pictures + 1, damaged + 1, True
                continue
            if packet is None:
                return Damage(pictures, damaged)
            for frame in frames:
                broken = frame.is_corrupt or (broken and not frame.key_frame)
                pictures, damaged = pictures + 1, damaged + broken


def refuse_damaged(path: Path, least: float) -> None:
    """Raise a UserError where at least a part ``least`` of a video's pictures is damaged."""
    damage = damage_of(path)
    if damage.share >= least:
        raise UserError(f"a whole video in {path}", f"one of which {damage}", "copy or export the file again")
