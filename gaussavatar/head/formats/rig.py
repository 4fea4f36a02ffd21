"""Joints and skinning weights for heads that come without them, after the built-in head's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.components import component_labels, smooth_over_mesh
from gaussavatar.mesh.surface import closest_points

JOINTS = ("root", "neck", "head", "eye_left", "eye_right")
PARENTS = (-1, 0, 1, 2, 2)
SMOOTHING = 30
"""Rounds of averaging over the mesh that hide where the nearest point on the other head jumps."""


@dataclass(frozen=True)
class Rig:
    """Joints (named by :data:`JOINTS`) of a head, what the identity shapes do to them, and skinning weights."""

    positions: Float64[np.ndarray, "5 3"]
    identity: Float64[np.ndarray, "i 5 3"]
    weights: Float64[np.ndarray, "v 5"]


def borrow_rig(
    template: Float[np.ndarray, "v 3"],
    triangles: Int[np.ndarray, "t 3"],
    identity: Float[np.ndarray, "i v 3"],
    eyes: tuple[Bool[np.ndarray, "v"], Bool[np.ndarray, "v"]],
) -> Rig:
    """Joints and weights taken over from the built-in head, scaled by the distance between the eyes.

    Skin takes the weights of the nearest point on the built-in head's skin, whose jaw counts as head; loose parts
    (teeth, tongue, lashes) go with the head, eyeballs with their own joint.

    Args:
        template: in template space, metres.
        triangles: vertex indices.
        identity: identity shapes in template space.
        eyes: which vertices are the left and the right eyeball.
    """
    source = builtin_head(embedded=False)
    order = [source.joint_names.index(name) for name in ("torso", "neck", "head", "eye_left", "eye_right")]
    centres = np.stack([fit_sphere(template[eye])[0] for eye in eyes])
    source_centres = source.joint_positions[order[3:]]
    scale = np.linalg.norm(centres[0] - centres[1]) / np.linalg.norm(source_centres[0] - source_centres[1])
    body = source.region("face", "lips", "ear", "scalp", "neck", "torso")
    shown = source.triangles[body[source.triangles].all(1)]
    nearest = closest_points(template, scale * source.template, shown)
    corner = source.skin_weights[shown[nearest.face]].astype(np.float64)
    borrowed = np.einsum("vc,vcj->vj", nearest.barycentrics, corner)
    weights = np.zeros((len(template), 5))
    weights[:, :2] = borrowed[:, order[:2]]
    weights[:, 2] = 1 - weights[:, :2].sum(1)
    labels = component_labels(triangles, len(template))
    skin = labels == np.bincount(labels).argmax()
    weights[~skin] = np.eye(5)[2]
    weights = smooth_over_mesh(weights, triangles, SMOOTHING)
    for side, eye in enumerate(eyes):
        weights[eye] = np.eye(5)[3 + side]
    positions = scale * source.joint_positions[order].astype(np.float64)
    positions[3:] = centres
    return Rig(positions, _joint_identity(identity, weights, skin, eyes), weights / weights.sum(1, keepdims=True))


def _joint_identity(
    identity: Float[np.ndarray, "i v 3"],
    weights: Float[np.ndarray, "v 5"],
    skin: Bool[np.ndarray, "v"],
    eyes: tuple[Bool[np.ndarray, "v"], Bool[np.ndarray, "v"]],
) -> Float64[np.ndarray, "i 5 3"]:
    """A joint moves as the skin does on average where its weight meets its parent's, an eye as its ball."""
    moved = np.zeros((len(identity), 5, 3))
    shares = [weights[:, 0], weights[:, 0] * weights[:, 1], weights[:, 1] * weights[:, 2]]
    for joint, share in enumerate(shares):
        part = share * skin
        moved[:, joint] = np.einsum("v,ivc->ic", part / max(part.sum(), 1e-12), identity)
    for side, eye in enumerate(eyes):
        moved[:, 3 + side] = identity[:, eye].mean(1)
    return moved
