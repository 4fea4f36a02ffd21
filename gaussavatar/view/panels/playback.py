"""Play and pause, picture and sound together, and where the motion is."""

from __future__ import annotations

import base64
import io
from typing import Protocol, runtime_checkable

import soundfile
import viser

from gaussavatar.types import Waveform
from gaussavatar.view.page import Page, Panel, Reading

PLACE = 10

EPOCH_KEY = "gaussavatar-epoch"
"""Where the browser keeps the moment at which the heard sound began; viser reads it as local storage."""

_VISER_PREFIX = "viser-user:"


def build(gui: viser.GuiApi, page: Page) -> PlaybackPanel | None:
    """The play button, the sound, and the position below it; the player's page has its own."""
    return None if page.drawn == "player" else PlaybackPanel(gui, page)


class PlaybackPanel(Panel):
    """Starts and stops the page's clock."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        self._clock = page.clock
        self._sound = data_url(page.sound) if page.sound is not None else None
        self.play = gui.add_button("Play", icon=viser.Icon.PLAYER_PLAY)
        self._audio = gui.add_html("", visible=False)
        self.time = gui.add_markdown("")
        self.play.on_click(lambda _: self.toggle())

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

    def show(self, reading: Reading) -> None:
        """The place in the motion."""
        self.time.content = f"{reading.seconds:.1f} s of {reading.length:.1f} s"


def audio_element(source: str, position: float) -> str:
    """An audio element that starts at ``position`` seconds, repeats, and reports its clock.

    It writes the wall-clock moment of its time 0 into the page's local storage, from where the
    server reads it: so the sound that is heard is the clock of the picture.
    """
    report = f"localStorage.setItem('{_VISER_PREFIX}{EPOCH_KEY}', String(Date.now() / 1000 - this.currentTime))"
    start = f"if (!this.dataset.started) {{ this.dataset.started = 1; this.currentTime = {position:.3f}; }}"
    return f'<audio autoplay loop src="{source}" onloadedmetadata="{start}" ontimeupdate="{report}"></audio>'


@runtime_checkable
class PageStorage(Protocol):
    """What a page keeps, by name."""

    def get_item(self, key: str, *, timeout: float | None) -> str | None:
        """What is kept under a name; None where nothing is."""
        ...


def heard_epoch(storage: PageStorage) -> float | None:
    """The wall-clock moment of the time 0 of the sound that a page plays; None where it does not say."""
    try:
        text = storage.get_item(EPOCH_KEY, timeout=1.0)
        return None if text is None else float(text)
    except (RuntimeError, TimeoutError, ValueError):
        # A page that closed or answers nonsense leaves the clock as it is.
        return None


def data_url(sound: Waveform) -> str:
    """A sound as an address that holds it."""
    # FLAC plays in every browser and, unlike MP3 and AAC, starts without an encoder's delay.
    packed = io.BytesIO()
    soundfile.write(packed, sound.samples, sound.rate, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(packed.getvalue()).decode()
