"""FLAME: what a model file must hold, and how it becomes a :class:`HeadModel`.

FLAME (Li et al., "Learning a model of facial shape and expression from 4D scans", 2017):
vertices = skin(template + shape + expression + pose correctives), eq. 1-4, with joints
regressed from the shaped vertices. Its space is metres, y up, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from gaussavatar.errors import UserError
from gaussavatar.head.components import component_labels
from gaussavatar.head.eyeball import fit_sphere
from gaussavatar.head.model import REGIONS, HeadModel

JOINTS = ("root", "neck", "jaw", "eye_left", "eye_right")
PARENTS = (-1, 0, 1, 1, 1)
N_IDENTITY, N_EXPRESSION = 300, 100
MIN_BASIS = 310
"""Columns of ``shapedirs`` at the least: the identity's 300 and some expression."""

KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
HEIGHTS = (0.2, 0.5)
"""Metres that a FLAME head with its neck may be high."""

MAX_VERTICES = 60_000

AXES = np.array([1.0, -1.0, -1.0])
"""FLAME's axes in head space: the diagonal of a half turn about x, its own inverse."""


def check_flame(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check what was read from a FLAME file and bring it to plain types.

    Args:
        values: the file's entries by name.

    Returns:
        The entries of :data:`KEYS`: float64 for numbers, int64 for indices; ``kintree_table`` as ``parents`` (5,).

    Raises:
        UserError: a missing key, a wrong shape, or values that no head has.
    """
    arrays: dict[str, np.ndarray] = {}
    for key in KEYS:
        array = values.get(key)
        if not isinstance(array, np.ndarray):
            raise _bad(f"the array {key}", "none" if array is None else f"a {type(array).__name__}")
        arrays[key] = array
    _check_shapes(arrays)
    numbers = {key: np.asarray(arrays[key], np.float64) for key in KEYS if key not in ("f", "kintree_table")}
    for key, array in numbers.items():
        if not np.isfinite(array).all():
            raise _bad(f"finite values in {key}", "values that are not")
    n_vertices = len(arrays["v_template"])
    faces = arrays["f"].astype(np.int64)
    if faces.min() < 0 or faces.max() >= n_vertices:
        raise _bad(f"triangles of vertices 0..{n_vertices - 1}", f"indices {faces.min()}..{faces.max()}")
    for key, axis in (("weights", 1), ("J_regressor", 1)):
        sums = numbers[key].sum(axis)
        if np.abs(sums - 1).max() > 1e-3:
            raise _bad(f"rows of {key} that sum to 1", f"sums {sums.min():.4g}..{sums.max():.4g}")
    if numbers["weights"].min() < -1e-3:
        raise _bad("weights that are not negative", f"{numbers['weights'].min():.4g}")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if parents[0] in (0xFFFFFFFF, -1):
        parents[0] = -1
    if tuple(parents) != PARENTS:
        raise _bad(f"joints with the parents {PARENTS}", f"{tuple(int(parent) for parent in parents)}")
    height = float(np.ptp(numbers["v_template"][:, 1]))
    if not HEIGHTS[0] <= height <= HEIGHTS[1]:
        raise _bad(f"a head between {HEIGHTS[0]} and {HEIGHTS[1]} m high", f"{height:.4g} m")
    return {**numbers, "f": faces, "parents": parents}


def _check_shapes(arrays: Mapping[str, np.ndarray]) -> None:
    n = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    if not 100 <= n <= MAX_VERTICES:
        raise _bad(f"between 100 and {MAX_VERTICES} vertices", str(n))
    expected: dict[str, tuple[int | None, ...]] = {
        "v_template": (n, 3),
        "f": (None, 3),
        "shapedirs": (n, 3, None),
        "posedirs": (n, 3, 36),
        "J_regressor": (5, n),
        "weights": (n, 5),
        "kintree_table": (2, 5),
    }
    for key, shape in expected.items():
        came = arrays[key].shape
        fits = len(came) == len(shape) and all(
            want is None or want == have for want, have in zip(shape, came, strict=True)
        )
        if not fits or 0 in came:
            wanted = " x ".join("any" if size is None else str(size) for size in shape)
            raise _bad(f"{key} of shape {wanted}", f"shape {came}")
        integral = key in ("f", "kintree_table")
        if (arrays[key].dtype.kind not in "iu") if integral else (arrays[key].dtype.kind != "f"):
            raise _bad(f"{key} of {'integers' if integral else 'floating-point numbers'}", str(arrays[key].dtype))
    columns = arrays["shapedirs"].shape[2]
    if not MIN_BASIS <= columns <= 2000:
        raise _bad(f"at least {MIN_BASIS} shape and expression columns in shapedirs", str(columns))


def _bad(expected: str, came: str) -> UserError:
    return UserError(
        f"{expected} in a FLAME file", came, "download the model again from the FLAME website; this is none"
    )


def flame_head(arrays: Mapping[str, np.ndarray], name: str) -> tuple[HeadModel, Float64[np.ndarray, "4 4"]]:
    """Turn checked FLAME arrays into a head without teeth, lips and landmarks.

    Posing the result is posing FLAME: with the transform that is returned, and joint rotation vectors multiplied by
    :data:`AXES`, both give the same vertices. The regions tell eyeballs from skin only.

    Args:
        arrays: from :func:`check_flame`.
        name: the head's name.

    Returns:
        The head, and ``T_source_head``: head space to FLAME's own space.

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
        joint_parents=PARENTS,
        joint_positions=((regressor @ template - centre) * AXES).astype(np.float32),
        joint_identity=((regressor @ identity) * AXES).astype(np.float32),
        joint_expression=((regressor @ expression) * AXES).astype(np.float32),
        skin_weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        pose_correctives=_correctives(arrays["posedirs"]).astype(np.float32),
        regions=regions,
    )
    T_source_head = np.eye(4)
    T_source_head[:3, :3], T_source_head[:3, 3] = np.diag(AXES), centre
    return head, T_source_head


def _correctives(posedirs: Float[np.ndarray, "v 3 36"]) -> Float64[np.ndarray, "36 v 3"]:
    """Pose correctives in head space.

    A joint's rotation in head space is ``A R A`` with A the diagonal of :data:`AXES`, so entry (a, b) of R minus the
    identity changes its sign by ``A_a A_b``, which is moved into the corrective.
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
    raise _bad("two eyeballs (a pair of round parts 45 to 85 mm apart)", f"{len(spheres)} round parts and no pair")
