"""The loop on other devices: choice of device, frames resident there, and the step by the road that devices take."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.render.api import get_rasterizer
from gaussavatar.render.device import choose_device
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.data import Batch, BatchReader, Clip, load_batch, resident_frames, wants_resident
from gaussavatar.training.step import step_loss
from gaussavatar.types import Cameras

from .tiny_runs import STAGES, make_run, run_stages


def test_the_choice_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == choose_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="none that torch sees"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(UserError, match=r"gaussavatar\[gpu\]"):
        choose_device("cuda")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert choose_device("auto").type == choose_device("cuda").type == "cuda"


def test_resident_frames_give_the_batches_that_the_disk_gives(tiny_clip: Clip) -> None:
    cpu, indices = torch.device("cpu"), np.array([3, 17, 3])
    resident = resident_frames(tiny_clip, cpu)
    assert all(tensor.dtype == torch.uint8 for tensor in resident.values())
    one, two = (BatchReader(tiny_clip, LossConfig(), cpu, source).read(indices) for source in (None, resident))
    for name in ("frames", "under", "head", "inside", "weight", "mouth_codes", "upper"):
        assert torch.equal(getattr(one, name), getattr(two, name)), name
    assert not wants_resident(tiny_clip, cpu, "yes") and not wants_resident(tiny_clip, cpu, "auto")


@pytest.mark.parametrize("coarse", [2, 3])
def test_coarse_frames_are_means_seen_by_the_same_camera(tiny_clip: Clip, coarse: int) -> None:
    cpu, indices, losses = torch.device("cpu"), np.array([3, 17]), LossConfig()
    fine = BatchReader(tiny_clip, losses, cpu).read(indices)
    small = BatchReader(tiny_clip, losses, cpu, coarse=coarse).read(indices)
    size = tiny_clip.size // coarse
    assert small.frames.shape == (2, size, size, 3) and small.weight.shape == small.head.shape == (2, size, size)
    assert small.cameras.width == small.cameras.height == size
    for name in ("frames", "under", "head", "inside"):
        assert float(getattr(small, name).mean()) == pytest.approx(float(getattr(fine, name).mean()), abs=1e-2)
    # A point in the head lands on the same part of both pictures.
    point = torch.tensor([0.01, -0.02, 0.03, 1.0])
    places = [b.cameras.K[0] @ (b.cameras.T_camera_world[0] @ point)[:3] for b in (fine, small)]
    shares = [place[:2] / place[2] / b.cameras.width for place, b in zip(places, (fine, small), strict=True)]
    assert torch.allclose(shares[0], shares[1], atol=1e-6)
    if coarse == 2:
        blocks = fine.frames.unflatten(2, (size, 2)).unflatten(1, (size, 2))
        assert torch.allclose(small.frames, blocks.mean((2, 4)), atol=1e-6)


def test_a_coarse_stage_learns_what_a_fine_one_looks_like(tiny_clip: Clip, tmp_path: Path) -> None:
    errors = []
    for steps in (0, 40):
        run = make_run(tiny_clip, tmp_path / str(steps))
        stage = StageConfig("static", max(1, steps), train=("face", "mouth"), coarse=2)
        if steps:
            run_stages(run, (stage,))
        batch = load_batch(tiny_clip, np.array([4, 20]), stage.losses)
        errors.append(float(step_loss(run, stage, batch, np.array([4, 20]), 0).parts["photometric"]))
    assert errors[1] < 0.8 * errors[0]


def doubled(batch: Batch) -> Batch:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    cameras: Cameras = values.pop("cameras")
    cameras = replace(cameras, T_camera_world=cameras.T_camera_world.double(), K=cameras.K.double())
    return Batch(cameras=cameras, **{n: v.double() if torch.is_tensor(v) else v for n, v in values.items()})


def test_the_step_by_the_torch_road_agrees_with_the_native_one(tiny_clip: Clip, tmp_path: Path) -> None:
    """What a GPU runs (torch twins of activation, composite and losses), here in float64 with the torch rasterizer."""
    stage, indices = StageConfig("s", 1), np.array([4, 20])
    results = []
    for twin in (False, True):
        run = make_run(tiny_clip, tmp_path)
        batch = load_batch(tiny_clip, indices, stage.losses)
        if twin:
            run = replace(run, rasterizer=get_rasterizer("cpu", "torch"))
            run.model.double()
            batch = doubled(batch)
        parts = step_loss(run, stage, batch, indices, 0).parts
        torch.stack(list(parts.values())).sum().backward()
        gradients = [parameter.grad for parameter in run.model.parameters() if parameter.grad is not None]
        results.append((parts, gradients))
    (native, gradients), (twin_parts, twin_gradients) = results
    assert native.keys() == twin_parts.keys() and len(gradients) == len(twin_gradients)
    for name, value in native.items():
        assert value.item() == pytest.approx(twin_parts[name].item(), rel=2e-4, abs=1e-7), name
    for ours, theirs in zip(gradients, twin_gradients, strict=True):
        error = (ours - theirs).abs().quantile(0.99) if ours.numel() < 10**6 else (ours - theirs).abs().mean()
        assert float(error) <= 2e-3 * float(theirs.abs().max()) + 1e-9


@pytest.mark.gpu
def test_training_on_a_gpu_learns_and_goes_on_from_its_checkpoint(tiny_clip: Clip, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("gsplat")
    device = torch.device("cuda")

    def on_gpu(folder: Path):  # noqa: ANN202
        run = make_run(tiny_clip, folder)
        run.model.to(device)
        run.encoder.to(device)
        return replace(run, closed=run.closed.to(device), device=device, rasterizer=get_rasterizer(device))

    whole = run_stages(on_gpu(tmp_path / "gpu"), STAGES)
    cpu = run_stages(make_run(tiny_clip, tmp_path / "cpu"), STAGES)
    assert all(torch.isfinite(tensor).all() for tensor in whole.values())
    colors = "face.gaussians.colors"
    assert (whole[colors].cpu() - cpu[colors]).abs().mean() < 0.02
    again = run_stages(on_gpu(tmp_path / "gpu"), STAGES)
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())
