"""Regularisers that belong to one deformation design; a branch of another design adds nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER
from gaussavatar.model.avatar import AvatarModel, Branch
from gaussavatar.model.deform.design import inner_design
from gaussavatar.model.deform.triplane import TriPlane
from gaussavatar.model.deform.vectors import Vectors
from gaussavatar.training.config import LossConfig

HAIR_FROM, HAIR_AT = 0.005, 0.015
"""Distance from the nearest landmark, metres, at which a Gaussian begins to count as hair, and at which it is all."""

HAIR_SHARE = 1 / 7
"""Weight of hair against lips: the published loss looks at hair in every seventh step, at lips in every one."""

LIP_REACH = 0.008
"""Distance from the lips' landmarks, metres, within which a Gaussian counts as lip."""


@dataclass(frozen=True)
class FaceMarks:
    """The person's landmarks in head space that regularisers look at, on the device that trains."""

    face: Float[Tensor, "k 3"]
    """Every third landmark: dense enough for a border of a centimetre."""
    lips: Float[Tensor, "l 3"]


def face_marks(landmarks: Float32[np.ndarray, "478 3"], device: torch.device | None = None) -> FaceMarks:
    """Put ``landmarks`` onto ``device`` once, so that no step has to."""
    lips = landmarks[sorted({*LIPS_INNER, *LIPS_OUTER})]
    return FaceMarks(torch.from_numpy(landmarks[::3].copy()).to(device), torch.from_numpy(lips).to(device))


@contextmanager
def gates_kept(model: AvatarModel) -> Iterator[None]:
    """Within, the loss on attention looks at what the model's own forward pass computed."""
    with ExitStack() as stack:
        for _, design in _moving(model):
            if isinstance(design, TriPlane):
                stack.enter_context(design.keeping_gates())
        yield


def attention_losses(model: AvatarModel, weights: LossConfig, marks: FaceMarks) -> dict[str, Tensor]:
    """The weighted loss on attention, ``{}`` where no branch has any; a CUDA graph may hold it."""
    listening = [
        attention_outside(branch, design, marks)
        for branch, design in _moving(model)
        if weights.attention and isinstance(design, TriPlane) and design.attention is not None
    ]
    return {"attention": weights.attention * torch.stack(listening).sum()} if listening else {}


def smoothness_losses(model: AvatarModel, weights: LossConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """The weighted loss on neighbours' vectors, ``{}`` where no branch has any; draws from ``generator``."""
    rough = [
        design.smoothness(generator)
        for _, design in _moving(model)
        if weights.smoothness and isinstance(design, Vectors)
    ]
    return {"smoothness": weights.smoothness * torch.stack(rough).sum()} if rough else {}


def draws_smoothness(model: AvatarModel, weights: LossConfig) -> bool:
    """Whether :func:`smoothness_losses` gives any."""
    return weights.smoothness > 0 and any(isinstance(design, Vectors) for _, design in _moving(model))


def _moving(model: AvatarModel) -> list[tuple[Branch, nn.Module]]:
    """The branches that move, and their designs."""
    branches = [branch for branch in (model.face, model.mouth) if branch.gaussians.n_moving]
    return [(branch, inner_design(branch.motion)) for branch in branches]


def attention_outside(branch: Branch, design: TriPlane, marks: FaceMarks) -> Float[Tensor, ""]:
    """Mean attention of hair to mouth codes and upper face, and of lips to the upper face.

    TalkingGaussian (ECCV 2024, sec. 3.2) draws the attention as an image and penalises it inside the masks of
    hair and lips; here every Gaussian answers for itself by where it lies, so that nothing is drawn twice.
    """
    means = branch.gaussians.means[: branch.gaussians.n_moving].detach()
    attention = design.attention_of(means)
    assert attention is not None
    to_mouth, to_upper = attention
    hair, lips = regions(means, marks)
    return (HAIR_SHARE * hair * (to_mouth + to_upper) + lips * to_upper).mean()


def regions(means: Float[Tensor, "m 3"], marks: FaceMarks) -> tuple[Float[Tensor, "m"], Float[Tensor, "m"]]:
    """How far each Gaussian is hair and how far it is lip, 0..1 each."""
    hair = ((_distance(means, marks.face) - HAIR_FROM) / (HAIR_AT - HAIR_FROM)).clamp(0, 1)
    return hair, (_distance(means, marks.lips) < LIP_REACH).to(hair)


def _distance(means: Float[Tensor, "m 3"], marks: Float[Tensor, "k 3"]) -> Float[Tensor, "m"]:
    """To the nearest mark; the root of the smallest square, where ``torch.cdist`` draws all roots."""
    squares = torch.addmm(marks.square().sum(-1, keepdim=True), marks, means.T, alpha=-2).amin(0)
    return (squares + means.square().sum(-1)).clamp_min(0).sqrt()
