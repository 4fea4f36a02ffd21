"""What all pages of the viewer show: avatars as files, and frames of the real video beside them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.folder import CAPTURE
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.media.images import jpeg_bytes
from gaussavatar.storage import FrameStore, atomic_path
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.view.door import Served

PACKED = "web.gsa"
"""An avatar's file for the browser, kept in its folder."""

QUALITY = "full"


@dataclass(frozen=True)
class Filmed:
    """The real video of an avatar: its frames, and which of them its filmed track begins with."""

    frames: FrameStore
    start: int


@dataclass
class Shown:
    """Avatars of one viewer, loaded one after the other in a thread; pages ask for them by path."""

    folders: Sequence[Path]
    avatars: dict[int, Avatar] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    _files: dict[str, Served] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def load(self) -> None:
        """Load all avatars and make what browsers draw them from."""
        for index, folder in enumerate(self.folders):
            try:
                data = packed(folder)
                if data is not None:
                    self.put(f"/avatar/{index}.gsa", Served("application/octet-stream", lambda data=data: data))
                loaded = load_avatar(folder)
                if data is None:
                    data = pack(folder, loaded)
                    self.put(f"/avatar/{index}.gsa", Served("application/octet-stream", lambda data=data: data))
            except UserError as error:
                self.failed[index] = str(error)
                continue
            self._put_real(index, loaded)
            self.avatars[index] = Avatar(loaded)

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

    def _put_real(self, index: int, loaded: LoadedAvatar) -> None:
        film = filmed(loaded)
        if film is None:
            return
        for place in range(len(loaded.filmed)):
            real = Served("image/jpeg", lambda n=film.start + place: jpeg_bytes(film.frames.read(n)))
            self.put(f"/real/{index}/{place}.jpg", real)


def packed(folder: Path) -> bytes | None:
    """The avatar's file for the browser as it was kept; None where there is none of this avatar as it is now."""
    path, header = folder / PACKED, folder / "avatar.json"
    try:
        if path.stat().st_mtime_ns < header.stat().st_mtime_ns:
            return None
        return path.read_bytes()
    except OSError:
        return None


def pack(folder: Path, loaded: LoadedAvatar) -> bytes:
    """Make the avatar's file for the browser, and keep it where the folder can be written.

    Raises:
        UserError: the avatar cannot be drawn by a browser.
    """
    data = avatar_file(loaded, QUALITY, force=True).data
    try:
        with atomic_path(folder / PACKED) as temporary:
            temporary.write_bytes(data)
    except UserError:
        # A folder that is only read: the next viewer makes the file again.
        pass
    return data


def filmed(loaded: LoadedAvatar) -> Filmed | None:
    """The real frames of an avatar's filmed track, where its capture is still there."""
    layout = CaptureLayout(loaded.path / CAPTURE)
    if not layout.frames.exists() or not layout.motion.exists():
        return None
    codes, own = load_motion(layout.motion).mouth_codes, loaded.filmed.mouth_codes
    starts = np.flatnonzero(np.isclose(codes, own[0], atol=1e-5).all(1))
    starts = [int(at) for at in starts if np.allclose(codes[at : at + len(own)], own[: len(codes) - at], atol=1e-5)]
    return Filmed(FrameStore(layout.frames), starts[0]) if starts else None
