"""FLAME: what a model file must hold, and how it becomes a :class:`HeadModel`.

FLAME (Li et al., "Learning a model of facial shape and expression from 4D scans", 2017):
vertices = skin(template + shape + expression + pose correctives), eq. 1-4, with joints
regressed from the shaped vertices. Its space is metres, y up, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.model import REGIONS, HeadModel
from gaussavatar.head.safe.checks import FLAME_PARENTS
from gaussavatar.mesh.components import component_labels

JOINTS = ("root", "neck", "jaw", "eye_left", "eye_right")
N_IDENTITY, N_EXPRESSION = 300, 100
AXES = np.array([1.0, -1.0, -1.0])
"""FLAME's axes in template space: the diagonal of a half turn about x, its own inverse."""


def flame_head(arrays: Mapping[str, np.ndarray], name: str) -> tuple[HeadModel, Float64[np.ndarray, "4 4"]]:
    """Turn checked FLAME arrays into a head without teeth, lips and landmarks.

    Posing the result is posing FLAME: with the transform that is returned, and joint rotation vectors multiplied by
    :data:`AXES`, both give the same vertices. The regions tell eyeballs from skin only.

    Args:
        arrays: from :func:`gaussavatar.head.safe.checks.check_flame`.
        name: the head's name.

    Returns:
        The head, and ``T_source_template``: template space to FLAME's own space.

    Raises:
        UserError: the eyeballs cannot be found.
    """
    template, triangles = arrays["v_template"], arrays["f"]
    labels = component_labels(triangles, len(template))
    left, right = find_eyeballs(template, triangles, labels)
    centre = np.mean([fit_sphere(template[eye])[0] for eye in (left, right)], 0)
    basis = np.moveaxis(arrays["shapedirs"], 2, 0)
    identity, expression = basis[:N_IDENTITY], basis[N_IDENTITY : N_IDENTITY + N_EXPRESSION]
    regressor = arrays["J_regressor"]
    regions = np.full(len(template), REGIONS.index("face"), np.uint8)
    regions[left], regions[right] = REGIONS.index("eyeball_left"), REGIONS.index("eyeball_right")
    weights = np.clip(arrays["weights"], 0, None)
    head = HeadModel(
        name=name,
        template=((template - centre) * AXES).astype(np.float32),
        triangles=triangles.astype(np.int32),
        identity=(identity * AXES).astype(np.float32),
        identity_names=tuple(f"shape_{k:03d}" for k in range(len(identity))),
        expression=(expression * AXES).astype(np.float32),
        expression_names=tuple(f"expression_{k:03d}" for k in range(len(expression))),
        joint_names=JOINTS,
        joint_parents=FLAME_PARENTS,
        joint_positions=((regressor @ template - centre) * AXES).astype(np.float32),
        joint_identity=((regressor @ identity) * AXES).astype(np.float32),
        joint_expression=((regressor @ expression) * AXES).astype(np.float32),
        skin_weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        pose_correctives=pose_features_to_head_space(arrays["posedirs"]).astype(np.float32),
        regions=regions,
    )
    T_source_template = np.eye(4)
    T_source_template[:3, :3], T_source_template[:3, 3] = np.diag(AXES), centre
    return head, T_source_template


def pose_features_to_head_space(posedirs: Float[np.ndarray, "v 3 p"]) -> Float64[np.ndarray, "p v 3"]:
    """Pose correctives of a model with y up and z to the viewer, in template space; nine columns per joint.

    A joint's rotation in template space is ``A R A`` with A the diagonal of :data:`AXES`, so entry (a, b) of R minus
    the identity changes its sign by ``A_a A_b``, which is moved into the corrective.
    """
    sign = np.tile(np.outer(AXES, AXES).ravel(), posedirs.shape[2] // 9)
    return np.moveaxis(posedirs * sign, 2, 0) * AXES


def find_eyeballs(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"], labels: Int[np.ndarray, "v"]
) -> tuple[Bool[np.ndarray, "v"], Bool[np.ndarray, "v"]]:
    """The two eyeballs, left (the person's own, +x) and right: a pair of components that are mirrored spheres.

    Args:
        vertices: in metres, x to the person's left.
        triangles: vertex indices.
        labels: component of every vertex.

    Raises:
        UserError: no such pair.
    """
    sizes = np.bincount(labels[np.unique(triangles)], minlength=labels.max() + 1)
    spheres: list[tuple[float, Float[np.ndarray, "3"], np.ndarray]] = []
    for label in np.flatnonzero(sizes >= 20):
        members = labels == label
        centre, radius = fit_sphere(vertices[members])
        scatter = np.std(np.linalg.norm(vertices[members] - centre, axis=1))
        if 0.008 <= radius <= 0.020 and scatter < 0.15 * radius:
            spheres.append((radius, centre, members))
    for first, (radius, centre, left) in enumerate(spheres):
        for other_radius, other, right in spheres[first + 1 :]:
            apart = abs(float(centre[0] - other[0]))
            level = np.linalg.norm((centre - other)[1:])
            if 0.045 <= apart <= 0.085 and level < 0.01 and abs(radius - other_radius) < 0.1 * radius:
                return (left, right) if centre[0] > other[0] else (right, left)
    raise UserError(
        "two eyeballs (a pair of round parts 45 to 85 mm apart) in the head",
        f"{len(spheres)} round parts and no pair",
        "download the model again; this file is none",
    )
