"""The live viewer's server: a viser page, its loop, its clients, and what is sent to them."""

from __future__ import annotations

import contextlib
import io
import math
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import viser

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.driving import motion_for_sound, over_filmed
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.states import mouth_of
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.controls import Controls as Wishes
from gaussavatar.motion.edit import channel_groups, slider_groups
from gaussavatar.motion.track import MotionTrack
from gaussavatar.serving.address import free_port, page_address
from gaussavatar.serving.until import serve_until_stopped
from gaussavatar.storage import scratch_folder
from gaussavatar.types import VIDEO_FPS, Waveform
from gaussavatar.view.clock import PlayClock
from gaussavatar.view.frames import Painter
from gaussavatar.view.live import FitFollower, FitWatch, first_state
from gaussavatar.view.orbit import LARGEST, BrowserCamera, StartView, start_view
from gaussavatar.view.pace import Pace, Rate
from gaussavatar.view.page import Page, Reading
from gaussavatar.view.panels import build_panels
from gaussavatar.view.panels.playback import heard_epoch
from gaussavatar.view.splats import SplatLayer
from gaussavatar.view.state import Controls, Drawn, ViewState, view_state

HEARD_RATE = 24_000
"""Samples per second of the sound that the page plays."""

READ_OUT_EVERY = 0.25
"""Seconds between updates of what is read out: a page redraws its controls for every change."""

ARRIVING = 1.5
"""Seconds in which a new page's camera may still be viser's own, from the side, before it goes where it was sent."""


class Viewer:
    """The page of one avatar: reads cameras and controls, has states of them drawn, sends what was drawn."""

    def __init__(
        self,
        avatar: LoadedAvatar,
        sound: tuple[Waveform, Waveform] | None,
        host: str,
        port: int,
        drawn: Drawn = "stream",
        watch: FitWatch | None = None,
    ) -> None:
        """Open the page.

        Args:
            avatar: what is shown.
            sound: the driving sound at the analysis rate and as it is heard; None plays the clip's own motion.
            host: address that the page is served on.
            port: port of the page.
            drawn: who draws at the beginning.
            watch: tells of newer states of a fit that is running.
        """
        self._sound = sound[0] if sound else None
        self._unwished = self._motion = motion_of(avatar, self._sound)
        self._wishes = (Controls().wishes, Controls().seed)
        self._watch = watch
        self._paces: dict[int, Pace] = {}
        self._arrived: dict[int, float] = {}
        self._splat_rate = Rate()
        self._splats_sent: ViewState | None = None
        self._rate, self._read_out = "", 0.0
        self._held = ExitStack()
        folder = self._held.enter_context(scratch_folder())
        self._stop = threading.Event()
        self.painter = Painter(avatar, folder)
        self.clock = PlayClock(self._motion.seconds)
        # viser announces itself on stdout; serve() prints the one line that matters.
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = viser.ViserServer(host, port, label=avatar.path.resolve().name, verbose=False)
        self.splats = SplatLayer(self.server)
        view = first_view(avatar)
        self._start = BrowserCamera((1.0, 0.0, 0.0, 0.0), tuple(view.position.tolist()), view.fov, 1.0)
        self._set_up_scene(view)
        names = tuple(slider_groups(avatar.upper_names)), tuple(channel_groups(avatar.expression_names))
        heard = sound[1] if sound else None
        self.panels = build_panels(self.server.gui, Page(self.clock, *names, sound=heard, drawn=drawn, watch=watch))

    def _set_up_scene(self, view: StartView) -> None:
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.scene.set_up_direction("-y")
        self.server.scene.world_axes.visible = False
        start = self.server.initial_camera
        start.position, start.look_at, start.fov = view.position, view.look_at, view.fov
        start.near = 0.01

    def show(self, avatar: LoadedAvatar) -> None:
        """Go over to another state of the same person's avatar; controls, cameras and clock stay."""
        self.painter.show(avatar)
        self._unwished = motion_of(avatar, self._sound)
        self._fulfil(self._wishes)
        self._paces.clear()
        self._splats_sent = None

    def stop(self) -> None:
        """End the loop and close the page."""
        self._stop.set()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()
        self._held.close()

    def run(self) -> None:
        """Serve until :meth:`stop` or Ctrl-C."""
        threading.Thread(target=self._follow_sound, daemon=True).start()
        if self._watch is not None:
            threading.Thread(target=self._watch.follow, args=(self._stop,), daemon=True).start()
        while not self._stop.is_set():
            started = time.perf_counter()
            worked = self.step()
            left = 1 / VIDEO_FPS - (time.perf_counter() - started)
            if left > 0 or not worked:
                self._stop.wait(max(left, 0.005))

    def step(self) -> bool:
        """Bring every open page up to date; returns whether anything was sent."""
        newer = self._watch.take() if self._watch is not None else None
        if newer is not None:
            self.show(newer)
        seconds, now = self.clock.position(), time.monotonic()
        if now - self._read_out >= READ_OUT_EVERY:
            self._read_out = now
            for panel in self.panels.values():
                panel.show(Reading(seconds, self._motion.seconds, self._rate))
        clients, controls = self.server.get_clients(), self.controls()
        if (controls.wishes, controls.seed) != self._wishes:
            self._fulfil((controls.wishes, controls.seed))
        for gone in self._paces.keys() - clients.keys():
            del self._paces[gone]
        for gone in self._arrived.keys() - clients.keys():
            del self._arrived[gone]
        if controls.drawn == "splats" and controls.seen == "orbit":
            return self._send_splats(self.state(seconds, self._start, LARGEST, controls))
        if self.splats.hide():
            self._paces.clear()
        sent = [self._send_picture(number, client, seconds, controls) for number, client in clients.items()]
        return any(sent)

    def _fulfil(self, wishes: tuple[Wishes, int]) -> None:
        """Play the motion as the panels wish it; a wish that this avatar cannot fulfil changes nothing."""
        self._wishes = wishes
        with contextlib.suppress(UserError):
            self._motion = Avatar(self.painter.avatar).controlled(self._unwished, *wishes, self._sound)

    def controls(self) -> Controls:
        """What all panels together ask for."""
        controls = Controls()
        for panel in self.panels.values():
            controls = panel.put(controls)
        return controls

    def state(self, seconds: float, camera: BrowserCamera, rows: int, controls: Controls | None = None) -> ViewState:
        """What is to be seen at a moment of the motion by a page's camera, in a picture of about so many rows."""
        asked = self.controls() if controls is None else controls
        return view_state(self.painter.avatar, self._motion, asked, seconds, camera.camera(rows))

    def _send_picture(self, number: int, client: viser.ClientHandle, seconds: float, controls: Controls) -> bool:
        """Send a page its picture, unless it has it; returns whether it was sent."""
        own, now = client.camera, time.monotonic()
        if own.update_timestamp == 0.0 or (controls.seen == "orbit" and not self._stands(number, own.position, now)):
            return False
        pace = self._paces.setdefault(number, Pace())
        camera = BrowserCamera(tuple(own.wxyz), tuple(own.position), own.fov, own.aspect)
        rows = min(LARGEST, max(own.image_height, 2))
        whole = self.state(seconds, camera, rows, controls)
        due, moving = pace.due(whole, now)
        if not due:
            return False
        started = time.perf_counter()
        affordable = pace.rows(moving, own.aspect)
        smaller = controls.seen == "orbit" and affordable < rows
        image = self.painter.picture(self.state(seconds, camera, affordable, controls) if smaller else whole)
        client.scene.set_background_image(image, "jpeg", jpeg_quality=80 if moving else 92)
        size, took = (image.shape[1], image.shape[0]), time.perf_counter() - started
        pace.sent(whole, moving, size, took)
        self._rate = pace.rate.tell(time.monotonic(), took, size)
        return True

    def _stands(self, number: int, position: np.ndarray, now: float) -> bool:
        """Whether a page looks from where it was sent or went: a new one may first tell viser's own place."""
        arrived = self._arrived.setdefault(number, now)
        if now - arrived < ARRIVING and not np.allclose(position, self._start.position, atol=0.05):
            return False
        self._arrived[number] = -math.inf
        return True

    def _send_splats(self, state: ViewState) -> bool:
        """Put a state's Gaussians into the scene, unless they are there; returns whether anything was sent."""
        if self.splats.shown and state == self._splats_sent:
            return self.splats.follow()
        started = time.perf_counter()
        self.splats.show(self.painter.splats(state), mouth_of(self.painter.avatar))
        self._splats_sent = state
        self._rate = self._splat_rate.tell(time.monotonic(), time.perf_counter() - started)
        return True

    def _follow_sound(self) -> None:
        """Keep the clock at what the browser's audio element plays."""
        while not self._stop.wait(0.5):
            clients = list(self.server.get_clients().values())
            if self.clock.playing and clients and (epoch := heard_epoch(clients[0].local_storage)) is not None:
                self.clock.follow(epoch)


def motion_of(avatar: LoadedAvatar, sound: Waveform | None) -> MotionTrack:
    """The motion of a sound over the avatar's filmed track, or the clip's own motion."""
    return over_filmed(avatar, avatar.filmed.mouth_codes) if sound is None else motion_for_sound(avatar, sound)


def first_view(avatar: LoadedAvatar) -> StartView:
    """The filming camera, turned to the middle of the head."""
    rest = Avatar(avatar).rest
    centre = avatar.activated(rest.mouth_codes, rest.upper).means.mean(dim=0).cpu().numpy()
    return start_view(avatar.filmed.T_camera_world[0], avatar.K, avatar.size, centre)


def serve(
    avatar: Path,
    audio: Path | None,
    port: int,
    open_browser: bool,
    mode: Drawn = "stream",
    host: str = "127.0.0.1",
    live: bool = False,
) -> None:
    """Show an avatar in the browser until interrupted.

    Args:
        avatar: avatar folder.
        audio: sound that drives it; without it the clip's own motion is played.
        port: port of the page; the next free one is taken when it is in use.
        open_browser: whether to open the page.
        mode: who draws, see :data:`~gaussavatar.view.state.Drawn`.
        host: address to serve on; by default only this machine sees the page, for it shows a person's face.
        live: follow the fit that is running in the folder.

    Raises:
        UserError: the avatar or the sound cannot be read, or no port is free.
    """
    sound = (read_audio(audio), read_audio(audio, HEARD_RATE)) if audio is not None else None
    follower = FitFollower(avatar) if live else None
    viewer = Viewer(
        load_avatar(avatar) if follower is None else first_state(follower),
        sound,
        host,
        free_port(host, port),
        mode,
        FitWatch(follower) if follower is not None else None,
    )
    address = page_address(host, viewer.server.get_port())
    serve_until_stopped("viewer", address, host, open_browser, viewer.stop, viewer.run)
