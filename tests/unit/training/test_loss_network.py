"""The perceptual loss in a training step and the held-out figures; a random backbone stands in for a trained one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gaussavatar.evaluate.perceptual_figures import perceptual_figures
from gaussavatar.image.perceptual import ALEX, PerceptualLoss
from gaussavatar.training.config import LossConfig, StageConfig, TrainingConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.loss_network import perceptual_net
from gaussavatar.training.step import step_loss

from .tiny_runs import make_run


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    state = {}
    for layer in ALEX:
        inner, outer, kernel = layer.shape
        shape = (outer, inner, kernel, kernel)
        state[f"features.{layer.number}.weight"] = torch.randn(shape, generator=generator) / (inner * kernel**2) ** 0.5
        state[f"features.{layer.number}.bias"] = torch.zeros(outer)
    path = tmp_path_factory.mktemp("weights") / "alex.safetensors"
    save_file(state, path)
    return path


def test_the_step_has_the_loss_where_network_and_weight_are_given(
    tiny_clip: Clip, weights: Path, tmp_path: Path
) -> None:
    plain = make_run(tiny_clip, tmp_path)
    run = replace(plain, perceptual=PerceptualLoss(weights))
    stage = StageConfig("joint", 2, train=("face", "mouth"), losses=LossConfig(perceptual=0.1))
    indices = np.array([1, 4])
    batch = load_batch(tiny_clip, indices, stage.losses)
    parts = step_loss(run, stage, batch, indices, 3).parts
    assert parts["perceptual"] > 0
    parts["perceptual"].backward()
    gradient = run.model.face.gaussians.colors.grad
    assert gradient is not None and gradient.abs().sum() > 0
    assert "perceptual" not in step_loss(run, replace(stage, losses=LossConfig()), batch, indices, 3).parts
    assert "perceptual" not in step_loss(plain, stage, batch, indices, 3).parts


def test_the_network_is_opened_only_for_a_stage_that_wants_it(weights: Path) -> None:
    assert perceptual_net(TrainingConfig((StageConfig("a", 1),), perceptual_weights="nowhere.pth")) is None
    wanting = StageConfig("b", 1, losses=LossConfig(perceptual=0.1))
    assert perceptual_net(TrainingConfig((wanting,), perceptual_weights=str(weights))) is not None


def test_figures_of_head_and_mouth_see_only_their_part(weights: Path) -> None:
    real = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3)).astype(np.uint8)
    masks = np.zeros((2, 96, 96, 4), np.uint8)
    masks[:, 20:80, 20:80, 0] = 255
    boxes = np.tile(np.array([[40.0, 60, 60, 70]]), (2, 3, 1))
    net = PerceptualLoss(weights)
    same = perceptual_figures(net, real, real, masks, boxes)
    prefix = "lpips" if net.has_heads else "perceptual"
    assert set(same) == {f"{prefix}_{part}" for part in ("full", "head", "mouth")} and max(same.values()) < 1e-9
    outside = real.copy()
    outside[:, :15] = 0
    found = perceptual_figures(net, outside, real, masks, boxes)
    assert found[f"{prefix}_full"] > 1e-3 and found[f"{prefix}_head"] < 1e-9 and found[f"{prefix}_mouth"] < 1e-9
    lips = real.copy()
    lips[:, 60:70, 40:60] = 0
    found = perceptual_figures(net, lips, real, masks, boxes)
    assert found[f"{prefix}_mouth"] > found[f"{prefix}_head"] > found[f"{prefix}_full"] > 0
