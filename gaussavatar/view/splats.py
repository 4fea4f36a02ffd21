"""The avatar as Gaussians in the browser's scene."""

from __future__ import annotations

import numpy as np
import viser
from jaxtyping import Float

from gaussavatar.view.frames import PUSHED, Splats, backdrop, parted, pushed_place, quaternion

ROWS = 256
"""Of the grey behind the Gaussians, which the browser stretches over its page."""


class SplatLayer:
    """The Gaussians of the page, which all clients share but for the mouth.

    viser orders all Gaussians by depth, which shows the mouth through the face. Pushed away from the eye and as much
    larger it looks alike and is behind; each client has its own eye, and so its own mouth.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._handle: viser.GaussianSplatHandle | None = None
        self._mouth: Splats | None = None
        self._mouths: dict[int, viser.GaussianSplatHandle] = {}
        self._eyes: dict[int, bytes] = {}
        self._counts = (0, 0)

    @property
    def shown(self) -> bool:
        """Whether there are Gaussians in the scene."""
        return self._handle is not None

    def show(self, splats: Splats, mouth: slice | None = None) -> None:
        """Put these Gaussians in the place of those that are shown.

        Args:
            splats: all of them.
            mouth: which of them have to stay behind the others.
        """
        rest, self._mouth = (splats, None) if mouth is None else parted(splats, mouth)
        counts = len(rest.means), 0 if self._mouth is None else len(self._mouth.means)
        if counts != self._counts:
            # The browser keeps as many splats as it was given.
            self.hide()
        self._counts = counts
        with self._server.atomic():
            if self._handle is None:
                grey = np.uint8(255 * backdrop(2, ROWS))
                for scene in (self._server.scene, *(one.scene for one in self._server.get_clients().values())):
                    scene.set_background_image(grey)
            self._handle = _put(self._server.scene, "/avatar", self._handle, rest)
            self._handle.position = rest.T_world_head[:3, 3]
        self._eyes.clear()
        self.follow()

    def follow(self) -> bool:
        """Bring every client's mouth behind the face as it sees it; returns whether one was moved."""
        clients = self._server.get_clients() if self._mouth is not None and self.shown else {}
        for gone in self._mouths.keys() - clients.keys():
            del self._mouths[gone]
            self._eyes.pop(gone, None)
        moved = [self._follow(number, client) for number, client in clients.items()]
        return any(moved)

    def _follow(self, number: int, client: viser.ClientHandle) -> bool:
        if self._mouth is None or client.camera.update_timestamp == 0.0:
            return False
        eye = np.asarray(client.camera.position, np.float64)
        if self._eyes.get(number) == eye.tobytes():
            return False
        fresh, self._eyes[number] = number not in self._eyes, eye.tobytes()
        with client.atomic():
            handle = self._mouths.get(number)
            if fresh or handle is None:
                handle = self._mouths[number] = _put(client.scene, "/avatar_mouth", handle, self._mouth)
                handle.scale = PUSHED
            handle.position = mouth_place(self._mouth, eye)
        return True

    def hide(self) -> bool:
        """Take the Gaussians away; returns whether there were any."""
        if self._handle is None:
            return False
        clients = self._server.get_clients()
        for number, handle in self._mouths.items():
            if number in clients:
                handle.remove()
        self._mouths.clear()
        self._eyes.clear()
        self._handle.remove()
        self._handle = None
        return True


def mouth_place(mouth: Splats, eye: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Where the mouth's Gaussians stand, enlarged, for an eye at a place of the world."""
    return pushed_place(mouth.T_world_head[:3, 3].astype(np.float64), eye)


def _put(
    scene: viser.SceneApi, name: str, handle: viser.GaussianSplatHandle | None, splats: Splats
) -> viser.GaussianSplatHandle:
    """Gaussians under a name, in those that are there or as new ones; turned as their head is."""
    drawn = (splats.means, splats.covariances, splats.colors, splats.opacities)
    if handle is None:
        handle = scene.add_gaussian_splats(name, *drawn)
    else:
        handle.set_gaussians(*drawn)
    handle.wxyz = quaternion(splats.T_world_head[:3, :3])
    return handle
