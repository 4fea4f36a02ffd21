"""ICT-FaceKit (Li et al., "Learning formation of physically-based face attributes", 2020): a head in the light version.

Its space is centimetres, y up, z towards the viewer. Shapes are displacements of every vertex, weights 0..1 for
expressions and about N(0, 1) for identity. It has teeth, gums, a tongue, lashes and eyeballs, but no joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.formats.rig import JOINTS, PARENTS, borrow_rig
from gaussavatar.head.model import REGIONS, HeadModel
from gaussavatar.head.safe.checks import ICT_EYES
from gaussavatar.mesh.components import component_labels
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS

AXES = 0.01 * np.array([1.0, -1.0, -1.0])
"""Its axes and centimetres in template space."""

HIDDEN = ("M_EyeBlend", "M_EyeOcclusion", "M_LacrimalFluid", "M_IrisLeft", "M_IrisRight")
"""Materials left out: clear layers before the eyes, and the inner shell of the eyeballs, which nothing would show."""

PUPILS = "PupilDilate"
"""The shapes of the pupils, which lie on the eyeballs' inner shells."""

STILL = 2e-5
"""Metres that an expression moves something by at the least."""

TONGUE_CLEARANCE = 0.004
"""Metres from the teeth beyond which what lies between the rows is tongue rather than gum."""


def ict_head(arrays: Mapping[str, np.ndarray], name: str) -> tuple[HeadModel, Float64[np.ndarray, "4 4"]]:
    """Turn checked arrays into a head without landmarks; its skin is all region "face".

    Expressions get the names of :data:`ARKIT_EXPRESSIONS` where there is one; what ARKit has as one shape and ICT as
    two halves is their sum. Others keep their names with Left and Right spelled out. The pupils' shapes
    and any that move nothing are left out, and the eyeballs move by their joints only.

    Args:
        arrays: from :func:`gaussavatar.head.safe.checks.check_ict`.
        name: the head's name.

    Returns:
        The head, and ``T_source_template``: template space to the source's centimetres.
    """
    triangles, material = _triangles(arrays)
    names = [str(entry) for entry in arrays["mats"]]
    hidden = np.isin(material, [names.index(entry) for entry in HIDDEN if entry in names])
    used = np.unique(triangles[~hidden])
    triangles = np.searchsorted(used, triangles[~hidden])
    material = material[~hidden]
    points = arrays["v"][used].astype(np.float64)

    def has(entry: str) -> Bool[np.ndarray, "v"]:
        mask = np.zeros(len(used), bool)
        if entry in names:
            mask[triangles[material == names.index(entry)]] = True
        return mask

    eyes = (has(ICT_EYES[0]), has(ICT_EYES[1]))
    centre = np.mean([fit_sphere(points[eye])[0] for eye in eyes], 0)
    template = (points - centre) * AXES
    identity = arrays["identity"][:, used] * AXES.astype(np.float32)
    expression, expression_names = _expressions(arrays, used)
    expression[:, eyes[0] | eyes[1]] = 0
    moving = np.abs(expression).max((1, 2)) > STILL
    rig = borrow_rig(template, triangles, identity, eyes)
    head = HeadModel(
        name=name,
        template=template.astype(np.float32),
        triangles=triangles.astype(np.int32),
        identity=identity.astype(np.float32),
        identity_names=tuple(f"identity_{k:03d}" for k in range(len(identity))),
        expression=expression[moving].astype(np.float32),
        expression_names=tuple(entry for entry, moves in zip(expression_names, moving, strict=True) if moves),
        joint_names=JOINTS,
        joint_parents=PARENTS,
        joint_positions=rig.positions.astype(np.float32),
        joint_identity=rig.identity.astype(np.float32),
        skin_weights=rig.weights.astype(np.float32),
        regions=_regions(template, triangles, has),
    )
    T_source_template = np.eye(4)
    T_source_template[:3, :3], T_source_template[:3, 3] = np.diag(1 / AXES), centre
    return head, T_source_template


def _triangles(arrays: Mapping[str, np.ndarray]) -> tuple[Int[np.ndarray, "t 3"], Int[np.ndarray, "t"]]:
    """Triangles of faces with three or four corners, and their materials."""
    faces, material = arrays["faces"], arrays["face_mat"].astype(np.int64)
    if faces.shape[1] == 3:
        return faces, material
    four = faces[:, 3] >= 0
    return (
        np.concatenate([faces[:, :3], faces[four][:, [0, 2, 3]]]),
        np.concatenate([material, material[four]]),
    )


def _expressions(arrays: Mapping[str, np.ndarray], used: np.ndarray) -> tuple[Float[np.ndarray, "e v 3"], list[str]]:
    """Expression shapes in template space and their names, ARKit's where there is one."""
    found: dict[str, np.ndarray] = {}
    for row, entry in zip(arrays["expr"], arrays["expr_names"], strict=True):
        name, _, side = str(entry).partition("_")
        if name == PUPILS:
            continue
        spelled = {"L": "Left", "R": "Right"}.get(side, side)
        if spelled and name in ARKIT_EXPRESSIONS:
            spelled = ""
        shape = row[used] * AXES.astype(np.float32)
        found[name + spelled] = found[name + spelled] + shape if name + spelled in found else shape
    return np.stack(list(found.values())), list(found)


def _regions(template: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"], has: Any) -> np.ndarray:
    """Regions by material; rows of teeth by the height of each tooth, the tongue by its distance from them."""
    regions = np.full(len(template), REGIONS.index("face"), np.uint8)
    regions[has("M_EyeLashes")] = REGIONS.index("lashes")
    for entry, name in zip(ICT_EYES, ("eyeball_left", "eyeball_right"), strict=True):
        regions[has(entry)] = REGIONS.index(name)
    teeth = has("M_Teeth")
    labels = component_labels(triangles, len(template))
    tooth_labels = np.unique(labels[teeth])
    heights = np.array([template[labels == label, 1].mean() for label in tooth_labels])
    order = np.sort(heights)
    gap = int(np.diff(order).argmax()) if len(order) > 1 else 0
    bite = order[gap : gap + 2].mean()
    regions[teeth] = REGIONS.index("teeth_upper")
    regions[teeth & np.isin(labels, tooth_labels[heights > bite])] = REGIONS.index("teeth_lower")
    soft = has("M_GumsTongue")
    regions[soft] = REGIONS.index("inner_mouth")
    if soft.any() and teeth.any():
        from scipy.spatial import cKDTree

        distance, _ = cKDTree(template[teeth]).query(template)
        arch = np.abs(template[teeth, 0]).max() - TONGUE_CLEARANCE
        tongue = (
            soft & (distance > TONGUE_CLEARANCE) & (np.abs(template[:, 0]) < arch) & (template[:, 1] > bite - 0.004)
        )
        regions[tongue & (template[:, 2] < template[teeth, 2].max() + 0.02)] = REGIONS.index("tongue")
    return regions
