"""A file with FLAME's exact shapes whose head is the built-in one: FLAME itself cannot be had without registration.

5023 vertices (3931 of skin, two eyeballs of 546), 9976 triangles, 400 shape directions, 36 pose directions, 5
joints. The expression directions are the principal directions of the built-in head's ARKit shapes (without the opening
of the jaw, which the jaw's joint does, helped by pose correctives as in FLAME), the identity directions those of its
identity shapes; coefficients of a usual face are about N(0, 1), as FLAME's.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from gaussavatar.head.anatomy.eyeball import fit_sphere
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.model import REGIONS, HeadModel, skin_vertices
from gaussavatar.mesh.components import component_labels
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.rotations import rotation_matrices

N_SKIN, N_SKIN_TRIANGLES, EYE_RINGS, EYE_SEGMENTS = 3931, 7800, 17, 32
CUT = 0.20
AXES = np.array([1.0, -1.0, -1.0])
ORIGIN = np.array([0.0, 0.035, 0.045])
"""Where the point between the eyes lies in this FLAME's own space (metres, y up, z to the viewer)."""

ACTIVITY = 0.25
"""Usual size of an ARKit weight and of an identity slider; scales the directions to N(0, 1) coefficients."""

JAW_ANGLE = 0.35
"""Turn of the jaw, radians, that the built-in head's jawOpen = 1 becomes."""


@cache
def flame_arrays() -> dict[str, np.ndarray]:
    """The dense arrays of the model, float64."""
    head = builtin_head(embedded=False)
    skin, triangles = _skin(head)
    parts = [head.template[skin].astype(np.float64)]
    identity = [head.identity[:, skin]]
    expression = [head.expression[:, skin]]
    weights = [_flame_weights(head)[skin]]
    faces = [triangles]
    for side, name in enumerate(("eyeball_left", "eyeball_right")):
        ball = head.region(name)
        centre, radius = fit_sphere(head.template[ball])
        points, ball_faces = _sphere()
        parts.append(centre + radius * points)
        identity.append(np.repeat(head.identity[:, ball].mean(1, keepdims=True), len(points), 1))
        expression.append(np.zeros((len(head.expression), len(points), 3), np.float32))
        weights.append(np.tile(np.eye(5)[3 + side], (len(points), 1)))
        faces.append(ball_faces + N_SKIN + side * len(points))
    template = np.concatenate(parts)
    regressor = _regressor(head, template)
    shape, movement = np.concatenate(identity, 1), np.concatenate(expression, 1)
    skinning = np.concatenate(weights)
    jaw_open = movement[ARKIT_EXPRESSIONS.index("jawOpen")]
    movement = np.delete(movement, ARKIT_EXPRESSIONS.index("jawOpen"), 0)
    directions = np.concatenate(
        [_directions(shape, 300, template, seed=1), _directions(movement, 100, template, seed=2)]
    )
    correctives = _correctives(template, regressor, skinning, jaw_open)
    return {
        "v_template": template * AXES + ORIGIN,
        "f": np.concatenate(faces).astype(np.uint32),
        "shapedirs": np.moveaxis(directions * AXES, 0, 2),
        "posedirs": np.moveaxis(correctives * AXES, 0, 2),
        "J_regressor": regressor,
        "weights": skinning,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
    }


def _skin(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of the skin, thinned to FLAME's numbers where nothing of a face is lost."""
    labels = component_labels(head.triangles, len(head.template))
    kept = (labels == np.bincount(labels).argmax()) & (head.template[:, 1] < CUT)
    triangles = head.triangles[kept[head.triangles].all(1)].astype(np.int64)
    free = np.zeros(len(kept), bool)
    free[head.region("ear", "scalp", "inner_mouth", "neck", "torso")] = True
    while (surplus := len(np.unique(triangles)) - N_SKIN) > 0:
        triangles = _collapse(head.template.astype(np.float64), triangles, free, surplus)
    vertices = np.unique(triangles)
    triangles = np.searchsorted(vertices, triangles)
    # The last few go at the hem of the neck.
    height = head.template[vertices][:, 1][triangles].mean(1)
    surplus = len(triangles) - N_SKIN_TRIANGLES
    assert surplus >= 0
    return vertices, np.delete(triangles, np.argsort(-height)[:surplus], 0)


def _collapse(points: np.ndarray, triangles: np.ndarray, free: np.ndarray, most: int) -> np.ndarray:
    """Pull short edges between free inner vertices together, each vertex at most once."""
    edges = np.sort(triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    hem = np.unique(unique[count == 1])
    ring: dict[int, set[int]] = {}
    for a, b in unique:
        ring.setdefault(int(a), set()).add(int(b))
        ring.setdefault(int(b), set()).add(int(a))
    movable = free.copy()
    movable[hem] = False
    length = np.linalg.norm(points[unique[:, 0]] - points[unique[:, 1]], axis=1)
    target = np.arange(len(points))
    touched: set[int] = set()
    done = 0
    for a, b in unique[np.argsort(length)]:
        a, b = int(a), int(b)
        around = ring[a] | ring[b]
        if done >= most or not (movable[a] and movable[b]) or around & touched or len(ring[a] & ring[b]) != 2:
            continue
        target[b] = a
        touched |= around
        done += 1
    assert done, "nothing left to thin out"
    moved = target[triangles]
    whole = (moved[:, 0] != moved[:, 1]) & (moved[:, 1] != moved[:, 2]) & (moved[:, 2] != moved[:, 0])
    return moved[whole]


def _sphere() -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of 546 vertices and 1088 outward triangles, poles along z."""
    angle = np.linspace(0, np.pi, EYE_RINGS + 2)[1:-1, None]
    turn = np.arange(EYE_SEGMENTS) * 2 * np.pi / EYE_SEGMENTS
    rings = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), -np.cos(angle) + 0 * turn], -1)
    points = np.concatenate([[[0, 0, -1]], rings.reshape(-1, 3), [[0, 0, 1]]])
    grid = 1 + np.arange(EYE_RINGS * EYE_SEGMENTS).reshape(EYE_RINGS, EYE_SEGMENTS)
    a, b, c, d = grid[:-1], np.roll(grid[:-1], -1, 1), np.roll(grid[1:], -1, 1), grid[1:]
    quads = np.stack([a, b, c, d], -1).reshape(-1, 4)
    last = len(points) - 1
    first = np.stack([np.zeros(EYE_SEGMENTS, int), np.roll(grid[0], -1), grid[0]], 1)
    end = np.stack([grid[-1], np.roll(grid[-1], -1), np.full(EYE_SEGMENTS, last)], 1)
    return points, np.concatenate([first, quads[:, [0, 1, 2]], quads[:, [0, 2, 3]], end])


def _flame_weights(head: HeadModel) -> np.ndarray:
    """FLAME's five joints from the built-in head's six: its root is the torso, its neck carries the skull."""
    torso, neck, skull, jaw, left, right = head.skin_weights.astype(np.float64).T
    return np.stack([torso + neck / 2, neck / 2 + skull, jaw, left, right], 1)


def _regressor(head: HeadModel, template: np.ndarray) -> np.ndarray:
    """Joints as weighted means of vertices near them, five rows that sum to one."""
    torso, neck, skull, jaw, left, right = head.joint_positions.astype(np.float64)
    regressor = np.zeros((5, len(template)))
    for row, joint in enumerate((0.4 * torso + 0.6 * neck, (neck + skull) / 2, jaw, left, right)):
        _, near = cKDTree(template).query(joint, k=160)
        near = np.arange(len(template))[N_SKIN + 546 * (row - 3) :][:546] if row >= 3 else near[::4]
        system = np.c_[template[near], np.ones(len(near))].T
        even = np.full(len(near), 1 / len(near))
        regressor[row, near] = even + np.linalg.lstsq(system, np.r_[joint, 1] - system @ even, rcond=None)[0]
    return regressor


def _directions(fields: np.ndarray, count: int, template: np.ndarray, seed: int) -> np.ndarray:
    """Orthogonal directions of displacement fields, scaled to N(0, 1) coefficients, filled up with faint waves."""
    flat = ACTIVITY * fields.reshape(len(fields), -1).astype(np.float64)
    values, vectors = np.linalg.eigh(flat @ flat.T)
    order = np.argsort(values)[::-1]
    principal = (vectors[:, order].T @ flat).reshape(len(fields), -1, 3)
    generator = np.random.default_rng(seed)
    waves = []
    for rank in range(count - len(fields)):
        phase = template @ generator.normal(0, 40, (3, 3)) + generator.uniform(0, 6, 3)
        waves.append(2e-4 / (1 + rank / 20) * np.sin(phase))
    return np.concatenate([principal, np.stack(waves)])


def _correctives(template: np.ndarray, regressor: np.ndarray, weights: np.ndarray, jaw_open: np.ndarray) -> np.ndarray:
    """Pose correctives in head space's axes: the opening jaw comes out as the built-in jawOpen; faint waves elsewhere.

    FLAME's own rotations differ by the half turn :data:`AXES`, which flips two entries of each matrix's row and
    column; the entries of a turn about x, (1, 2) and (2, 1), keep their sign.
    """
    import torch

    turns = torch.zeros(1, 5, 3, dtype=torch.float64)
    turns[0, 2, 0] = JAW_ANGLE
    rest = torch.from_numpy(template)[None]
    joints = torch.from_numpy(regressor @ template)[None]
    rotations = rotation_matrices(turns)
    skinning = torch.from_numpy(weights)
    posed = skin_vertices(rest, joints, rotations, (-1, 0, 1, 1, 1), skinning)[0].numpy()
    missing = template + jaw_open - posed
    missing[N_SKIN:] = 0
    correctives = np.zeros((36, len(template), 3))
    generator = np.random.default_rng(3)
    for row in correctives:
        row[:N_SKIN] = 1e-4 * np.sin(template[:N_SKIN] @ generator.normal(0, 30, (3, 3)))
    # Undo the turn of the skinning, so that the corrective arrives as meant.
    part = weights[:, 2:3]
    turned = missing @ rotations[0, 2].numpy()
    missing = (1 - part) * missing + part * turned
    correctives[9 + 7] += 0.5 * missing / np.sin(JAW_ANGLE)
    correctives[9 + 5] -= 0.5 * missing / np.sin(JAW_ANGLE)
    return correctives


class _Stub:
    """An object that pickles as its class's name and a dictionary, as chumpy's and scipy's do."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


@contextmanager
def fake_modules(**classes: str) -> Iterator[dict[str, type]]:
    """Classes under foreign module names for as long as something is pickled; ``NAME="module"``."""
    made: dict[str, type] = {}
    saved: dict[str, Any] = {}
    for name, module in classes.items():
        fake = types.ModuleType(module)
        made[name] = type(name, (_Stub,), {"__module__": module})
        setattr(fake, name, made[name])
        parents = module.split(".")
        for depth in range(1, len(parents) + 1):
            part = ".".join(parents[:depth])
            saved.setdefault(part, sys.modules.get(part))
        for depth in range(1, len(parents)):
            part = ".".join(parents[:depth])
            if sys.modules.get(part) is None:
                sys.modules[part] = types.ModuleType(part)
        sys.modules[module] = fake
    try:
        yield made
    finally:
        for part, module in saved.items():
            if module is None:
                sys.modules.pop(part, None)
            else:
                sys.modules[part] = module


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its strings, as the files on the FLAME website have them."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def write_synthetic_flame(
    path: Path, protocol: int = 2, *, chumpy: bool = True, python2: bool = False, **changes: Any
) -> Path:
    """Write the synthetic FLAME file.

    Args:
        path: the ``.pkl`` to write.
        protocol: pickle protocol, 0 to 5.
        chumpy: some arrays are chumpy's, as in FLAME 2020; otherwise plain arrays.
        python2: strings are written as Python 2 did (protocols 1 and 2).
        changes: entries to replace; None leaves the entry out.
    """
    arrays = dict(flame_arrays())
    regressor = arrays.pop("J_regressor")
    with fake_modules(Ch="chumpy.ch", csc_matrix="scipy.sparse.csc") as stub:
        entries: dict[str, Any] = dict(arrays)
        rows, columns = np.nonzero(regressor.T)
        starts = np.searchsorted(rows, np.arange(regressor.shape[1] + 1))
        entries["J_regressor"] = stub["csc_matrix"](
            _shape=regressor.shape,
            maxprint=50,
            data=regressor.T[rows, columns],
            indices=columns.astype(np.int32),
            indptr=starts.astype(np.int32),
        )
        if chumpy:
            for key in ("v_template", "shapedirs", "posedirs", "weights"):
                entries[key] = stub["Ch"](x=np.asfortranarray(entries[key]), _dirty_vars=set(), _itr=None)
        entries |= {"J": regressor @ arrays["v_template"], "bs_style": "lbs", "bs_type": "lrotmin"}
        entries |= changes
        entries = {key: value for key, value in entries.items() if value is not None}
        buffer = io.BytesIO()
        (_Python2Pickler if python2 else pickle.Pickler)(buffer, protocol).dump(entries)
    path.write_bytes(buffer.getvalue())
    return path


def region_numbers(*names: str) -> list[int]:
    return [REGIONS.index(name) for name in names]
