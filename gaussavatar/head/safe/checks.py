"""What the arrays of a head file must be before anything is made of them: shapes, types, ranges, sums.

Only numpy is imported here, because these checks run in the small process that reads users' files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gaussavatar.errors import UserError

FLAME_KEYS = ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table")
FLAME_PARENTS = (-1, 0, 1, 1, 1)
FLAME_COLUMNS = (310, 2000)
"""How many columns ``shapedirs`` may have: the identity's 300 and some expression, up to a bound."""

FLAME_HEIGHTS = (0.2, 0.5)
"""Metres that a FLAME head with its neck may be high."""

ICT_KEYS = ("v", "faces", "face_mat", "mats", "identity", "expr", "expr_names")
ICT_EYES = ("M_ScleraLeft", "M_ScleraRight")
ICT_MATERIALS = ("M_Face", "M_Teeth", *ICT_EYES)
ICT_HEIGHTS = (20.0, 60.0)
"""Centimetres that the head with neck and shoulders may be high."""

GNM_KEYS = (
    *("template_vertex_positions", "template_joint_positions", "vertex_identity_basis", "joint_identity_basis"),
    *("expression_basis", "identity_names", "expression_names", "joint_names", "joint_parent_indices"),
    *("skinning_weights", "triangles", "vertex_groups", "vertex_group_names"),
)
VERTICES = (100, 200_000)
MAX_JOINTS = 64


def check_flame(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check what was read from a FLAME file and bring it to plain types.

    Args:
        values: the file's entries by name.

    Returns:
        The entries of :data:`FLAME_KEYS`: float64 for numbers, int64 for indices; of ``kintree_table`` the parents (5,)
        as ``parents``.

    Raises:
        UserError: a missing key, a wrong shape, or values that no head has.
    """
    arrays: dict[str, np.ndarray] = {}
    for key in FLAME_KEYS:
        array = values.get(key)
        if not isinstance(array, np.ndarray):
            raise _bad_flame(f"the array {key}", "none" if array is None else f"a {type(array).__name__}")
        arrays[key] = array
    _check_flame_shapes(arrays)
    numbers = {key: np.asarray(arrays[key], np.float64) for key in FLAME_KEYS if key not in ("f", "kintree_table")}
    for key, array in numbers.items():
        if not np.isfinite(array).all():
            raise _bad_flame(f"finite values in {key}", "values that are not")
    n_vertices = len(arrays["v_template"])
    faces = arrays["f"].astype(np.int64)
    if faces.min() < 0 or faces.max() >= n_vertices:
        raise _bad_flame(f"triangles of vertices 0..{n_vertices - 1}", f"indices {faces.min()}..{faces.max()}")
    for key, axis in (("weights", 1), ("J_regressor", 1)):
        sums = numbers[key].sum(axis)
        if np.abs(sums - 1).max() > 1e-3:
            raise _bad_flame(f"rows of {key} that sum to 1", f"sums {sums.min():.4g}..{sums.max():.4g}")
    if numbers["weights"].min() < -1e-3:
        raise _bad_flame("weights that are not negative", f"{numbers['weights'].min():.4g}")
    parents = arrays["kintree_table"][0].astype(np.int64)
    if parents[0] in (0xFFFFFFFF, -1):
        parents[0] = -1
    if tuple(parents) != FLAME_PARENTS:
        raise _bad_flame(f"joints with the parents {FLAME_PARENTS}", f"{tuple(int(parent) for parent in parents)}")
    height = float(np.ptp(numbers["v_template"][:, 1]))
    if not FLAME_HEIGHTS[0] <= height <= FLAME_HEIGHTS[1]:
        raise _bad_flame(f"a head between {FLAME_HEIGHTS[0]} and {FLAME_HEIGHTS[1]} m high", f"{height:.4g} m")
    return {**numbers, "f": faces, "parents": parents}


def _check_flame_shapes(arrays: Mapping[str, np.ndarray]) -> None:
    n = arrays["v_template"].shape[0] if arrays["v_template"].ndim else 0
    if not VERTICES[0] <= n <= VERTICES[1]:
        raise _bad_flame(f"{VERTICES[0]} to {VERTICES[1]} vertices", str(n))
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
            raise _bad_flame(f"{key} of shape {wanted}", f"shape {came}")
        integral = key in ("f", "kintree_table")
        if (arrays[key].dtype.kind not in "iu") if integral else (arrays[key].dtype.kind != "f"):
            raise _bad_flame(f"{key} of {'integers' if integral else 'floating-point numbers'}", str(arrays[key].dtype))
    columns = arrays["shapedirs"].shape[2]
    if not FLAME_COLUMNS[0] <= columns <= FLAME_COLUMNS[1]:
        raise _bad_flame(
            f"{FLAME_COLUMNS[0]} to {FLAME_COLUMNS[1]} shape and expression columns in shapedirs", str(columns)
        )


def _bad_flame(expected: str, came: str) -> UserError:
    return UserError(
        f"{expected} in a FLAME file", came, "download the model again from the FLAME website; this is none"
    )


def check_ict(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check the arrays of an ICT-FaceKit archive or folder and bring them to plain types.

    Args:
        values: ``v`` (v, 3), ``faces`` (f, 3 or 4; -1 where a face has three corners), ``face_mat`` (f,) indices of
            ``mats`` (material names), ``identity`` (i, v, 3), ``expr`` (e, v, 3) and ``expr_names`` (e,);
            ``identity_scale`` multiplies the identity where it is there.

    Raises:
        UserError: a missing array, a wrong shape, or values that no head has.
    """
    arrays: dict[str, np.ndarray] = {}
    for key in ICT_KEYS:
        array = values.get(key)
        if not isinstance(array, np.ndarray):
            raise _bad_ict(f"the array {key}", "none")
        arrays[key] = array
    n, f = len(arrays["v"]), len(arrays["faces"])
    wide = arrays["faces"].shape[1] if arrays["faces"].ndim == 2 else 0
    e = len(arrays["expr_names"]) if arrays["expr_names"].ndim == 1 else 0
    shapes = {
        "v": (n, 3),
        "faces": (f, 4 if wide == 4 else 3),
        "face_mat": (f,),
        "expr": (e, n, 3),
        "identity": (len(arrays["identity"]), n, 3),
    }
    kinds = {"v": "f", "faces": "iu", "face_mat": "iu", "identity": "f", "expr": "f", "mats": "U", "expr_names": "U"}
    for key, shape in shapes.items():
        if arrays[key].shape != shape or 0 in shape:
            raise _bad_ict(f"{key} of shape {shape}", f"shape {arrays[key].shape}")
    for key, kind in kinds.items():
        if arrays[key].dtype.kind not in kind:
            raise _bad_ict(f"{key} of another type", str(arrays[key].dtype))
    if not VERTICES[0] <= n <= VERTICES[1]:
        raise _bad_ict(f"{VERTICES[0]} to {VERTICES[1]} vertices", str(n))
    for key in ("v", "identity", "expr"):
        arrays[key] = arrays[key].astype(np.float32)
        if not np.isfinite(arrays[key]).all():
            raise _bad_ict(f"finite values in {key}", "values that are not")
    scale = values.get("identity_scale")
    if isinstance(scale, np.ndarray) and scale.size == 1 and np.isfinite(scale).all():
        arrays["identity"] = arrays["identity"] * np.float32(scale.ravel()[0])
    arrays["faces"] = faces = arrays["faces"].astype(np.int64)
    if faces[:, :3].min() < 0 or faces.min() < -1 or faces.max() >= n:
        raise _bad_ict(f"faces of vertices 0..{n - 1}", f"indices {faces.min()}..{faces.max()}")
    if arrays["face_mat"].max() >= len(arrays["mats"]):
        raise _bad_ict("a material for every face", f"index {arrays['face_mat'].max()}")
    missing = [name for name in ICT_MATERIALS if name not in arrays["mats"]]
    if missing:
        raise _bad_ict(f"the materials {', '.join(ICT_MATERIALS)}", f"none called {missing[0]}")
    height = float(np.ptp(arrays["v"][:, 1]))
    if not ICT_HEIGHTS[0] <= height <= ICT_HEIGHTS[1]:
        raise _bad_ict(f"a head between {ICT_HEIGHTS[0]:g} and {ICT_HEIGHTS[1]:g} cm high", f"{height:.4g}")
    return arrays


def _bad_ict(expected: str, came: str) -> UserError:
    return UserError(
        f"{expected} in ICT-FaceKit's model", came, "take the folder FaceXModel of ICT-FaceKit, or an archive of it"
    )


def check_gnm(values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Check the arrays of a GNM head file (google/gnm, version 3) and bring them to plain types.

    Args:
        values: the file's arrays by the names of :data:`GNM_KEYS`; ``pose_correctives_regressor`` and ``triangle_uvs``
            are used where they are there.

    Raises:
        UserError: a missing array, a wrong shape, or values that no head has.
    """
    arrays: dict[str, np.ndarray] = {}
    for key in GNM_KEYS:
        if not isinstance(values.get(key), np.ndarray):
            raise _bad_gnm(f"the array {key}", "none")
        arrays[key] = values[key]
    for key in ("pose_correctives_regressor", "triangle_uvs"):
        if isinstance(values.get(key), np.ndarray) and values[key].ndim:
            arrays[key] = values[key]
    v, j = len(arrays["template_vertex_positions"]), len(arrays["joint_names"])
    i, e = len(arrays["identity_names"]), len(arrays["expression_names"])
    t, g = len(arrays["triangles"]), len(arrays["vertex_group_names"])
    if not (VERTICES[0] <= v <= VERTICES[1] and 1 <= j <= MAX_JOINTS and min(i, e, t, g) >= 1):
        raise _bad_gnm("vertices, joints, shapes and triangles", f"{v}, {j}, {i} + {e} and {t} of them")
    shapes = {
        "template_vertex_positions": (v, 3),
        "template_joint_positions": (j, 3),
        "vertex_identity_basis": (i, v, 3),
        "joint_identity_basis": (i, j, 3),
        "expression_basis": (e, v, 3),
        "joint_parent_indices": (j,),
        "skinning_weights": (j, v),
        "triangles": (t, 3),
        "vertex_groups": (g, v),
        "pose_correctives_regressor": (9 * j, 3 * v),
        "triangle_uvs": (t, 3, 2),
    }
    for key, array in arrays.items():
        kind = "U" if key.endswith("_names") else "iu" if key in ("joint_parent_indices", "triangles") else "f"
        if key in shapes and array.shape != shapes[key]:
            raise _bad_gnm(f"{key} of shape {shapes[key]}", f"shape {array.shape}")
        if array.dtype.kind not in kind:
            raise _bad_gnm(f"{key} of another type", str(array.dtype))
        if kind == "f" and not np.isfinite(array).all():
            raise _bad_gnm(f"finite values in {key}", "values that are not")
    triangles = arrays["triangles"] = arrays["triangles"].astype(np.int64)
    if triangles.min() < 0 or triangles.max() >= v:
        raise _bad_gnm(f"triangles of vertices 0..{v - 1}", f"indices {triangles.min()}..{triangles.max()}")
    sums = arrays["skinning_weights"].sum(0)
    if np.abs(sums - 1).max() > 1e-2:
        raise _bad_gnm("skinning weights that sum to 1", f"sums {sums.min():.4g}..{sums.max():.4g}")
    parents = arrays["joint_parent_indices"].astype(np.int64)
    if any(not 0 <= parents[k] < k for k in range(1, j)) or parents[0] > 0:
        raise _bad_gnm("joints whose parents precede them", f"parents {parents.tolist()}"[:80])
    arrays["joint_parent_indices"] = parents
    extent = float(np.ptp(arrays["template_vertex_positions"][:, 1]))
    if not FLAME_HEIGHTS[0] <= extent <= 0.7:
        raise _bad_gnm(f"a head between {FLAME_HEIGHTS[0]} and 0.7 m high", f"{extent:.4g}")
    return arrays


def _bad_gnm(expected: str, came: str) -> UserError:
    return UserError(f"{expected} in a GNM file", came, "take gnm_head.npz of version 3 from google/gnm")
