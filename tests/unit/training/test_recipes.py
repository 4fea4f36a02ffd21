"""Every recipe that comes with the package trains: its fields fit together, shrunk to a few steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gaussavatar.fitting.recipe import load_recipe, recipe_names
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.start.build import build_model

from .tiny_runs import make_run, run_stages


def shrunk(stage: StageConfig) -> StageConfig:
    """The stage in two steps, with its densification brought forward."""
    densify = stage.densify
    if densify is not None:
        densify = replace(densify, start=0, every=1)
    return replace(stage, iterations=3, densify=densify)


@pytest.mark.parametrize("name", recipe_names())
def test_recipe_trains(name: str, tiny_clip: Clip, tmp_path: Path) -> None:
    config = load_recipe(name)
    model = replace(
        config.model, face=replace(config.model.face, count=300), mouth=replace(config.model.mouth, count=60)
    )
    run = replace(make_run(tiny_clip, tmp_path), model=build_model(tiny_clip, model, 0))
    before = {key: tensor.clone() for key, tensor in run.model.state_dict().items()}
    after = run_stages(run, tuple(map(shrunk, config.training.stages)))
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
    still_there = [key for key in before if key in after and before[key].shape == after[key].shape]
    assert any(not torch.equal(before[key], after[key]) for key in still_there)


def test_without_a_mouth_branch_the_face_fills_the_mouth(tiny_clip: Clip, tmp_path: Path) -> None:
    from gaussavatar.model.config import BranchConfig, ModelConfig

    model = build_model(tiny_clip, ModelConfig(BranchConfig(300), BranchConfig(0)), 0)
    run = replace(make_run(tiny_clip, tmp_path), model=model)
    after = run_stages(run, (StageConfig("joint", 5, audio_share=0.5),))
    assert len(run.model.mouth.gaussians) == 0
    assert all(torch.isfinite(tensor).all() for tensor in after.values())
