"""The curves of the report, from the lines that training writes."""

from __future__ import annotations

import json
from pathlib import Path

from gaussavatar.evaluate.publish import training_curves
from gaussavatar.pages.charts import curve_svg


def line(stage: str, number: int, step: int, loss: float, face: int) -> str:
    nested = {"gradient": {"face:means": 0.1}, "rate": {"face:means": 6e-5}, "gaussians": {"face": face, "mouth": 50}}
    entry = {"stage": stage, "number": number, "step": step, "photometric": loss, **nested, "steps_per_second": 20.5}
    return json.dumps(entry) + "\n"


def test_losses_speed_and_counts_that_change_are_curves(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(line("static", 0, 0, 0.5, 600) + line("static", 0, 50, 0.25, 600) + line("motion", 1, 0, 0.2, 700))
    curves = training_curves(path)
    assert set(curves) == {"photometric", "steps_per_second", "gaussians: face"}
    assert curves["photometric"] == [(0, 0.5), (50, 0.25), (50, 0.2)]
    assert all(curve_svg(name, points).startswith("<svg") for name, points in curves.items())
    assert training_curves(tmp_path / "absent") == {}
