"""Steps of a stage as a CUDA graph: recorded once, then replayed with other inputs.

A step launches hundreds of kernels of a few microseconds each, and starting one takes the processor longer than
running it takes a GPU. A replay starts all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from gaussavatar.render.recording import Record, record_cuda
from gaussavatar.seeding import seeded
from gaussavatar.training.guards import Guard

WARM_UP = 3
"""Steps of a stage that are launched one by one before one is recorded: moments, caches and counts come about."""


@runtime_checkable
class Recordable(Protocol):
    """What the steps of a stage are as functions of tensors."""

    def inputs(self, iteration: int, frames: np.ndarray, batch: Any) -> dict[str, Tensor]:
        """All that differs from step to step; shapes and names never do."""
        ...

    def losses(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted losses by name, of inputs on the device; no tensor may be asked for its values."""
        ...

    def after_backward(self) -> None:
        """Look at the gradients of the last losses; as little may be asked as there."""
        ...

    def set_aside(self) -> None:
        """Set aside the room that :meth:`losses` needs from now on; called before a recording."""
        ...

    def seed(self, iteration: int) -> int:
        """Where the global generator starts in a step."""
        ...

    def overflown(self) -> bool:
        """Whether room that was set aside for a step did not suffice; more is set aside next time."""
        ...


class RecordedStep:
    """One step of an optimiser, recorded for inputs of certain shapes.

    Args:
        work: the step's losses.
        optimizer: what steps; its moments have to exist.
        guard: what judges losses and gradients, on the device.
        inputs: of any step, on the device.
        record: see :func:`record_cuda`.

    Raises:
        RuntimeError: the step cannot be recorded.
    """

    def __init__(
        self,
        work: Recordable,
        optimizer: torch.optim.Optimizer,
        guard: Guard,
        inputs: Mapping[str, Tensor],
        record: Record = record_cuda,
    ) -> None:
        self._work, self._optimizer, self._guard = work, optimizer, guard
        self._inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        device = guard.norms.device
        self._rates = torch.zeros(len(optimizer.param_groups), device=device)
        rates = [group["lr"] for group in optimizer.param_groups]
        try:
            for group, rate in zip(optimizer.param_groups, self._rates.unbind(), strict=True):
                group["lr"], group["capturable"] = rate, device.type == "cuda"
            self._replay, self._parts = record(self._step)
        finally:
            # Outside of the recording everybody reads numbers.
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"], group["capturable"] = rate, False

    def __call__(self, inputs: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Do the step with other inputs and the optimiser's present rates; returns the weighted losses.

        Dropout draws from ``seed``.
        """
        for name, tensor in inputs.items():
            self._inputs[name].copy_(tensor, non_blocking=True)
        rates = torch.tensor([group["lr"] for group in self._optimizer.param_groups])
        self._rates.copy_(rates.pin_memory() if self._rates.is_cuda else rates, non_blocking=True)
        with seeded(seed):
            self._replay()
        return self._parts

    def close(self) -> None:
        """Let go of the gradients, which lie in the recording's memory."""
        self._optimizer.zero_grad(set_to_none=True)

    def _step(self) -> dict[str, Tensor]:
        self._optimizer.zero_grad(set_to_none=True)
        parts = self._work.losses(self._inputs)
        self._guard.note_losses(parts)
        torch.stack(list(parts.values())).sum().backward()
        self._work.after_backward()
        self._guard.judge()
        self._optimizer.step()
        return {name: value.detach() for name, value in parts.items()}
