"""The avatar as a program uses it: sound in, motion and pictures out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Float32, UInt8

from gaussavatar.avatar.background import Background, parse_background
from gaussavatar.avatar.behind import TorsoKind, behind_elsewhere, behind_head, check_torso
from gaussavatar.avatar.controlled import controlled, person_of
from gaussavatar.avatar.curves import curves_of_motion, motion_of_curves, motion_of_file
from gaussavatar.avatar.driving import (
    check_motion,
    layers,
    layers_from,
    motion_for_sound,
    opaque_frames,
    over_filmed,
    transparent_frames,
)
from gaussavatar.avatar.finding import find_avatar
from gaussavatar.avatar.idle import idle_motion
from gaussavatar.avatar.live.opening import RATE, Render, open_live
from gaussavatar.avatar.live.session import Live, Pace
from gaussavatar.avatar.load import Hearing
from gaussavatar.avatar.load import load_avatar as load_folder
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.errors import UserError
from gaussavatar.media.sound import Sound, as_waveform
from gaussavatar.motion.arkit import ArkitCurves
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.motion.viewpoint import orbited, resized
from gaussavatar.native.threads import frame_parallel
from gaussavatar.storage import scratch_folder
from gaussavatar.types import Camera, Rendered

Picture = UInt8[np.ndarray, "h w c"]
"""8-bit RGB, or RGBA with straight alpha before the background ``none``."""


@dataclass(frozen=True)
class Avatar:
    """A fitted avatar, loaded. Get one from :func:`gaussavatar.load_avatar`."""

    loaded: LoadedAvatar
    """What it is made of, for those who need more than this class offers."""

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.loaded.path.resolve().name

    @property
    def record(self) -> AvatarRecord:
        """Whose face it is and on what consent, how it was fitted, and what it is made of."""
        return self.loaded.record

    @property
    def size(self) -> int:
        """Side of its square pictures as filmed, pixels."""
        return self.loaded.size

    @property
    def upper_names(self) -> tuple[str, ...]:
        """Names of the upper-face channels (lids, brows), in the order of ``MotionTrack.upper``."""
        return self.loaded.upper_names

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Movements that ``expression`` can ask for by name; () unless the avatar was fitted with binding = head."""
        return self.loaded.expression_names

    @property
    def filmed(self) -> MotionTrack:
        """A stretch of the person's own motion, as it was filmed."""
        return self.loaded.filmed

    @property
    def rest(self) -> FaceState:
        """The face with a closed mouth and the lids and brows as the person mostly holds them."""
        return FaceState(self.loaded.closed.cpu().numpy(), self.loaded.resting_upper)

    def motion_for(self, sound: Sound) -> MotionTrack:
        """The motion with which the avatar speaks a sound, 25 frames per second.

        The sound moves the lips; head, lids and brows are the person's own, from the filmed track.

        Args:
            sound: a file, a ``Waveform``, or samples and their rate.

        Raises:
            UserError: no such file, no sound in it, or samples that are none.
        """
        with frame_parallel():
            return motion_for_sound(self.loaded, as_waveform(sound))

    def motion_of_codes(self, mouth_codes: Float[np.ndarray, "n m"]) -> MotionTrack:
        """A motion whose lips follow codes of your own; head, lids and brows are the person's, from the filmed track.

        Raises:
            UserError: not as many codes per frame as the avatar has, no frame, or numbers that are not finite.
        """
        codes, wanted = numbers(mouth_codes, "mouth codes"), self.filmed.mouth_codes.shape[1]
        if codes.ndim != 2 or codes.shape[1] != wanted or len(codes) == 0:
            raise UserError(f"mouth codes of shape (frames, {wanted})", f"{codes.shape}", "give these")
        return over_filmed(self.loaded, codes)

    def motion_from(self, source: Path | str | ArkitCurves) -> MotionTrack:
        """The motion in a file (a saved track, a table, ARKit curves as CSV or JSON), or that follows curves.

        Curves go through this person's own map, at the curves' frame rate. An avatar from before there was such a map
        opens and closes its lips and moves its lids and brows by them, no more: fit it again for the rest.

        Raises:
            UserError: no such file, one of another kind, or a track of another avatar.
        """
        if isinstance(source, ArkitCurves):
            return motion_of_curves(self.loaded, source)
        return motion_of_file(self.loaded, source)

    def curves_of(self, track: MotionTrack) -> ArkitCurves:
        """The ARKit curves of a motion, for :func:`gaussavatar.write_curves` and other programs.

        Raises:
            UserError: a track of another avatar.
        """
        return curves_of_motion(self.loaded, track)

    def controlled(
        self, track: MotionTrack, controls: Controls, seed: int = 0, sound: Sound | None = None
    ) -> MotionTrack:
        """A motion with a user's wishes in it: gain of the mouth, blinks, brows, gaze, head, style.

        Args:
            track: from :meth:`motion_for`, a file, or edited.
            controls: the wishes.
            seed: of what is generated; another one gives other blinks and another sway.
            sound: what the motion speaks, for nods and brows that follow its stress.

        Raises:
            UserError: a track of another avatar, or a wish that this avatar cannot fulfil.
        """
        check_motion(self.loaded, track)
        heard = None if sound is None else as_waveform(sound)
        return controlled(self.loaded, track, controls, seed, heard)

    def idle(
        self, seconds: float, seed: int = 0, after: MotionTrack | None = None, before: MotionTrack | None = None
    ) -> MotionTrack:
        """A motion without sound: closed lips, new blinks, a head that sways; never the same with another seed.

        Args:
            seconds: how long.
            seed: of what is generated.
            after: the motion that it follows without a jump, for ``MotionTrack.joined``.
            before: the motion that follows it.

        Raises:
            UserError: no length, motions of another avatar, or of different frame rates.
        """
        for other in (after, before):
            if other is not None:
                check_motion(self.loaded, other)
        return idle_motion(person_of(self.loaded), seconds, seed, after, before)

    def live(
        self,
        *,
        render: Render = "motion",
        hearing: Hearing = "light",
        seed: int | None = None,
        buffer: float = Pace.buffer,
        cushion: float = Pace.cushion,
        rate: int = RATE,
        size: int | None = None,
        background: str | Path = "plate",
        torso: TorsoKind = "real",
        clock: Callable[[], float] = time.monotonic,
        voice: Sound | None = None,
    ) -> Live:
        """A live session: sound is pushed as it comes, frames of motion or pictures with their sound are taken.

        Args:
            render: ``motion`` for codes, upper face and pose; ``image`` for pictures as well.
            hearing: which audio network: ``light`` needs some 200 ms of sound ahead and little time, ``best`` more.
            seed: of blinks, sway and glances; another one each time when None.
            buffer: seconds before they are due at which frames may be given out.
            cushion: seconds of sound beyond what the lips need that are waited for before speech begins, against
                sound that comes unevenly.
            rate: samples per second of the sound that is given out.
            size: side of pictures, pixels; the avatar's own when None.
            background: of pictures, see :meth:`frames`.
            torso: of pictures, see :meth:`frames`.
            clock: what time it is, in seconds; for tests and for programs with a clock of their own.
            voice: the voice that will speak, where it is known: a recording of it, or ``own`` for the person's. Then
                lips are right from the first word of a sound that comes as it is spoken.

        Raises:
            UserError: a wish that cannot be had, or audio features that cannot follow sound that is still coming.
        """
        return open_live(
            self.loaded, render=render, hearing=hearing, seed=seed, buffer=buffer, cushion=cushion, rate=rate,
            size=size, background=background, torso=torso, clock=clock, voice=voice,
        )  # fmt: skip

    def codes_of_opening(self, opening: Float[np.ndarray, "n"]) -> Float32[np.ndarray, "n m"]:
        """Mouth codes that open the lips by so much: 0 is closed, 1 as wide as this person's clip shows, and a little.

        Beyond 1 it goes on the same way, and teeth that nobody filmed begin to tear.

        Raises:
            UserError: not one finite number per frame.
        """
        values = numbers(opening, "openings")
        if values.ndim != 1:
            raise UserError("openings of shape (frames,)", f"{values.shape}", "give one number per frame")
        return self.rest.mouth_codes + values[:, None] * self.loaded.wide_open

    def camera(self, yaw: float = 0.0, pitch: float = 0.0, zoom: float = 1.0, size: int | None = None) -> Camera:
        """A camera around the head; all defaults give the one that filmed.

        Args:
            yaw: degrees; positive goes round to the picture's right.
            pitch: degrees; positive goes up.
            zoom: how much larger the head is in the picture.
            size: side of the square picture, pixels; the avatar's own when None.

        Raises:
            UserError: an angle, a zoom or a size out of reason.
        """
        side = self.size if size is None else size
        turned = abs(yaw) <= 180 and abs(pitch) <= 90 and 0.05 <= zoom <= 20
        if not turned or not isinstance(side, int) or not 16 <= side <= 4096:
            came = f"yaw {yaw}, pitch {pitch}, zoom {zoom}, size {side}"
            raise UserError("yaw within 180, pitch within 90, zoom .05 to 20, size 16 to 4096", came, "change it")
        filming = Camera(self.filmed.T_camera_world[0], self.loaded.K, self.size, self.size)
        centre = self.loaded.activated(self.rest.mouth_codes, self.rest.upper).means.mean(dim=0).cpu().numpy()
        return resized(orbited(filming, centre, np.radians(yaw), np.radians(pitch)), side, zoom)

    def frames(
        self,
        track: MotionTrack,
        *,
        camera: Camera | None = None,
        background: str | Path = "plate",
        torso: TorsoKind = "real",
        expression: Mapping[str, float] | None = None,
    ) -> Iterator[Picture]:
        """Pictures of a motion, one by one; memory does not grow with its length.

        Args:
            track: from :meth:`motion_for`, :meth:`motion_of_codes`, or edited.
            camera: from :meth:`camera`, or one of your own in the head space of the filmed track's first frame; None
                is the filming camera, with the filmed torso and place.
            background: ``plate``: the filmed place (grey for another camera); ``#rrggbb``; a picture's path; ``none``:
                RGBA pictures with a transparent background.
            torso: ``real`` pastes the filmed torso, ``gaussians`` draws the torso branch. Another camera sees the
                torso branch; avatars of older programs may have none.
            expression: movements by name on top of the motion, 1 being full.

        Raises:
            UserError: a background, torso or movement that cannot be had, or a track of another avatar.
        """
        wish = parse_background(background)
        check_motion(self.loaded, track)
        check_torso(self.loaded, torso)
        if camera is not None:
            check_camera(camera)
        self.loaded.expression_rows(expression, 1)
        return self._drawn(track, camera, wish, torso, expression)

    def _drawn(
        self,
        track: MotionTrack,
        camera: Camera | None,
        wish: Background,
        torso: TorsoKind,
        expression: Mapping[str, float] | None,
    ) -> Iterator[Picture]:
        with scratch_folder() as folder:
            if camera is None:
                drawn = layers(self.loaded, track, behind_head(self.loaded, wish, folder, torso), expression)
            else:
                behind = behind_elsewhere(self.loaded, wish, camera)
                drawn = layers_from(self.loaded, track, camera, behind, expression)
            yield from (transparent_frames if wish.clear else opaque_frames)(_in_parallel(drawn))

    def speak(self, sound: Sound, **seen: object) -> Iterator[Picture]:
        """Pictures of the avatar speaking a sound; :meth:`frames` says what else can be given.

        Raises:
            UserError: see :meth:`motion_for` and :meth:`frames`.
        """
        return self.frames(self.motion_for(sound), **seen)  # type: ignore[arg-type]

    def picture(
        self,
        face: FaceState | None = None,
        *,
        camera: Camera | None = None,
        background: str | Path = "plate",
        expression: Mapping[str, float] | None = None,
    ) -> Picture:
        """One picture of one state of the face, with the head as in the filmed track's first frame.

        Args:
            face: the resting face when None.
            camera: see :meth:`frames`.
            background: see :meth:`frames`.
            expression: see :meth:`frames`.

        Raises:
            UserError: see :meth:`frames`.
        """
        state, first = face or self.rest, self.filmed.frames(0, 1)
        codes, upper = numbers(state.mouth_codes, "mouth codes"), numbers(state.upper, "upper-face channels")
        track = MotionTrack(codes[None], upper[None], first.T_camera_world, first.places)
        return next(self.frames(track, camera=camera, background=background, expression=expression))


def numbers(values: object, what: str) -> Float32[np.ndarray, "..."]:
    """An array of finite numbers.

    Raises:
        UserError: it is none.
    """
    try:
        array = np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise UserError(f"{what} as an array of numbers", type(values).__name__, "give an array") from error
    if not np.isfinite(array).all():
        raise UserError(f"finite {what}", "NaN or infinity in them", "mend the array")
    return array


def check_camera(camera: Camera) -> None:
    """Refuse what is no camera.

    Raises:
        UserError: another thing, matrices of other shapes or without meaning, or a picture size out of reason.
    """
    do = "take one from avatar.camera(), or give T_camera_world (4, 4), K (3, 3) and whole pixels"
    if not isinstance(camera, Camera):
        raise UserError("a Camera", type(camera).__name__, do)
    T, K = np.asarray(camera.T_camera_world), np.asarray(camera.K)
    sizes = (camera.width, camera.height)
    whole = all(isinstance(size, int) and 1 <= size <= 8192 for size in sizes)
    if not whole or T.shape != (4, 4) or K.shape != (3, 3) or not (np.isfinite(T).all() and np.isfinite(K).all()):
        raise UserError("a camera of finite matrices and 1 to 8192 pixels", f"{T.shape}, {K.shape}, {sizes}", do)
    if K[0, 0] <= 0 or K[1, 1] <= 0 or abs(np.linalg.det(T[:3, :3]) - 1) > 0.01:
        raise UserError("a camera with focal lengths above 0 and a rotation", "another one", do)


def _in_parallel(drawn: Iterator[Rendered]) -> Iterator[Rendered]:
    """Draw with the cores given to whole frames, and give them back before the caller goes on."""
    while True:
        with frame_parallel():
            layer = next(drawn, None)
        if layer is None:
            return
        yield layer


def load_avatar(
    path: Path | str | None = None, *, features: Literal["best", "light"] = "best", ood: float | None = None
) -> Avatar:
    """Load a fitted avatar.

    Args:
        path: its folder; the one fitted last below ``./avatars`` when None.
        features: which of its audio networks hears: the best one, or the light one, which needs nothing installed and
            little look-ahead.
        ood: how far a voice of a kind that its network never heard is brought to what it did hear, 0 to 1; .3 unless
            the avatar's recipe said otherwise (``speaking.ood``). Avatars from before this was learnt hear as they did.

    Raises:
        UserError: there is none, or it is damaged or of a newer version; or it has no light network; or ``ood`` is no
            number from 0 to 1.
    """
    if features not in ("best", "light"):
        raise UserError("features best or light", repr(features), "give one of them")
    if ood is not None and (isinstance(ood, bool) or not isinstance(ood, int | float)):
        raise UserError("an ood of 0 to 1", repr(ood), "give a number")
    return Avatar(load_folder(find_avatar(None if path is None else Path(path)), hearing=features, ood=ood))
