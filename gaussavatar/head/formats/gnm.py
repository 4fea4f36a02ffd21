"""GNM Head (google/gnm, version 3, Apache-2.0): from its ``.npz`` to a :class:`HeadModel`.

Written after the arrays' documentation in google/gnm (``gnm_xnp.py``, ``gnm_common.py``): metres; skinning weights (J,
V); pose correctives for all joints, the first included, row-major rotation minus identity; joints depend on identity
only. That y points up and the face looks along +z was taken for granted, as in its sibling models; whether it is so in
a file is seen when the landmark detector looks for the face. No file of GNM was at hand to try.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.formats.flame import AXES, pose_features_to_head_space
from gaussavatar.head.model import REGIONS, HeadModel

JOINT_NAMES = {"left_eye": "eye_left", "right_eye": "eye_right", "L_Eye": "eye_left", "R_Eye": "eye_right"}
GROUP_REGIONS = (
    ("mouth_sock", "inner_mouth"),
    ("gums", "inner_mouth"),
    ("tongue", "tongue"),
    ("left_eye", "eyeball_left"),
    ("right_eye", "eyeball_right"),
)
"""Vertex groups and the regions they are, later ones over earlier ones; teeth are told by two groups."""

CLEAR_GROUP = "eye_exteriors"
"""The clear shell before the irises, left out."""

OPENING = 0.012
"""Metres that the lower teeth go down in the helping shape of :func:`with_opening`."""


def gnm_head(arrays: Mapping[str, np.ndarray], name: str) -> tuple[HeadModel, Float64[np.ndarray, "4 4"]]:
    """Turn checked arrays into a head without landmarks; its skin is all region "face".

    A joint "root" without weights precedes GNM's own, because the record has correctives for all joints but the first.

    Args:
        arrays: from :func:`gaussavatar.head.safe.checks.check_gnm`.
        name: the head's name.

    Returns:
        The head, and ``T_source_template``: template space to GNM's own space.

    Raises:
        UserError: the groups of the eyes are missing.
    """
    groups = {str(entry): arrays["vertex_groups"][k] > 0.5 for k, entry in enumerate(arrays["vertex_group_names"])}
    template = arrays["template_vertex_positions"].astype(np.float64)
    kept = _kept(arrays["triangles"], groups, len(template))
    used = np.unique(arrays["triangles"][kept])
    for eye in ("left_eye", "right_eye"):
        if eye not in groups or not groups[eye][used].any():
            raise UserError(f"the vertex group {eye} in a GNM file", "none", "take gnm_head.npz of version 3")
    centre = np.mean([fit_sphere(template[used][groups[eye][used]])[0] for eye in ("left_eye", "right_eye")], 0)
    n_joints = len(arrays["joint_names"])
    joints = arrays["template_joint_positions"].astype(np.float64)
    joint_identity = arrays["joint_identity_basis"] * AXES
    weights = np.clip(arrays["skinning_weights"].T[used], 0, None)
    correctives = arrays.get("pose_correctives_regressor")
    if correctives is not None:
        rows = correctives.reshape(9 * n_joints, len(template), 3)[:, used]
        correctives = pose_features_to_head_space(np.moveaxis(rows, 0, 2)).astype(np.float32)
    uv = arrays.get("triangle_uvs")
    head = HeadModel(
        name=name,
        template=((template[used] - centre) * AXES).astype(np.float32),
        triangles=np.searchsorted(used, arrays["triangles"][kept]).astype(np.int32),
        identity=(arrays["vertex_identity_basis"][:, used] * AXES).astype(np.float32),
        identity_names=tuple(str(entry) for entry in arrays["identity_names"]),
        expression=(arrays["expression_basis"][:, used] * AXES).astype(np.float32),
        expression_names=tuple(str(entry) for entry in arrays["expression_names"]),
        joint_names=("root", *_joint_names(arrays)),
        joint_parents=(-1, 0, *(int(parent) + 1 for parent in arrays["joint_parent_indices"][1:])),
        joint_positions=((np.concatenate([joints[:1], joints]) - centre) * AXES).astype(np.float32),
        joint_identity=np.concatenate([joint_identity[:, :1], joint_identity], 1).astype(np.float32),
        skin_weights=np.c_[np.zeros(len(used)), weights / weights.sum(1, keepdims=True)].astype(np.float32),
        pose_correctives=correctives,
        # Texture rows run upwards there and downwards here.
        corner_uv=None if uv is None else (uv[kept] * [1, -1] + [0, 1]).astype(np.float32),
        regions=_regions(groups, used),
    )
    T_source_template = np.eye(4)
    T_source_template[:3, :3], T_source_template[:3, 3] = np.diag(AXES), centre
    return head, T_source_template


def _kept(triangles: np.ndarray, groups: Mapping[str, np.ndarray], n_vertices: int) -> Bool[np.ndarray, "t"]:
    clear = groups.get(CLEAR_GROUP, np.zeros(n_vertices, bool))
    kept = ~clear[triangles].all(1)
    eyes = groups.get("left_eye", clear) | groups.get("right_eye", clear)
    # Where the eyes are nothing but their outer shells, those are kept.
    return kept if eyes[triangles[kept]].any() else np.ones(len(triangles), bool)


def _joint_names(arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    names = [JOINT_NAMES.get(str(entry), str(entry)) for entry in arrays["joint_names"]]
    if "head" not in names and "neck" not in names:
        # What carries the eyes is the skull.
        carrier = int(arrays["joint_parent_indices"][names.index("eye_left")]) if "eye_left" in names else 0
        names[max(carrier, 0)] = "head"
    return tuple(f"gnm_{entry}" if entry == "root" else entry for entry in names)


def _regions(groups: Mapping[str, np.ndarray], used: np.ndarray) -> np.ndarray:
    regions = np.full(len(used), REGIONS.index("face"), np.uint8)
    for group, region in GROUP_REGIONS:
        if group in groups:
            regions[groups[group][used]] = REGIONS.index(region)
    teeth = groups.get("teeth")
    for group, region in (("upper_teeth_and_gums", "teeth_upper"), ("lower_teeth_and_gums", "teeth_lower")):
        if group in groups:
            enamel = groups[group] if teeth is None else groups[group] & teeth
            regions[groups[group][used]] = REGIONS.index("inner_mouth")
            regions[enamel[used]] = REGIONS.index(region)
    return regions


def with_opening(head: HeadModel) -> HeadModel:
    """The head with one more expression, jawOpen, mixed from its own: what moves the lower teeth down and no others.

    For a model whose expressions are nameless directions and whose jaw is no joint, this tells the upper lip from the
    lower one while landmarks are looked for. Heads that can open their mouths come back as they are.
    """
    lower, upper = head.region("teeth_lower"), head.region("teeth_upper")
    if "jawOpen" in head.expression_names or "jaw" in head.joint_names or not (lower.any() and upper.any()):
        return head
    moved = np.concatenate([head.expression[:, lower].mean(1), head.expression[:, upper].mean(1)], 1).astype(np.float64)
    gram = moved @ moved.T
    ridge = 1e-4 * np.trace(gram) / len(gram) + 1e-15
    mix = np.linalg.solve(gram + ridge * np.eye(len(gram)), moved @ [0, OPENING, 0, 0, 0, 0])
    shape = np.einsum("e,evc->vc", mix, head.expression).astype(np.float32)
    return replace(
        head,
        expression=np.concatenate([head.expression, shape[None]]),
        expression_names=(*head.expression_names, "jawOpen"),
    )
