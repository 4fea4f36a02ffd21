"""What ``fit`` and ``evaluate`` leave in ``report/``: the comparison video and the page."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from gaussavatar.evaluate.held_out import HeldOut
from gaussavatar.evaluate.report import write_report
from gaussavatar.media.writing import write_video
from gaussavatar.storage import FrameStore, read_json
from gaussavatar.training import log
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import VIDEO_FPS

N_PAIRS = 6
"""Real beside rendered frames shown on the page."""


def publish(
    folder: Path, held: HeldOut, metrics: dict[str, Any], rendered: dict[str, FrameStore], real: FrameStore
) -> Path:
    """Write ``report/held_out.mp4`` (real, audio-driven, oracle side by side) and ``report/report.html``."""
    layout = FitLayout(folder)
    video = layout.video
    rows = (np.concatenate(frames, axis=1) for frames in zip(real, rendered["audio"], rendered["oracle"], strict=True))
    size = held.clip.size
    with tempfile.TemporaryDirectory() as scratch:
        sound = _held_out_sound(layout.capture.audio, held, Path(scratch) / "sound.wav")
        write_video(video, rows, VIDEO_FPS, (3 * size, size), audio=sound, crf=20, quick=True)
    chosen = np.linspace(0, len(real) - 1, N_PAIRS).round().astype(int)
    pairs = [(real[i], rendered["audio"][i], f"frame {held.indices[i]}") for i in chosen]
    manifest = read_json(layout.capture.manifest)
    write_report(
        layout.page,
        title=folder.resolve().name,
        metrics=metrics,
        curves=training_curves(layout.train / log.NAME),
        pairs=pairs,
        video=video,
        stages={name: entry["seconds"] for name, entry in manifest.items()},
        # Captures of before this was counted have none.
        cpu_seconds={name: entry["cpu_seconds"] for name, entry in manifest.items() if "cpu_seconds" in entry},
        config_yaml=layout.config.read_text(),
    )
    return layout.page


def _held_out_sound(audio: Path, held: HeldOut, path: Path) -> Path | None:
    """The stretch of the clip's sound that belongs to the held-out frames; None where frames are missing in it."""
    first, count = int(held.indices[0]), len(held.indices)
    if int(held.indices[-1]) - first + 1 != count:
        return None
    samples, rate = soundfile.read(audio, dtype="int16")
    soundfile.write(path, samples[first * rate // VIDEO_FPS : (first + count) * rate // VIDEO_FPS], rate)
    return path


def training_curves(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Loss curves by name over the steps of all stages in order."""
    curves: dict[str, list[tuple[float, float]]] = {}
    seen: dict[str, int] = {}
    offset = 0
    last_stage = None
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        entry = json.loads(line)
        if entry["stage"] != last_stage:
            offset, last_stage = sum(seen.values()), entry["stage"]
        seen[entry["stage"]] = max(seen.get(entry["stage"], 0), entry["step"])
        for name, value in entry.items():
            if name not in ("stage", "step"):
                for series, number in _numbers(name, value):
                    curves.setdefault(series, []).append((offset + entry["step"], number))
    # A count that never changed, as in every fit without densification, is no curve.
    still = [name for name in curves if name.startswith("gaussians") and len({y for _, y in curves[name]}) == 1]
    return {name: points for name, points in curves.items() if name not in still}


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    """The series that one figure of a line belongs to: losses and speed, and the counts of Gaussians by branch."""
    if isinstance(value, dict):
        return [(f"{name}: {branch}", count) for branch, count in value.items()] if name == "gaussians" else []
    return [(name, value)] if isinstance(value, int | float) and name != "number" else []
