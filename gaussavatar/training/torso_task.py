"""The torso branch as a task of the loop: one stage after the head's, on the poses that these ended with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from gaussavatar.model.torso import Torso, blank_torso
from gaussavatar.render.api import Rasterizer
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.training.checkpoint import Saved
from gaussavatar.training.config import StageConfig, TorsoConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.descent import Descent
from gaussavatar.training.preview import TORSO_NAME, stacked
from gaussavatar.training.step import step_seed
from gaussavatar.training.torso_branch import (
    TorsoBatch,
    TorsoFrames,
    draw_torso,
    mean_pose,
    start_torso,
    torso_batch,
    torso_frames,
    torso_losses,
)

SHOWN = 4
"""Frames in the picture."""


class TorsoTask:
    """Trains a torso branch; :attr:`torso` is there once the loop has opened the task."""

    checkpoint = "checkpoint_torso.safetensors"
    preview = TORSO_NAME

    def __init__(
        self,
        config: TorsoConfig,
        head: HeadTrack,
        plate: UInt8[np.ndarray, "s s 3"] | None,
        rasterizer: Rasterizer,
        seed: int,
        key: str,
        device: torch.device | None = None,
    ) -> None:
        """Prepare; nothing is read before the loop opens the task.

        Args:
            config: how many Gaussians, steps, and at which rates.
            head: the tracked head, whose shoulders give the depth to start from.
            plate: background of a camera that stood still, else None.
            rasterizer: for tensors on ``device``.
            seed: of the random start and of every step.
            key: names all inputs.
            device: where to train; None is the CPU.
        """
        self.stages, self.key = (config.stage(),), key
        self.modules = nn.ModuleDict()
        self._count, self._head, self._plate, self._rasterizer, self._seed = config.count, head, plate, rasterizer, seed
        self._device = device or torch.device("cpu")
        self._frames: TorsoFrames | None = None

    @property
    def torso(self) -> Torso:
        """The branch."""
        torso = self.modules["torso"]
        assert isinstance(torso, Torso)
        return torso

    def open(self, clip: Clip, saved: Saved | None) -> torch.optim.Optimizer:
        """The torso that ``saved`` holds, else one laid on the tracked shoulders; then an optimiser for it."""
        if saved is None:
            base = mean_pose(clip)
            self._frames = torso_frames(clip, self._plate, base)
            torso = start_torso(clip, self._frames, self._head, base, self._count, self._seed)
        else:
            weights = saved.part("model.torso.")
            torso = blank_torso(len(weights["gaussians.means"]))
            torso.load_state_dict(weights)
        self.modules["torso"] = torso.to(self._device)
        own = torso.gaussians
        rated = {
            "means": own.means,
            "scales": own.log_scales,
            "quats": own.quats,
            "opacities": own.logit_opacities,
            "colors": own.colors,
            "motion": torso.follow,
        }
        return Descent({f"torso:{rate}": [parameter] for rate, parameter in rated.items()})

    def at(self, number: int, stage: StageConfig, clip: Clip) -> TorsoStage:
        """The work of the stage; the frames are cut out once."""
        if self._frames is None:
            self._frames = torso_frames(clip, self._plate, self.torso.T_base.cpu().numpy())
        return TorsoStage(self.torso, self._frames, self._rasterizer, stage, (self._seed, number), self._device)

    def setting(self, number: int) -> str:
        """Where a recipe has the stage's settings."""
        return "torso"

    def close(self) -> None:
        """The torso wants no gradients any more, and its frames are not needed."""
        self.torso.requires_grad_(False)
        self._frames = None


class TorsoStage:
    """The stage's batches, losses and pictures."""

    def __init__(
        self,
        torso: Torso,
        frames: TorsoFrames,
        rasterizer: Rasterizer,
        stage: StageConfig,
        seed: tuple[int, int],
        device: torch.device,
    ) -> None:
        """``seed`` is that of the run, and the stage's number."""
        self._torso, self._frames, self._rasterizer, self._stage = torso, frames, rasterizer, stage
        self._seed, self._device = seed, device

    def fetch(self, iteration: int) -> tuple[np.ndarray, TorsoBatch]:
        """Draw frames and a colour behind them."""
        random = np.random.default_rng(step_seed(*self._seed, iteration))
        rows = random.choice(len(self._frames.indices), self._stage.batch)
        behind = random.random(3).astype(np.float32)
        return self._frames.indices[rows], torso_batch(self._frames, rows, behind, self._device)

    def losses(self, iteration: int, frames: np.ndarray, batch: TorsoBatch) -> dict[str, Tensor]:
        """See :func:`~gaussavatar.training.torso_branch.torso_losses`."""
        return torso_losses(self._torso, batch, self._rasterizer, self._stage.losses)

    def recordable(self) -> None:
        """Its stage is too short for a recording to pay."""

    def after_backward(self) -> None:
        """A torso keeps its Gaussians: nothing is gathered."""

    def after_step(self, iteration: int) -> bool:
        """Nothing grows."""
        return False

    def counts(self) -> dict[str, int]:
        """Gaussians of the branch."""
        return {"torso": len(self._torso.gaussians)}

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """Torso frames, evenly spread over the clip, over what is drawn of them, all before grey."""
        rows = np.linspace(0, len(self._frames.indices) - 1, SHOWN).round().astype(int)
        batch = torso_batch(self._frames, rows, np.full(3, 0.5, np.float32), self._device)
        with torch.no_grad():
            image, _ = draw_torso(self._torso, batch, self._rasterizer)
        return stacked(batch.image, image.clamp(0, 1))

    def state(self) -> dict[str, Tensor]:
        """Nothing besides weights and moments."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing to take over."""
