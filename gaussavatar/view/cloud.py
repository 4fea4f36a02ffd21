"""Gaussians from a file in the browser: one state, drawn by viser."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import viser
from jaxtyping import Float

from gaussavatar.errors import UserError
from gaussavatar.head.gaussian_rig import PARAMETERS, read_gaussian_avatar
from gaussavatar.media.gaussians import read_gaussians
from gaussavatar.serving.address import free_port, page_address
from gaussavatar.serving.until import serve_until_stopped
from gaussavatar.types import Activated
from gaussavatar.view.frames import Splats, covariances
from gaussavatar.view.orbit import StartView
from gaussavatar.view.splats import SplatLayer

FIELD_OF_VIEW = np.radians(30)


class CloudPage:
    """A page that shows one cloud of Gaussians; y is down, and it is looked at along z, as 3DGS files have it."""

    def __init__(self, gaussians: Activated, name: str, host: str, port: int) -> None:
        # viser announces itself on stdout; serve_cloud() prints the one line that matters.
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = viser.ViserServer(host, port, label=name, verbose=False)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.scene.set_up_direction("-y")
        self.server.scene.world_axes.visible = False
        self.server.gui.add_markdown(f"**{name}**: {len(gaussians.means)} Gaussians")
        view, start = first_view(gaussians), self.server.initial_camera
        start.position, start.look_at, start.fov, start.near = view.position, view.look_at, view.fov, 0.01
        self._layer = SplatLayer(self.server)
        self._layer.show(splats_of(gaussians))

    def stop(self) -> None:
        """Close the page."""
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()


def splats_of(gaussians: Activated) -> Splats:
    """Gaussians without batch dimension as the browser draws them."""
    drawn = (gaussians.means, covariances(gaussians), gaussians.colors.clamp(0, 1), gaussians.opacities[:, None])
    return Splats(*(each.cpu().numpy() for each in drawn), np.eye(4, dtype=np.float32))


def first_view(gaussians: Activated) -> StartView:
    """From the front, so far away that most of what is opaque fits in; stray Gaussians do not count."""
    solid = gaussians.means[gaussians.opacities >= gaussians.opacities.median()].cpu().numpy().astype(float)
    centre: Float[np.ndarray, "3"] = np.median(solid, axis=0)
    reach = float(np.quantile(np.linalg.norm(solid - centre, axis=1), 0.9))
    back = max(1.7 * reach / np.tan(FIELD_OF_VIEW / 2), 1e-3)
    return StartView(centre - [0, 0, back], centre, float(FIELD_OF_VIEW))


def serve_cloud(path: Path, host: str, port: int, open_browser: bool) -> None:
    """Show the Gaussians of a ``.ply``, or of a GaussianAvatars folder, in the browser until interrupted.

    Raises:
        UserError: the file cannot be read, or no port is free.
    """
    if path.is_dir():
        gaussians, left_out = read_gaussian_avatar(path)
        if left_out:
            print(f"{left_out} Gaussians are left out: they are bound to teeth that no file describes", flush=True)
    else:
        raw = read_gaussians(path)
        if raw.binding is not None:
            do = f"give its folder, with {PARAMETERS} in it"
            raise UserError("Gaussians in one space", "those of GaussianAvatars, each in a triangle's own", do)
        gaussians = raw.activated()
    page = CloudPage(gaussians, path.resolve().name, host, free_port(host, port))
    address = page_address(host, page.server.get_port())
    serve_until_stopped("viewer", address, host, open_browser, page.stop)
