"""From a sound to a motion track of the avatar, and from a motion track to pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from gaussavatar.avatar.behind import Behind, straight
from gaussavatar.avatar.framing import Framing
from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.errors import UserError
from gaussavatar.motion.timeline import back_and_forth, nearest
from gaussavatar.motion.track import MotionTrack, frames_of_seconds
from gaussavatar.motion.viewpoint import head_motion
from gaussavatar.types import Camera, Cameras, Rendered, Waveform

CHUNK = 4
"""Frames rendered per call, in parallel."""


def motion_for_sound(avatar: LoadedAvatar, waveform: Waveform) -> MotionTrack:
    """The motion of an avatar that speaks a sound: its lips by the sound, all else from its own filmed track.

    Raises:
        UserError: the sound is empty or holds values that are not finite.
    """
    codes = avatar.codes_for_audio(waveform, frames_of_seconds(waveform.seconds))
    return over_filmed(avatar, codes)


def over_filmed(avatar: LoadedAvatar, codes: np.ndarray) -> MotionTrack:
    """Mouth codes (n, m) of one's own, with head and upper face going back and forth over the filmed track."""
    filmed = avatar.filmed
    moved = filmed.taken(nearest(back_and_forth(len(filmed), len(codes))))
    return replace(moved, mouth_codes=codes)


def check_motion(avatar: LoadedAvatar, track: MotionTrack) -> None:
    """Refuse a track that the avatar cannot follow.

    Raises:
        UserError: it is another avatar's, has no frame, or holds numbers or places that cannot be.
    """
    filmed, places = avatar.filmed, np.asarray(track.places)
    wanted = (filmed.mouth_codes.shape[1], filmed.upper.shape[1])
    came = (track.mouth_codes.shape[1], track.upper.shape[1])
    do = "give one that this avatar made"
    if came != wanted:
        raise UserError(
            "a motion of {} mouth codes and {} upper-face channels".format(*wanted), f"{came[0]} and {came[1]}", do
        )
    strange = [name for name in track.upper_names if filmed.upper_names and name not in filmed.upper_names]
    strange += [name for name in track.movement_names if name not in avatar.expression_names]
    if strange:
        raise UserError("channels that the avatar has", ", ".join(strange), do)
    if track.avatar and filmed.avatar and track.avatar != filmed.avatar:
        raise UserError("a motion of this avatar", "one that another avatar made", do)
    if len(track) == 0 or places.dtype.kind not in "iu" or not 0 <= places.min() <= places.max() < len(filmed):
        raise UserError(f"frames with places of 0 to {len(filmed) - 1} in the filmed track", "none, or others", do)
    if not all(np.isfinite(values).all() for values in track.arrays().values()):
        raise UserError("a motion of finite numbers", "NaN or infinity in it", "mend the arrays")


def layers(
    avatar: LoadedAvatar,
    track: MotionTrack,
    behind: Behind,
    expression: Mapping[str, float] | None = None,
    framing: Framing | None = None,
) -> Iterator[Rendered]:
    """The avatar's frames as filmed, a few at a time, over what is ``behind``; colour premultiplied, 0..1."""
    K = avatar.tensor(avatar.K if framing is None else framing.matrix(avatar.K))
    width, height = (avatar.size, avatar.size) if framing is None else (framing.width, framing.height)
    for start in range(0, len(track), CHUNK):
        part = track.frames(start, start + CHUNK)
        poses = avatar.tensor(part.T_camera_world)
        cameras = Cameras(poses, K.expand(len(part), 3, 3), width, height)
        codes, upper = avatar.tensor(part.mouth_codes), avatar.tensor(part.upper)
        movements = movements_of(avatar, part, expression)
        yield avatar.render_over(codes, upper, cameras, behind(part.places), movements)


def layers_from(
    avatar: LoadedAvatar,
    track: MotionTrack,
    camera: Camera,
    behind: Behind,
    expression: Mapping[str, float] | None = None,
) -> Iterator[Rendered]:
    """The avatar's frames from another camera, which stands in the head space of the filmed track's first frame.

    The head moves before it as it moved before the filming camera, and so does its light.
    """
    K, reference = avatar.tensor(camera.K), avatar.filmed.T_camera_world[0]
    for start in range(0, len(track), CHUNK):
        part = track.frames(start, start + CHUNK)
        poses = avatar.tensor(camera.T_camera_world @ head_motion(part.T_camera_world, reference))
        cameras = Cameras(poses, K.expand(len(part), 3, 3), camera.width, camera.height)
        codes, upper = avatar.tensor(part.mouth_codes), avatar.tensor(part.upper)
        movements, light = movements_of(avatar, part, expression), avatar.tensor(part.T_camera_world)
        yield avatar.render_over(codes, upper, cameras, behind(part.places), movements, light)


def movements_of(
    avatar: LoadedAvatar, track: MotionTrack, expression: Mapping[str, float] | None = None
) -> Float[Tensor, "b n"] | None:
    """The track's movements, and some that stay, as rows of the model's channels; None where there are none.

    Raises:
        UserError: a name that the avatar does not have.
    """
    rows = avatar.expression_rows(expression, len(track))
    if track.movements is None:
        return rows
    moved = np.zeros((len(track), len(avatar.expression_names)), np.float32)
    moved[:, [avatar.expression_names.index(name) for name in track.movement_names]] = track.movements
    return avatar.tensor(moved) if rows is None else avatar.tensor(moved) + rows


def in_order(avatar: LoadedAvatar, track: MotionTrack) -> MotionTrack:
    """The track with its upper-face channels in the avatar's order: a spreadsheet may have moved columns."""
    names = avatar.filmed.upper_names
    if not track.upper_names or track.upper_names == names or set(track.upper_names) != set(names):
        return track
    order = [track.upper_names.index(name) for name in names]
    return replace(track, upper=track.upper[:, order], upper_names=names)


def opaque_frames(drawn: Iterator[Rendered]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Layers as 8-bit pictures, one by one."""
    for layer in drawn:
        yield from to_bytes(layer.rgb)


def transparent_frames(drawn: Iterator[Rendered]) -> Iterator[UInt8[np.ndarray, "h w 4"]]:
    """Layers as 8-bit RGBA pictures with straight alpha, one by one."""
    for layer in drawn:
        yield from straight(layer)
