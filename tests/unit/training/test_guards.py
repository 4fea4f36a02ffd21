"""What goes wrong in training is caught when it appears, and said in one line with stage, step and cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.training.checkpoint import read_checkpoint
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip, leave_out_empty
from gaussavatar.training.guards import PATIENCE, WARM_UP, Guard, TrainingError

from .tiny_runs import STAGES, make_run, run_stages


def test_a_loss_that_is_not_a_number_is_named_with_its_step_and_frames(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    with torch.no_grad():
        run.model.face.gaussians.colors[0] = float("nan")
    with pytest.raises(TrainingError, match=r"stage static, step 0, .*photometric.*in frames \d+") as caught:
        run_stages(run, STAGES)
    assert isinstance(caught.value, UserError) and "--set training.stages.static.rates" in caught.value.do


def test_a_gradient_that_is_not_a_number_names_its_part(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    run.model.mouth.gaussians.quats.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match=r"step 0, .*gradient that is not a number: mouth:quats, in frames"):
        run_stages(run, STAGES)


def test_a_broken_run_leaves_a_sound_checkpoint(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    calls = iter(range(1000))
    means = run.model.face.gaussians.means
    means.register_hook(lambda gradient: gradient * (float("nan") if next(calls) == 5 else 1.0))
    with pytest.raises(TrainingError, match="step 5"):
        run_stages(run, STAGES)
    saved = read_checkpoint(tmp_path, "k")
    assert saved is not None and saved.position.iteration == 4
    assert all(torch.isfinite(tensor).all() for tensor in saved.part("model.").values())


def toy_guard(clip: float = 10.0) -> tuple[Guard, torch.nn.Parameter]:
    parameter = torch.nn.Parameter(torch.zeros(4))
    optimizer = torch.optim.Adam([{"params": [parameter], "name": "face:means"}])
    return Guard("training.stages.s", StageConfig("s", 10), optimizer, clip), parameter


def test_a_sudden_gradient_is_cut_to_a_multiple_of_its_usual_size() -> None:
    guard, parameter = toy_guard()
    for step in range(WARM_UP):
        parameter.grad = torch.full((4,), 0.5)
        guard.gradients(step, np.array([0]))
    parameter.grad = torch.full((4,), 500.0)
    guard.gradients(WARM_UP, np.array([0]))
    assert float(parameter.grad.norm()) == pytest.approx(10.0, rel=1e-5)
    parameter.grad = torch.full((4,), 2.0)
    guard.gradients(WARM_UP + 1, np.array([0]))
    assert torch.equal(parameter.grad, torch.full((4,), 2.0)), "what is within bounds is left alone"


def test_gradients_that_stay_exploded_stop_the_run() -> None:
    guard, parameter = toy_guard()
    with pytest.raises(TrainingError, match=r"stage s, step \d+, .*times its usual size.*face:means"):
        for step in range(WARM_UP + PATIENCE):
            parameter.grad = torch.full((4,), 0.5 if step < WARM_UP else 500.0)
            guard.gradients(step, np.array([0]))
    assert step == WARM_UP + PATIENCE - 1


def test_a_part_that_wakes_after_a_long_quiet_is_no_explosion() -> None:
    """As the motion of `talking-gaussian`, whose gradient had fallen to a thousandth of what it began with."""
    guard, parameter = toy_guard()
    sizes = [0.5] * 30 + [0.5e-3] * 150 + [0.5] * 150
    for step, size in enumerate(sizes):
        parameter.grad = torch.full((4,), size)
        guard.gradients(step, np.array([0]))
        if step == 180:
            assert float(parameter.grad.norm()) == pytest.approx(1e-2, rel=1e-5), "it is cut at first"
    assert torch.equal(parameter.grad, torch.full((4,), 0.5)), "and left alone once it is usual"


def test_a_guard_goes_on_where_its_state_was_taken() -> None:
    one, first = toy_guard()
    for step in range(WARM_UP):
        first.grad = torch.full((4,), 0.5)
        one.gradients(step, np.array([0]))
    other, second = toy_guard()
    other.restore(one.state())
    second.grad = torch.full((4,), 500.0)
    other.gradients(WARM_UP, np.array([0]))
    assert float(second.grad.norm()) == pytest.approx(10.0, rel=1e-5)


def test_on_a_device_findings_gather_until_they_are_asked_for() -> None:
    guard, parameter = toy_guard()
    guard._at_once = False
    parameter.grad = torch.tensor([1.0, float("nan"), 0, 0])
    guard.gradients(3, np.array([0]))
    parameter.grad = torch.ones(4)
    guard.gradients(4, np.array([0]))
    with pytest.raises(TrainingError, match="step 7, .*not a number: face:means"):
        guard.look(7)


def test_parameters_that_are_no_numbers_are_counted() -> None:
    guard, parameter = toy_guard()
    with torch.no_grad():
        parameter[1] = float("inf")
    with pytest.raises(TrainingError, match="1 values of face:means"):
        guard.look(7, parameters=True)


def with_masks(clip: Clip, folder: Path, empty: set[int]) -> Clip:
    with frame_writer(folder / "masks.u8", clip.masks.shape[1:]) as writer:
        for index in range(len(clip)):
            writer.append(clip.masks.read(index) * np.uint8(index not in empty))
    return replace(clip, masks=FrameStore(folder / "masks.u8"))


def test_frames_without_a_head_or_a_mouth_are_left_out_and_counted(tiny_clip: Clip, tmp_path: Path) -> None:
    clip = with_masks(tiny_clip, tmp_path, {3, 4})
    boxes = clip.boxes.copy()
    boxes[7, 0] = 0
    said: list[str] = []
    left = leave_out_empty(replace(clip, boxes=boxes), said.append)
    assert np.flatnonzero(~left.usable).tolist() == [3, 4, 7]
    assert said == [
        "2 of 40 training frames left out: an empty head mask",
        "1 of 40 training frames left out: no mouth in the picture",
    ]


def test_a_clip_without_any_head_is_refused(tiny_clip: Clip, tmp_path: Path) -> None:
    clip = with_masks(tiny_clip, tmp_path, set(range(len(tiny_clip))))
    with pytest.raises(UserError, match="none of 40"):
        leave_out_empty(clip, lambda line: None)
