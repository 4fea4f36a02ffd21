"""A run that is killed anywhere goes on to the very weights of the run that was not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Progress
from gaussavatar.training import densify
from gaussavatar.training.checkpoint import NAME, PREVIOUS, read_checkpoint
from gaussavatar.training.config import DensifyConfig, StageConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.poses import with_poses

from .tiny_runs import make_run, run_stages

GROWING = DensifyConfig(
    every=3, start=3, grow_face=1e-4, grow_mouth=1e-5, prune_opacity_start=0.3, prune_opacity_end=0.5,
    cap_face=700, cap_mouth=130, background_views=4,
)  # fmt: skip
STAGES = (
    StageConfig("static", 8, train=("face", "mouth"), densify=GROWING),
    StageConfig("poses", 1, kind="poses"),
    StageConfig("joint", 7, audio_share=0.5, decay=0.1, densify=GROWING),
)


class _Killed(Exception):
    pass


def shifted_poses(stage: StageConfig, model: AvatarModel, clip: Clip, progress: Progress) -> Clip:
    """A pose pass whose outcome is a function of the weights, as the real one's is."""
    shift = model.face.gaussians.means.detach().mean(0).numpy() * 1e-2
    return with_poses(clip, clip.tracking.R_camera_head, clip.tracking.t_camera_head + shift)


def lost_poses(stage: StageConfig, model: AvatarModel, clip: Clip, progress: Progress) -> Clip:
    raise _Killed


@pytest.fixture(scope="module")
def whole(tiny_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[dict]]:
    folder = tmp_path_factory.mktemp("whole")
    weights = run_stages(make_run(tiny_clip, folder), STAGES, 3, shifted_poses)
    return weights, read_log(folder)


def read_log(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "steps_per_second"} for line in lines]


def kill_at_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    from gaussavatar.training import head_task

    inner, calls = head_task.step_loss, iter(range(10**6))

    def step_loss(*arguments):  # noqa: ANN002, ANN202
        if next(calls) == step:
            raise _Killed
        return inner(*arguments)

    monkeypatch.setattr(head_task, "step_loss", step_loss)


def kill_in_refinement(monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    inner, calls = densify.rearrange, iter(range(10**6))

    def rearrange(*arguments):  # noqa: ANN002, ANN202
        if next(calls) == call:
            raise _Killed
        return inner(*arguments)

    monkeypatch.setattr(densify, "rearrange", rearrange)


def kill_in_poses(monkeypatch: pytest.MonkeyPatch, _: int) -> None:
    pass


KILLS = [(kill_at_step, 2), (kill_at_step, 8), (kill_at_step, 13), (kill_in_refinement, 1),
         (kill_in_refinement, 6), (kill_in_poses, 0)]  # fmt: skip


@pytest.mark.parametrize(("kill", "when"), KILLS)
def test_resume_gives_the_same_weights_and_the_same_log(
    tiny_clip: Clip,
    tmp_path: Path,
    whole: tuple,
    kill,
    when: int,  # noqa: ANN001
) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill(monkeypatch, when)
        poses = lost_poses if kill is kill_in_poses else shifted_poses
        with pytest.raises(_Killed):
            run_stages(make_run(tiny_clip, tmp_path), STAGES, 3, poses)
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"stage": "joint", "number": 2, "st')
    # Where the pose pass was done before the kill, it is not needed again: the checkpoint carries the poses.
    saved = read_checkpoint(tmp_path, "k")
    assert saved is not None
    later = lost_poses if saved.position.stage == 2 else shifted_poses
    resumed = run_stages(make_run(tiny_clip, tmp_path), STAGES, 3, later)
    weights, log = whole
    assert weights.keys() == resumed.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, resumed[name]), name
    assert read_log(tmp_path) == log


def test_the_tested_run_really_grows_and_prunes(whole: tuple) -> None:
    _, log = whole
    assert len({entry["gaussians"]["face"] for entry in log}) > 1
    assert len({entry["gaussians"]["mouth"] for entry in log}) > 1


@pytest.mark.parametrize("content", [b"", None])
def test_a_damaged_checkpoint_goes_back_to_the_one_before(
    tiny_clip: Clip, tmp_path: Path, whole: tuple, content: bytes | None
) -> None:
    run_stages(make_run(tiny_clip, tmp_path), STAGES, 3, shifted_poses)
    data = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(data[: len(data) // 2] if content is None else content)
    said: list[str] = []
    resumed = run_stages(make_run(tiny_clip, tmp_path), STAGES, 3, shifted_poses, said.append)
    lines = [line for line in said if "checkpoint" in line]
    assert len(lines) == 1 and "cannot be read" in lines[0] and "the one before it" in lines[0]
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole[0].items())


def test_two_damaged_checkpoints_begin_anew(tiny_clip: Clip, tmp_path: Path, whole: tuple) -> None:
    for name in (NAME, PREVIOUS):
        (tmp_path / name).write_bytes(b"")
    said: list[str] = []
    resumed = run_stages(make_run(tiny_clip, tmp_path), STAGES, 3, shifted_poses, said.append)
    assert any("the beginning of training" in line for line in said)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole[0].items())


def test_moments_and_growth_are_in_the_checkpoint(tiny_clip: Clip, tmp_path: Path) -> None:
    run_stages(make_run(tiny_clip, tmp_path), (StageConfig("static", 5, train=("face",), densify=GROWING),), 5)
    saved = read_checkpoint(tmp_path, "k")
    assert saved is not None
    count = len(saved.tensors["model.avatar.face.gaussians.means"])
    assert saved.tensors["optimizer.0.exp_avg"].shape == (count, 3)
    assert saved.tensors["extra.growth.face.sums"].shape == (count,)
    assert float(saved.tensors["extra.growth.face.counts"].max()) > 0
    assert np.isfinite(saved.tensors["extra.guard.history"].numpy()).all()
