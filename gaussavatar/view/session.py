"""One open page of the viewer: its panels, its motion, and what it is told. Pages know nothing of each other."""

from __future__ import annotations

import contextlib
import io
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import viser

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.driving import motion_for_sound, over_filmed
from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.controls import Controls as Wishes
from gaussavatar.motion.edit import opened, slider_groups
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import QuietProgress
from gaussavatar.serving.door import Served
from gaussavatar.speak.offline import speak
from gaussavatar.speak.wish import VideoWish
from gaussavatar.storage import scratch_folder
from gaussavatar.types import Waveform
from gaussavatar.view.clock import PlayClock
from gaussavatar.view.inside import branch_slices
from gaussavatar.view.inside_scene import InsideScene, Inspected
from gaussavatar.view.motions import motion_bytes
from gaussavatar.view.orbit import LARGEST, BrowserCamera
from gaussavatar.view.page import Page, Panel
from gaussavatar.view.panels import build_panels
from gaussavatar.view.panels.inside import InsidePanel
from gaussavatar.view.presets import command_line, load_presets, put_values, save_preset, values_of
from gaussavatar.view.server import first_view
from gaussavatar.view.shown import Shown
from gaussavatar.view.state import Controls, view_state

Tell = Callable[[Mapping[str, Any]], None]

ANYWHERE = BrowserCamera((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -1.0), 0.4, 1.0).camera(LARGEST)
"""A camera for states whose picture viser draws: it does not matter."""


@dataclass(frozen=True)
class Played:
    """A sound that a page plays: what is heard, and what the networks hear."""

    name: str
    file: Served
    waveform: Waveform


def played(path: Path, mime: str = "audio/wav") -> Played:
    """A sound file, whole.

    Raises:
        UserError: there is no sound in it.
    """
    data = path.read_bytes()
    return Played(path.name, Served(mime, lambda: data), read_audio(path))


class Session:
    """A page from its opening to its end."""

    def __init__(self, number: int, shown: Shown, tell: Tell, sound: Played | None, motion: Path | None) -> None:
        """Open the panels.

        Args:
            number: of the page.
            shown: the avatars.
            tell: sends a message to the page.
            sound: what it speaks at first; None plays the clip's own motion.
            motion: a motion file that is followed instead.
        """
        self.number = number
        self._shown, self._tell = shown, tell
        self._sound, self._motion = sound, motion
        self._made: dict[int, MotionTrack] = {}
        self._sent: dict[int, int] = {}
        self._tracks: dict[int, MotionTrack] = {}
        self._looked: float | None = None
        self._count = 0
        self._sound_count = 0
        self._face: object = None
        self._wishes: tuple[Wishes, int] | None = None
        self._lock = threading.RLock()
        with contextlib.redirect_stdout(io.StringIO()):
            self.server = viser.ViserServer("127.0.0.1", 0, verbose=False)
        self.server.gui.configure_theme(show_logo=False, show_share_button=False)
        self.server.gui.main_panel.dock_right()
        self.server.scene.set_up_direction("-y")
        self.server.scene.world_axes.visible = False
        self.inside = InsideScene(self.server, self._say_inside)
        self.panels: dict[str, Panel] = {}

    @property
    def panels_port(self) -> int:
        """Where the panels listen on loopback."""
        return self.server.get_port()

    def close(self) -> None:
        """Free what the page held."""
        self._shown.drop(f"/motion/{self.number}/")
        self._shown.drop(f"/sound/{self.number}/")
        with contextlib.redirect_stdout(io.StringIO()):
            self.server.stop()

    def poll(self) -> bool:
        """Tell the page what has changed; returns whether anything did."""
        with self._lock:
            avatars = dict(self._shown.avatars)
            if not avatars:
                return False
            if not self.panels:
                first = next(iter(avatars.values()))
                sliders, branches = tuple(slider_groups(first.upper_names)), tuple(branch_slices(first.loaded))
                page = Page(PlayClock(1.0), sliders, drawn="player", branches=branches)
                self.panels = build_panels(self.server.gui, page)
                self._tell({"kind": "panels", "url": f"/viser/{self.number}/"})
                self._tell_presets()
            asked = self._asked()
            self._poll_wishes(asked)
            moved = [index for index in avatars if self._sent.get(index) != self._count]
            for index in moved:
                self._send_motion(index, avatars[index])
            told = self._poll_face(asked, avatars, moved)
            return self._poll_inside(asked, avatars) or told or bool(moved)

    def _poll_face(self, asked: Controls, avatars: Mapping[int, Avatar], new: Sequence[int]) -> bool:
        """Sliders go to the page as what they add, at once."""
        face = (asked.driven, asked.opening, tuple(asked.sliders.items()))
        told = avatars if face != self._face else {index: avatars[index] for index in new}
        self._face = face
        for index, avatar in told.items():
            self._tell({"kind": "face", "avatar": index, "driven": asked.driven, **added(avatar, asked)})
        return bool(told)

    def _poll_inside(self, asked: Controls, avatars: Mapping[int, Avatar]) -> bool:
        """The first avatar's Gaussians stand in viser's scene while the page looks at them, and only then."""
        if self._looked is None or 0 not in avatars or 0 not in self._tracks:
            return self.inside.hide()
        loaded = avatars[0].loaded
        if not self.inside.shown:
            self.inside.look(first_view(loaded))
        state = view_state(loaded, self._tracks[0], asked, self._looked, ANYWHERE)
        return self.inside.show(Inspected(loaded, self._shown.starts.get(0)), state, asked.inside)

    def _say_inside(self, text: str) -> None:
        panel = self.panels.get("inside")
        if isinstance(panel, InsidePanel):
            panel.say(text)

    def _look_inside(self, message: Mapping[str, Any]) -> None:
        """The page looks inside, at a place of the motion, or does not any more."""
        seconds = message.get("seconds")
        sane = isinstance(seconds, int | float) and math.isfinite(seconds)
        self._looked = (float(seconds) if sane else 0.0) if message.get("on") is True else None

    def _poll_wishes(self, asked: Controls) -> None:
        """Wishes on the motion change the motion itself."""
        wishes = (asked.wishes, asked.seed)
        if wishes != self._wishes:
            self._wishes = wishes
            self._count += 1

    def _send_motion(self, index: int, avatar: Avatar) -> None:
        assert self._wishes is not None
        count = self._sent[index] = self._count
        heard = None if self._sound is None else self._sound.waveform
        try:
            track = avatar.controlled(self._base(index, avatar), *self._wishes, heard)
        except UserError as error:
            self._tell({"kind": "problem", "text": str(error)})
            return
        self._tracks[index] = track
        data = motion_bytes(track)
        path, old = f"/motion/{self.number}/{index}/{count}", f"/motion/{self.number}/{index}/"
        self._shown.drop(old)
        self._shown.put(path, Served("application/octet-stream", lambda: data))
        message: dict[str, Any] = {"kind": "motion", "avatar": index, "url": path, "seconds": track.seconds}
        if self._sound is not None:
            place = f"/sound/{self.number}/{self._sound_count}"
            self._shown.put(place, self._sound.file)
            message |= {"sound": place, "name": self._sound.name}
        head = "filmed" if np.allclose(track.T_camera_world, avatar.filmed.T_camera_world[track.places]) else "own"
        self._tell(message | {"filmed": self._sound is None and self._motion is None, "head": head})

    def _base(self, index: int, avatar: Avatar) -> MotionTrack:
        if index not in self._made:
            if self._motion is not None:
                self._made[index] = avatar.motion_from(self._motion)
            elif self._sound is not None:
                self._made[index] = motion_for_sound(avatar.loaded, self._sound.waveform)
            else:
                self._made[index] = over_filmed(avatar.loaded, avatar.filmed.mouth_codes)
        return self._made[index]

    def hear(self, message: Any) -> None:
        """Take a message of the page: a sound as bytes, or a wish."""
        asked: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "own motion": lambda _: self._play(None),
            "record": self._record,
            "command": lambda _: self._tell({"kind": "command", "text": self._command()}),
            "save preset": self._save_preset,
            "recall preset": self._recall_preset,
            "inside": self._look_inside,
        }
        with self._lock:
            try:
                if isinstance(message, bytes):
                    self._take_sound(message)
                elif message.get("kind") in asked and self.panels:
                    asked[message["kind"]](message)
            except UserError as error:
                self._tell({"kind": "problem", "text": str(error)})

    def _asked(self) -> Controls:
        asked = Controls()
        for panel in self.panels.values():
            asked = panel.put(asked)
        return asked

    def _command(self) -> str:
        avatar = self._shown.avatars[0]
        sound = None if self._sound is None else self._sound.name
        return command_line(self._shown.folders[0], sound, self._motion, self._asked(), avatar.upper_names)

    def _save_preset(self, message: Mapping[str, Any]) -> None:
        save_preset(self._shown.folders[0], str(message.get("name", "")), values_of(self.panels))
        self._tell_presets()
        self._tell({"kind": "told", "text": f"kept beside the avatar: {message.get('name')}"})

    def _recall_preset(self, message: Mapping[str, Any]) -> None:
        kept = load_presets(self._shown.folders[0])
        name = str(message.get("name", ""))
        if name not in kept:
            raise UserError("a preset of this avatar", repr(name), f"name one of: {', '.join(kept) or 'none yet'}")
        put_values(self.panels, kept[name])

    def _tell_presets(self) -> None:
        self._tell({"kind": "presets", "names": list(load_presets(self._shown.folders[0]))})

    def _record(self, message: Mapping[str, Any]) -> None:
        """Write what is shown, sliders and all, as an mp4 in a thread of its own, and hand it to the page."""
        avatar, asked, sound = self._shown.avatars[0], self._asked(), self._sound
        assert self._wishes is not None
        heard = None if sound is None else sound.waveform
        track = avatar.controlled(self._base(0, avatar), *self._wishes, heard)
        upper, loaded = np.float32(added(avatar, asked)["upper"]), avatar.loaded
        codes = opened(track.mouth_codes, asked.opening, loaded.closed.cpu().numpy(), loaded.wide_open)
        track = replace(track, mouth_codes=codes, upper=track.upper + upper)
        background = str(message.get("background", "plate"))
        threading.Thread(target=self._write, args=(avatar, track, sound, background), daemon=True).start()

    def _write(self, avatar: Avatar, track: MotionTrack, sound: Played | None, background: str) -> None:
        clear = background == "none"
        name = f"{avatar.name}-recorded{'.webm' if clear else '.mp4'}"
        with scratch_folder() as folder:
            out, heard = folder / name, None
            try:
                if sound is not None:
                    heard = folder / "sound"
                    heard.write_bytes(sound.file.body())
                speak(heard, avatar.loaded, out, QuietProgress(), VideoWish(background=background), track)
            except UserError as error:
                self._tell({"kind": "problem", "text": str(error)})
                return
            data = out.read_bytes()
        place = f"/sound/{self.number}/{name}"
        self._shown.put(place, Served("video/webm" if clear else "video/mp4", lambda: data))
        self._tell({"kind": "recorded", "url": place, "name": name})

    def _take_sound(self, data: bytes) -> None:
        """A sound that was dropped into the page, or recorded there."""
        with scratch_folder() as folder:
            path = folder / "sound"
            path.write_bytes(data)
            try:
                waveform = read_audio(path)
            except UserError as error:
                self._tell({"kind": "problem", "text": str(error).replace(str(path), "what was dropped")})
                return
        self._play(Played("the page's sound", Served("application/octet-stream", lambda: data), waveform))

    def _play(self, sound: Played | None) -> None:
        self._sound, self._motion = sound, None
        self._made.clear()
        self._sound_count += 1
        self._count += 1


def added(avatar: Avatar, face: Controls) -> dict[str, Any]:
    """What sliders add to every frame: to the upper-face channels, and along the opening of the mouth."""
    upper = [0.0] * len(avatar.upper_names)
    groups = slider_groups(avatar.upper_names)
    for name, value in face.sliders.items():
        for channel in groups.get(name, ()):
            upper[channel] += value
    loaded = avatar.loaded
    mouth = {"opening": face.opening, "closed": loaded.closed.tolist(), "wide": loaded.wide_open.tolist()}
    return {**mouth, "upper": upper}
