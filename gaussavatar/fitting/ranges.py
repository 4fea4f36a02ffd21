"""What the numbers of a recipe may be: said in one line before the hours are spent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from gaussavatar.errors import UserError

SIGNED = ("threshold", "offset_frames")
"""Fields that may be negative; all others count, measure or weigh something."""

SHARES = (
    "audio_share",
    "open_share",
    "blink_share",
    "other_background",
    "hair_fraction",
    "silence_share",
    "dropout",
    "ood",
)
"""Fields that are a share of something, 0 to 1."""

BOUNDS: dict[str, tuple[float, float]] = {
    "image_size": (32, 4096),
    "capture.size": (64, 4096),
    "model.face.count": (1, 10_000_000),
    "training.held_out": (0.001, 0.5),
    "torso.count": (1, 10_000_000),
    "torso.iterations": (1, 10_000_000),
    "audio.steps": (1, 10_000_000),
    "audio.batch": (2, 1_000_000),
    "progress.checkpoint_every": (1, 10_000_000),
}
"""Least and greatest value of single fields."""

SMALLEST = 16
"""Side of the smallest frames that a stage may learn from, pixels."""


def check_ranges(values: Any, source: str) -> None:
    """Refuse a recipe's plain data where a number cannot be meant.

    Raises:
        UserError: a number that is none, a negative count, a share beyond 1, a size out of reason, no stage to train,
            or two stages of one name.
    """
    for name, value in _numbers(values, ""):
        field = name.rpartition(".")[2]
        low, high = BOUNDS.get(name, (-math.inf if field in SIGNED else 0, 1 if field in SHARES else math.inf))
        low = 1 if field in ("batch", "coarse", "every") else low
        if not math.isfinite(value) or not low <= value <= high:
            limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            limits = "that is one" if math.isinf(low) and math.isinf(high) else limits
            raise UserError(f"a number {limits} for {name} in {source}", f"{value}", "give another")
    stages = values["training"]["stages"]
    for stage in stages:
        if values["image_size"] // stage["coarse"] < SMALLEST:
            raise UserError(
                f"frames of at least {SMALLEST} pixels in training.stages.{stage['name']} of {source}",
                f"image_size {values['image_size']} and coarse {stage['coarse']}",
                "make coarse smaller",
            )
    names = [stage["name"] for stage in stages]
    if not any(stage["kind"] == "fit" and stage["iterations"] > 0 and stage["train"] for stage in stages):
        raise UserError(
            f"a stage that trains something in training.stages of {source}", "none", "begin with extends: preview"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"a name of its own for every stage in {source}", f"{twice[0]} twice", "name each as no other")


def _numbers(values: Any, prefix: str) -> Iterator[tuple[str, float]]:
    """Dotted names and values of all numbers; stages go by their names."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _numbers(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(values, list | tuple):
        for index, value in enumerate(values):
            name = value.get("name", index) if isinstance(value, dict) else index
            yield from _numbers(value, f"{prefix}.{name}")
    elif isinstance(values, int | float) and not isinstance(values, bool):
        yield prefix, values
