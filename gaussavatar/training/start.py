"""The avatar before training: Gaussians placed on the person."""

from __future__ import annotations

import numpy as np

from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.binding_start import bind
from gaussavatar.model.config import ModelConfig
from gaussavatar.model.initialise import ReferenceView, initial_face, initial_mouth
from gaussavatar.tracking.head_track import HeadTrack
from gaussavatar.training.data import Clip, cameras_of, reference_frames


def build_model(clip: Clip, config: ModelConfig, seed: int, head: HeadTrack | None = None) -> AvatarModel:
    """Place both branches from the clip's landmarks, masks and three reference frames.

    ``head`` is the clip's tracked head, which ``binding = head`` needs.

    Raises:
        ValueError: a bound model without a head.
    """
    indices = reference_frames(clip)
    K = cameras_of(clip.tracking, np.array(indices[:1]), clip.size).K[0].numpy().astype(float)
    views = [
        ReferenceView(
            clip.frames.read(index),
            clip.masks.read(index)[..., 0],
            clip.tracking.R_camera_head[index].astype(float),
            clip.tracking.t_camera_head[index].astype(float),
            K,
        )
        for index in indices
    ]
    face = initial_face(clip.tracking, clip.motion, views, config.face.count, config.hair_fraction, seed)
    mouth = initial_mouth(clip.tracking, clip.motion, config.mouth.count, seed)
    n_mouth, n_upper = clip.motion.mouth_codes.shape[1], clip.motion.upper.shape[1]
    if config.binding == "free":
        return AvatarModel(config, n_mouth, n_upper, face, mouth)
    if head is None:
        raise ValueError("binding = head without a tracked head")
    learnt_from = clip.usable.copy()
    learnt_from[clip.n_train :] = False
    bound, face, mouth = bind(head, clip.motion, learnt_from, face, mouth)
    return AvatarModel(config, n_mouth, n_upper, face, mouth, bound)
