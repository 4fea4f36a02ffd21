"""A user's controls, applied to a motion track of an avatar."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter1d

from gaussavatar.audio.stress import stress
from gaussavatar.avatar.accents import Accents, with_brows, with_nods
from gaussavatar.avatar.arkit import ArkitMap, softly_within
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.blinks import generated_blinks, learn_blinks, without_blinks
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.poses import deviated, deviations, mean_pose, neck_points
from gaussavatar.motion.sway import BLOCK, calmed, cuts, matching_places, surrogate, without_jumps
from gaussavatar.motion.timeline import looped_positions, nearest
from gaussavatar.motion.track import MotionTrack
from gaussavatar.types import Waveform

BLINKS = ("blink_left", "blink_right")
GAZE = ("gaze_x", "gaze_y")
_BEYOND = 0.3
"""How much further than in the filmed track a channel may go, in units of strong movement."""
_GLANCE = np.radians(8.6)
"""What a gaze of 1 turns an eye at least: .06 eye widths (30 mm) at an eye's radius (12 mm)."""


@dataclass(frozen=True)
class Person:
    """What of an avatar controls depend on."""

    filmed: MotionTrack
    closed: Float32[np.ndarray, "m"]
    """Mouth codes of the closed mouth."""
    movements: tuple[str, ...] = ()
    """Names of the movements that can be added."""
    arkit: ArkitMap | None = None
    """The person's map from ARKit's shapes; None where there is none."""
    accents: Accents | None = None
    """What of brows and head follows the stress of speech; None where that is not known."""

    @property
    def resting_upper(self) -> Float32[np.ndarray, "u"]:
        """The upper face as the person mostly holds it."""
        return np.median(self.filmed.upper, axis=0)

    def channels(self, names: Sequence[str]) -> list[int]:
        """Indices of those of some upper-face channels that the avatar has."""
        return [self.filmed.upper_names.index(name) for name in names if name in self.filmed.upper_names]


def controlled(
    avatar: LoadedAvatar, track: MotionTrack, controls: Controls, seed: int = 0, sound: Waveform | None = None
) -> MotionTrack:
    """The track with a user's wishes in it; the same seed gives the same track.

    Args:
        avatar: whose track it is.
        track: the motion.
        controls: the wishes.
        seed: of what is generated.
        sound: what the track speaks, for brows and nods that follow it; without it they do not.

    Raises:
        UserError: a wish that this avatar cannot fulfil.
    """
    if controls.change_nothing:
        return track
    follows = avatar.accents is not None and (controls.head == "generated" or controls.brows == "speech")
    stressed = stress(sound, len(track), track.fps) if sound is not None and follows else None
    return apply_controls(person_of(avatar), track, controls, seed, stressed)


def person_of(avatar: LoadedAvatar) -> Person:
    """What of an avatar controls depend on."""
    return Person(avatar.filmed, avatar.closed.cpu().numpy(), avatar.expression_names, avatar.arkit, avatar.accents)


def apply_controls(
    person: Person,
    track: MotionTrack,
    controls: Controls,
    seed: int = 0,
    stressed: Float32[np.ndarray, "n f"] | None = None,
) -> MotionTrack:
    """See :func:`controlled`. Default controls give the same arrays back; ``stressed`` is the sound's stress.

    Raises:
        UserError: a name of no channel, a style part beyond the filmed track, or what the avatar has no channel for.
    """
    if controls.change_nothing:
        return track
    if controls.emotion:
        known = person.movements or (() if person.arkit is None else ARKIT_EXPRESSIONS)
        _check_names(controls.emotion, known, "movements", "fit it again for ARKit's, or with binding = head")
    # One stream of chance per part: another blink does not change how the head sways.
    blinking, moving = (np.random.default_rng([seed, part]) for part in (1, 2))
    if controls.style_part is not None:
        track = in_style_part(person, track, controls.style_part)
    track = with_head(person, track, controls.head, moving)
    if controls.head == "generated" and person.accents is not None and stressed is not None:
        track = with_nods(person.accents, stressed, track)
    if controls.brows == "speech" and person.accents is not None and stressed is not None:
        track = with_brows(person.accents, stressed, track, person.resting_upper)
    track = with_blinks(person, track, controls, blinking)
    made = with_emotion(person, with_upper(person, track, controls), controls.emotion)
    return with_mouth(person, replace(made, upper=no_further(person, made.upper, track.upper)), controls)


def no_further(
    person: Person, upper: Float32[np.ndarray, "n u"], before: Float32[np.ndarray, "n u"]
) -> Float32[np.ndarray, "n u"]:
    """Channels that were changed, within a little more than the filmed track shows: further out faces tear."""
    shown = person.filmed.upper
    least = np.array([-1.0 if name in GAZE else 0.0 for name in person.filmed.upper_names] or 0.0)
    low, high = np.minimum(shown.min(axis=0), least) - _BEYOND, np.maximum(shown.max(axis=0), 1) + _BEYOND
    return np.where(upper == before, upper, np.clip(upper, low, high)).astype(np.float32)


def with_emotion(person: Person, track: MotionTrack, emotion: Mapping[str, float]) -> MotionTrack:
    """Movements by name on top of those that the track has.

    An avatar that is not bound to a head shows ARKit's shapes by its own map, as far as its clip showed such faces.
    """
    if not emotion:
        return track
    if not person.movements and person.arkit is not None:
        return with_shapes(person.arkit, track, emotion)
    names = (*track.movement_names, *(name for name in emotion if name not in track.movement_names))
    moved = np.zeros((len(track), len(names)), np.float32)
    if track.movements is not None:
        moved[:, : len(track.movement_names)] = track.movements
    for name, value in emotion.items():
        moved[:, names.index(name)] += np.float32(value)
    return replace(track, movements=moved, movement_names=names)


def with_shapes(fitted: ArkitMap, track: MotionTrack, shapes: Mapping[str, float]) -> MotionTrack:
    """ARKit's shapes on top of a motion, in mouth codes and upper face."""
    values = np.zeros((1, len(ARKIT_EXPRESSIONS)), np.float32)
    for name, value in shapes.items():
        values[0, ARKIT_EXPRESSIONS.index(name)] = value
    codes, upper = fitted.face(values)
    moved = track.mouth_codes + (codes - fitted.rest_codes)
    shown = softly_within(moved, fitted.mean, fitted.whiten, fitted.reach)
    return replace(track, mouth_codes=shown, upper=track.upper + (upper - fitted.rest_upper))


def with_mouth(person: Person, track: MotionTrack, controls: Controls) -> MotionTrack:
    """The mouth with its style, gain and smoothing."""
    codes = track.mouth_codes
    if controls.style_strength != 1:
        mean = person.filmed.mouth_codes.mean(axis=0)
        codes = mean + np.float32(controls.style_strength) * (codes - mean)
    if controls.mouth_gain != 1:
        codes = person.closed + np.float32(controls.mouth_gain) * (codes - person.closed)
    if controls.smoothing > 0:
        # A Gaussian as wide at half its height as the user says.
        sigma = controls.smoothing * track.fps / 2.355
        codes = gaussian_filter1d(codes.astype(float), sigma, axis=0, mode="nearest").astype(np.float32)
    return replace(track, mouth_codes=codes)


def with_upper(person: Person, track: MotionTrack, controls: Controls) -> MotionTrack:
    """The upper face with brows, offsets and gaze; blinks are not touched.

    Raises:
        UserError: a channel that the avatar does not have.
    """
    upper, rest, names = track.upper.copy(), person.resting_upper, person.filmed.upper_names
    brows = [index for index, name in enumerate(names) if name.startswith("brow")]
    if (controls.brow_gain, controls.brow_offset) != (1, 0):
        if not brows:
            raise UserError("an avatar with brow channels", "one without", "leave the brows as recorded")
        upper[:, brows] = rest[brows] + np.float32(controls.brow_gain) * (upper[:, brows] - rest[brows])
        for index in brows:
            upper[:, index] += np.float32(-controls.brow_offset if "down" in names[index] else controls.brow_offset)
    _check_names(controls.upper, names, "upper-face channels", "see upper_names of the avatar")
    for name, value in controls.upper.items():
        upper[:, names.index(name)] += np.float32(value)
    if controls.gaze != "recorded":
        eyes = person.channels(GAZE)
        if len(eyes) != 2:
            raise UserError("an avatar with gaze channels", "one without", "leave the gaze as recorded")
        upper[:, eyes] = to_camera(person, track) if controls.gaze == "camera" else np.float32(controls.gaze)
    return replace(track, upper=upper)


def to_camera(person: Person, track: MotionTrack) -> Float32[np.ndarray, "n 2"]:
    """Gaze that stays where the person mostly looks, which is the camera, while the head turns."""
    turned = deviations(track.T_camera_world, mean_pose(person.filmed.T_camera_world))[:, :2]
    # A positive turn about y (down) takes the face to the picture's left, one about x (right) takes it down.
    return np.clip(np.stack([turned[:, 1], -turned[:, 0]], axis=1) / _GLANCE, -1.5, 1.5).astype(np.float32)


def with_blinks(person: Person, track: MotionTrack, controls: Controls, rng: np.random.Generator) -> MotionTrack:
    """The lids without blinks, or with new ones.

    Raises:
        UserError: the avatar has no channel for lids.
    """
    if controls.blink == "recorded":
        return track
    lids = person.channels(BLINKS)
    if not lids:
        raise UserError("an avatar with blink channels", "one without", "leave the blinks as recorded")
    upper = track.upper.copy()
    open_lids = without_blinks(upper[:, lids], track.fps)
    if controls.blink == "generated":
        habit = learn_blinks(person.filmed.upper[:, lids], person.filmed.fps)
        added = generated_blinks(habit, len(track), track.fps, rng)
        open_lids = np.clip(open_lids + added, 0, np.maximum(open_lids, 1)).astype(np.float32)
    upper[:, lids] = open_lids
    return replace(track, upper=upper)


def in_style_part(person: Person, track: MotionTrack, part: tuple[float, float]) -> MotionTrack:
    """Head and upper face from a part of the filmed track, back and forth.

    Raises:
        UserError: the part begins after the filmed track's end.
    """
    filmed = person.filmed
    if part[0] >= filmed.seconds:
        came = f"{part[0]:g} to {part[1]:g} s"
        raise UserError(f"a style_part within the {filmed.seconds:.1f} s of the filmed track", came, "change it")
    places = nearest(
        looped_positions(len(filmed.between(*part)), len(track), filmed.fps / track.fps)
    ) + filmed.frame_at(part[0])
    moved = filmed.taken(places)
    return replace(track, upper=moved.upper, T_camera_world=moved.T_camera_world, places=moved.places)


def with_head(person: Person, track: MotionTrack, wish: str | MotionTrack, rng: np.random.Generator) -> MotionTrack:
    """The head held still, swaying, or moving as in another motion; each pose with the torso that suits it."""
    if isinstance(wish, MotionTrack):
        return follow_head(person, track, wish)
    filmed, n = person.filmed, len(track)
    if wish == "still":
        place = calmest(filmed)
        poses = np.repeat(filmed.T_camera_world[place][None], n, axis=0)
        return replace(track, T_camera_world=poses, places=np.full(n, place))
    if wish == "generated":
        return on_torso(filmed, track, deviated(mean_pose(filmed.T_camera_world), swaying(person, n, track.fps, rng)))
    return track


def swaying(person: Person, n: int, fps: float, rng: np.random.Generator) -> Float[np.ndarray, "n 6"]:
    """New sway of the person's own kind, as deviations from the mean pose (see :func:`deviations`)."""
    filmed = person.filmed
    moved = deviations(filmed.T_camera_world, mean_pose(filmed.T_camera_world))
    recorded = calmed(without_jumps(moved, cuts(neck_points(filmed.T_camera_world))), filmed.fps)
    frames = int(np.ceil(n * filmed.fps / fps)) + 1
    noise = surrogate(recorded - recorded.mean(axis=0), frames, rng, round(BLOCK * filmed.fps))
    moments = np.arange(n) * filmed.fps / fps
    return np.stack([np.interp(moments, np.arange(frames), channel) for channel in noise.T], axis=1)


def follow_head(person: Person, track: MotionTrack, other: MotionTrack) -> MotionTrack:
    """The head's motion of another track about its mean, as motion about this person's own mean pose."""
    rate = other.fps / track.fps
    longer = len(other) >= len(track) * rate
    positions = np.arange(len(track)) * rate if longer else looped_positions(len(other), len(track), rate)
    frames = np.minimum(np.round(positions).astype(int), len(other) - 1)
    poses = other.T_camera_world[frames]
    if other.avatar and other.avatar == person.filmed.avatar:
        return replace(track, T_camera_world=poses, places=other.places[frames])
    moved = deviations(poses, mean_pose(other.T_camera_world))
    return on_torso(person.filmed, track, deviated(mean_pose(person.filmed.T_camera_world), moved))


def on_torso(filmed: MotionTrack, track: MotionTrack, poses: Float32[np.ndarray, "n 4 4"]) -> MotionTrack:
    """New poses, with the places of the filmed track whose torso suits them."""
    places = matching_places(neck_points(filmed.T_camera_world), neck_points(poses))
    return replace(track, T_camera_world=poses, places=places)


def calmest(filmed: MotionTrack) -> int:
    """The frame of the filmed track that is nearest to the mean pose."""
    points = neck_points(filmed.T_camera_world)
    return int(((points - np.median(points, axis=0)) ** 2).sum(axis=1).argmin())


def _check_names(given: Iterable[str], known: tuple[str, ...], what: str, do: str) -> None:
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise UserError(
                f"one of the avatar's {len(known)} {what}", repr(name), f"did you mean {close[0]}?" if close else do
            )
