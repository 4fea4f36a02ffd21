"""The viewer's controls: play and pause, what is shown, sliders, and the frame-rate read-out."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import soundfile
import viser

from gaussavatar.types import Waveform
from gaussavatar.view.clock import PlayClock

EPOCH_KEY = "gaussavatar-epoch"
"""Where the browser keeps the moment at which the heard sound began; viser reads it as local storage."""

SHOW_EVERY = 0.25
"""Seconds between updates of position and read-out."""

FIRST_SLIDERS = ("blink", "brow")
"""Upper-face sliders that are always in sight; the others are in a folder."""

_VISER_PREFIX = "viser-user:"


class Panel:
    """The controls of one page. All pages that are open share them."""

    def __init__(
        self,
        server: viser.ViserServer,
        clock: PlayClock,
        groups: Mapping[str, Sequence[int]],
        sound: Waveform | None,
        mode: str,
        changed: Callable[[], None],
        movements: Sequence[str] = (),
    ) -> None:
        """Build the controls; ``movements`` are sliders of the head model, for avatars that are bound to one."""
        self._clock = clock
        self._shown = 0.0
        self._sound = _data_url(sound) if sound is not None else None
        gui = server.gui
        self.play = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY)
        self._audio = gui.add_html("", visible=False)
        self.time = gui.add_markdown("")
        with gui.add_folder("View"):
            self.camera = gui.add_dropdown("camera", ("orbit", "as filmed"), initial_value="orbit")
            self.drawing = gui.add_dropdown("drawn by", ("stream", "splats"), initial_value=mode)
            self.head_moves = gui.add_checkbox("head moves", True)
        with gui.add_folder("Face"):
            self.driven = gui.add_checkbox("driven", True, hint="Whether the motion drives the face below the sliders.")
            self.opening = gui.add_slider("mouth opening", min=-0.5, max=1.0, step=0.01, initial_value=0.0)
            self.sliders = {name: _slider(gui, name) for name in groups if name in FIRST_SLIDERS}
            self.reset = gui.add_button("Reset sliders")
        with gui.add_folder("More of the face", expand_by_default=False):
            self.sliders |= {name: _slider(gui, name) for name in groups if name not in FIRST_SLIDERS}
        self.movements: dict[str, viser.GuiInputHandle[float]] = {}
        if movements:
            with gui.add_folder("Head model", expand_by_default=False):
                self.movements = {name: _slider(gui, name) for name in movements}
        self.rate = gui.add_markdown("")
        self.play.on_click(lambda _: self.toggle())
        self.reset.on_click(lambda _: self.reset_sliders())
        handles: list[Any] = [self.camera, self.drawing, self.head_moves, self.driven, self.opening]
        for handle in [*handles, *self.sliders.values(), *self.movements.values()]:
            handle.on_update(lambda _: changed())
        self._changed = changed

    def toggle(self) -> None:
        """Play or pause picture and sound together."""
        if self._clock.playing:
            self._clock.pause()
        else:
            self._clock.play()
        playing = self._clock.playing
        self.play.label = "Pause" if playing else "Play"
        self.play.icon = viser.Icon.PLAYER_PAUSE if playing else viser.Icon.PLAYER_PLAY
        if self._sound is not None:
            self._audio.content = audio_element(self._sound, self._clock.position()) if playing else ""
            self._audio.visible = playing
        self._changed()

    def reset_sliders(self) -> None:
        """Put every slider back to where it adds nothing."""
        for handle in (self.opening, *self.sliders.values(), *self.movements.values()):
            handle.value = 0.0

    def slider_values(self) -> dict[str, float]:
        """Values of the upper-face sliders by group."""
        return {name: handle.value for name, handle in self.sliders.items()}

    def movement_values(self) -> dict[str, float]:
        """Values of the head model's sliders by name."""
        return {name: handle.value for name, handle in self.movements.items()}

    def show(self, position: float, seconds: float, rate: str) -> None:
        """Update position and read-out, a few times per second: a page redraws its controls for every change."""
        now = time.monotonic()
        if now - self._shown >= SHOW_EVERY:
            self._shown = now
            self.time.content = f"{position:.1f} s of {seconds:.1f} s"
            self.rate.content = rate


def _slider(gui: viser.GuiApi, name: str) -> viser.GuiInputHandle[float]:
    return gui.add_slider(name, min=-1.0, max=1.5, step=0.01, initial_value=0.0)


def audio_element(source: str, position: float) -> str:
    """An audio element that starts at ``position`` seconds, repeats, and reports its clock.

    It writes the wall-clock moment of its time 0 into the page's local storage, from where the
    server reads it: so the sound that is heard is the clock of the picture.
    """
    report = f"localStorage.setItem('{_VISER_PREFIX}{EPOCH_KEY}', String(Date.now() / 1000 - this.currentTime))"
    start = f"if (!this.dataset.started) {{ this.dataset.started = 1; this.currentTime = {position:.3f}; }}"
    return f'<audio autoplay loop src="{source}" onloadedmetadata="{start}" ontimeupdate="{report}"></audio>'


def _data_url(sound: Waveform) -> str:
    # FLAC plays in every browser and, unlike MP3 and AAC, starts without an encoder's delay.
    packed = io.BytesIO()
    soundfile.write(packed, sound.samples, sound.rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(packed.getvalue()).decode()
