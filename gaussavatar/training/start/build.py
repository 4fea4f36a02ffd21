"""The avatar before training: Gaussians placed on the person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from scipy.spatial import cKDTree

from gaussavatar.head.model import HeadModel
from gaussavatar.mesh.surface import vertex_normals
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.config import ModelConfig
from gaussavatar.seeding import seeded
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices
from gaussavatar.training.data import Clip, cameras_of, reference_frames
from gaussavatar.training.start.binding import bind
from gaussavatar.training.start.branches import ReferenceView, initial_face, initial_mouth
from gaussavatar.training.start.flat import laid_flat

HAIR, EAR_CLEAR = 0.01, 0.03
"""Metres of hair before the scalp; and from the ears, up to which it is less."""


def build_model(clip: Clip, config: ModelConfig, seed: int, head: HeadTrack | None = None) -> AvatarModel:
    """Place both branches from the clip's landmarks, masks and three reference frames.

    ``head`` is the clip's tracked head: it knows where hair and ears are, and ``binding = head`` needs it.

    Everything random in it, the networks' first weights too, is a function of ``seed``.

    Raises:
        ValueError: a bound model without a head.
    """
    indices = reference_frames(clip)
    K = cameras_of(clip.tracking, np.array(indices[:1]), clip.size).K[0].numpy().astype(float)
    depths = [None] * len(indices) if head is None else head_depth(head, clip, np.array(indices), K)
    views = [
        ReferenceView(
            clip.frames.read(index),
            clip.masks.read(index)[..., 0],
            clip.tracking.R_camera_head[index].astype(float),
            clip.tracking.t_camera_head[index].astype(float),
            K,
            depth,
        )
        for index, depth in zip(indices, depths, strict=True)
    ]
    face = initial_face(clip.tracking, clip.motion, views, config.face.count, config.hair_fraction, seed)
    mouth = initial_mouth(clip.tracking, clip.motion, config.mouth.count, seed)
    n_mouth, n_upper = clip.motion.mouth_codes.shape[1], clip.motion.upper.shape[1]
    learnt_from = clip.usable.copy()
    learnt_from[clip.n_train :] = False
    if head is not None:
        face = replace(face, raw=laid_flat(face.raw, head.head, _eye(clip, learnt_from)))
    bound = None
    if config.binding == "head":
        if head is None:
            raise ValueError("binding = head without a tracked head")
        bound, face, mouth = bind(head, clip.motion, learnt_from, face, mouth)
    with seeded(seed):
        model = AvatarModel(config, n_mouth, n_upper, face, mouth, bound)
    for branch in (model.face, model.mouth):
        if branch.shading is not None:
            branch.shading.calibrate(torch.from_numpy(clip.tracking.R_camera_head[learnt_from]))
    return model


def _eye(clip: Clip, frames: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "3"]:
    """Where the camera stands before the head in the middle of some frames, head space, metres."""
    R, t = clip.tracking.R_camera_head[frames], clip.tracking.t_camera_head[frames]
    return np.median(-np.einsum("nij,ni->nj", R, t), axis=0).astype(float)


def head_depth(
    head: HeadTrack, clip: Clip, frames: Int[np.ndarray, "f"], K: Float[np.ndarray, "3 3"]
) -> Float32[np.ndarray, "f s s"]:
    """Camera depth in metres of the tracked head in some frames, hair and ears included, 0 elsewhere.

    Hair lies :data:`HAIR` before the scalp. Ears are where they are: hair that is pushed out beside them would else
    lie before them. What starts at the depth of an ellipsoid instead swims as the head turns, for training hardly
    moves depth; of the actor's hair that was 17 mm.
    """
    model, triangles = head.head, head.head.triangles
    bare = camera_vertices(head, clip.tracking, frames)
    push = hair_push(model)[:, None]
    haired = np.stack([posed + push * vertex_normals(posed.astype(float), triangles) for posed in bare])
    outside = model.triangle_region("face", "lips", "scalp", "ear", "eyeball_left", "eyeball_right")
    seen = rasterize_mesh(haired.astype(np.float32), triangles[outside], K, clip.size, clip.size)
    depth = np.where(seen.triangle_index >= 0, seen.depth, 0)
    ears = model.triangle_region("ear")
    whole = rasterize_mesh(bare, triangles, K, clip.size, clip.size)
    on_ear = (whole.triangle_index >= 0) & ears[whole.triangle_index.clip(0)]
    return np.where(on_ear, whole.depth, depth).astype(np.float32)


def hair_push(model: HeadModel) -> Float[np.ndarray, "v"]:
    """Metres by which each vertex is moved out for the hair on it: :data:`HAIR` on the scalp, less towards the ears."""
    scalp, ears = model.region("scalp"), model.region("ear")
    push = np.where(scalp, HAIR, 0.0)
    if ears.any():
        away, _ = cKDTree(model.template[ears]).query(model.template)
        push *= np.clip(away / EAR_CLEAR, 0, 1)
    return push
