"""The head as a task of the loop: face and mouth branch, their motion and the audio encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from gaussavatar.model.avatar import AvatarImage
from gaussavatar.render.semantics import RecordableRasterizer, UnaskingRasterizer
from gaussavatar.training.checkpoint import NAME, Saved, restore_weights
from gaussavatar.training.config import StageConfig, TrainingConfig
from gaussavatar.training.data import (
    Batch,
    BatchReader,
    Clip,
    coarse_size,
    draw_frames,
    resident_frames,
    wants_resident,
)
from gaussavatar.training.densify import GrowthStatistics, is_due, refine
from gaussavatar.training.preview import NAME as PREVIEW
from gaussavatar.training.preview import preview_picture
from gaussavatar.training.recorded import Recordable
from gaussavatar.training.step import (
    Chance,
    Run,
    before_other_background,
    draw_chance,
    draws_more,
    is_still,
    make_optimizer,
    seen_losses,
    step_loss,
    step_seed,
)
from gaussavatar.training.windows import STEP, Windows, windows_about
from gaussavatar.types import Cameras

GROWTH_STREAM = 1
"""Sets the random numbers of a refinement apart from those of the step before it."""


class HeadTask:
    """Trains the modules of a run in the stages of a recipe."""

    checkpoint = NAME
    preview = PREVIEW

    def __init__(self, run: Run, config: TrainingConfig) -> None:
        self.stages, self.key = config.stages, run.key
        self.modules = nn.ModuleDict({"avatar": run.model, "encoder": run.encoder})
        self._optimizer: torch.optim.Optimizer | None = None
        self._run, self._config = run, config

    def open(self, clip: Clip, saved: Saved | None) -> torch.optim.Optimizer:
        """The weights that ``saved`` holds, else those that the run came with; then an optimiser for them."""
        if saved is not None:
            restore_weights(saved, self.modules)
        self._optimizer = make_optimizer(self._run, self._config.motion_memory)
        return self._optimizer

    def at(self, number: int, stage: StageConfig, clip: Clip) -> HeadStage:
        """The work of one stage."""
        assert self._optimizer is not None
        return HeadStage(replace(self._run, clip=clip), stage, number, self._optimizer, self._resident)

    def setting(self, number: int) -> str:
        """Where a recipe has a stage's settings."""
        return f"training.stages.{self.stages[number].name}"

    def close(self) -> None:
        """The avatar wants no gradients any more."""
        self._run.model.requires_grad_(False)

    @cached_property
    def _resident(self) -> dict[str, Tensor] | None:
        clip, device = self._run.clip, self._run.device
        return resident_frames(clip, device) if wants_resident(clip, device, self._config.data_on_device) else None


def training_windows(run: Run, stage: StageConfig) -> Windows | None:
    """What a stage's steps look at; None for whole frames.

    Growth goes by sizes on the whole screen, the perceptual loss takes pieces from anywhere, and what a GPU saves on
    pixels it would not notice.
    """
    clip = run.clip
    if (
        run.device.type != "cpu"
        or clip.heads is None
        or stage.densify
        or stage.losses.perceptual
        or STEP % stage.coarse
    ):
        return None
    chosen = clip.usable & (np.arange(len(clip)) < clip.n_train)
    return windows_about(clip.heads, chosen, clip.size)


class HeadStage:
    """One stage's batches, losses, growth and pictures."""

    def __init__(
        self,
        run: Run,
        stage: StageConfig,
        number: int,
        optimizer: torch.optim.Optimizer,
        resident: dict[str, Tensor] | None,
    ) -> None:
        self._run, self._stage, self._number, self._optimizer = run, stage, number, optimizer
        windows = training_windows(run, stage)
        self._reading = BatchReader(run.clip, stage.losses, run.device, resident, stage.coarse, windows)
        self._growth = GrowthStatistics(run.model, stage) if stage.densify else None
        self._seen: tuple[AvatarImage, Cameras] | None = None
        run.encoder.train()

    def fetch(self, iteration: int) -> tuple[np.ndarray, Batch]:
        """Draw frames and read them."""
        run, stage = self._run, self._stage
        random = np.random.default_rng(step_seed(run.seed, self._number, iteration))
        indices = draw_frames(run.clip, stage, random, iteration / max(1, stage.iterations))
        return indices, self._reading.read(indices)

    def losses(self, iteration: int, frames: np.ndarray, batch: Batch) -> dict[str, Tensor]:
        """See :func:`~gaussavatar.training.step.step_loss`."""
        seed = step_seed(self._run.seed, self._number, iteration)
        step = step_loss(self._run, self._stage, batch, frames, seed)
        if self._growth is not None:
            self._growth.watch(step.rendered)
            self._seen = step.rendered, batch.cameras
        return step.parts

    def recordable(self) -> Recordable | None:
        """The losses as :class:`HeadSteps` has them, where nothing more is drawn."""
        return (
            None
            if draws_more(self._run, self._stage)
            else HeadSteps(self._run, self._stage, self._number, self._growth)
        )

    def after_backward(self) -> None:
        """Gather the screen gradients, where branches grow."""
        if self._growth is not None and self._seen is not None:
            self._growth.add(*self._seen)
            self._seen = None

    def after_step(self, iteration: int) -> bool:
        """Grow and prune, where it is due."""
        run, stage, done = self._run, self._stage, iteration + 1
        if self._growth is None or not is_due(stage.densify, done):
            return False
        seed = step_seed(run.seed + GROWTH_STREAM * 2**32, self._number, iteration)
        refine(run.model, self._growth, stage, done, run.clip, self._optimizer, seed)
        return True

    def counts(self) -> dict[str, int]:
        """Gaussians of both branches."""
        return {"face": len(self._run.model.face.gaussians), "mouth": len(self._run.model.mouth.gaussians)}

    def picture(self) -> UInt8[np.ndarray, "h w 3"]:
        """See :func:`~gaussavatar.training.preview.preview_picture`."""
        return preview_picture(self._run, is_still(self._stage))

    def state(self) -> dict[str, Tensor]:
        """What growth has gathered."""
        growth = {} if self._growth is None else self._growth.state()
        return {f"growth.{name}": value for name, value in growth.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        if self._growth is not None:
            self._growth.restore({name.removeprefix("growth."): value for name, value in state.items()})


class HeadSteps:
    """The steps of a stage of the head as functions of tensors."""

    def __init__(self, run: Run, stage: StageConfig, number: int, growth: GrowthStatistics | None = None) -> None:
        self._run, self._stage, self._number, self._growth = run, stage, number, growth
        self._room: UnaskingRasterizer | None = None
        self._seen: tuple[AvatarImage, Cameras] | None = None

    def inputs(self, iteration: int, frames: np.ndarray, batch: Batch) -> dict[str, Tensor]:
        """The batch, and what chance brings."""
        generator = torch.Generator().manual_seed(self.seed(iteration))
        chance = draw_chance(self._run, self._stage, frames, generator)
        found: dict[str, Tensor] = {"T_camera_world": batch.cameras.T_camera_world, "K": batch.cameras.K}
        for record in (batch, chance):
            values = ((field.name, getattr(record, field.name)) for field in fields(record))
            found.update((name, value) for name, value in values if isinstance(value, Tensor))
        return found

    def losses(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :func:`~gaussavatar.training.step.seen_losses`."""
        run, size = self._run, coarse_size(self._run.clip.size, self._stage.coarse)
        run = run if self._room is None else replace(run, rasterizer=self._room)
        cameras = Cameras(inputs["T_camera_world"], inputs["K"], size, size)
        names = {field.name for field in fields(Batch)}
        given = {name: value for name, value in inputs.items() if name in names} | {"cameras": cameras}
        chance = Chance(**{field.name: inputs.get(field.name) for field in fields(Chance)})
        predicted = None if chance.windows is None else run.encoder(chance.windows)
        batch = before_other_background(Batch(**given), chance)  # type: ignore[arg-type]
        step = seen_losses(run, self._stage, batch, chance, predicted)
        if self._growth is not None:
            self._growth.watch(step.rendered)
            self._seen = step.rendered, cameras
        return step.parts

    def after_backward(self) -> None:
        """Gather the screen gradients, where branches grow."""
        if self._growth is not None and self._seen is not None:
            self._growth.add(*self._seen)
            self._seen = None

    def set_aside(self) -> None:
        """Slots in tiles, by what was drawn so far. Not in a recording, which would empty them in every replay."""
        if isinstance(self._run.rasterizer, RecordableRasterizer):
            self._room = self._run.rasterizer.unasking()

    def seed(self, iteration: int) -> int:
        """That of the step, as when it is launched anew."""
        return step_seed(self._run.seed, self._number, iteration)

    def overflown(self) -> bool:
        """Whether tiles had too few slots."""
        return self._room is not None and self._room.overflown()
