"""Where the eyes look: eyeball rotations from the irises, held through blinks, both eyes loosely together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import LEFT_IRIS, RIGHT_IRIS
from gaussavatar.tracking.head.identity import embedding_matrix
from gaussavatar.types import Landmarks, Tracking

_IRIS_DEPTH = 0.97
"""Distance of the iris's middle from the eyeball's centre over the radius."""

_MOST_BIAS = np.deg2rad(15)
_SHUT = 0.45
_MAX_ANGLE = 0.65
_VERGENCE_FRAMES = 12.0
EYES = (("eye_right", "eyeball_right", RIGHT_IRIS), ("eye_left", "eyeball_left", LEFT_IRIS))


def gaze_directions(
    head: HeadModel, landmarks: Landmarks, tracking: Tracking, eye: tuple[str, str, tuple[int, ...]]
) -> Float[np.ndarray, "n 3"]:
    """Unit directions from an eyeball's centre through the seen iris, head space, for every frame.

    The ray through the iris's middle meets the sphere; where it misses, the nearest point of the sphere counts.
    """
    centre, radius = fit_sphere(np.asarray(head.template[head.region(eye[1])], np.float64))
    scale = tracking.size / landmarks.size
    # The ring's mean is steadier than the centre alone.
    seen = landmarks.points[:, list(eye[2]), :2].mean(1) * scale - tracking.K[:2, 2]
    camera = np.concatenate([seen / tracking.K[0, 0], np.ones((len(seen), 1))], 1)
    R = tracking.R_camera_head.astype(np.float64)
    ray = (camera[:, None] @ R)[:, 0]
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    origin = (-tracking.t_camera_head[:, None] @ R)[:, 0] - centre
    along = -(origin * ray).sum(1)
    missed = (origin**2).sum(1) - along**2
    depth = along - np.sqrt(np.maximum((_IRIS_DEPTH * radius) ** 2 - missed, 0))
    point = origin + depth[:, None] * ray
    return point / np.linalg.norm(point, axis=1, keepdims=True)


def forward_direction(head: HeadModel, ahead: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """The direction in which the detector sees unturned eyes look, unit, head space.

    The detector takes half-covered irises for lower than they are, on the model's pictures (from which the embedding
    comes) as on the person's: what is seen has to be compared with what was seen. Both eyes' mean, so that only the
    height can differ from ``ahead``, the model's own direction, which holds where the irises have no landmarks.
    """
    assert head.embedding is not None
    directions = []
    for _, region, iris in EYES:
        if (head.embedding.confidence[list(iris)] <= 0).any():
            return ahead
        centre, radius = fit_sphere(np.asarray(head.template[head.region(region)], np.float64))
        offset = (embedding_matrix(head.template, head)[list(iris)].mean(0) - centre) / radius
        directions.append(offset)
    seen = np.mean(directions, axis=0)
    seen /= np.linalg.norm(seen)
    return seen if seen @ ahead > np.cos(_MOST_BIAS) else ahead


def eye_rotations(
    directions: Float[np.ndarray, "n 2 3"],
    forward: Float[np.ndarray, "3"],
    openness: Float[np.ndarray, "n 2"],
    used: Bool[np.ndarray, "n"],
) -> Float[np.ndarray, "n 2 3"]:
    """Rotation vectors of both eyes that bring ``forward`` to where they look.

    Held through blinks by interpolation; the eyes' difference (vergence, and the detector's error) changes only
    slowly, their common direction keeps its jumps. The turn is the smallest one (Listing's law).

    Args:
        directions: unit directions of right and left eye.
        forward: where an unturned eye looks, unit.
        openness: lid gap over this person's open one, per eye.
        used: frames with a face.
    """
    axis = np.cross(forward, directions)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = np.arctan2(sine, (directions @ forward)[..., None])
    vectors = axis * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)
    frames = np.arange(len(vectors))
    known = np.flatnonzero(used & (openness.min(1) > _SHUT))
    if len(known) < 2:
        return np.zeros_like(vectors)
    # A frame beside a blink has a half-covered iris: it is not known either.
    beside = np.convolve(~(openness.min(1) > _SHUT), np.ones(3), "same") > 0
    inner = known[~beside[known]]
    known = inner if len(inner) >= 2 else known
    flat = vectors.reshape(len(vectors), -1)
    held = np.stack([np.interp(frames, known, flat[known, k]) for k in range(6)], 1).reshape(-1, 2, 3)
    common, apart = held.mean(1), (held[:, 0] - held[:, 1]) / 2
    apart = gaussian_filter1d(apart, min(_VERGENCE_FRAMES, len(apart) / 4), axis=0, mode="nearest")
    turns = np.stack([common + apart, common - apart], 1)
    length = np.linalg.norm(turns, axis=-1, keepdims=True)
    return turns * np.minimum(1.0, _MAX_ANGLE / np.maximum(length, 1e-9))


def look_shapes(names: tuple[str, ...], turns: Float[np.ndarray, "n 2 3"]) -> dict[int, Float[np.ndarray, "n"]]:
    """Weights of the ARKit eyeLook shapes (by their index in ``names``) that go with the eyes' rotations.

    1 is the end of the eye's reach: about 35 degrees to the sides, 30 down and 25 up. A turn about +x looks down
    (y is down and the eye looks along -z), one about +y to the image's left.
    """
    weights: dict[int, np.ndarray] = {}
    for eye, side in enumerate(("Right", "Left")):
        down, aside = turns[:, eye, 0], turns[:, eye, 1]
        # The right eye, on the image's left, looks out when it looks to the image's left.
        out = aside if side == "Right" else -aside
        for name, value in (
            ("eyeLookDown", down / 0.52),
            ("eyeLookUp", -down / 0.44),
            ("eyeLookOut", out / 0.61),
            ("eyeLookIn", -out / 0.61),
        ):
            if name + side in names:
                weights[names.index(name + side)] = np.clip(value, 0.0, 1.0)
    return weights
