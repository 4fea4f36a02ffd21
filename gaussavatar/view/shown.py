"""What all pages of the viewer show: avatars as files, and frames of the real video beside them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gaussavatar.errors import UserError
from gaussavatar.export.gsa.beside import pack_beside, packed_path
from gaussavatar.serving.door import Served

if TYPE_CHECKING:
    from gaussavatar.avatar.avatar import Avatar
    from gaussavatar.avatar.player import LoadedAvatar
    from gaussavatar.storage import FrameStore

BINARY = "application/octet-stream"


@dataclass
class Shown:
    """Avatars of one viewer. What was packed before is there at once; :meth:`load` brings the rest."""

    folders: Sequence[Path]
    changed: Callable[[], None]
    """Called when something new can be shown."""
    avatars: dict[int, Avatar] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    busy: dict[int, str] = field(default_factory=dict)
    """What is being done for an avatar that cannot be shown yet."""
    real: set[int] = field(default_factory=set)
    """Avatars whose filmed frames are there."""
    starts: dict[int, int] = field(default_factory=dict)
    """Which frame of its capture the filmed track of such an avatar begins with."""
    legends: dict[int, list[list[str]]] = field(default_factory=dict)
    """Names and colours of the masks of an avatar that has some."""
    _files: dict[str, Served] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        for index, folder in enumerate(self.folders):
            path = packed_path(folder)
            if path is not None:
                self.put(file_of(index), Served(BINARY, path.read_bytes))

    def load(self) -> None:
        """Load all avatars, and make what browsers draw them from where it was not made before."""
        from gaussavatar.avatar.avatar import Avatar
        from gaussavatar.avatar.load import load_avatar

        for index, folder in enumerate(self.folders):
            try:
                loaded = load_avatar(folder)
                self._put_real(index, loaded)
                self.avatars[index] = Avatar(loaded)
                if self.at(file_of(index)) is None:
                    self.busy[index] = "makes the file for the browser, which is kept beside the avatar …"
                    self.changed()
                    data = pack_beside(folder, loaded)
                    del self.busy[index]
                    self.put(file_of(index), Served(BINARY, lambda data=data: data))
            except UserError as error:
                self.failed[index] = str(error)
            self.changed()

    def put(self, path: str, served: Served) -> None:
        """Let a path be answered."""
        with self._lock:
            self._files[path] = served

    def drop(self, prefix: str) -> None:
        """Forget every path below ``prefix``."""
        with self._lock:
            for path in [path for path in self._files if path.startswith(prefix)]:
                del self._files[path]

    def at(self, path: str) -> Served | None:
        """What stands at a path."""
        with self._lock:
            return self._files.get(path)

    def listed(self) -> list[dict[str, object]]:
        """Every avatar as a page is told of it."""
        return [
            {
                "name": folder.resolve().name,
                "url": file_of(index) if self.at(file_of(index)) is not None else None,
                "ready": index in self.avatars,
                "real": index in self.real,
                "masks": self.legends.get(index),
                "problem": self.failed.get(index),
                "busy": self.busy.get(index),
            }
            for index, folder in enumerate(self.folders)
        ]

    def _put_real(self, index: int, loaded: LoadedAvatar) -> None:
        from gaussavatar.media.images import jpeg_bytes

        film = filmed(loaded)
        if film is None:
            return
        frames, start = film
        for place in range(len(loaded.filmed)):
            real = Served("image/jpeg", lambda n=start + place: jpeg_bytes(frames.read(n)))
            self.put(f"/real/{index}/{place}.jpg", real)
        self.real.add(index)
        self.starts[index] = start
        self._put_masks(index, loaded, frames)

    def _put_masks(self, index: int, loaded: LoadedAvatar, frames: FrameStore) -> None:
        from gaussavatar.avatar.finding import CAPTURE
        from gaussavatar.view.masks import legend, mask_png, parts_of

        parts = parts_of(loaded.path / CAPTURE, loaded.size, len(frames))
        if parts is None:
            return
        for place in range(len(loaded.filmed)):
            mask = Served("image/png", lambda n=self.starts[index] + place: mask_png(parts.read(n)))
            self.put(f"/mask/{index}/{place}.png", mask)
        self.legends[index] = legend()


def file_of(index: int) -> str:
    """The path of an avatar's file for the browser."""
    return f"/avatar/{index}.gsa"


def filmed(loaded: LoadedAvatar) -> tuple[FrameStore, int] | None:
    """The real frames of an avatar's clip and which of them its filmed track begins with; None without them."""
    import numpy as np

    from gaussavatar.avatar.finding import CAPTURE
    from gaussavatar.capture.layout import CaptureLayout
    from gaussavatar.media.packed import open_frames
    from gaussavatar.tracking.face.motion import load_motion

    layout = CaptureLayout(loaded.path / CAPTURE)
    if not layout.frames.exists() or not layout.motion.exists():
        return None
    codes, own = load_motion(layout.motion).mouth_codes, loaded.filmed.mouth_codes
    for start in np.flatnonzero(np.isclose(codes, own[0], atol=1e-5).all(1)).tolist():
        if start + len(own) <= len(codes) and np.allclose(codes[start : start + len(own)], own, atol=1e-5):
            return open_frames(layout.frames), start
    return None
