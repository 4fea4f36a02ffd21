"""The inside of an avatar in the scene of a page's viser: there only while the page looks at it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import viser
from jaxtyping import Float32

from gaussavatar.avatar.finding import CAPTURE
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.tracking.head.track import HeadTrack, head_vertices, load_head_track
from gaussavatar.view.frames import Splats, backdrop, state_splats
from gaussavatar.view.inside import (
    branch_slices,
    bytes_of,
    clip_movement,
    movement_colours,
    selected,
    track_frusta,
)
from gaussavatar.view.orbit import StartView
from gaussavatar.view.splats import ROWS, SplatLayer
from gaussavatar.view.state import InsideWish, ViewState

POINT = 0.0008
"""Side of a drawn point, metres."""


@dataclass(frozen=True)
class Inspected:
    """The avatar that is looked into, and which frame of its capture its filmed track begins with; None without one."""

    avatar: LoadedAvatar
    start: int | None


class InsideScene:
    """Draws into the scene of one viser server; what is measured or read is kept."""

    def __init__(self, server: viser.ViserServer, say: Callable[[str], None]) -> None:
        """Nothing is drawn yet.

        Args:
            server: whose scene it is.
            say: tells the panel what is seen.
        """
        self._server, self._say = server, say
        self._splats = SplatLayer(server)
        self._handles: dict[str, viser.SceneNodeHandle] = {}
        self._shown: object = None
        self._looked = False
        self._moved: Float32[np.ndarray, "n"] | None = None
        self._measuring: threading.Thread | None = None
        self._head: HeadTrack | str | None = None

    @property
    def shown(self) -> bool:
        """Whether anything is in the scene."""
        return self._shown is not None

    def look(self, view: StartView) -> None:
        """Put the camera where it begins, the first time."""
        if self._looked:
            return
        self._looked = True
        self._server.scene.set_background_image(np.uint8(255 * backdrop(2, ROWS)))
        cameras = [client.camera for client in self._server.get_clients().values()]
        for camera in (self._server.initial_camera, *cameras):
            camera.position, camera.look_at, camera.fov = view.position, view.look_at, view.fov
            camera.near = 0.01

    def show(self, inspected: Inspected, state: ViewState, wish: InsideWish) -> bool:
        """Bring the scene up to a state and a wish; returns whether anything changed."""
        if wish.colours == "movement" and self._moved is None:
            self._measure(inspected.avatar)
        key = (state, wish, self._moved is None)
        if key == self._shown:
            return self._splats.follow()
        self._shown = key
        said = [self._show_gaussians(inspected.avatar, state, wish)]
        self._keep("cameras", wish.cameras, lambda: self._cameras(inspected.avatar))
        self._drop("head")
        if wish.mesh:
            said.append(self._show_head(inspected, state.place))
        self._say("\n\n".join(filter(None, said)))
        return True

    def hide(self) -> bool:
        """Take everything away; returns whether there was anything."""
        if self._shown is None:
            return False
        self._shown = None
        self._splats.hide()
        for name in list(self._handles):
            self._drop(name)
        return True

    def _show_gaussians(self, avatar: LoadedAvatar, state: ViewState, wish: InsideWish) -> str:
        splats, said = replace(state_splats(avatar, state), T_world_head=np.eye(4, dtype=np.float32)), ""
        if wish.colours == "movement":
            said = "measuring how far everything moves …"
            if self._moved is not None:
                colors, longest = movement_colours(self._moved)
                splats = replace(splats, colors=colors)
                said = f"dark blue 0 mm, light yellow {longest:.1f} mm and more (standard deviation over the clip)"
        branches = branch_slices(avatar)
        drawn = selected(splats, branches, wish.branches)
        if wish.shape == "ellipsoids":
            self._drop("points")
            self._splats.show(drawn, branches["mouth"] if wish.branches == "all" else None)
        else:
            self._splats.hide()
            self._show_points(drawn)
        return f"{len(drawn.means):,} Gaussians" + (f"; {said}" if said else "")

    def _show_points(self, drawn: Splats) -> None:
        self._handles["points"] = self._server.scene.add_point_cloud(
            "/inside/points", drawn.means, bytes_of(drawn.colors), point_size=POINT, point_shape="circle",
            precision="float32", point_shading="flat",
        )  # fmt: skip

    def _cameras(self, avatar: LoadedAvatar) -> viser.SceneNodeHandle:
        lines = track_frusta(avatar.filmed, avatar.K, avatar.size)
        return self._server.scene.add_line_segments(
            "/inside/cameras", lines, (200, 90, 30), thickness=1.5, thickness_units="screen"
        )

    def _show_head(self, inspected: Inspected, place: int) -> str:
        if self._head is None:
            self._head = head_of(inspected)
        if isinstance(self._head, str) or inspected.start is None:
            return str(self._head)
        vertices = head_vertices(self._head, np.array([inspected.start + place]))[0]
        self._handles["head"] = self._server.scene.add_mesh_simple(
            "/inside/head", vertices, self._head.head.triangles, color=(120, 150, 200), wireframe=True
        )
        return "the mesh is the head as it was tracked in the frame that the place belongs to"

    def _keep(self, name: str, wanted: bool, make: Callable[[], viser.SceneNodeHandle]) -> None:
        """Something that does not change with the state."""
        if not wanted:
            self._drop(name)
        elif name not in self._handles:
            self._handles[name] = make()

    def _drop(self, name: str) -> None:
        handle = self._handles.pop(name, None)
        if handle is not None:
            handle.remove()

    def _measure(self, avatar: LoadedAvatar) -> None:
        """Measure movements in a thread of its own: it takes a second or two."""
        if self._measuring is not None:
            return

        def measure() -> None:
            self._moved = clip_movement(avatar)

        self._measuring = threading.Thread(target=measure, daemon=True)
        self._measuring.start()


def head_of(inspected: Inspected) -> HeadTrack | str:
    """The tracked head of an avatar's clip, or why there is none."""
    folder = Path(inspected.avatar.path) / CAPTURE
    if inspected.start is None or not CaptureLayout(folder).head_track.exists():
        return "no head mesh: the capture of this avatar's clip is not beside it"
    try:
        track = load_head_track(folder)
    except UserError as error:
        return f"no head mesh: {error}"
    if inspected.start + len(inspected.avatar.filmed) > len(track.expression):
        return "no head mesh: the tracked head is of another clip"
    return track
