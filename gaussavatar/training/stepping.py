"""How the loop takes a step: launched anew, or replayed from a recording where the device and the stage allow it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaussavatar.render.recording import Record, record_cuda
from gaussavatar.training.config import StageConfig
from gaussavatar.training.guards import DEVICE_EVERY, Guard
from gaussavatar.training.recorded import WARM_UP, RecordedStep
from gaussavatar.training.step import set_rates
from gaussavatar.training.task import StageWork


class Steps:
    """Takes the steps of one stage.

    Args:
        config: the stage.
        work: what it does.
        optimizer: steps.
        guard: watches.
        say: is told, in a line, why steps are not replayed where they could be.
        record: records a step; None launches every step anew.
    """

    def __init__(
        self,
        config: StageConfig,
        work: StageWork,
        optimizer: torch.optim.Optimizer,
        guard: Guard,
        say: Callable[[str], None],
        record: Record | None,
    ) -> None:
        self._config, self._work, self._optimizer, self._guard, self._say = config, work, optimizer, guard, say
        self._recordable = None if record is None else work.recordable()
        self._record, self._taken = record, 0
        self._recorded: RecordedStep | None = None

    @property
    def records_next(self) -> bool:
        """Whether the next step is recorded: nobody else may use the device then."""
        return self._recordable is not None and self._recorded is None and self._taken >= WARM_UP

    def take(self, iteration: int, frames: np.ndarray, batch: Any) -> dict[str, Tensor]:
        """One step of the optimiser; returns the weighted losses, which the next one overwrites."""
        set_rates(self._optimizer, self._config, iteration)
        recordable = self._recordable
        inputs = None if recordable is None else recordable.inputs(iteration, frames, batch)
        if self.records_next and inputs is not None:
            self._try_to_record(inputs)
        if self._recorded is None or recordable is None or inputs is None:
            self._taken += 1
            return self._launch(iteration, frames, batch)
        parts = self._recorded(inputs, recordable.seed(iteration))
        self._guard.remember()
        self._guard.look_now_and_then(iteration)
        if iteration % DEVICE_EVERY == 0 and recordable.overflown():
            self._drop()
        return parts

    def forget(self) -> None:
        """Take the next steps one by one, and record another: parameters have been replaced."""
        self._drop()

    def close(self) -> None:
        """Give back the memory of a recording."""
        self._drop()

    def _launch(self, iteration: int, frames: np.ndarray, batch: Any) -> dict[str, Tensor]:
        optimizer, work, guard = self._optimizer, self._work, self._guard
        optimizer.zero_grad(set_to_none=True)
        parts = work.losses(iteration, frames, batch)
        guard.losses(iteration, parts, frames)
        torch.stack(list(parts.values())).sum().backward()
        work.after_backward()
        guard.gradients(iteration, frames)
        optimizer.step()
        return {name: value.detach() for name, value in parts.items()}

    def _try_to_record(self, inputs: dict[str, Tensor]) -> None:
        assert self._record is not None and self._recordable is not None
        try:
            self._recordable.set_aside()
            self._recorded = RecordedStep(self._recordable, self._optimizer, self._guard, inputs, self._record)
        except RuntimeError as error:
            self._recordable = None
            self._optimizer.zero_grad(set_to_none=True)
            reason = str(error).strip().splitlines() or [type(error).__name__]
            self._say(f"steps of stage {self._config.name} are launched one by one: no CUDA graph ({reason[0][:200]})")

    def _drop(self) -> None:
        if self._recorded is not None:
            self._recorded.close()
        self._recorded, self._taken = None, 0


def recorder(device: torch.device, wish: bool) -> Record | None:
    """What records steps on a device; None where nothing does."""
    return record_cuda if wish and device.type == "cuda" else None
