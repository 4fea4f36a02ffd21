"""The published schedule learns to move: what `talking-gaussian` needs beside its design."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.training.data import Clip
from gaussavatar.training.head_task import HeadTask
from gaussavatar.training.step import set_rates

from .tiny_runs import make_run


def test_planes_learn_at_a_rate_and_with_a_memory_of_their_own(tiny_clip: Clip, tmp_path: Path) -> None:
    recipe = load_recipe("talking-gaussian")
    config, face, mouth = recipe.training, recipe.model.face, recipe.model.mouth
    model = replace(recipe.model, face=replace(face, count=300), mouth=replace(mouth, count=60))
    run = make_run(tiny_clip, tmp_path, model=model)
    optimizer = HeadTask(run, config).open(run.clip, None)
    set_rates(optimizer, next(stage for stage in config.stages if stage.name == "motion"), 0)
    groups = {group["name"]: group for group in optimizer.param_groups}
    for part in ("face", "mouth"):
        assert (groups[f"{part}_motion:planes"]["lr"], groups[f"{part}_motion:motion"]["lr"]) == (5e-3, 5e-4)
        assert groups[f"{part}_motion:planes"]["betas"] == groups[f"{part}_motion:motion"]["betas"] == (0.9, 0.99)
        assert groups[f"{part}:means"]["betas"] == (0.9, 0.999)
    in_groups = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    every = [*run.model.parameters(), *run.encoder.parameters()]
    assert len(in_groups) == len(every) == len({id(parameter) for parameter in (*in_groups, *every)})
