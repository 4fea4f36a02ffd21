"""What no frame shows: hidden Gaussians take their neighbours' colour, the sides close, filmed views stay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.surface import vertex_normals
from gaussavatar.render.api import get_rasterizer
from gaussavatar.training import unseen
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.resample import resize
from gaussavatar.training.start.build import build_model
from gaussavatar.training.step import Run
from gaussavatar.types import Activated, Cameras

from .tiny_runs import MODEL, make_run, run_stages

BEHIND = (0.0, 0.0, 0.03)
"""A place in the tiny clip's head that the face covers in every frame."""


@pytest.fixture
def trained(tiny_clip: Clip, tmp_path: Path) -> Run:
    """A short fit with one wild blue Gaussian hidden in the head."""
    run = make_run(tiny_clip, tmp_path)
    run_stages(run, (StageConfig("static", 40, train=("face", "mouth")), StageConfig("joint", 10)))
    face = run.model.face.gaussians
    with torch.no_grad():
        face.logit_opacities.clamp_(min=6.0)
        face.means[-1] = torch.tensor(BEHIND)
        face.colors[-1] = torch.tensor([0.0, 0.0, 5.0])
        face.log_scales[-1] = np.log(0.01)
    return run


def pictures(run: Run, yaw: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Composite and face alpha of some frames, seen from the side."""
    batch = load_batch(run.clip, np.arange(0, 36, 9), LossConfig())
    T_world_world = torch.eye(4)
    T_world_world[:3, :3] = torch.tensor(Rotation.from_rotvec([0, np.deg2rad(yaw), 0]).as_matrix())
    cameras = Cameras(batch.cameras.T_camera_world @ T_world_world, batch.cameras.K, run.clip.size, run.clip.size)
    with torch.no_grad():
        seen = run.model.render(run.rasterizer, batch.mouth_codes, batch.upper, cameras, batch.under)
    return seen.image, seen.face.alpha


def test_the_gradient_of_the_picture_is_what_is_seen(trained: Run) -> None:
    seen = unseen.visibility(trained.model, get_rasterizer("cpu"), trained.clip, np.arange(0, 40, 5))
    assert seen.share[-1] < 0.01 < seen.share.median()
    assert bool((seen.inside <= seen.share + 1e-5).all())
    assert float(seen.share.max()) < 1.3


def test_hidden_gaussians_look_like_their_neighbours(trained: Run) -> None:
    before, _ = pictures(trained)
    unseen.complete_unseen(trained.model, trained.rasterizer, trained.clip, None, 0, 0)
    color = trained.model.face.gaussians.colors[-1].detach()
    assert color[2] < 1.0 and color[0] > color[2]
    after, _ = pictures(trained)
    assert float((after - before).abs().mean()) < 2e-3


def test_the_backing_closes_the_side_and_no_frame_sees_it(trained: Run) -> None:
    unseen.complete_unseen(trained.model, trained.rasterizer, trained.clip, None, 0, 0)
    before, _ = pictures(trained)
    _, open_side = pictures(trained, 60.0)
    count, moving = len(trained.model.face.gaussians), trained.model.face.gaussians.n_moving
    added = unseen.complete_unseen(trained.model, trained.rasterizer, trained.clip, builtin_head(), 800, 0)
    assert added > 20 and len(trained.model.face.gaussians) == count + added
    assert trained.model.face.gaussians.n_moving == moving
    frames = unseen.viewed_frames(trained.clip)
    assert (
        unseen.visibility(trained.model, trained.rasterizer, trained.clip, frames).share[count:].max()
        <= unseen.TOLERATED
    )
    after, _ = pictures(trained)
    _, closed_side = pictures(trained, 60.0)
    assert float((after - before).abs().mean()) < 2e-3
    assert float(closed_side.sum()) > 1.05 * float(open_side.sum())


def test_where_everything_moves_the_backing_moves_and_the_avatar_is_whole(tiny_clip: Clip, tmp_path: Path) -> None:
    bald = replace(MODEL, face=replace(MODEL.face, count=400), hair_fraction=0.0)
    run = replace(make_run(tiny_clip, tmp_path), model=build_model(tiny_clip, bald, 0))
    face = run.model.face.gaussians
    assert face.n_moving == len(face)
    with torch.no_grad():
        face.logit_opacities.clamp_(min=6.0)
    assert unseen.complete_unseen(run.model, run.rasterizer, run.clip, builtin_head(), 400, 0) > 0
    assert run.model.face.gaussians.n_moving == len(run.model.face.gaussians)
    other = build_model(tiny_clip, bald, 0)
    resize(other.face, len(run.model.face.gaussians), run.model.face.gaussians.n_moving)
    other.load_state_dict(run.model.state_dict())


def test_a_footprint_is_what_one_gaussian_alone_would_paint() -> None:
    quats = torch.nn.functional.normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(1)), dim=1)
    means = torch.tensor([[0.0, 0.0, 0.5]]).repeat(6, 1)
    scales = torch.tensor([[0.02, 0.012, 0.001]]).repeat(6, 1)
    faint = Activated(means[:, None], quats[:, None], scales[:, None], torch.full((6, 1), 0.2), torch.ones(6, 1, 3))
    K = torch.tensor([[120.0, 0, 32], [0, 120, 32], [0, 0, 1]]).repeat(6, 1, 1)
    cameras = Cameras(torch.eye(4).repeat(6, 1, 1), K, 64, 64)
    painted = get_rasterizer("cpu")(faint, cameras).alpha.sum(dim=(1, 2))
    assert torch.allclose(0.2 * unseen.footprints(faint, cameras)[:, 0], painted, rtol=0.05)
    assert painted.max() > 2 * painted.min(), "seen on edge it is small"


def test_the_backing_lies_under_the_skin_away_from_the_front() -> None:
    head = builtin_head()
    backing = unseen.backing_places(head, 0.05, 500, 0)
    centre = head.template[head.region("scalp")].mean(axis=0)
    points = backing.on_skin
    assert len(points) == 500 and 0 < backing.spacing < 0.05
    assert points[:, 1].max() < 0.06
    outward = ((points - centre) * backing.normal).sum(axis=1)
    assert (outward > 0).mean() > 0.95 and backing.normal[:, 2].min() > -unseen.FRONTAL
    assert 0.3 < backing.haired.mean() < 0.95
    again = unseen.backing_places(head, 0.05, 500, 0)
    np.testing.assert_array_equal(points, again.on_skin)


def test_on_the_scalp_the_backing_is_hair_and_as_high(trained: Run) -> None:
    head, gaussians = builtin_head(), trained.model.face.gaussians
    scalp = head.template[head.region("scalp")].astype(np.float64)
    normals = vertex_normals(head.template.astype(np.float64), head.triangles)[head.region("scalp")]
    above = np.random.default_rng(0).permutation(len(scalp))[:200]
    with torch.no_grad():
        gaussians.means[:200] = torch.from_numpy(scalp[above] + 0.012 * normals[above]).float()
        gaussians.colors[:200] = torch.tensor([0.1, 0.2, 0.9])
    index = np.arange(len(gaussians))
    donors = unseen.Donors(cKDTree(gaussians.means.detach().numpy()[index]), index)
    backing = unseen.backing_places(head, 0.05, 300, 0)
    points, near = unseen._laid(trained.model.face, head, backing, donors)
    height = ((points - backing.on_skin) * backing.normal).sum(axis=1)
    assert np.allclose(height[~backing.haired], -unseen.DEPTH)
    assert 0.006 < np.median(height[backing.haired]) < 0.015
    colours = gaussians.colors.detach()[near].median(dim=1).values
    assert (colours[torch.from_numpy(backing.haired)][:, 2] > 0.8).float().mean() > 0.8


def test_too_little_seen_changes_nothing(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    with torch.no_grad():
        run.model.face.gaussians.logit_opacities.fill_(-12.0)
        run.model.face.gaussians.means[:, 2] -= 10.0
    before = run.model.face.gaussians.colors.detach().clone()
    assert unseen.complete_unseen(run.model, run.rasterizer, run.clip, builtin_head(), 100, 0) == 0
    assert torch.equal(before, run.model.face.gaussians.colors.detach())
