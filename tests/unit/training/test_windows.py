"""Steps that look at the part of a frame about its head learn what those of whole frames do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gaussavatar.training.config import DensifyConfig, StageConfig
from gaussavatar.training.data import BatchReader, Clip, leave_out_empty
from gaussavatar.training.head_task import training_windows
from gaussavatar.training.step import step_loss
from gaussavatar.training.windows import STEP, windows_about

from .tiny_runs import make_run

STAGE = StageConfig("joint", 10, audio_share=0.5, other_background=0.5)


@given(
    heads=st.lists(st.tuples(*[st.integers(0, 127)] * 2, *[st.integers(1, 60)] * 2), min_size=1, max_size=6),
    size=st.sampled_from([64, 128, 200]),
)
def test_windows_hold_their_heads_and_lie_in_the_frame(heads: list[tuple[int, int, int, int]], size: int) -> None:
    corner = np.minimum(np.array(heads)[:, :2], size - 1)
    boxes = np.concatenate([corner, np.minimum(corner + np.array(heads)[:, 2:], size)], axis=1)
    windows = windows_about(boxes, np.ones(len(boxes), bool), size)
    if windows is None:
        return
    ends = windows.corners + np.array([windows.width, windows.height])
    assert (windows.corners >= 0).all() and (ends <= size).all()
    assert (windows.corners <= boxes[:, :2]).all() and (ends >= boxes[:, 2:]).all()
    assert not windows.corners.any() or not (windows.corners % STEP).any()
    assert windows.width % STEP == windows.height % STEP == 0


def test_frames_full_of_head_are_looked_at_whole() -> None:
    assert windows_about(np.array([[3, 2, 61, 63]]), np.ones(1, bool), 64) is None
    assert windows_about(np.array([[20, 20, 30, 30]]), np.ones(1, bool), 63) is None


@pytest.mark.parametrize("coarse", [1, 2])
def test_a_window_is_the_part_of_the_frame_that_its_camera_sees(tiny_clip: Clip, coarse: int) -> None:
    clip = leave_out_empty(tiny_clip, print)
    assert clip.heads is not None
    windows = windows_about(clip.heads, clip.usable, clip.size)
    assert windows is not None
    indices, cpu = np.array([3, 17]), torch.device("cpu")
    whole = BatchReader(clip, STAGE.losses, cpu, coarse=coarse).read(indices)
    part = BatchReader(clip, STAGE.losses, cpu, coarse=coarse, windows=windows).read(indices)
    point = torch.tensor([0.01, -0.02, 0.03, 1.0])
    for row, index in enumerate(indices):
        x, y = windows.corners[index] // coarse
        rows, columns = slice(y, y + windows.height // coarse), slice(x, x + windows.width // coarse)
        for name in ("frames", "under", "head", "inside", "weight"):
            assert torch.equal(getattr(part, name)[row], getattr(whole, name)[row, rows, columns]), name
        places = [b.cameras.K[row] @ (b.cameras.T_camera_world[row] @ point)[:3] for b in (whole, part)]
        shift = places[0][:2] / places[0][2] - places[1][:2] / places[1][2]
        torch.testing.assert_close(shift, torch.tensor([x, y]).float(), rtol=0, atol=1e-4)
    assert (part.cameras.width, part.cameras.height) == (windows.width // coarse, windows.height // coarse)
    assert part.shares[1] == pytest.approx(float(part.weight.sum() / whole.weight.sum()), rel=1e-5)
    assert whole.shares == (1.0, 1.0)


def test_steps_of_windows_have_the_gradients_of_whole_frames(tiny_clip: Clip, tmp_path: Path) -> None:
    clip = leave_out_empty(tiny_clip, print)
    run = make_run(clip, tmp_path)
    windows, indices, found = training_windows(run, STAGE), np.array([3, 17]), []
    assert windows is not None and windows.width * windows.height < 0.8 * clip.size**2
    for chosen in (None, windows):
        batch = BatchReader(clip, STAGE.losses, run.device, windows=chosen).read(indices)
        parts = step_loss(run, STAGE, batch, indices, seed=5).parts
        gaussians = run.model.face.gaussians
        leaves = [gaussians.means, gaussians.colors, gaussians.log_scales, run.model.mouth.gaussians.colors]
        found.append(torch.autograd.grad(torch.stack(list(parts.values())).sum(), leaves))
    for whole, part in zip(*found, strict=True):
        # Gaussians at the rim spill over their window, and what of that lies beyond teaches them nothing.
        off = (part - whole).flatten(1).norm(dim=1) / whole.flatten(1).norm(dim=1).clamp_min(1e-6)
        assert off.quantile(0.75) < 5e-3 and (part - whole).norm() < 0.1 * whole.norm()


@pytest.mark.parametrize("why", ["growth", "coarse", "no heads"])
def test_some_stages_look_at_whole_frames(tiny_clip: Clip, tmp_path: Path, why: str) -> None:
    stage = {"growth": StageConfig("s", 1, densify=DensifyConfig()), "coarse": StageConfig("s", 1, coarse=3)}
    clip = tiny_clip if why == "no heads" else leave_out_empty(tiny_clip, print)
    assert training_windows(make_run(clip, tmp_path), stage.get(why, STAGE)) is None
