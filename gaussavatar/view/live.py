"""Following a fit while it runs: its newest checkpoint, where it stands, and its newest picture.

This is the one part of viewing that reads what training writes.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.media.images import read_image
from gaussavatar.training import checkpoint, live, log, preview
from gaussavatar.training.layout import FitLayout

LOOK_EVERY = 1.0
"""Seconds between looks at the folder."""

TAIL = 4096
"""Bytes at the end of metrics.jsonl that hold its last whole line."""

Stamp = tuple[int, int, int]


class FitFollower:
    """Looks at an avatar folder and loads what is new; never raises once something was found there."""

    def __init__(self, folder: Path) -> None:
        """Check that there is something to follow.

        Raises:
            UserError: nothing was trained there, and nothing is being trained.
        """
        self.folder = folder
        self._avatar_stamp: object = None
        self._picture_stamp: object = None
        self.status = ""
        if not folder.is_dir():
            raise UserError("the folder of a fit", f"{folder} (no such folder)", "run gaussavatar fit VIDEO first")
        if not (self._train / live.NAME).exists() and not self._finished:
            state = (
                "one that does not train yet"
                if FitLayout(folder).capture.folder.exists()
                else "neither a fit nor an avatar"
            )
            raise UserError(f"a fit in {folder}", state, "start gaussavatar fit, or wait until it trains")

    @property
    def _train(self) -> Path:
        return FitLayout(self.folder).train

    @property
    def _finished(self) -> bool:
        """Whether the avatar is younger than the start of the last training."""
        made, begun = _stamp(self.folder / "avatar.json"), _stamp(self._train / live.NAME)
        return made is not None and (begun is None or made[0] >= begun[0])

    def newest(self) -> LoadedAvatar | None:
        """The avatar, if there is a newer one than the last time; half-written files are left for the next look."""
        finished = self._finished
        source = self.folder / "avatar.json" if finished else self._train / checkpoint.NAME
        stamp = (source, _stamp(source))
        self.status = self._describe(finished)
        if stamp == self._avatar_stamp or stamp[1] is None:
            return None
        try:
            avatar = load_avatar(self.folder) if finished else live.load_live(self.folder)[0]
        except (UserError, OSError, RuntimeError, KeyError, ValueError):
            # A file that is just being replaced, or of two runs: the next look finds it whole.
            return None
        self._avatar_stamp = stamp
        return avatar

    def picture(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The newest preview, if it is newer than the last time."""
        stamps = [(_stamp(path), path) for path in (self._train / preview.NAME, self._train / preview.TORSO_NAME)]
        stamp, path = max(((stamp, path) for stamp, path in stamps if stamp is not None), default=(None, None))
        if stamp is None or path is None or stamp == self._picture_stamp:
            return None
        try:
            image = read_image(path)
        except (UserError, OSError):
            return None
        self._picture_stamp = stamp
        return image

    def _describe(self, finished: bool) -> str:
        if finished:
            return "**training finished**"
        try:
            description, _ = live.read_description(self._train)
        except (UserError, OSError):
            return "waiting for training"
        stages = description.stages
        entry = last_line(self._train / log.NAME)
        if entry is None:
            return f"stage 1 of {len(stages)}: **{stages[0][0]}**" if stages else "waiting for training"
        number = min(int(entry.get("number", 0)), len(stages) - 1)
        speed = f", {entry['steps_per_second']:.1f} steps/s" if "steps_per_second" in entry else ""
        name, steps = stages[number][0], stages[number][1]
        return f"stage {number + 1} of {len(stages)}: **{name}**, step {entry['step']} of {steps}{speed}"


def _stamp(path: Path) -> Stamp | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def last_line(path: Path) -> dict[str, Any] | None:
    """The last whole line of metrics.jsonl."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "step" in entry:
            return entry
    return None


class FitWatch:
    """Looks at a fit from a thread of its own, so that the page goes on while an avatar is loaded."""

    def __init__(self, follower: FitFollower) -> None:
        self._follower = follower
        self._ready: LoadedAvatar | None = None
        self._lock = threading.Lock()
        self.picture: UInt8[np.ndarray, "h w 3"] | None = None
        """The newest preview that was seen; another object when there is a newer one."""

    @property
    def status(self) -> str:
        """Where the fit stands, as markdown."""
        return self._follower.status

    def look(self) -> None:
        """Load what is new."""
        avatar, picture = self._follower.newest(), self._follower.picture()
        if picture is not None:
            self.picture = picture
        if avatar is not None:
            with self._lock:
                self._ready = avatar

    def take(self) -> LoadedAvatar | None:
        """The avatar that was loaded since the last call."""
        with self._lock:
            avatar, self._ready = self._ready, None
        return avatar

    def follow(self, stop: threading.Event) -> None:
        """Look every second until ``stop``."""
        while not stop.wait(LOOK_EVERY):
            self.look()


def first_state(follower: FitFollower) -> LoadedAvatar:
    """The first avatar that there is; waits for the first checkpoint of a training that has just begun."""
    waiting = False
    while (avatar := follower.newest()) is None:
        if not waiting:
            print("waiting for a checkpoint of the fit (Ctrl-C ends it)", flush=True)
            waiting = True
        time.sleep(LOOK_EVERY)
    return avatar


def find_fit(avatar: Path | None, base: Path = Path("avatars")) -> Path:
    """The named folder, or the one below ``base`` that was trained last.

    Raises:
        UserError: there is none.
    """
    if avatar is not None:
        return avatar
    found = [*base.glob(f"*/train/{checkpoint.NAME}"), *base.glob("*/avatar.json")]
    if not found:
        raise UserError("a fit below ./avatars", "none", "run gaussavatar fit VIDEO first, or name one with --avatar")
    newest = max(found, key=lambda path: path.stat().st_mtime)
    return newest.parent.parent if newest.name == checkpoint.NAME else newest.parent
