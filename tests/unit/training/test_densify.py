"""Growing and pruning: where they happen, what goes along, and that the count stays within its cap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.training.config import DensifyConfig, StageConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.densify import (
    GrowthStatistics,
    opacity_threshold,
    outside_the_head,
    refine,
    rotated,
    screen_gradient,
)
from gaussavatar.training.resample import rearrange
from gaussavatar.training.start.build import build_model
from gaussavatar.training.step import Run, make_optimizer, set_rates, step_loss
from gaussavatar.types import Activated, Cameras

from .tiny_runs import make_run, run_stages

NOTHING = DensifyConfig(
    every=1, start=1, grow_face=1e9, grow_mouth=1e9, prune_opacity_start=0, prune_opacity_end=0, largest=1e9,
    prune_background=False,
)  # fmt: skip


def one_step(run: Run, stage: StageConfig) -> tuple[torch.optim.Adam, GrowthStatistics]:
    """An optimiser with moments and gathered gradients, after one step without a change of the rates."""
    optimizer = make_optimizer(run)
    set_rates(optimizer, stage, 0)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    growth = GrowthStatistics(run.model, stage)
    indices = np.array([2, 9])
    batch = load_batch(run.clip, indices, stage.losses)
    step = step_loss(run, stage, batch, indices, 0)
    growth.watch(step.rendered)
    torch.stack(list(step.parts.values())).sum().backward()
    growth.add(step.rendered, batch.cameras)
    optimizer.step()
    return optimizer, growth


def test_screen_gradient_is_that_of_a_shift_on_the_screen() -> None:
    """Against autograd: the loss's gradient by a shift of the projected means, in float64 by the torch oracle."""
    generator = torch.Generator().manual_seed(0)
    means = torch.tensor([[[0.01, 0.02, 0.0], [-0.05, 0.03, 0.04], [0.06, -0.06, -0.03]]], dtype=torch.float64)
    quats = torch.nn.functional.normalize(torch.randn(1, 3, 4, generator=generator, dtype=torch.float64), dim=-1)
    scales = torch.full((1, 3, 3), 5e-3, dtype=torch.float64)
    opacities, colors = torch.full((1, 3), 0.7).double(), torch.rand(1, 3, 3, generator=generator).double()
    T = torch.eye(4, dtype=torch.float64)[None].clone()
    T[:, 2, 3] = 0.6
    K = torch.tensor([[[90.0, 0, 24], [0, 90, 24], [0, 0, 1]]], dtype=torch.float64)
    target = torch.rand(1, 48, 48, 3, generator=generator).double()
    rasterizer = get_rasterizer("cpu", "torch")

    def loss(moved: torch.Tensor) -> torch.Tensor:
        rendered = rasterizer(Activated(moved, quats, scales, opacities, colors), Cameras(T, K, 48, 48))
        return (rendered.rgb - target).square().mean()

    leaf = means.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    found = screen_gradient(gradient, means, Cameras(T, K, 48, 48))[0]
    # A shift by (a, b) pixels on the screen moves the mean by (a, b, 0) z / f across the view.
    depth = (means[0, :, 2] + 0.6) / 90
    by_pixel = gradient[0, :, :2].norm(dim=-1) * depth
    assert torch.allclose(found, by_pixel * 24, rtol=0.05)
    assert not torch.allclose(gradient[0].norm(dim=-1) * depth * 24, found, rtol=1e-3), "the ray's part is left out"


def test_a_coarse_start_gets_denser_where_the_picture_has_detail(tiny_clip: Clip, tmp_path: Path) -> None:
    growing = replace(NOTHING, every=10, start=50, grow_face=1e-2, cap_face=5000)
    start = coarse_model(tiny_clip)
    before = int(on_the_forehead(start).sum()), int((~on_the_forehead(start)).sum())
    grown = {}
    for name, clip in (("plain", tiny_clip), ("striped", with_stripes(tiny_clip, tmp_path))):
        run = replace(make_run(clip, tmp_path / name), model=coarse_model(tiny_clip))
        run_stages(run, (StageConfig("static", 80, train=("face",), densify=growing),), 80)
        there = on_the_forehead(run.model)
        grown[name] = int(there.sum()) - before[0], int((~there).sum()) - before[1]
    assert grown["striped"][0] > 2 * grown["plain"][0], "the stripes have made the forehead denser"
    assert grown["plain"][1] > 50, "eyes, mouth and rim grow"
    assert grown["striped"][1] < 1.2 * grown["plain"][1], "and no more of them than without stripes"


def with_stripes(clip: Clip, folder: Path) -> Clip:
    """Fine stripes on the forehead, nothing new elsewhere."""
    with frame_writer(folder / "frames.u8", clip.frames.shape[1:]) as writer:
        for index in range(len(clip)):
            frame = clip.frames.read(index)
            for row in range(12, 27, 6):
                frame[row : row + 3, 24:40] = 255
                frame[row + 3 : row + 6, 24:40] = 0
            writer.append(frame)
    return replace(clip, frames=FrameStore(folder / "frames.u8"))


def coarse_model(clip: Clip) -> AvatarModel:
    model = build_model(clip, ModelConfig(face=BranchConfig(count=200), mouth=BranchConfig(count=40)), 0)
    with torch.no_grad():
        model.face.gaussians.log_scales.fill_(np.log(4e-3))
    return model


def on_the_forehead(model: AvatarModel) -> torch.Tensor:
    """Which of the face's Gaussians are where the stripes are."""
    means = model.face.gaussians.means
    return (means[:, 1] < -0.02) & (means[:, 0].abs() < 0.04)


def test_dead_huge_and_broken_gaussians_go_and_others_keep_their_order(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    stage = StageConfig("s", 10, train=("face",), densify=replace(NOTHING, prune_opacity_start=0.05, largest=0.02))
    gaussians = run.model.face.gaussians
    moving = gaussians.n_moving
    with torch.no_grad():
        gaussians.colors[:, 0] = torch.arange(600.0) / 600
        gaussians.logit_opacities[[3, moving + 2]] = -4.0
        gaussians.log_scales[5] = 0.0
        gaussians.means[7, 1] = float("nan")
    optimizer, growth = make_optimizer(run), GrowthStatistics(run.model, stage)
    change = refine(run.model, growth, stage, 1, tiny_clip, optimizer, 0)["face"]
    left = np.delete(np.arange(600), [3, 5, 7, moving + 2])
    assert (change.pruned, change.count, len(run.model.face.gaussians)) == (4, 596, 596)
    assert run.model.face.gaussians.n_moving == moving - 3
    assert (run.model.face.gaussians.colors[:, 0] * 600).round().int().tolist() == left.tolist()


def test_motion_and_moments_follow_their_gaussians(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    stage = StageConfig("s", 10, train=("face", "mouth", "face_motion", "mouth_motion"))
    optimizer, _ = one_step(run, stage)
    branch, old = run.model.face, run.model.face.gaussians.means
    moving, total = branch.gaussians.n_moving, len(branch.gaussians)
    basis = branch.motion.basis
    moments, basis_moments = optimizer.state[old]["exp_avg"], optimizer.state[basis]["exp_avg"]
    width = basis.shape[1] // moving
    source = torch.tensor([4, 0, moving - 1, 4, moving, total - 1, moving])
    fresh = torch.tensor([False, False, False, True, False, False, True])
    rearrange(branch, source, 4, fresh, optimizer)
    new = branch.gaussians.means
    assert new is not old and torch.equal(new, old[source]) and branch.gaussians.n_moving == 4
    assert torch.equal(optimizer.state[new]["exp_avg"], torch.where(fresh[:, None], 0.0, moments[source]))
    assert optimizer.state[new]["step"] == 1 and old not in optimizer.state
    expected = basis.detach().view(-1, moving, width)[:, source[:4]]
    assert torch.equal(branch.motion.basis.detach().view(-1, 4, width), expected)
    moved = optimizer.state[branch.motion.basis]["exp_avg"].view(-1, 4, width)
    assert torch.equal(moved[:, :3], basis_moments.view(-1, moving, width)[:, source[:3]]) and not moved[:, 3].any()
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held >= {id(parameter) for parameter in run.model.parameters()}
    batch = load_batch(run.clip, np.array([1]), stage.losses)
    assert torch.isfinite(step_loss(run, stage, batch, np.array([1]), 0).parts["photometric"])


@pytest.mark.parametrize("deformation", ["blendshapes", "triplane", "vectors"])
def test_every_design_renders_the_same_after_a_mere_reordering(tiny_clip: Clip, tmp_path: Path, deformation) -> None:  # noqa: ANN001
    run = make_run(tiny_clip, tmp_path)
    config = ModelConfig(BranchConfig(count=300, deformation=deformation), BranchConfig(count=60))
    model = build_model(tiny_clip, config, 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.face.motion.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    codes = torch.randn(1, 5, generator=generator)
    before, _ = model.face(codes)
    moving, total = model.face.gaussians.n_moving, len(model.face.gaussians)
    order = torch.cat([torch.randperm(moving, generator=generator), torch.arange(moving, total)])
    rearrange(model.face, order, moving, torch.zeros(total, dtype=torch.bool), None)
    after, _ = model.face(codes)
    assert run.model is not model
    assert torch.allclose(after.means, before.means[:, order], atol=1e-6)
    assert torch.allclose(after.scales, before.scales[:, order], atol=1e-6)


def grown(run: Run, **fields: object) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """State of the face before and after one refinement that grows."""
    stage = StageConfig("s", 10, train=("face",), densify=replace(NOTHING, grow_face=1e-6, **fields))
    optimizer, growth = one_step(run, stage)
    before = {name: value.clone() for name, value in run.model.face.state_dict().items()}
    refine(run.model, growth, stage, 1, run.clip, optimizer, 7)
    return before, run.model.face.state_dict()


def test_the_cap_lets_the_largest_gradients_grow(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    stage = StageConfig("s", 10, train=("face",), densify=replace(NOTHING, grow_face=1e-6, cap_face=620, split_scale=1))
    optimizer, growth = one_step(run, stage)
    largest = growth.mean("face").argsort(descending=True)[:20]
    old = run.model.face.gaussians.means.detach().clone()
    refine(run.model, growth, stage, 1, run.clip, optimizer, 7)
    new = run.model.face.gaussians.means
    assert len(new) == 620
    twins = [int((new == mean).all(-1).sum()) for mean in old]
    assert sorted(np.flatnonzero(np.array(twins) == 2).tolist()) == sorted(largest.tolist())


def test_splits_stay_inside_their_parent_and_shrink(tiny_clip: Clip, tmp_path: Path) -> None:
    before, after = grown(make_run(tiny_clip, tmp_path), split_scale=0.0, cap_face=700)
    assert len(after["gaussians.means"]) == 700
    apart = after["gaussians.log_scales"][:, None] - (before["gaussians.log_scales"] - np.log(1.6))
    shrunk = apart.abs().amax(-1).amin(1) < 1e-5
    assert int(shrunk.sum()) == 200, "both halves of a hundred"
    spread = float(before["gaussians.log_scales"].exp().max())
    distance = torch.cdist(after["gaussians.means"], before["gaussians.means"]).amin(1)
    assert 0 < float(distance.max()) < 4 * spread


def test_the_same_seed_makes_the_same_splits(tiny_clip: Clip, tmp_path: Path) -> None:
    _, one = grown(make_run(tiny_clip, tmp_path), split_scale=0.0)
    _, two = grown(make_run(tiny_clip, tmp_path), split_scale=0.0)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_clones_with_shared_opacity_leave_the_picture_as_it_was(tiny_clip: Clip, tmp_path: Path) -> None:
    errors = []
    for revised in (True, False):
        run = make_run(tiny_clip, tmp_path)
        batch = load_batch(run.clip, np.array([5]), StageConfig("s", 1).losses)

        def picture(run: Run = run, batch=batch) -> torch.Tensor:  # noqa: ANN001
            with torch.no_grad():
                return run.model.render(
                    run.rasterizer, batch.mouth_codes, batch.upper, batch.cameras, batch.under
                ).image

        before = picture()
        grown(run, split_scale=1.0, revised_opacity=revised)
        assert len(run.model.face.gaussians) > 650
        errors.append(float((picture() - before).abs().mean()))
    assert errors[0] < 0.4 * errors[1]


def test_gaussians_that_learnt_the_background_go(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    with torch.no_grad():
        run.model.face.gaussians.means[:10] = torch.tensor([0.11, -0.1, 0.0])
    outside = outside_the_head(run.model.face.gaussians.means, tiny_clip, DensifyConfig(background_views=6))
    assert outside[:10].all() and float(outside[10:].float().mean()) < 0.1
    stage = StageConfig("s", 10, train=("face",), densify=replace(NOTHING, prune_background=True))
    refine(run.model, GrowthStatistics(run.model, stage), stage, 1, tiny_clip, make_optimizer(run), 0)
    assert float(run.model.face.gaussians.means.detach()[:, 0].max()) < 0.1


def test_only_the_named_branches_are_refined(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    counts = len(run.model.face.gaussians), len(run.model.mouth.gaussians)
    stage = StageConfig("s", 10, train=("face", "mouth"), densify=replace(NOTHING, largest=0.0, parts=("face",)))
    growth = GrowthStatistics(run.model, stage)
    assert set(growth.sums) == {"face"}
    assert set(refine(run.model, growth, stage, 1, tiny_clip, make_optimizer(run), 0)) == {"face"}
    assert len(run.model.face.gaussians) < counts[0] and len(run.model.mouth.gaussians) == counts[1]


def test_a_branch_is_never_pruned_to_nothing(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    stage = StageConfig("s", 10, train=("mouth",), densify=replace(NOTHING, largest=0.0))
    refine(run.model, GrowthStatistics(run.model, stage), stage, 1, tiny_clip, make_optimizer(run), 0)
    assert len(run.model.mouth.gaussians) == 16


def test_an_avatar_without_a_mouth_branch_grows_its_face(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    run = replace(run, model=build_model(tiny_clip, ModelConfig(BranchConfig(count=300), BranchConfig(count=0)), 0))
    stage = StageConfig("s", 4, train=("face", "mouth"), densify=replace(NOTHING, every=2, start=2, grow_face=1e-5))
    run_stages(run, (stage,))
    assert len(run.model.face.gaussians) > 300 and len(run.model.mouth.gaussians) == 0


def test_the_opacity_threshold_rises_to_its_end() -> None:
    config = DensifyConfig(start=100, stop=300)
    thresholds = [opacity_threshold(config, done, 1000) for done in (100, 200, 300, 400)]
    assert thresholds == pytest.approx([0.05, 0.175, 0.3, 0.3])


def test_rotation_by_a_quaternion_of_any_length() -> None:
    quats = torch.tensor([[2.0, 0, 0, 2.0]])
    assert torch.allclose(rotated(torch.tensor([[1.0, 0, 0]]), quats), torch.tensor([[0, 1.0, 0]]), atol=1e-6)
