"""What the one training loop runs: tasks, each with stages, parameters and a checkpoint of its own.

The head (:mod:`~gaussavatar.training.head_task`) and the torso (:mod:`~gaussavatar.training.torso_task`) are tasks. The
loop brings rates, guards, log, checkpoints and the reading of the next step's frames beside the step; a task brings
batches, losses and pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from gaussavatar.training.checkpoint import Saved
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.recorded import Recordable


@runtime_checkable
class StageWork(Protocol):
    """What one stage of a task does. Random numbers are a function of the step alone."""

    def fetch(self, iteration: int) -> tuple[np.ndarray, Any]:
        """The frames of a step, by number, and their batch; called in a thread beside the step before."""
        ...

    def losses(self, iteration: int, frames: np.ndarray, batch: Any) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is what is trained."""
        ...

    def recordable(self) -> Recordable | None:
        """The same losses as functions of tensors; None where a step is more than that."""
        ...

    def after_backward(self) -> None:
        """Look at the gradients, before they are cut and used."""
        ...

    def after_step(self, iteration: int) -> bool:
        """Change more than a step of the optimiser can, how many Gaussians there are; whether anything was."""
        ...

    def counts(self) -> dict[str, int]:
        """Gaussians by branch, for the log."""
        ...

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Real frames over rendered ones."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep of the stage besides weights and moments."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        ...


@runtime_checkable
class Task(Protocol):
    """Parameters that stages train, with a checkpoint of their own."""

    stages: tuple[StageConfig, ...]
    key: str
    """Names all inputs; a checkpoint of another key is not used."""
    checkpoint: str
    """File of the checkpoint, in ``train/``."""
    preview: str
    """File of the pictures, in ``train/``."""
    modules: nn.ModuleDict
    """What a checkpoint holds; whole once the task is open."""

    def open(self, clip: Clip, saved: Saved | None) -> torch.optim.Optimizer:
        """Make the parameters, with the weights that ``saved`` holds, else those to start from; and their optimiser.

        ``clip`` has the poses that the tasks before have refined. The optimiser's groups are named ``part:rate``: a
        part of ``StageConfig.train``, a field of ``StageConfig.rates``.
        """
        ...

    def at(self, number: int, stage: StageConfig, clip: Clip) -> StageWork:
        """The work of the stage that is ``number`` in the whole run."""
        ...

    def setting(self, number: int) -> str:
        """Where a recipe has the settings of stage ``number``: what ``--set`` is given before ``.rates``."""
        ...

    def close(self) -> None:
        """Training is done; parameters want no gradients any more."""
        ...
