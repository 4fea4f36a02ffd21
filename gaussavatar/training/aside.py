"""The colours that Gaussians of the head's edge have from aside: those that their neighbours in the face have."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gaussavatar.image.luma import LUMA
from gaussavatar.model.aside import Aside
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.render.api import Rasterizer
from gaussavatar.training.data import Clip
from gaussavatar.training.unseen import HIDDEN, Visibility, donors_of, viewed_frames, visibility

EDGE_SHARE = 0.5
"""Share of what frames show of a Gaussian up to which that may lie away from the matte's rim: it is the edge's then."""

RANGE, LEAST = 1.5, 0.01
"""How far from its neighbours' middle a colour may go, in their own spread, and at least."""

SPREAD = 0.9
"""Quantile of the neighbours that is their spread."""


def lay_aside(model: AvatarModel, rasterizer: Rasterizer, clip: Clip) -> int:
    """Give the face's edge the colours of its neighbours for views that were not filmed; returns how many changed.

    Views as filmed stay as they are.
    """
    branch, frames = model.face, viewed_frames(clip)
    seen = visibility(model, rasterizer, clip, frames)
    donors = donors_of(branch, seen)
    if donors is None:
        return 0
    edge = torch.nonzero(of_the_edge(seen))[:, 0]
    colors = branch.gaussians.colors.detach().cpu()
    near = donors.near(branch.gaussians.means.detach().cpu().numpy()[edge.numpy()])
    aside = Aside(len(colors))
    aside.change[edge] = among_neighbours(colors[edge], colors[near]) - colors[edge]
    aside.calibrate(torch.from_numpy(clip.tracking.R_camera_head[clip.usable]))
    branch.aside = aside.to(branch.gaussians.colors.device)
    return int((aside.change.abs().amax(dim=1) > 0).sum())


def of_the_edge(seen: Visibility) -> Bool[Tensor, "n"]:
    """Which Gaussians frames show at the rim of the matte above all."""
    return (seen.share >= HIDDEN) & (seen.inside < EDGE_SHARE * seen.share)


def among_neighbours(own: Float[Tensor, "n 3"], others: Float[Tensor, "n k 3"]) -> Float[Tensor, "n 3"]:
    """Colours of their own brightness, in a hue as near to their own as those of their neighbours about their middle.

    Brightness stays, for a chin's shadow and hair before skin lie at the edge as well.
    """
    luma = torch.tensor(LUMA)
    middle = others.median(dim=1).values
    bright, brightness = own @ luma, others @ luma
    hue = middle - (middle @ luma)[:, None]
    away = own - bright[:, None] - hue
    spread = (others - brightness[..., None] - hue[:, None]).norm(dim=-1).quantile(SPREAD, dim=1)
    farthest = RANGE * spread + LEAST
    away = away * (farthest / away.norm(dim=-1).clamp_min(1e-9)).clamp_max(1)[:, None]
    return bright[:, None] + hue + away
