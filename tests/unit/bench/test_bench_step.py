"""The benchmark of a training step: every part is measured, and the made-up clip takes next to no disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gaussavatar.bench.made_up import SHOWN, made_up_clip, made_up_model
from gaussavatar.bench.step import PARTS, bench_step, format_step
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.training.data import head_boxes, without_mouth

SMALL = ("image_size=64", "model.face.count=300", "model.mouth.count=40", "audio.batches.versions=2",
         "audio.batches.plain_versions=1")  # fmt: skip


def test_every_part_of_a_step_is_measured() -> None:
    figures = bench_step("preview", SMALL, "cpu", repetitions=3, frames=300)
    assert set(figures["parts"]) == set(PARTS) and min(figures["parts"].values()) > 0
    parts = figures["parts"]
    assert parts["step"] >= max(parts["forward"], parts["backward"], parts["optimiser"])
    assert (figures["face"], figures["mouth"], figures["clip_frames"]) == (300, 40, 300)
    text = format_step(figures)
    assert all(name in text for name in PARTS) and "load_before" in text and "steps per second" in text


def test_the_made_up_clip_shows_a_head_and_takes_no_room(tmp_path: Path) -> None:
    config = load_recipe("preview", SMALL)
    torch.manual_seed(0)
    clip = made_up_clip(config, made_up_model(config, 12), tmp_path, 5000)
    files = [tmp_path / f"{name}.u8" for name in ("frames", "masks", "under")]
    assert sum(path.stat().st_size for path in files) == 5000 * 64 * 64 * 10
    assert sum(path.stat().st_blocks * 512 for path in files) < 1000 * 64 * 64 * 10, "holes, not bytes"
    shown = np.flatnonzero(clip.usable)
    assert len(shown) == SHOWN and shown.max() < clip.n_train
    assert head_boxes(clip)[shown, 2].all() and not without_mouth(clip).any()
    picture = clip.frames.read(int(shown[3])).astype(float)
    assert np.abs(picture[32, 32] - picture[0, 0]).max() > 5
