"""A training stage is data: what is trained, for how long, on what, with which losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Part = Literal["face", "mouth", "face_motion", "mouth_motion", "audio"]
"""A group of parameters a stage may train."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; a zero turns a loss off."""

    dssim: float = 0.2
    """Structural dissimilarity of the composite, beside an L1 of weight 1."""
    alpha_head: float = 0.05
    """Face alpha against the head mask without the inside of the mouth."""
    alpha_mouth: float = 0.02
    """Mouth alpha missing inside the mouth."""
    mouth_region: float = 3.0
    """Weight of the mouth's box in the photometric loss; elsewhere 1."""
    eye_region: float = 1.5
    """Weight of the eyes' boxes in the photometric loss."""
    codes: float = 0.02
    """Squared error of audio-predicted mouth codes against the landmarks' codes."""
    silence: float = 0.02
    """Squared error of the codes of synthetic silence against the closed mouth."""
    colors: float = 0.2
    """How far colours lie outside 0..1: what only hidden Gaussians do, and side views show."""
    large: float = 0.02
    """Standard deviations beyond ``LARGE`` metres, in millimetres: needles that side views show."""
    motion: float = 1e-3
    """Mean absolute deformation, in units of each attribute's motion scale."""


@dataclass(frozen=True)
class RateConfig:
    """Learning rates of Adam at the start of a stage."""

    means: float = 6e-5
    """Metres."""
    scales: float = 8e-3
    quats: float = 4e-3
    opacities: float = 4e-2
    colors: float = 1e-2
    motion: float = 6e-3
    audio: float = 5e-4


@dataclass(frozen=True)
class StageConfig:
    """One stage of the training loop, or one pass that refines the poses."""

    name: str
    iterations: int
    kind: Literal["fit", "poses"] = "fit"
    """``fit`` trains; ``poses`` refines every frame's head pose on the frozen avatar."""
    train: tuple[Part, ...] = ("face", "mouth", "face_motion", "mouth_motion", "audio")
    batch: int = 2
    """Frames per step; they are rasterized in parallel."""
    audio_share: float = 0.0
    """Share of frames whose mouth codes come from the audio encoder; the others use the landmarks' codes."""
    open_share: float = 0.3
    """Share of frames drawn with a chance proportional to the mouth opening."""
    blink_share: float = 0.1
    """Share of frames drawn with a chance proportional to the blink."""
    decay: float = 1.0
    """Factor on the learning rates at the end of the stage; exponential after ``hold``."""
    hold: float = 0.3
    """Share of the stage at constant learning rates."""
    losses: LossConfig = field(default_factory=LossConfig)
    rates: RateConfig = field(default_factory=RateConfig)


@dataclass(frozen=True)
class TrainingConfig:
    """The stages and what holds for all of them."""

    stages: tuple[StageConfig, ...] = ()
    checkpoint_every: int = 200
    """Iterations between checkpoints."""
    held_out: float = 1 / 11
    """Share of the frames at the end of the clip that training never sees."""
