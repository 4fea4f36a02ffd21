"""What stops a training run that has gone wrong, and says where and why."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.model.outer import OuterGradient
from gaussavatar.training.config import StageConfig
from gaussavatar.training.descent import gradients

WINDOW = 100
"""Steps whose gradient norms a new one is compared with."""

WARM_UP = 20
"""Steps of a stage before gradients are judged."""

USUAL = 0.9
"""Quantile of the window that counts as the usual norm. Not the median: a shut mouth gives the mouth branch next to
no gradient, and in most clips the mouth is shut most of the time."""

PATIENCE = 25
"""Steps in a row with a gradient far above all that was ever usual in the stage after which training stops."""

ADAPT = 2.0
"""Times the usual norm that a cut gradient counts as. What is usual then doubles with every tenth of the window: a part
that wakes after a long quiet is soon left alone, and an explosion has stopped the run before it is usual."""

DEVICE_EVERY = 50
"""Steps between looks at what a GPU found: a look waits for the GPU."""


class TrainingError(UserError):
    """Training went numerically wrong: where, what, and what to do; one line for the user."""


class Guard:
    """Watches losses, gradients and parameters of one stage.

    On the CPU every step is judged at once. On other devices findings gather there and are
    looked at every :data:`DEVICE_EVERY` steps and before a checkpoint, so that no step waits.
    """

    def __init__(self, setting: str, stage: StageConfig, optimizer: torch.optim.Optimizer, clip: float) -> None:
        """Watch ``stage``, whose settings are at ``setting`` in a recipe; ``clip``: see ``TrainingConfig``."""
        self._setting, self._stage, self._optimizer, self._clip = setting, stage, optimizer, clip
        self.names = [group["name"] for group in optimizer.param_groups]
        device = optimizer.param_groups[0]["params"][0].device
        self._at_once = device.type == "cpu"
        self._history = torch.zeros(WINDOW, len(self.names), device=device)
        self._limits = torch.full((len(self.names),), torch.inf, device=device)
        self._highest = torch.zeros(len(self.names), device=device)
        self._streak = torch.zeros(len(self.names), device=device)
        self._kept = torch.zeros(len(self.names), device=device)
        self._count = 0
        self._bad: dict[str, Tensor] = {}
        self._labels: dict[str, list[str]] = {}
        self.norms = torch.zeros(len(self.names), device=device)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint has to keep so that a resumed run clips the same."""
        return {
            "history": self._history.clone(),
            "limits": self._limits.clone(),
            "highest": self._highest.clone(),
            "streak": self._streak.clone(),
            "count": torch.tensor(self._count),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave, if it is of the same parts."""
        if "history" in state and state["history"].shape == self._history.shape:
            self._history.copy_(state["history"])
            self._limits.copy_(state["limits"])
            self._highest.copy_(state["highest"])
            self._streak.copy_(state["streak"])
            self._count = int(state["count"])

    def losses(self, iteration: int, parts: Mapping[str, Tensor], frames: Int[np.ndarray, "b"]) -> None:
        """Refuse losses that are no numbers.

        Raises:
            TrainingError: one is not.
        """
        if not self._at_once:
            self.note_losses(parts)
            self.look_now_and_then(iteration)
        elif not torch.isfinite(torch.stack(list(parts.values())).sum()):
            bad = [name for name, value in parts.items() if not torch.isfinite(value)]
            self._stop(iteration, f"a loss that is not a number: {', '.join(bad)}, in frames {_listed(frames)}")

    def gradients(self, iteration: int, frames: Int[np.ndarray, "b"]) -> None:
        """Cut gradients that are far above their usual size.

        Raises:
            TrainingError: one is not a number, or stays too large.
        """
        if self._at_once:
            self._judge_at_once(iteration, frames)
        else:
            self.judge()
        self.remember()

    def note_losses(self, parts: Mapping[str, Tensor]) -> None:
        """Note losses that are no numbers, where they are; a CUDA graph may hold this."""
        self._note("a loss that is not a number", list(parts), ~torch.isfinite(torch.stack(list(parts.values()))))

    def look_now_and_then(self, iteration: int) -> None:
        """Every :data:`DEVICE_EVERY` steps, :meth:`look`."""
        if iteration % DEVICE_EVERY == 0:
            self.look(iteration)

    def judge(self) -> None:
        """Measure and cut gradients, and note what is wrong, where they are; a CUDA graph may hold this."""
        self.norms.copy_(self._measure())
        self._note("a gradient that is not a number", self.names, ~torch.isfinite(self.norms))
        if self._clip:
            self._multiply(self._above())
            self._note(f"a gradient too large for {PATIENCE} steps", self.names, self._streak >= PATIENCE)

    def remember(self) -> None:
        """Count a step that was judged: what is usual changes."""
        if not self._clip:
            return
        self._history[self._count % WINDOW].copy_(self._kept)
        self._count += 1
        if self._count >= WARM_UP and self._count % 10 == 0:
            usual = self._history[: min(self._count, WINDOW)].quantile(USUAL, dim=0)
            self._highest.copy_(torch.maximum(self._highest, usual))
            # A part that had no gradient so far has no usual size.
            self._limits.copy_(torch.where(usual > 0, self._clip * usual, torch.inf))

    def _judge_at_once(self, iteration: int, frames: Int[np.ndarray, "b"]) -> None:
        self.norms.copy_(self._measure())
        if not bool(torch.isfinite(self.norms).all()):
            bad = [name for name, norm in zip(self.names, self.norms.tolist(), strict=True) if not np.isfinite(norm)]
            self._stop(iteration, f"a gradient that is not a number: {', '.join(bad)}, in frames {_listed(frames)}")
        if not self._clip:
            return
        above = self._above()
        if not bool(above.any()):
            return
        self._multiply(above)
        if float(self._streak.max()) >= PATIENCE:
            worst = int(self._streak.argmax())
            ratio = float(self.norms[worst] / self._highest[worst])
            self._stop(
                iteration,
                f"a gradient {ratio:.0f} times its usual size for {PATIENCE} steps: {self.names[worst]}",
            )

    def _measure(self) -> Tensor:
        """Norm of every group's gradient; zero where it has none."""
        zero = torch.zeros((), device=self._history.device)
        norms = []
        for group in gradients(self._optimizer):
            each = [_norm(gradient).float() for gradient in group]
            norms.append(torch.stack(each).norm() if len(each) > 1 else each[0] if each else zero)
        return torch.stack(norms)

    def _above(self) -> Tensor:
        """Which gradients are far above what is usual now; those above what ever was are counted."""
        above = self.norms > self._limits
        exploded = above & (self.norms > self._clip * self._highest)
        self._streak.copy_(torch.where(exploded, self._streak + 1, torch.zeros_like(self._streak)))
        self._kept.copy_(torch.where(above, ADAPT * self._limits / self._clip, self.norms))
        return above

    def _multiply(self, above: Tensor) -> None:
        factors = torch.where(above, self._limits / self.norms, torch.ones_like(self.norms))
        for group, factor in zip(gradients(self._optimizer), factors.unbind(), strict=True):
            for gradient in group:
                gradient.mul_(factor)

    def look(self, iteration: int, parameters: bool = False) -> None:
        """Ask the device what it found; with ``parameters`` also whether all of them are numbers.

        Raises:
            TrainingError: something is wrong.
        """
        for what, found in self._bad.items():
            names = [name for name, wrong in zip(self._labels[what], found.tolist(), strict=True) if wrong]
            found.zero_()
            if names:
                self._stop(iteration, f"{what}: {', '.join(names)}, within the last {DEVICE_EVERY} steps")
        if parameters:
            for group in self._optimizer.param_groups:
                count = sum(int((~torch.isfinite(parameter)).sum()) for parameter in group["params"])
                if count:
                    self._stop(iteration, f"{count} values of {group['name']} that are not numbers")

    def _note(self, what: str, names: list[str], wrong: Tensor) -> None:
        self._labels[what] = names
        if what in self._bad:
            self._bad[what].logical_or_(wrong)
        else:
            self._bad[what] = wrong.clone()

    def _stop(self, iteration: int, came: str) -> None:
        named = next((name for name in self.names if name in came and name.split(":")[0] in self._stage.train), None)
        rate = named.split(":")[1] if named else "means"
        # Without an exponent: YAML takes 3e-05 for a word.
        value = np.format_float_positional(
            getattr(self._stage.rates, rate) / 2, precision=3, fractional=False, trim="-"
        )
        raise TrainingError(
            f"numbers in training stage {self._stage.name}, step {iteration}",
            came,
            f"lower the rates, for example --set {self._setting}.rates.{rate}={value}; "
            "the same command as before goes on from the last checkpoint",
        )


def _norm(gradient: Tensor | OuterGradient) -> Tensor:
    return gradient.norm() if isinstance(gradient, OuterGradient) else torch.linalg.vector_norm(gradient)


def _listed(frames: Int[np.ndarray, "b"]) -> str:
    return ", ".join(str(frame) for frame in frames)
