"""Person-specific Gaussian-splatting head avatars that speak any audio.

The public names, all loaded when they are first used:

- ``fit(video)``: from a video to an avatar; ``track(video)`` stops after preprocessing.
- ``load_avatar(path)``: an :class:`Avatar`, which speaks sounds, gives motions and draws them from any side.
- ``save_video(avatar, sound)``, ``save_picture(path, picture)``: what was drawn, as files.
- ``say_text(text, path)``: a sound from a speech engine; ``reenact(avatar, video)``: another person's motion.
- ``Controls``: what a user may wish of a motion (gain of the mouth, blinks, head, gaze, ...), for
  ``avatar.controlled(motion, Controls(...))``.
- ``read_motion(path)``, ``ArkitCurves``, ``write_curves(path, curves)``: motions and ARKit curves in files.
- ``read_gsa(path)``: an avatar that ``export --format avatar`` wrote, as plain arrays and Gaussians of a face.
- ``MotionTrack``, ``FaceState``, ``Camera``, ``Waveform``: what goes in and out, plain records of numpy arrays.
- ``UserError``: the one error of everything that a user can mend.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gaussavatar.api import fit, reenact, save_picture, save_video, say_text, track
    from gaussavatar.avatar.avatar import Avatar, load_avatar
    from gaussavatar.errors import UserError
    from gaussavatar.export.gsa.read import GsaAvatar, read_gsa
    from gaussavatar.motion.arkit import ArkitCurves, write_curves
    from gaussavatar.motion.controls import Controls
    from gaussavatar.motion.files import read_motion
    from gaussavatar.motion.track import FaceState, MotionTrack
    from gaussavatar.types import Camera, Waveform

__version__ = "0.2.0"

__all__ = [
    "ArkitCurves",
    "Avatar",
    "Camera",
    "Controls",
    "FaceState",
    "GsaAvatar",
    "MotionTrack",
    "UserError",
    "Waveform",
    "fit",
    "load_avatar",
    "read_gsa",
    "read_motion",
    "reenact",
    "save_picture",
    "save_video",
    "say_text",
    "track",
    "write_curves",
]

_HOMES = {
    "ArkitCurves": "motion.arkit",
    "Avatar": "avatar.avatar",
    "Camera": "types",
    "Controls": "motion.controls",
    "FaceState": "motion.track",
    "GsaAvatar": "export.gsa.read",
    "MotionTrack": "motion.track",
    "UserError": "errors",
    "Waveform": "types",
    "fit": "api",
    "load_avatar": "avatar.avatar",
    "read_gsa": "export.gsa.read",
    "read_motion": "motion.files",
    "reenact": "api",
    "save_picture": "api",
    "save_video": "api",
    "say_text": "api",
    "track": "api",
    "write_curves": "motion.arkit",
}
"""Where each public name lives. Importing the package imports none of them (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gaussavatar' has no attribute {name!r}")
    value = getattr(import_module(f"gaussavatar.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
