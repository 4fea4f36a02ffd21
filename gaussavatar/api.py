"""The functions of the public Python API; ``import gaussavatar`` offers them by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.avatar.avatar import Avatar, load_avatar
from gaussavatar.avatar.behind import TorsoKind
from gaussavatar.errors import UserError
from gaussavatar.media.images import write_image
from gaussavatar.media.signing import Credentials
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.track import MotionTrack
from gaussavatar.packages import require_tracking
from gaussavatar.progress import Progress, QuietProgress, TerminalProgress
from gaussavatar.speak.offline import speak
from gaussavatar.speak.text import registry as texts
from gaussavatar.speak.wish import VideoWish

if TYPE_CHECKING:
    from gaussavatar.fitting.request import FitRequest, FitResult

__all__ = ["fit", "load_avatar", "reenact", "save_picture", "save_video", "say_text", "track"]


def save_picture(path: Path | str, picture: UInt8[np.ndarray, "h w c"]) -> None:
    """Write a picture as png or jpg, by the path's suffix.

    Args:
        path: where to.
        picture: 8-bit RGB, RGBA or grey, as :meth:`Avatar.frames` gives them.

    Raises:
        UserError: no such picture, another suffix, or a path that cannot be written.
    """
    array = np.asarray(picture)
    shaped = array.ndim in (2, 3) and array.size > 0 and array.shape[2:] in ((), (3,), (4,))
    if array.dtype != np.uint8 or not shaped:
        came = f"{array.dtype} of shape {array.shape}"
        raise UserError("a picture as uint8 (height, width, 3 or 4)", came, "scale it to 0..255 and convert it")
    write_image(Path(path), array)


def fit(
    video: Path | str,
    out: Path | str | None = None,
    *,
    recipe: str = "default",
    settings: Mapping[str, Any] | Sequence[str] = (),
    show_progress: bool = False,
    **facts: Any,
) -> FitResult:
    """Fit an avatar to a video of one person talking; goes on where a former call with the same inputs stopped.

    ``gaussavatar.load_avatar(result.avatar)`` loads what comes out.

    Args:
        video: any video that ffmpeg reads, with sound and one face; one to five minutes are good, 5 seconds the least.
        out: the avatar's folder; ``./avatars/<name of the video>`` when None.
        recipe: ``preview`` (256 px, about ten minutes on two cores), ``default`` (512 px), another recipe's name, or a
            YAML file.
        settings: changes of the recipe: ``{"training.stages.fuse.iterations": 500}``, or lines ``key=value``.
        show_progress: whether to tell progress on stderr.
        facts: other fields of :class:`~gaussavatar.fitting.request.FitRequest`: ``subject``, ``consent``, ``seed``,
            ``device``, ``focal``, ``av_offset_ms``, ``head``, ``parser``, ``blendshapes``.

    Raises:
        UserError: whatever is wrong with the video or the wishes, before the hours are spent.
        TypeError: a fact that there is not.
    """
    require_tracking("fit")
    from gaussavatar.fitting import fit as fitting

    request = _request(video, out, recipe, settings, facts)
    return fitting.fit(request, _progress(show_progress))


def track(
    video: Path | str,
    out: Path | str | None = None,
    *,
    settings: Mapping[str, Any] | Sequence[str] = (),
    show_progress: bool = False,
    **facts: Any,
) -> Path:
    """Stop after frames, head poses, the person's head, masks and the quality page; sound is not needed.

    Args:
        video: any video that ffmpeg reads, with one face.
        out: the folder to write; ``./tracks/<name of the video>`` when None.
        settings: see :func:`fit`.
        show_progress: see :func:`fit`.
        facts: see :func:`fit`.

    Returns:
        The capture folder.

    Raises:
        UserError: whatever is wrong with the video or the wishes.
        TypeError: a fact that there is not.
    """
    require_tracking("track")
    from gaussavatar.fitting import fit as fitting

    return fitting.track(_request(video, out, "default", settings, facts), _progress(show_progress))


def save_video(
    avatar: Avatar | Path | str,
    sound: Path | str | None,
    out: Path | str | None = None,
    *,
    motion: MotionTrack | Path | str | None = None,
    controls: Controls | None = None,
    background: str | Path = "plate",
    torso: TorsoKind = "real",
    fps: float | None = None,
    size: int | None = None,
    crop: str | None = None,
    start: float = 0.0,
    stop: float | None = None,
    sign_cert: Path | str | None = None,
    sign_key: Path | str | None = None,
    show_progress: bool = False,
) -> Path:
    """Write a video of an avatar speaking a sound file, with that sound and exactly as long.

    A video of more than a minute goes on where a former call with the same inputs was killed.

    Args:
        avatar: a loaded avatar, or its folder.
        sound: any sound or video that ffmpeg reads; None for a video of ``motion`` without a sound track.
        out: ``<avatar>-<sound>.mp4`` in the working directory when None; ``.mov`` where it is transparent.
        motion: an edited motion instead of the one that the sound gives, or its file: a motion track, or curves of
            ARKit's shapes.
        controls: wishes on top of the motion: gain of the mouth, blinks, brows, gaze, head, style, movements.
        background: ``plate``, ``none``, ``#rrggbb`` or a picture's path.
        torso: ``real`` pastes the filmed torso, ``gaussians`` draws the torso branch.
        fps: frames per second; 25, or those of ``motion``, when None.
        size: the larger side of the video, pixels; as filmed when None.
        crop: ``head``, or ``x,y,width,height`` in pixels of the filmed picture; all of it when None.
        start: from which second of the sound and of the motion.
        stop: to which second; to the end when None.
        sign_cert: your certificate (PEM): the video gets signed content credentials; the extra ``provenance``.
        sign_key: its private key.
        show_progress: whether to tell progress on stderr.

    Returns:
        The video.

    Raises:
        UserError: no such sound, avatar or picture, or the output cannot be written.
    """
    if sound is not None and not isinstance(sound, str | Path):
        do = "write the samples to a wav file, or take pictures from avatar.speak"
        raise UserError("the path of a sound file", type(sound).__name__, do)
    loaded = avatar.loaded if isinstance(avatar, Avatar) else load_avatar(avatar).loaded
    path, heard = None if out is None else Path(out), None if sound is None else Path(sound)
    wish = VideoWish(background, torso, fps, size, crop, start, stop)
    motion = Path(motion) if isinstance(motion, str) else motion
    if (sign_cert is None) != (sign_key is None):
        came = "sign_key alone" if sign_cert is None else "sign_cert alone"
        raise UserError("sign_cert and sign_key", came, "give both, or neither")
    sign = None if sign_cert is None or sign_key is None else Credentials(Path(sign_cert), Path(sign_key))
    return speak(heard, loaded, path, _progress(show_progress), wish, motion, controls=controls, sign=sign)


def reenact(
    avatar: Avatar | Path | str,
    video: Path | str,
    *,
    folder: Path | str | None = None,
    show_progress: bool = False,
) -> MotionTrack:
    """The motion with which an avatar re-enacts another person's video: lips, lids, brows, gaze and head.

    ``save_video(avatar, video, motion=reenact(avatar, video))`` shows it with the video's sound.

    Args:
        avatar: a loaded avatar, or its folder.
        video: with one face.
        folder: where the video is tracked, once; ``./tracks/<name of the video>`` when None.
        show_progress: see :func:`fit`.

    Raises:
        UserError: no video, or no face in most of it.
    """
    require_tracking("reenact")
    from gaussavatar.fitting import reenact as reenacting

    loaded = avatar.loaded if isinstance(avatar, Avatar) else load_avatar(avatar).loaded
    where = None if folder is None else Path(folder)
    return reenacting.reenact(loaded, Path(video), None, None, _progress(show_progress), where)[1]


def say_text(
    text: str,
    out: Path | str,
    *,
    engine: str | None = None,
    voice: str | None = None,
    language: str | None = None,
) -> Path:
    """Write a sound file of a text, with a speech engine that is installed here.

    Args:
        text: what is said.
        out: the wav file.
        engine: ``kokoro``, ``kokoro-ja``, ``piper``, ``espeak-ng`` or ``flite``; the first that is there and has the
            language when None.
        voice: one of that engine's.
        language: such as ``de`` or ``en-gb``; English when None.

    Raises:
        UserError: nothing to say, no engine, or one that lacks voice or language.
    """
    texts.say_text(text, Path(out), engine, voice, language)
    return Path(out)


def _request(
    video: Path | str,
    out: Path | str | None,
    recipe: str,
    settings: Mapping[str, Any] | Sequence[str],
    facts: Mapping[str, Any],
) -> FitRequest:
    from gaussavatar.fitting.request import FitRequest, dump_request, read_request

    lines = settings
    if isinstance(settings, Mapping):
        # JSON is YAML, so that texts, numbers and lists arrive as what they are.
        lines = [f"{key}={json.dumps(value, default=_plain)}" for key, value in settings.items()]
    elif isinstance(settings, str):
        lines = [settings]
    plain = FitRequest(Path(video), None if out is None else Path(out), recipe, tuple(lines))
    named = replace(plain, **{name: Path(value) if name in ("parser", "blendshapes") and value else value
                              for name, value in facts.items()})  # fmt: skip
    # The round trip says of a value of a wrong kind what it should be.
    return read_request(dump_request(named))


def _plain(value: Any) -> Any:
    """A number or array of numpy's as JSON has it; other things as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _progress(shown: bool) -> Progress:
    return TerminalProgress() if shown else QuietProgress()
