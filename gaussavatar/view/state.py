"""Everything that a picture of the viewer depends on, as plain values: neither viser nor a browser is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.motion.controls import Controls as Wishes
from gaussavatar.motion.edit import channel_groups, slider_groups, with_sliders
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.types import Camera

Seen = Literal["orbit", "as filmed"]
"""Who looks: the browser's camera, or the one that filmed, with torso and background."""

Drawn = Literal["player", "stream", "splats"]
"""Who draws: the browser with our own player, this program, sending pictures, or viser in the browser."""


Shape = Literal["points", "ellipsoids"]
"""What a Gaussian is drawn as."""

Colours = Literal["own", "movement"]
"""Which colour it has: its own, or one that says how far it moves."""


@dataclass(frozen=True)
class InsideWish:
    """What of the inside is to be seen."""

    shape: Shape = "points"
    branches: str = "all"
    """``all``, ``apart``, or one branch's name."""
    colours: Colours = "own"
    mesh: bool = False
    """The tracked head as a mesh."""
    cameras: bool = False


@dataclass(frozen=True)
class Controls:
    """What the controls of the page ask for."""

    seen: Seen = "orbit"
    drawn: Drawn = "stream"
    driven: bool = True
    """Whether the motion drives the face; if not, it rests."""
    head_moves: bool = True
    """Whether the head moves as the motion says, which a face that is not driven never does."""
    opening: float = 0.0
    """What is added to the mouth: 0 as driven, 1 wide open; negative closes."""
    sliders: Mapping[str, float] = field(default_factory=dict)
    """Upper-face sliders by :func:`~gaussavatar.motion.edit.slider_groups`, in this person's strong movement."""
    movements: Mapping[str, float] = field(default_factory=dict)
    """Sliders of the head model by :func:`~gaussavatar.motion.edit.channel_groups`, 1 being full."""
    wishes: Wishes = field(default_factory=Wishes)
    """What is asked of the motion itself."""
    seed: int = 0
    """Of what the wishes generate."""
    inside: InsideWish = field(default_factory=InsideWish)
    """What is seen where the page looks inside."""


@dataclass(frozen=True, eq=False)
class ViewState:
    """One frame of the viewer; two that are equal give the same picture of one avatar."""

    face: FaceState
    """The face with its sliders."""
    expression: Mapping[str, float]
    """Movements of the head model by channel, those that are not 0."""
    T_camera_head: Float32[np.ndarray, "4 4"]
    """The head's pose before the filming camera."""
    place: int
    """Frame of the filmed track whose torso goes with it."""
    camera: Camera
    """The browser's camera, in the head space of the filmed track's first frame, and the size of its picture."""
    seen: Seen = "orbit"
    drawn: Drawn = "stream"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ViewState) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[object, ...]:
        camera, face = self.camera, self.face
        arrays = (face.mouth_codes, face.upper, self.T_camera_head, camera.T_camera_world, camera.K)
        plain = (tuple(self.expression.items()), self.place, camera.width, camera.height, self.seen, self.drawn)
        return *(array.tobytes() for array in arrays), *plain

    @property
    def track(self) -> MotionTrack:
        """The state as a motion of one frame."""
        face, poses = self.face, self.T_camera_head[None]
        return MotionTrack(face.mouth_codes[None], face.upper[None], poses, np.array([self.place]))


def view_state(
    avatar: LoadedAvatar, motion: MotionTrack, controls: Controls, seconds: float, camera: Camera
) -> ViewState:
    """What is to be seen at a moment of the motion under these controls."""
    driven = motion.at(seconds) if controls.driven else Avatar(avatar).rest
    face = with_sliders(
        driven,
        controls.sliders,
        slider_groups(avatar.upper_names),
        controls.opening,
        avatar.closed.cpu().numpy(),
        avatar.wide_open,
    )
    # As filmed the head is where the filmed torso has it, whatever the controls say.
    moves = controls.seen == "as filmed" or (controls.driven and controls.head_moves)
    frame = motion.frame_at(seconds)
    pose = motion.T_camera_world[frame] if moves else avatar.filmed.T_camera_world[0]
    place = int(motion.places[frame]) if moves else 0
    expression = expression_of(avatar, controls.movements)
    return ViewState(face, expression, pose, place, camera, controls.seen, controls.drawn)


def expression_of(avatar: LoadedAvatar, movements: Mapping[str, float]) -> dict[str, float]:
    """What the head model's sliders ask for, by channel; those at 0 ask for nothing."""
    names, groups = avatar.expression_names, channel_groups(avatar.expression_names)
    return {names[index]: value for name, value in movements.items() if value for index in groups[name]}
