"""What the avatar is made of; the fields of a recipe's ``model`` part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Channel = Literal["position", "rotation", "scale", "color", "opacity"]
"""An attribute of a Gaussian that motion may change."""


@dataclass(frozen=True)
class BranchConfig:
    """One set of Gaussians."""

    count: int
    """How many Gaussians."""
    moves: tuple[Channel, ...] = ("position", "rotation", "scale", "color")
    """What motion may change; structure is persistent, so nothing is born or dies."""
    n_free: int = 4
    """Blendshapes besides those of the codes, driven by a small MLP of the codes."""
    deformation: Literal["blendshapes", "triplane"] = "blendshapes"
    """The deformation design, see ``model/deform_*.py``."""


@dataclass(frozen=True)
class ModelConfig:
    """The avatar's two branches."""

    face: BranchConfig = BranchConfig(count=12_000)
    """Face, hair, ears: listens to mouth codes and upper-face channels."""
    mouth: BranchConfig = BranchConfig(count=1_500)
    """Inside of the mouth: listens to mouth codes only."""
    hair_fraction: float = 0.35
    """Share of the face branch that makes up hair, ears and skull; it does not move with the codes."""
    mouth_gain: float = 1.25
    """Factor on audio-predicted mouth codes around their rest when the avatar speaks."""
