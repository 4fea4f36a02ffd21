"""What the designs and options of the model do to a run: every kind trains, and its own parameters move."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig, Voice
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.mel import MEL
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.mesh.zbuffer import rasterize_mesh
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.render.api import get_rasterizer
from gaussavatar.tracking.head.track import HeadTrack, camera_vertices
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.start.build import build_model, head_depth
from gaussavatar.training.step import Run, make_optimizer, set_rates, step_loss

from .conftest import SIZE

FREE = ModelConfig(face=BranchConfig(300), mouth=BranchConfig(60))
KINDS = {
    "triplane": {"deformation": "triplane", "attention": True, "linear": True},
    "vectors": {"deformation": "vectors", "linear": True},
}


def first_steps(clip: Clip, config: ModelConfig, tmp_path: object) -> tuple[Run, dict[str, torch.Tensor], list[float]]:
    """Fifteen steps on the same two frames; the run, its parameters before, and the photometric losses."""
    torch.manual_seed(0)
    mel = np.random.default_rng(0).normal(-6, 2, (len(clip) * 4, 40)).astype(np.float32)
    run = Run(
        model=build_model(clip, config, 0),
        encoder=AudioEncoder(EncoderConfig(n_codes=2, hidden=8, members=1)),
        audio=AudioBatcher(MEL, [Voice(mel, mel[None, :80])], BatchConfig(plain_versions=3), 0),
        clip=clip,
        closed=torch.zeros(2),
        marks=face_marks(clip.tracking.shape),
        rasterizer=get_rasterizer("cpu"),
        folder=tmp_path,  # type: ignore[arg-type]
        seed=0,
        key="k",
    )
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    stage = StageConfig("s", 100, losses=LossConfig(attention=1e-4))
    optimizer, losses = make_optimizer(run), []
    indices = np.array([2, 5])
    for iteration in range(15):
        set_rates(optimizer, stage, iteration)
        optimizer.zero_grad()
        parts = step_loss(run, stage, load_batch(clip, indices, stage.losses), indices, 0).parts
        torch.stack([torch.as_tensor(part) for part in parts.values()]).sum().backward()
        optimizer.step()
        losses.append(float(parts["photometric"].detach()))
    return run, before, losses


@pytest.mark.parametrize("kind", KINDS)
def test_a_design_trains_in_the_loop(kind: str, tiny_clip: Clip, tmp_path: object) -> None:
    config = replace(
        FREE, face=BranchConfig(300, **KINDS[kind]), mouth=BranchConfig(60, **(KINDS[kind] | {"attention": False}))
    )
    run, before, losses = first_steps(tiny_clip, config, tmp_path)
    assert losses[-1] < 0.9 * losses[0]
    still = {name for name, parameter in run.model.named_parameters() if torch.equal(parameter, before[name])}
    # This clip's upper face never moves, so its encoder has nothing to learn from.
    assert all(".encode." in name for name in still)


def test_harmonics_are_trained_and_only_where_asked_for(tiny_clip: Clip, tmp_path: object) -> None:
    run, before, _ = first_steps(tiny_clip, replace(FREE, sh_degree=1), tmp_path)
    for branch in ("face", "mouth"):
        name = f"{branch}.gaussians.sh"
        assert float(before[name].abs().max()) == 0 and float(run.model.state_dict()[name].abs().max()) > 0
    assert not any("sh" in name for name in first_steps(tiny_clip, FREE, tmp_path)[1])


def test_a_bound_model_needs_the_tracked_head(tiny_clip: Clip) -> None:
    with pytest.raises(ValueError, match="tracked head"):
        build_model(tiny_clip, replace(FREE, binding="head"), 0)


def still_head(clip: Clip) -> HeadTrack:
    """The builtin head as it was tracked in a clip in which nobody moves a muscle."""
    head, n = builtin_head(), len(clip)
    still = np.zeros((n, len(head.expression_names)), np.float32)
    joints = np.zeros((n, len(head.joint_names), 3), np.float32)
    return HeadTrack(head, "builtin", np.zeros(0, np.float32), still, joints, np.zeros(n, np.float32))


def test_hair_starts_before_the_scalp_and_ears_where_they_are(tiny_clip: Clip) -> None:
    track = still_head(tiny_clip)
    head = track.head
    K, frames = tiny_clip.tracking.K.astype(float), np.array([3])
    depth = head_depth(track, tiny_clip, frames, K)[0]
    bare = rasterize_mesh(camera_vertices(track, tiny_clip.tracking, frames), head.triangles, K, SIZE, SIZE)
    index = bare.triangle_index[0]
    seen = lambda name: (index >= 0) & head.triangle_region(name)[index.clip(0)]  # noqa: E731
    off = bare.depth[0] - depth
    assert seen("ear").any() and np.array_equal(off[seen("ear")], np.zeros(seen("ear").sum()))
    assert np.abs(np.median(off[seen("face")])) < 1e-4
    middle = seen("scalp") & (np.abs(np.arange(SIZE) - SIZE / 2)[None] < 8)
    assert 0.003 < np.median(off[middle]) < 0.02
    assert (depth > 0).sum() > (index >= 0).sum() * 0.5 and (depth[index < 0] > 0).any(), "hair stands off the skin"
