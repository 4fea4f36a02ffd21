"""The live viewer: a viser page with the avatar, orbit by mouse, playback, sliders and a read-out."""

from __future__ import annotations

import contextlib
import io
import socket
import tempfile
import threading
import time
import webbrowser
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import viser
from jaxtyping import Float32, UInt8

from gaussavatar.avatar.driving import motion_for_sound, over_filmed
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.errors import UserError
from gaussavatar.interrupts import interrupt_answered
from gaussavatar.media.ffmpeg import read_audio
from gaussavatar.motion.edit import channel_groups, slider_groups, with_sliders
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.motion.viewpoint import head_motion
from gaussavatar.storage import FrameStore
from gaussavatar.types import VIDEO_FPS, Cameras, Waveform
from gaussavatar.view.clock import PlayClock
from gaussavatar.view.live import FitFollower, LivePanel, first_state
from gaussavatar.view.orbit import (
    LARGEST,
    affordable_height,
    image_size,
    intrinsics,
    start_view,
    view_matrix,
)
from gaussavatar.view.panel import EPOCH_KEY, Panel

Mode = Literal["stream", "splats"]

BUDGET = 0.8 / VIDEO_FPS
"""Seconds that one image may take while something moves."""

STILL_AFTER = 0.25
"""Seconds without a change after which one image at full size is sent."""

HEARD_RATE = 24_000
"""Samples per second of the sound that the page plays."""

PORTS_TRIED = 20
BACKDROP_TOP, BACKDROP_BOTTOM = 0.93, 0.72


@dataclass
class ClientState:
    """What one open page was sent last."""

    camera: tuple[float, ...] = ()
    changed: float = 0.0
    sent: tuple[object, ...] = ()
    seconds_per_pixel: float = 2e-7
    times: list[float] = field(default_factory=list)


class ViewerApp:
    """The viewer's loop: reads cameras and controls, renders, sends."""

    def __init__(
        self,
        avatar: LoadedAvatar,
        sound: tuple[Waveform, Waveform] | None,
        host: str,
        port: int,
        mode: Mode,
        follower: FitFollower | None = None,
    ) -> None:
        """Open the page.

        Args:
            avatar: what is shown.
            sound: the driving sound at the analysis rate and as it is heard; None plays the clip's own motion.
            host: address that the page is served on.
            port: port of the page.
            mode: which renderer to begin with.
            follower: looks for newer states of a fit that is running.
        """
        self._avatar = avatar
        self._sound = sound[0] if sound else None
        self._motion = driven_motion(avatar, self._sound)
        self._groups = slider_groups(avatar.upper_names)
        self._movements = channel_groups(avatar.expression_names)
        self._clock = PlayClock(self._motion.seconds)
        self._closed = FaceState(avatar.closed.numpy(), avatar.resting_upper)
        self._change = 0
        self._rate = ""
        self._clients: dict[int, ClientState] = {}
        self._splats: viser.GaussianSplatHandle | None = None
        self._splats_sent: object = None
        self._under: FrameStore | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="gaussavatar-view-")
        self._stop = threading.Event()
        # viser announces itself on stdout; serve() prints the one line that matters.
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = viser.ViserServer(host, port, label=avatar.path.resolve().name, verbose=False)
        self._set_up_scene()
        heard = sound[1] if sound else None
        self.panel = Panel(
            self.server, self._clock, self._groups, heard, mode, self._note_change, tuple(self._movements)
        )
        self.live = LivePanel(self.server, follower) if follower is not None else None

    def _set_up_scene(self) -> None:
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.scene.set_up_direction("-y")
        self.server.scene.world_axes.visible = False
        centre = self._avatar.activated(self._closed.mouth_codes, self._closed.upper).means.mean(dim=0).numpy()
        track = self._avatar.filmed
        view = start_view(track.T_camera_world[0], self._avatar.K, self._avatar.size, centre)
        start = self.server.initial_camera
        start.position, start.look_at, start.fov = view.position, view.look_at, view.fov
        start.near = 0.01

    def _note_change(self) -> None:
        self._change += 1

    def show(self, avatar: LoadedAvatar) -> None:
        """Go over to another state of the same person's avatar; controls, cameras and clock stay."""
        if self._splats is not None and _count(avatar) != _count(self._avatar):
            # The browser keeps as many splats as it was given.
            self._hide_splats()
        if avatar.path != self._avatar.path or type(avatar) is not type(self._avatar):
            self._under = None
        self._avatar = avatar
        self._motion = driven_motion(avatar, self._sound)
        self._closed = FaceState(avatar.closed.numpy(), avatar.resting_upper)
        self._note_change()

    def stop(self) -> None:
        """End the loop and close the page."""
        self._stop.set()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()
        self._folder.cleanup()

    def run(self) -> None:
        """Serve until :meth:`stop` or Ctrl-C."""
        threading.Thread(target=self._follow_sound, daemon=True).start()
        if self.live is not None:
            threading.Thread(target=self.live.follow, args=(self._stop,), daemon=True).start()
        while not self._stop.is_set():
            started = time.perf_counter()
            worked = self.step()
            left = 1 / VIDEO_FPS - (time.perf_counter() - started)
            if left > 0 or not worked:
                self._stop.wait(max(left, 0.005))

    def step(self) -> bool:
        """Bring every open page up to date; returns whether anything was sent."""
        newer = self.live.take() if self.live is not None else None
        if newer is not None:
            self.show(newer)
        position = self._clock.position()
        self.panel.show(position, self._motion.seconds, self._rate)
        clients = self.server.get_clients()
        for gone in self._clients.keys() - clients.keys():
            del self._clients[gone]
        sent = False
        if self.panel.drawing.value == "splats":
            sent = self._send_splats(position, clients)
        else:
            self._hide_splats()
            for number, client in clients.items():
                state = self._clients.setdefault(number, ClientState())
                sent = self._send_image(client, state, position) or sent
        return sent

    def _expression(self) -> dict[str, float]:
        """What the head model's sliders ask for, by channel."""
        names = self._avatar.expression_names
        values = self.panel.movement_values()
        return {names[index]: value for name, value in values.items() if value for index in self._movements[name]}

    def _face(self, position: float) -> FaceState:
        driven = self._motion.at(position) if self.panel.driven.value else self._closed
        return with_sliders(
            driven,
            self.panel.slider_values(),
            self._groups,
            self.panel.opening.value,
            self._avatar.mouth_open_direction,
        )

    def _pose(self, position: float) -> Float32[np.ndarray, "4 4"]:
        if not (self.panel.head_moves.value and self.panel.driven.value):
            return np.eye(4, dtype=np.float32)
        track = self._motion.T_camera_world
        return head_motion(track[self._motion.frame_at(position)], self._avatar.filmed.T_camera_world[0])

    def _shoulders(self, torso: LoadedTorso, position: float) -> Float32[np.ndarray, "4 4"]:
        """Where the torso is in the viewer's world, which is the head space of the pose track's first frame."""
        moves = self.panel.head_moves.value and self.panel.driven.value
        place = int(self._motion.places[self._motion.frame_at(position)]) if moves else 0
        return head_motion(torso.T_camera_torso[place], self._avatar.filmed.T_camera_world[0])

    def _send_image(self, client: viser.ClientHandle, state: ClientState, position: float) -> bool:
        if client.camera.update_timestamp == 0.0:
            return False
        camera = (*client.camera.wxyz, *client.camera.position, client.camera.fov, client.camera.aspect)
        now = time.monotonic()
        moment = (camera, self._change, round(position, 4))
        if moment[:2] != state.sent[:2] or self._clock.playing:
            state.changed = now
        moving = now - state.changed < STILL_AFTER
        wanted = (*moment, moving)
        if wanted == state.sent:
            return False
        started = time.perf_counter()
        if self.panel.camera.value == "as filmed":
            image = self._filmed(position, client.camera.aspect)
        else:
            rows = affordable_height(state.seconds_per_pixel, BUDGET, client.camera.aspect) if moving else LARGEST
            width, height = image_size(min(rows, max(client.camera.image_height, 2)), client.camera.aspect)
            image = self._orbit(position, camera, width, height)
        client.scene.set_background_image(image, "jpeg", jpeg_quality=80 if moving else 92)
        took = time.perf_counter() - started
        state.seconds_per_pixel += 0.3 * (took / (image.shape[0] * image.shape[1]) - state.seconds_per_pixel)
        state.sent = wanted
        self._count(state, image.shape[1], image.shape[0], took)
        return True

    def _orbit(self, position: float, camera: tuple[float, ...], width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        pose = self._pose(position)
        T = view_matrix(camera[:4], camera[4:7]) @ pose
        # The light stays with the camera that filmed, whichever way the viewer looks.
        light = torch.from_numpy(self._avatar.filmed.T_camera_world[0] @ pose)[None]
        face = self._face(position)
        cameras = Cameras(
            torch.from_numpy(T)[None], torch.from_numpy(intrinsics(camera[7], width, height))[None], width, height
        )
        shade = torch.linspace(BACKDROP_TOP, BACKDROP_BOTTOM, height)[None, :, None, None].expand(1, height, width, 3)
        if (torso := self._avatar.torso) is not None:
            seen = view_matrix(camera[:4], camera[4:7]) @ self._shoulders(torso, position)
            shade = torso.draw_over(
                self._avatar.rasterizer, Cameras(torch.from_numpy(seen)[None], cameras.K, width, height), shade
            )
        codes, upper = torch.from_numpy(face.mouth_codes)[None], torch.from_numpy(face.upper)[None]
        movements = self._avatar.expression_rows(self._expression(), 1)
        drawn = self._avatar.render_float(codes, upper, cameras, shade, expression=movements, T_light_world=light)
        return to_bytes(drawn)[0]

    def _filmed(self, position: float, aspect: float) -> UInt8[np.ndarray, "h w 3"]:
        """The whole picture by the filming camera, with torso and background, in the middle of the canvas."""
        if self._under is None:
            self._under = self._avatar.under_frames(Path(self._folder.name))
        index = self._motion.frame_at(position)
        face, size = self._face(position), self._avatar.size
        image = self._avatar.render(
            face.mouth_codes[None],
            face.upper[None],
            self._motion.T_camera_world[index][None],
            self._avatar.K[None],
            size,
            self._under.read(int(self._motion.places[index]))[None],
            expression=self._expression(),
        )[0]
        return centred(image, aspect)

    def _send_splats(self, position: float, clients: dict[int, viser.ClientHandle]) -> bool:
        wanted = (self._change, round(position, 4))
        if wanted == self._splats_sent and self._splats is not None:
            return False
        started = time.perf_counter()
        face = self._face(position)
        means, covariances, colors, opacities = self._avatar.frame_gaussians(
            face.mouth_codes, face.upper, self._expression()
        )
        pose = self._pose(position)
        with self.server.atomic():
            if self._splats is None:
                for client in clients.values():
                    client.scene.set_background_image(None)
                self._splats = self.server.scene.add_gaussian_splats("/avatar", means, covariances, colors, opacities)
            else:
                self._splats.set_gaussians(means, covariances, colors, opacities)
            self._splats.position = pose[:3, 3]
            self._splats.wxyz = quaternion(pose[:3, :3])
        self._splats_sent = wanted
        state = self._clients.setdefault(-1, ClientState())
        self._count(state, 0, 0, time.perf_counter() - started)
        return True

    def _hide_splats(self) -> None:
        if self._splats is not None:
            self._splats.remove()
            self._splats, self._splats_sent = None, None
            self._clients.clear()

    def _count(self, state: ClientState, width: int, height: int, took: float) -> None:
        now = time.monotonic()
        state.times = [moment for moment in state.times if now - moment < 1.0] + [now]
        span = now - state.times[0]
        rate = (len(state.times) - 1) / span if span > 0 else 0.0
        size = f", {width} x {height} px" if width else ""
        self._rate = f"**{rate:.0f}** frames per second, {took * 1000:.0f} ms each{size}"

    def _follow_sound(self) -> None:
        """Keep the clock at what the browser's audio element plays."""
        while not self._stop.wait(0.5):
            clients = list(self.server.get_clients().values())
            if not self._clock.playing or not clients:
                continue
            try:
                text = clients[0].local_storage.get_item(EPOCH_KEY, timeout=1.0)
                if text is not None:
                    self._clock.follow(float(text))
            except (RuntimeError, TimeoutError, ValueError):
                # A page that closed or answers nonsense leaves the clock as it is.
                continue


def _count(avatar: LoadedAvatar) -> int:
    return len(avatar.model.face.gaussians) + len(avatar.model.mouth.gaussians)


def driven_motion(avatar: LoadedAvatar, sound: Waveform | None) -> MotionTrack:
    """The motion of a sound over the avatar's filmed track, or the clip's own motion."""
    return over_filmed(avatar, avatar.filmed.mouth_codes) if sound is None else motion_for_sound(avatar, sound)


def centred(image: UInt8[np.ndarray, "h w 3"], aspect: float) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Put a picture into the middle of a grey canvas of ``aspect`` = width / height."""
    height, width = image.shape[:2]
    canvas_width, canvas_height = (round(height * aspect), height) if aspect > width / height else (
        width, round(width / aspect))  # fmt: skip
    canvas = np.full((canvas_height, canvas_width, 3), 40, np.uint8)
    top, left = (canvas_height - height) // 2, (canvas_width - width) // 2
    canvas[top : top + height, left : left + width] = image
    return canvas


def quaternion(R: Float32[np.ndarray, "3 3"]) -> tuple[float, float, float, float]:
    """A rotation matrix as unit quaternion, wxyz."""
    import roma

    x, y, z, w = roma.rotmat_to_unitquat(torch.from_numpy(R)).tolist()
    return w, x, y, z


def free_port(host: str, port: int) -> int:
    """``port``, or the next one that nothing listens on.

    Raises:
        UserError: none of the next ports is free.
    """
    for candidate in range(port, port + PORTS_TRIED):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
                return candidate
            except socket.gaierror as error:
                raise UserError("an address of this machine", repr(host), "give another --host") from error
            except (OSError, OverflowError):
                continue
    raise UserError("a free port", f"{port} to {port + PORTS_TRIED - 1} in use", "name another one with --port")


def serve(
    avatar: Path,
    audio: Path | None,
    port: int,
    open_browser: bool,
    mode: Mode = "stream",
    host: str = "127.0.0.1",
    live: bool = False,
) -> None:
    """Show an avatar in the browser until interrupted.

    Args:
        avatar: avatar folder.
        audio: sound that drives it; without it the clip's own motion is played.
        port: port of the page; the next free one is taken when it is in use.
        open_browser: whether to open the page.
        mode: who draws, see :data:`Mode`.
        host: address to serve on; by default only this machine sees the page, for it shows a person's face.
        live: follow the fit that is running in the folder.

    Raises:
        UserError: the avatar or the sound cannot be read, or no port is free.
    """
    sound = (read_audio(audio), read_audio(audio, HEARD_RATE)) if audio is not None else None
    follower = FitFollower(avatar) if live else None
    app = ViewerApp(
        load_avatar(avatar) if follower is None else first_state(follower),
        sound,
        host,
        free_port(host, port),
        mode,
        follower,
    )
    address = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{app.server.get_port()}"
    print(f"viewer: {address} (Ctrl-C ends it)", flush=True)
    if open_browser:
        webbrowser.open(address)
    try:
        app.run()
    except KeyboardInterrupt:
        interrupt_answered()
        print("viewer closed", flush=True)
    finally:
        app.stop()
