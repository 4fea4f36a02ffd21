"""The capture folder: square frames, 16 kHz sound and the facts about where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.media.packed import open_frames
from gaussavatar.storage import FrameStore, read_json, write_json

FORMAT_VERSION = 1


@dataclass(frozen=True)
class Capture:
    """A captured clip on disk.

    ``crop`` is ``(x, y, side)`` in shown source pixels; ``source`` holds plain facts
    (``name``, ``seconds``, ``width``, ``height``, ``fps``, ``codec``, ``face_px``);
    ``audio`` is mono 16 kHz PCM of exactly ``n_frames / fps`` seconds, in step with the lips as far as is known, or
    None.
    """

    folder: Path
    size: int
    n_frames: int
    fps: int
    crop: tuple[int, int, int]
    source: Mapping[str, Any]
    audio: Path | None

    @property
    def layout(self) -> CaptureLayout:
        """The paths in the folder."""
        return CaptureLayout(self.folder)

    def frames(self) -> FrameStore:
        """The frames, ``size`` x ``size`` RGB."""
        return open_frames(self.layout.frames)

    def focal_px(self, focal_of_longest_side: float = 1.2) -> float:
        """Focal length in capture pixels for a source focal of so many longest sides of the picture."""
        longest = max(self.source["width"], self.source["height"])
        return focal_of_longest_side * longest * self.size / self.crop[2]


def save_capture(capture: Capture) -> None:
    """Write the record; it comes last, so that a folder without it is an unfinished one."""
    write_json(
        capture.layout.record,
        {
            "version": FORMAT_VERSION,
            "size": capture.size,
            "n_frames": capture.n_frames,
            "fps": capture.fps,
            "crop": list(capture.crop),
            "source": dict(capture.source),
            "has_audio": capture.audio is not None,
        },
    )


def load_capture(folder: Path) -> Capture:
    """Read a capture folder.

    Raises:
        UserError: it is unfinished, damaged, of a newer version, or a file is missing.
    """
    layout = CaptureLayout(folder)
    record = read_json(layout.record)
    try:
        version = int(record["version"])
        if version > FORMAT_VERSION:
            raise UserError(
                f"a capture of version {FORMAT_VERSION} in {folder}", f"version {version}", "update gaussavatar"
            )
        capture = Capture(
            folder=folder,
            size=int(record["size"]),
            n_frames=int(record["n_frames"]),
            fps=int(record["fps"]),
            crop=tuple(int(value) for value in record["crop"]),  # type: ignore[arg-type]
            source=dict(record["source"]),
            audio=layout.audio if record["has_audio"] else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"a capture record in {folder}", f"a damaged one ({error!r})", "delete the folder and run again"
        ) from error
    if capture.audio is not None and not capture.audio.exists():
        raise UserError(f"{layout.audio.name} in {folder}", "no such file", "delete the folder and run again")
    if len(capture.frames()) != capture.n_frames:
        raise UserError(
            f"{capture.n_frames} frames in {folder}", str(len(capture.frames())), "delete the folder and run again"
        )
    return capture
