"""Pictures of a live session, one at a time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gaussavatar.avatar.background import parse_background
from gaussavatar.avatar.behind import TorsoKind, behind_head, check_torso, straight
from gaussavatar.avatar.framing import framing_of
from gaussavatar.avatar.live.records import LiveMotion
from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.errors import UserError
from gaussavatar.native.threads import frame_parallel
from gaussavatar.storage import scratch_folder
from gaussavatar.types import Cameras


class Painter:
    """Draws an avatar as it was filmed.

    Args:
        avatar: whose picture.
        size: side of the picture, pixels; the avatar's own when None.
        background: see :func:`gaussavatar.avatar.background.parse_background`.
        torso: see :data:`gaussavatar.avatar.behind.TorsoKind`.

    Raises:
        UserError: a background, torso or size that cannot be had.
    """

    def __init__(self, avatar: LoadedAvatar, size: int | None, background: str | Path, torso: TorsoKind) -> None:
        if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
            raise UserError("a size in whole pixels", repr(size), "give a number such as 256")
        wish = parse_background(background)
        check_torso(avatar, torso)
        framing = framing_of(avatar, None, size)
        self._avatar, self._clear = avatar, wish.clear
        self._held = ExitStack()
        folder = self._held.enter_context(scratch_folder())
        try:
            self._behind = behind_head(avatar, wish, folder, torso, framing)
        except BaseException:
            self._held.close()
            raise
        self._K = avatar.tensor(avatar.K if framing is None else framing.matrix(avatar.K))[None]
        self._sides = (avatar.size, avatar.size) if framing is None else (framing.width, framing.height)

    def paint(self, motion: LiveMotion) -> UInt8[np.ndarray, "h w c"]:
        """RGB, or RGBA with straight alpha before the background ``none``."""
        avatar, pose = self._avatar, np.eye(4, dtype=np.float32)
        pose[:3] = motion.T_camera_world
        with frame_parallel():
            cameras = Cameras(avatar.tensor(pose[None]), self._K, *self._sides)
            codes, upper = avatar.tensor(motion.codes[None]), avatar.tensor(motion.upper[None])
            drawn = avatar.render_over(codes, upper, cameras, self._behind(np.array([motion.place])))
            return straight(drawn)[0] if self._clear else to_bytes(drawn.rgb)[0]

    def close(self) -> None:
        """Let the decoded videos go."""
        self._held.close()
