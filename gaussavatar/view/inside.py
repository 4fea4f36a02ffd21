"""What an avatar is made of, as plain arrays: its branches, how far each Gaussian moves, the cameras that filmed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.image.srgb import displayed
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.view.frames import Splats

APART = 0.08
"""Metres that the mouth stands before the face where the branches are apart."""

MOST_CAMERAS = 60
"""Cameras that are drawn of a clip."""

MOST_STATES = 100
"""Frames of the clip that the movement is measured on."""

FRUSTUM = 0.02
"""Depth of a drawn camera, metres."""


def branch_slices(avatar: LoadedAvatar) -> dict[str, slice]:
    """Where each branch's Gaussians stand among all of a state; the torso only where there is one."""
    counts = {"face": len(avatar.model.face.gaussians), "mouth": len(avatar.model.mouth.gaussians)}
    if avatar.torso is not None:
        counts["torso"] = len(avatar.torso.torso.gaussians)
    ends = np.cumsum(list(counts.values())).tolist()
    return {name: slice(end - count, end) for (name, count), end in zip(counts.items(), ends, strict=True)}


def selected(splats: Splats, branches: Mapping[str, slice], which: str) -> Splats:
    """One branch, all of them, or all with the mouth :data:`APART` before the face (towards -z, where it looks)."""
    if which == "apart":
        means = splats.means.copy()
        means[branches["mouth"], 2] -= np.float32(APART)
        return replace(splats, means=means)
    if which not in branches:
        return splats
    part = branches[which]
    drawn = (splats.means, splats.covariances, splats.colors, splats.opacities)
    return Splats(*(each[part] for each in drawn), splats.T_world_head)


def movement(states: Iterable[Float32[np.ndarray, "n 3"]]) -> Float32[np.ndarray, "n"]:
    """How far points move, in millimetres: the standard deviation of their place.

    Args:
        states: the points (metres) at some moments; at least one.
    """
    count, first = 0, np.zeros(())
    total, squares = np.zeros(()), np.zeros(())
    for points in states:
        # Sums of what differs from the first state: of the places themselves they would cancel.
        first = points.astype(np.float64) if count == 0 else first
        moved = points - first
        total, squares = total + moved, squares + moved**2
        count += 1
    variance = (squares / count - (total / count) ** 2).clip(0).sum(-1)
    return (1000 * np.sqrt(variance)).astype(np.float32)


def clip_movement(avatar: LoadedAvatar, most: int = MOST_STATES) -> Float32[np.ndarray, "n"]:
    """Movement of every Gaussian over evenly chosen frames of the filmed track, millimetres.

    The head's own turning is not in it; the torso is rigid, and has none.
    """
    filmed = avatar.filmed
    faces = (FaceState(filmed.mouth_codes[i], filmed.upper[i]) for i in spread_out(len(filmed), most))
    moved = movement(avatar.activated(face.mouth_codes, face.upper).means.cpu().numpy() for face in faces)
    rigid = 0 if avatar.torso is None else len(avatar.torso.torso.gaussians)
    return np.concatenate([moved, np.zeros(rigid, np.float32)])


def spread_out(count: int, most: int) -> Int[np.ndarray, "k"]:
    """Every n-th of so many frames, beginning with the first: at most ``most``."""
    return np.arange(0, count, -(-count // most))


def colour_map(values: Float[np.ndarray, "n"]) -> Float32[np.ndarray, "n 3"]:
    """Colours (sRGB, 0..1) of values in 0..1 whose lightness rises evenly, from a dark blue to a light yellow.

    Straight in lightness and hue of OKLab (B. Ottosson, "A perceptual color space for image processing", 2020), whose
    matrices these are.
    """
    share = np.clip(values, 0, 1).astype(np.float64)
    hue, chroma = np.radians(270 - 165 * share), 0.13 * (1 - 0.4 * (2 * share - 1) ** 2)
    lab = np.stack([0.28 + 0.64 * share, chroma * np.cos(hue), chroma * np.sin(hue)], -1)
    to_cones = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return displayed((lab @ to_cones.T) ** 3 @ to_rgb.T).astype(np.float32)


def movement_colours(moved: Float32[np.ndarray, "n"]) -> tuple[Float32[np.ndarray, "n 3"], float]:
    """Colours of movements, and the millimetres that the lightest colour begins at: all but a fiftieth are below."""
    longest = float(np.percentile(moved, 98)) if len(moved) else 0.0
    return colour_map(moved / max(longest, 1e-6)), longest


def frusta(
    T_camera_world: Float32[np.ndarray, "n 4 4"], K: Float32[np.ndarray, "3 3"], size: int, depth: float = FRUSTUM
) -> Float32[np.ndarray, "n*8 2 3"]:
    """Cameras as line segments in the world: four from the eye to the picture's corners, four around the picture.

    Args:
        T_camera_world: poses.
        K: pinhole matrix of the pictures.
        size: side of the pictures, pixels.
        depth: of the drawn picture before the eye, metres.
    """
    pixels = np.array([[0, 0, 1], [size, 0, 1], [size, size, 1], [0, size, 1]], np.float64)
    corners = depth * pixels @ np.linalg.inv(K.astype(np.float64)).T
    ends = np.concatenate([np.zeros((1, 3)), corners])
    T = np.linalg.inv(T_camera_world.astype(np.float64))
    placed = ends @ T[:, :3, :3].swapaxes(1, 2) + T[:, None, :3, 3]
    pairs = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
    return placed[:, pairs].reshape(-1, 2, 3).astype(np.float32)


def track_frusta(filmed: MotionTrack, K: Float32[np.ndarray, "3 3"], size: int) -> Float32[np.ndarray, "m 2 3"]:
    """The cameras of a filmed track, about its head: every n-th, at most :data:`MOST_CAMERAS`."""
    return frusta(filmed.T_camera_world[spread_out(len(filmed), MOST_CAMERAS)], K, size)


def bytes_of(colors: Float32[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """Colours in 0..1 as bytes."""
    return np.rint(255 * colors).clip(0, 255).astype(np.uint8)
