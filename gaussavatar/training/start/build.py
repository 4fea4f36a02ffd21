"""The avatar before training: Gaussians placed on the person."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Int

from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.config import ModelConfig
from gaussavatar.seeding import seeded
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices
from gaussavatar.training.data import Clip, cameras_of, reference_frames
from gaussavatar.training.start.binding import bind
from gaussavatar.training.start.branches import ReferenceView, initial_face, initial_mouth


def build_model(clip: Clip, config: ModelConfig, seed: int, head: HeadTrack | None = None) -> AvatarModel:
    """Place both branches from the clip's landmarks, masks and three reference frames.

    ``head`` is the clip's tracked head: it knows where the ears are, and ``binding = head`` needs it.

    Everything random in it, the networks' first weights too, is a function of ``seed``.

    Raises:
        ValueError: a bound model without a head.
    """
    indices = reference_frames(clip)
    K = cameras_of(clip.tracking, np.array(indices[:1]), clip.size).K[0].numpy().astype(float)
    depths = [None] * len(indices) if head is None else ear_depth(head, clip, np.array(indices), K)
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


def ear_depth(
    head: HeadTrack, clip: Clip, frames: Int[np.ndarray, "f"], K: Float[np.ndarray, "3 3"]
) -> Float32[np.ndarray, "f s s"]:
    """Camera depth in metres of the tracked head's ears in some frames, 0 elsewhere.

    Ears stand off the ellipsoid that stands for the skull; placed at its depth they swim as the head turns.
    """
    triangles = head.head.triangles
    seen = rasterize_mesh(camera_vertices(head, clip.tracking, frames), triangles, K, clip.size, clip.size)
    ears = head.head.triangle_region("ear")
    on_ear = (seen.triangle_index >= 0) & ears[seen.triangle_index.clip(0)]
    return np.where(on_ear, seen.depth, 0).astype(np.float32)
