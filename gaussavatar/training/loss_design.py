"""Regularisers that belong to one deformation design; a branch of another design adds nothing."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER
from gaussavatar.model.avatar import AvatarModel, Branch
from gaussavatar.model.deform.design import inner_design
from gaussavatar.model.deform.triplane import TriPlane
from gaussavatar.model.deform.vectors import Vectors
from gaussavatar.training.config import LossConfig

HAIR_FROM, HAIR_AT = 0.005, 0.015
"""Distance from the nearest landmark, metres, at which a Gaussian begins to count as hair, and at which it is all."""

LIP_REACH = 0.008
"""Distance from the lips' landmarks, metres, within which a Gaussian counts as lip."""


def design_losses(
    model: AvatarModel, weights: LossConfig, landmarks: Float32[np.ndarray, "478 3"], generator: torch.Generator
) -> dict[str, Tensor]:
    """Weighted regularisers of both branches by name, for ``landmarks`` in head space."""
    parts: dict[str, Tensor] = {}
    for branch in (model.face, model.mouth):
        design = inner_design(branch.motion)
        if branch.gaussians.n_moving == 0:
            continue
        if weights.attention and isinstance(design, TriPlane) and design.attention is not None:
            loss = weights.attention * attention_outside(branch, design, torch.from_numpy(landmarks))
            parts["attention"] = parts.get("attention", 0) + loss
        if weights.smoothness and isinstance(design, Vectors):
            parts["smoothness"] = parts.get("smoothness", 0) + weights.smoothness * design.smoothness(generator)
    return parts


def has_design_losses(model: AvatarModel, weights: LossConfig) -> bool:
    """Whether :func:`design_losses` gives any."""
    designs = [inner_design(branch.motion) for branch in (model.face, model.mouth) if branch.gaussians.n_moving]
    attentive = any(isinstance(design, TriPlane) and design.attention is not None for design in designs)
    rough = any(isinstance(design, Vectors) for design in designs)
    return (weights.attention > 0 and attentive) or (weights.smoothness > 0 and rough)


def attention_outside(branch: Branch, design: TriPlane, landmarks: Float[Tensor, "478 3"]) -> Float[Tensor, ""]:
    """Mean attention of hair to mouth codes and upper face, and of lips to the upper face.

    TalkingGaussian (ECCV 2024, sec. 3.2) draws the attention as an image and penalises it inside the masks of
    hair and lips; here every Gaussian answers for itself by where it lies, so that nothing is drawn twice.
    """
    means = branch.gaussians.means[: branch.gaussians.n_moving].detach()
    attention = design.attention_of(means)
    assert attention is not None
    to_mouth, to_upper = attention
    hair, lips = regions(means, landmarks.to(means))
    return (hair * (to_mouth + to_upper) + lips * to_upper).mean()


def regions(
    means: Float[Tensor, "m 3"], landmarks: Float[Tensor, "478 3"]
) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
    """How far each Gaussian is hair and how far it is lip, 0..1 each."""
    # Every third landmark is dense enough for a border of a centimetre.
    distance = torch.cdist(means, landmarks[::3]).min(dim=1).values
    hair = ((distance - HAIR_FROM) / (HAIR_AT - HAIR_FROM)).clamp(0, 1)
    lips = torch.cdist(means, landmarks[sorted({*LIPS_INNER, *LIPS_OUTER})]).min(dim=1).values < LIP_REACH
    return hair, lips.to(hair)
