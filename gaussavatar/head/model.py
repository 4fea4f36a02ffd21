"""The head model: one record that every parametric head becomes, and its posing in torch.

The equations are those of linear blend skinning with linear shape, expression and pose
corrective spaces (SMPL, Loper et al. 2015, eq. 2-10; FLAME, Li et al. 2017, eq. 1-4).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, Int32, UInt8
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.storage import atomic_path

REGIONS = (
    "face",
    "lips",
    "inner_mouth",
    "teeth_upper",
    "teeth_lower",
    "tongue",
    "eyeball_left",
    "eyeball_right",
    "ear",
    "scalp",
    "neck",
    "torso",
    "lashes",
)
"""Names of the values in :attr:`HeadModel.regions`. Left and right are the person's own."""


@dataclass(frozen=True)
class LandmarkEmbedding:
    """Where MediaPipe's landmarks lie on a head model's surface.

    Landmark i is ``barycentrics[i] @ vertices[triangles[face[i]]]``. ``confidence`` is
    in 0..1 (0: never seen on the surface; leave the landmark out); ``spread`` is the
    scatter in metres of where the views saw it.

    The outline of a face slides over the skin as the head turns. ``contour`` names the
    landmarks that do; ``contour_face[k, c]`` and ``contour_barycentrics[k, c]`` say where
    they lie when the camera stands ``contour_yaw[k]`` radians from the head's front,
    ascending, positive towards the head's +x (the person's left). Their rows in ``face``
    are those seen from the front. All None where the table is not known.
    """

    face: Int32[np.ndarray, "478"]
    barycentrics: Float32[np.ndarray, "478 3"]
    confidence: Float32[np.ndarray, "478"]
    spread: Float32[np.ndarray, "478"]
    contour: Int32[np.ndarray, "c"] | None = None
    contour_yaw: Float32[np.ndarray, "k"] | None = None
    contour_face: Int32[np.ndarray, "k c"] | None = None
    contour_barycentrics: Float32[np.ndarray, "k c 3"] | None = None

    def seen_from(self, yaw: float) -> LandmarkEmbedding:
        """The embedding without a table that holds when the camera stands ``yaw`` radians from the front."""
        if (
            self.contour is None
            or self.contour_yaw is None
            or self.contour_face is None
            or self.contour_barycentrics is None
        ):
            return self
        nearest = int(np.abs(self.contour_yaw - yaw).argmin())
        face, barycentrics = self.face.copy(), self.barycentrics.copy()
        face[self.contour], barycentrics[self.contour] = self.contour_face[nearest], self.contour_barycentrics[nearest]
        return LandmarkEmbedding(face, barycentrics, self.confidence, self.spread)

    def faces_used(self) -> Int32[np.ndarray, "u"]:
        """All triangles that carry a landmark, from whichever side it is seen."""
        used = self.face[self.confidence > 0]
        return np.unique(used if self.contour_face is None else np.concatenate([used, self.contour_face.ravel()]))


@dataclass(frozen=True)
class HeadModel:
    """A parametric head; what every supported head (built in, FLAME, ...) is turned into.

    Template space (see docs/conventions.md): metres, x to the image's right for a frontal face (the person's left), y
    down, z away from the camera; the origin lies halfway between the eyeballs' centres.
    Expression weights of the ARKit shapes are 0 at rest and 1 at the full movement;
    identity weights are about -1..1 (their meaning differs between models).

    ``joints = joint_positions + identity @ joint_identity (+ expression @
    joint_expression)``; ``joint_parents[0]`` is -1 and parents precede their children.
    ``pose_correctives`` has 9 rows per joint but the first: the entries, row-major, of
    that joint's rotation minus the identity multiply them. ``corner_uv`` are the texture
    coordinates of each triangle's corners (0..1, v down).
    """

    name: str
    template: Float32[np.ndarray, "v 3"]
    triangles: Int32[np.ndarray, "t 3"]
    identity: Float32[np.ndarray, "i v 3"]
    identity_names: tuple[str, ...]
    expression: Float32[np.ndarray, "e v 3"]
    expression_names: tuple[str, ...]
    joint_names: tuple[str, ...]
    joint_parents: tuple[int, ...]
    joint_positions: Float32[np.ndarray, "j 3"]
    joint_identity: Float32[np.ndarray, "i j 3"]
    skin_weights: Float32[np.ndarray, "v j"]
    regions: UInt8[np.ndarray, "v"]
    joint_expression: Float32[np.ndarray, "e j 3"] | None = None
    pose_correctives: Float32[np.ndarray, "p v 3"] | None = None
    corner_uv: Float32[np.ndarray, "t 3 2"] | None = None
    colour: Float32[np.ndarray, "v 3"] | None = None
    embedding: LandmarkEmbedding | None = None

    def region(self, *names: str) -> np.ndarray:
        """Boolean mask (v,) of the vertices of the named regions."""
        return np.isin(self.regions, [REGIONS.index(name) for name in names])

    def triangle_region(self, *names: str) -> np.ndarray:
        """Boolean mask (t,) of the triangles whose three corners lie in the named regions."""
        return self.region(*names)[self.triangles].all(1)

    def expression_row(self, **weights: float) -> Float32[np.ndarray, "e"]:
        """An expression vector from weights by name, e.g. ``jawOpen=0.5``."""
        row = np.zeros(len(self.expression_names), np.float32)
        for name, weight in weights.items():
            row[self.expression_names.index(name)] = weight
        return row

    def identity_row(self, **weights: float) -> Float32[np.ndarray, "i"]:
        """An identity vector from weights by name."""
        row = np.zeros(len(self.identity_names), np.float32)
        for name, weight in weights.items():
            row[self.identity_names.index(name)] = weight
        return row


def validate_head(model: HeadModel) -> None:
    """Check that shapes agree, indices are in range and weights sum to one.

    Raises:
        UserError: the record is not a usable head.
    """
    v, j = len(model.template), len(model.joint_names)
    i, e = len(model.identity_names), len(model.expression_names)
    expected = {
        "template": (v, 3),
        "identity": (i, v, 3),
        "expression": (e, v, 3),
        "joint_positions": (j, 3),
        "joint_identity": (i, j, 3),
        "joint_expression": (e, j, 3),
        "skin_weights": (v, j),
        "regions": (v,),
        "pose_correctives": (9 * (j - 1), v, 3),
        "corner_uv": (len(model.triangles), 3, 2),
        "colour": (v, 3),
    }
    for name, shape in expected.items():
        array = getattr(model, name)
        if array is not None and (array.shape != shape or not np.isfinite(array).all()):
            raise _bad_head(model, f"finite {name} of shape {shape}", f"shape {array.shape} or values not finite")
    if model.triangles.ndim != 2 or model.triangles.min() < 0 or model.triangles.max() >= v:
        raise _bad_head(model, f"triangles of vertices 0..{v - 1}", "indices out of range")
    if not np.allclose(model.skin_weights.sum(1), 1, atol=1e-3):
        raise _bad_head(model, "skinning weights that sum to 1", "other sums")
    parents = model.joint_parents
    if len(parents) != j or parents[0] != -1 or any(not 0 <= parents[k] < k for k in range(1, j)):
        raise _bad_head(model, "joints whose parents precede them, the first without one", f"parents {parents}")


def _bad_head(model: HeadModel, expected: str, came: str) -> UserError:
    return UserError(
        f"{expected} in the head model {model.name}", came, "install the head again from its original file"
    )


def pose_vertices(
    model: HeadModel,
    identity: Float[Tensor, "#f i"],
    expression: Float[Tensor, "f e"],
    joint_rotations: Float[Tensor, "#f j 3"] | None = None,
    translation: Float[Tensor, "#f 3"] | None = None,
) -> Float[Tensor, "f v 3"]:
    """Vertices of the shaped and posed head in metres, for a batch of frames.

    Args:
        model: the head.
        identity: identity weights; one row serves all frames.
        expression: expression weights of every frame; its dtype and device are the result's.
        joint_rotations: axis-angle rotation of each joint relative to its parent, radians; None poses nothing.
        translation: added after posing, metres.

    Differentiable in all four tensors. Skinning: FLAME (Li et al. 2017), eq. 1-4.
    """

    def tensor(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array).to(expression)

    n_vertices = len(model.template)
    shaped = tensor(model.template) + (identity.to(expression) @ tensor(model.identity).flatten(1)).unflatten(
        1, (n_vertices, 3)
    )
    shaped = shaped + (expression @ tensor(model.expression).flatten(1)).unflatten(1, (n_vertices, 3))
    if joint_rotations is not None:
        rotations = rotation_matrices(joint_rotations.to(expression))
        joints = tensor(model.joint_positions) + torch.einsum(
            "fi,ijk->fjk", identity.to(expression), tensor(model.joint_identity)
        )
        if model.joint_expression is not None:
            joints = joints + torch.einsum("fe,ejk->fjk", expression, tensor(model.joint_expression))
        if model.pose_correctives is not None:
            features = (rotations[:, 1:] - torch.eye(3).to(expression)).flatten(1)
            shaped = shaped + (features @ tensor(model.pose_correctives).flatten(1)).unflatten(1, (n_vertices, 3))
        shaped = skin_vertices(shaped, joints, rotations, model.joint_parents, tensor(model.skin_weights))
    return shaped if translation is None else shaped + translation.to(expression)[:, None]


def skin_vertices(
    vertices: Float[Tensor, "#f v 3"],
    joints: Float[Tensor, "#f j 3"],
    rotations: Float[Tensor, "#f j 3 3"],
    parents: tuple[int, ...],
    weights: Float[Tensor, "v j"],
) -> Float[Tensor, "f v 3"]:
    """Linear blend skinning: each vertex moves by the weighted mean of its joints' rigid motions."""
    n_frames = max(len(joints), len(rotations))
    joints, rotations = joints.expand(n_frames, -1, -1), rotations.expand(n_frames, -1, -1, -1)
    turns: list[Tensor] = []
    places: list[Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            turns.append(rotations[:, joint])
            places.append(joints[:, joint])
            continue
        turns.append(turns[parent] @ rotations[:, joint])
        offset = (joints[:, joint] - joints[:, parent])[..., None]
        places.append(places[parent] + (turns[parent] @ offset)[..., 0])
    turn = torch.stack(turns, 1)
    shift = torch.stack(places, 1) - (turn @ joints[..., None])[..., 0]
    moved = torch.einsum("fjab,fvb->fjva", turn, vertices.expand(n_frames, -1, -1)) + shift[:, :, None]
    return torch.einsum("vj,fjva->fva", weights, moved)


def select_vertices(model: HeadModel, vertices: Int[np.ndarray, "n"]) -> HeadModel:
    """The head with only these vertices, in this order, and the triangles that remain whole.

    The landmark embedding is dropped unless all its triangles remain.
    """
    new_index = np.full(len(model.template), -1, np.int64)
    new_index[vertices] = np.arange(len(vertices))
    kept = (new_index[model.triangles] >= 0).all(1)
    embedding = model.embedding
    if embedding is not None:
        if kept[embedding.faces_used()].all():
            new_face = (np.cumsum(kept) - 1).astype(np.int32)
            face, contour = np.where(embedding.confidence > 0, new_face[embedding.face], 0), embedding.contour_face
            contour = None if contour is None else new_face[contour]
            embedding = replace(embedding, face=face.astype(np.int32), contour_face=contour)
        else:
            embedding = None
    return replace(
        model,
        template=model.template[vertices],
        triangles=new_index[model.triangles[kept]].astype(np.int32),
        identity=model.identity[:, vertices],
        expression=model.expression[:, vertices],
        skin_weights=model.skin_weights[vertices],
        regions=model.regions[vertices],
        pose_correctives=None if model.pose_correctives is None else model.pose_correctives[:, vertices],
        corner_uv=None if model.corner_uv is None else model.corner_uv[kept],
        colour=None if model.colour is None else model.colour[vertices],
        embedding=embedding,
    )


def landmark_head(model: HeadModel) -> HeadModel:
    """The head cut down to the vertices that carry landmarks, for fast fitting.

    Raises:
        ValueError: the head has no landmark embedding.
    """
    if model.embedding is None:
        raise ValueError(f"the head {model.name} has no landmark embedding")
    return select_vertices(model, np.unique(model.triangles[model.embedding.faces_used()]))


def landmark_points(
    vertices: Float[Tensor, "f v 3"], triangles: Int32[np.ndarray, "t 3"], embedding: LandmarkEmbedding
) -> Float[Tensor, "f 478 3"]:
    """The embedded landmarks on posed vertices."""
    corners = torch.as_tensor(triangles[embedding.face].astype(np.int64))
    weights = torch.as_tensor(embedding.barycentrics).to(vertices)
    return torch.einsum("flck,lc->flk", vertices[:, corners], weights)


def save_head(path: Path, model: HeadModel) -> None:
    """Write a head as ``.npz`` without pickled objects, atomically."""
    arrays: dict[str, np.ndarray] = {}
    for field in fields(HeadModel):
        value = getattr(model, field.name)
        if isinstance(value, LandmarkEmbedding):
            parts = {f"embedding.{part.name}": getattr(value, part.name) for part in fields(value)}
            arrays |= {name: part for name, part in parts.items() if part is not None}
        elif value is not None:
            arrays[field.name] = np.asarray(value)
    # In memory: a zip file that meets a full disk complains once more when it is forgotten.
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed.getbuffer())


def load_head(path: Path) -> HeadModel:
    """Read a head written by :func:`save_head` and check it.

    Raises:
        UserError: the file is missing, damaged or not a head.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        parts = {name.partition(".")[2]: arrays.pop(name) for name in list(arrays) if name.startswith("embedding.")}
        values = {name: _plain(name, array) for name, array in arrays.items()}
        model = HeadModel(**values, embedding=LandmarkEmbedding(**parts) if parts else None)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"a head model in {path}",
            f"{type(error).__name__}: {error}",
            "delete it and run again, or install it again",
        ) from error
    validate_head(model)
    return model


def _plain(name: str, array: np.ndarray) -> Any:
    """Turn the text fields of a head file back into strings, names and parents."""
    if name == "name":
        return str(array)
    if name == "joint_parents":
        return tuple(int(parent) for parent in array)
    return tuple(str(entry) for entry in array) if name.endswith("_names") else array
