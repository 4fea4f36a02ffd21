"""The avatar as Gaussians in the browser's scene."""

from __future__ import annotations

import viser

from gaussavatar.view.frames import Splats, quaternion


class SplatLayer:
    """The Gaussians of the page, which all clients share."""

    def __init__(self, server: viser.ViserServer) -> None:
        self._server = server
        self._handle: viser.GaussianSplatHandle | None = None
        self._count = 0

    @property
    def shown(self) -> bool:
        """Whether there are Gaussians in the scene."""
        return self._handle is not None

    def show(self, splats: Splats) -> None:
        """Put these Gaussians in the place of those that are shown."""
        drawn = (splats.means, splats.covariances, splats.colors, splats.opacities)
        if len(splats.means) != self._count:
            # The browser keeps as many splats as it was given.
            self.hide()
        with self._server.atomic():
            if self._handle is None:
                for client in self._server.get_clients().values():
                    client.scene.set_background_image(None)
                self._handle = self._server.scene.add_gaussian_splats("/avatar", *drawn)
            else:
                self._handle.set_gaussians(*drawn)
            self._handle.position = splats.T_world_head[:3, 3]
            self._handle.wxyz = quaternion(splats.T_world_head[:3, :3])
        self._count = len(splats.means)

    def hide(self) -> bool:
        """Take the Gaussians away; returns whether there were any."""
        if self._handle is None:
            return False
        self._handle.remove()
        self._handle = None
        return True
