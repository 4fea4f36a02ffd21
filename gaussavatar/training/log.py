"""What training writes down: a line per so many steps in metrics.jsonl, and TensorBoard's events where it is there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gaussavatar.progress import Progress
from gaussavatar.storage import atomic_path
from gaussavatar.training.checkpoint import Position
from gaussavatar.training.config import StageConfig

NAME, EVENTS = "metrics.jsonl", "events"

LOG_EVERY = 50
"""Steps between lines."""


class TrainingLog:
    """metrics.jsonl and, where the package ``tensorboard`` is installed, its events in ``events/``."""

    def __init__(self, folder: Path, stages: tuple[StageConfig, ...], start: Position, progress: Progress) -> None:
        """Open the log; lines that a killed run wrote after ``start`` are dropped, for their steps are done again."""
        self._begun = [sum(stage.iterations for stage in stages[:number]) for number in range(len(stages) + 1)]
        forget_later_lines(folder / NAME, stages, start)
        self._file = (folder / NAME).open("a")
        self._events: Any = None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            # Absent, or one that does not go with the installed protobuf.
            progress.say(f"figures go to train/{NAME}; for TensorBoard as well: pip install 'gaussavatar[eval]'")
        else:
            step = self._begun[start.stage] + start.iteration
            self._events = SummaryWriter(str(folder / EVENTS), purge_step=step or None)
        self._last: tuple[float, int] | None = None

    def write(self, number: int, stage: StageConfig, iteration: int, figures: Mapping[str, Any]) -> None:
        """Write one line; ``figures`` are numbers, or numbers by name."""
        now, at = time.monotonic(), self._begun[number] + iteration
        speed = {}
        if self._last is not None and at > self._last[1]:
            speed = {"steps_per_second": round((at - self._last[1]) / max(now - self._last[0], 1e-9), 3)}
        self._last = now, at
        entry = {"stage": stage.name, "number": number, "step": iteration, **figures, **speed}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in {**figures, **speed}.items():
                for inner, number_value in value.items() if isinstance(value, Mapping) else (("", value),):
                    self._events.add_scalar(f"{name}/{inner}" if inner else name, number_value, at)

    def picture(self, number: int, iteration: int, image: Any) -> None:
        """Put an image (h, w, 3, uint8) into the events."""
        if self._events is not None:
            self._events.add_image("preview", image, self._begun[number] + iteration, dataformats="HWC")

    def pause(self) -> None:
        """Leave the time until the next line out of the speed."""
        self._last = None

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        if self._events is not None:
            self._events.close()


def forget_later_lines(path: Path, stages: tuple[StageConfig, ...], position: Position) -> None:
    """Drop what a killed run logged after its last checkpoint, and lines that are none."""
    if not path.exists():
        return
    order = {stage.name: number for number, stage in enumerate(stages)}

    def kept(line: str) -> bool:
        try:
            entry = json.loads(line)
            number = entry["number"] if "number" in entry else order.get(entry["stage"], len(stages))
            return (number, entry["step"]) < (position.stage, position.iteration)
        except (ValueError, KeyError, TypeError):
            return False

    lines = [line for line in path.read_text(errors="replace").splitlines() if kept(line)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines))


def figures_of(
    parts: Mapping[str, torch.Tensor], names: list[str], norms: torch.Tensor, rates: Mapping[str, float]
) -> dict[str, Any]:
    """Losses, gradient norms and learning rates as rounded numbers."""
    losses = {name: round(float(value.detach()), 6) for name, value in parts.items()}
    norm_of = dict(zip(names, norms.tolist(), strict=True))
    trained = {name: rate for name, rate in rates.items() if rate > 0}
    return losses | {
        "gradient": {name: float(f"{norm_of[name]:.4g}") for name in trained},
        "rate": {name: float(f"{rate:.4g}") for name, rate in trained.items()},
    }
