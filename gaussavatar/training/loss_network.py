"""The perceptual loss's network for a recipe that asks for it."""

from __future__ import annotations

from pathlib import Path

from gaussavatar.errors import UserError
from gaussavatar.image.perceptual import PerceptualLoss
from gaussavatar.training.config import TrainingConfig


def perceptual_net(config: TrainingConfig) -> PerceptualLoss | None:
    """The network of the perceptual loss; None where no stage has that loss.

    Raises:
        UserError: a stage has it, and the weights are not named, missing or of another network.
    """
    wanting = [stage.name for stage in config.stages if stage.losses.perceptual > 0]
    if not wanting:
        return None
    if config.perceptual_weights is None:
        raise UserError(
            f"network weights for the perceptual loss of stage {wanting[0]}",
            "none",
            "name a file with --set training.perceptual_weights=FILE, or set losses.perceptual to 0",
        )
    return PerceptualLoss(Path(config.perceptual_weights))
