"""The training loop learns, resumes to the same weights, freezes what is not trained, and names its failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gaussavatar.model.avatar import AvatarImage
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.data import Clip, draw_frames
from gaussavatar.types import Activated, Rendered

from .tiny_runs import STAGES, make_run, run_stages


def test_a_checkpoint_of_other_inputs_is_not_used(tiny_clip: Clip, tmp_path: Path) -> None:
    run_stages(make_run(tiny_clip, tmp_path, key="one"), STAGES)
    fresh = run_stages(make_run(tiny_clip, tmp_path / "fresh", key="two"), STAGES)
    other = run_stages(make_run(tiny_clip, tmp_path, key="two"), STAGES)
    assert all(torch.equal(tensor, other[name]) for name, tensor in fresh.items())


def test_seed_decides_the_result(tiny_clip: Clip, tmp_path: Path) -> None:
    one = run_stages(make_run(tiny_clip, tmp_path / "a"), STAGES)
    same = run_stages(make_run(tiny_clip, tmp_path / "b"), STAGES)
    other = run_stages(make_run(tiny_clip, tmp_path / "c", seed=1), STAGES)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_stage_leaves_untrained_parts_alone(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    after = run_stages(run, (StageConfig("static", 6, train=("face",)),))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("face.gaussians") for name in changed)


def test_training_reduces_the_error(tiny_clip: Clip, tmp_path: Path) -> None:
    import json

    stages = (StageConfig("static", 51, train=("face", "mouth")), StageConfig("motion", 101))
    run_stages(make_run(tiny_clip, tmp_path), stages)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["photometric"] < 0.6 * lines[0]["photometric"]


def test_open_share_draws_open_mouths(tiny_clip: Clip) -> None:
    random = np.random.default_rng(0)
    stage = StageConfig("s", 1, batch=400, open_share=1.0)
    drawn = draw_frames(tiny_clip, stage, random)
    uniform = draw_frames(tiny_clip, replace(stage, open_share=0.0, blink_share=0.0), random)
    assert tiny_clip.motion.aperture[drawn].mean() > 1.2 * tiny_clip.motion.aperture[uniform].mean()
    assert drawn.max() < tiny_clip.n_train


def test_losses_respond_to_their_weights(tiny_clip: Clip, tmp_path: Path) -> None:
    import json

    stage = StageConfig("static", 1, losses=LossConfig(alpha_head=0, alpha_mouth=0, motion=0, colors=0, large=0))
    run_stages(make_run(tiny_clip, tmp_path), (stage,))
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert set(line) == {"stage", "number", "step", "photometric", "gradient", "rate", "gaussians"}


def test_a_resumed_run_logs_every_step_once(tiny_clip: Clip, tmp_path: Path) -> None:
    import json

    stages = (StageConfig("static", 3, train=("face", "mouth")), StageConfig("motion", 60))
    run_stages(make_run(tiny_clip, tmp_path), stages[:1])
    log = tmp_path / "metrics.jsonl"
    log.write_text(log.read_text() + '{"stage": "motion", "step": 0, "photometric": 9}\n{"stage": "mot')
    run_stages(make_run(tiny_clip, tmp_path), stages)
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(entry["stage"], entry["step"]) for entry in entries] == [("static", 0), ("motion", 0), ("motion", 50)]
    assert all(entry["photometric"] != 9 for entry in entries)


def test_colours_outside_the_range_and_needles_are_pulled_in(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    gaussians = run.model.face.gaussians
    with torch.no_grad():
        gaussians.means[:20, 2] += 0.05
        gaussians.logit_opacities[:20] = -9.0
        gaussians.colors[:20] = 3.0
        gaussians.log_scales[:20] = -4.0
    run_stages(run, (StageConfig("static", 40, train=("face",)),))
    assert float(gaussians.colors[:20].max()) < 2.9
    assert float(gaussians.log_scales[:20].max()) < -4.1


def test_incremental_sampling_goes_from_wide_mouths_to_closed_ones(tiny_clip: Clip) -> None:
    stage = StageConfig("s", 1, batch=200, open_share=1.0, incremental=True)
    means = [
        tiny_clip.motion.aperture[draw_frames(tiny_clip, stage, np.random.default_rng(0), progress)].mean()
        for progress in (0.0, 0.5, 1.0)
    ]
    assert means[0] > means[1] > means[2]
    lids = StageConfig("s", 1, batch=200, open_share=0.0, blink_share=1.0, incremental=True)
    upper = np.random.default_rng(2).random(tiny_clip.motion.upper.shape).astype(np.float32)
    blinking = replace(tiny_clip, motion=replace(tiny_clip.motion, upper=upper))
    first, last = (draw_frames(blinking, lids, np.random.default_rng(0), progress) for progress in (0.0, 1.0))
    assert upper[last, 0].min() > upper[first, 0].max()


def test_pairs_are_successors_in_the_training_part(tiny_clip: Clip) -> None:
    stage = StageConfig("s", 1, batch=60, pairs=True)
    drawn = draw_frames(tiny_clip, stage, np.random.default_rng(1))
    step = drawn[1::2] - drawn[0::2]
    assert set(step.tolist()) <= {0, 1}
    assert (step == 1).mean() > 0.8
    assert drawn.max() < tiny_clip.n_train


def test_velocity_sees_flicker_and_not_a_constant_error(tiny_clip: Clip) -> None:
    from gaussavatar.training.data import load_batch
    from gaussavatar.training.losses import velocity

    batch = load_batch(tiny_clip, np.array([0, 1]), LossConfig())
    none = Activated(*(torch.zeros(2, 0, *rest) for rest in ((3,), (4,), (3,), (), (3,))))
    nothing = Rendered(torch.zeros_like(batch.frames), torch.zeros_like(batch.weight))
    darker, flicker = (
        AvatarImage(batch.frames + error.view(2, 1, 1, 1), nothing, nothing, (None, None), (none, none))
        for error in (torch.tensor([-0.1, -0.1]), torch.tensor([0.05, -0.05]))
    )
    assert velocity(darker, batch) < 1e-6
    assert velocity(flicker, batch) > 0.09


def test_another_background_changes_only_what_is_behind_the_head(tiny_clip: Clip) -> None:
    from gaussavatar.training.data import load_batch
    from gaussavatar.training.step import Chance, before_other_background

    batch = load_batch(tiny_clip, np.arange(6), LossConfig())
    generator = torch.Generator().manual_seed(5)
    behind, colors = torch.rand(6, generator=generator) < 0.5, torch.rand(6, 1, 1, 3, generator=generator)
    other = before_other_background(batch, Chance(None, None, behind, colors))
    changed = (other.under != batch.under).flatten(1).any(dim=1)
    assert 0 < int(changed.sum()) < 6
    inside, outside = batch.head > 0.999, batch.head < 0.001
    assert torch.allclose(other.frames[inside], batch.frames[inside], atol=1e-3)
    for row in torch.nonzero(changed).flatten().tolist():
        shown = other.frames[row][outside[row]] - batch.frames[row][outside[row]]
        asked = other.under[row][outside[row]] - batch.under[row][outside[row]]
        assert torch.allclose(shown, asked, atol=2e-3)
    assert torch.equal(other.frames[~changed], batch.frames[~changed])
