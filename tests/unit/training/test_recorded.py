"""Steps that are replayed from a recording train as steps that are launched one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.progress import QuietProgress
from gaussavatar.training import loop
from gaussavatar.training.config import DensifyConfig, LossConfig, ProgressConfig, StageConfig, TrainingConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.guards import Guard, TrainingError
from gaussavatar.training.head_task import HeadSteps, HeadTask
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.recorded import WARM_UP
from gaussavatar.training.step import Run, make_optimizer, set_rates
from gaussavatar.types import Activated, Cameras, Rendered

from .tiny_runs import MODEL, keep_poses, make_run

STAGES = (
    StageConfig("static", WARM_UP + 6, train=("face", "mouth"), other_background=0.5),
    StageConfig("joint", WARM_UP + 22, audio_share=0.5, decay=0.1),
)


class Recorder:
    """Keeps a function and calls it again, as a graph runs its kernels again; counts both."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def __call__(self, work: Callable[[], dict[str, Tensor]]) -> tuple[Callable[[], None], dict[str, Tensor]]:
        self.recorded += 1
        results: dict[str, Tensor] = {}

        def replay() -> None:
            self.replayed += 1
            results.update({name: value.clone() for name, value in work().items()})

        return replay, results


def trained(
    run: Run, monkeypatch: pytest.MonkeyPatch, record: Callable | None, stages: tuple[StageConfig, ...] = STAGES
) -> tuple[dict[str, Tensor], list[str]]:
    said: list[str] = []
    progress = QuietProgress()
    monkeypatch.setattr(progress, "say", said.append)
    monkeypatch.setattr(loop, "recorder", lambda device, wish: record)
    run = replace(run, intervals=ProgressConfig(checkpoint_every=1000, preview_every=0))
    loop.train(run, TrainingConfig(stages=stages), keep_poses, progress)
    return {n: t.clone() for m in (run.model, run.encoder) for n, t in m.state_dict().items()}, said


def test_replayed_steps_train_as_launched_ones_do(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched, _ = trained(make_run(tiny_clip, tmp_path / "a"), monkeypatch, None)
    recorder = Recorder()
    replayed, _ = trained(make_run(tiny_clip, tmp_path / "b"), monkeypatch, recorder)
    assert recorder.recorded == 2 and recorder.replayed == 28
    start = {n: t for m in (make_run(tiny_clip, tmp_path / "c").model,) for n, t in m.state_dict().items()}
    for name, value in launched.items():
        # Rates are single precision in a recording.
        assert torch.allclose(value, replayed[name], rtol=1e-3, atol=2e-5), name
    moved = [name for name, value in start.items() if not torch.equal(value, launched[name])]
    assert {"face.gaussians.means", "mouth.gaussians.colors", "face.motion.basis"} <= set(moved)


def test_what_cannot_be_recorded_is_launched_and_said(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(work: Callable) -> None:
        work()
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    launched, _ = trained(make_run(tiny_clip, tmp_path / "a"), monkeypatch, None)
    refused, said = trained(make_run(tiny_clip, tmp_path / "b"), monkeypatch, lambda work: refuse(_Quiet(work)))
    assert [line.split(":")[0] for line in said if "CUDA graph" in line] == [
        f"steps of stage {name} are launched one by one" for name in ("static", "joint")
    ]
    assert all(torch.equal(value, refused[name]) for name, value in launched.items())


class _Quiet:
    """A capture launches nothing."""

    def __init__(self, work: Callable) -> None:
        self.work = work

    def __call__(self) -> None:
        return None


def test_a_stage_that_grows_is_recorded_anew_whenever_it_has_grown(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growth = DensifyConfig(start=0, stop=20, every=9, grow_face=1e-6, grow_mouth=1e-6, cap_face=900, cap_mouth=150)
    growing = (StageConfig("grow", 25, densify=growth),)
    launched, _ = trained(make_run(tiny_clip, tmp_path / "a"), monkeypatch, None, growing)
    recorder = Recorder()
    replayed, _ = trained(make_run(tiny_clip, tmp_path / "b"), monkeypatch, recorder, growing)
    assert recorder.recorded == 3 and recorder.replayed == 25 - 3 * WARM_UP
    assert len(launched["face.gaussians.means"]) == 900
    for name, value in launched.items():
        assert torch.allclose(value, replayed[name], rtol=1e-3, atol=2e-5), name


def test_the_guard_sees_what_replayed_steps_do(
    tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_clip, tmp_path)
    calls = iter(range(1000))
    run.model.face.gaussians.means.register_hook(lambda g: g * (float("nan") if next(calls) > WARM_UP + 3 else 1.0))
    long = StageConfig("static", 120, train=("face", "mouth"))
    with pytest.raises(TrainingError, match=r"stage static, step 50, .*not a number: .*face:means"):
        trained(run, monkeypatch, Recorder(), (long,))
    assert np.isfinite(next(calls))


class _Asked(TorchDispatchMode):
    """Lists what a device would be asked or sent, while tensors are pretended to be on one ("meta")."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        name = func.overloadpacket.__name__
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        result = func(*args, **(kwargs or {}))
        out = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        brought = any(t.device.type == "cpu" and t.dim() for t in tensors) and any(t.is_meta for t in (*out, *tensors))
        if name in ("_local_scalar_dense", "nonzero", "unique2", "masked_select") or brought:
            self.found.append(name)
        return result


class _Lists(TorchFunctionMode):
    """Counts indices that are lists: torch sends them to the tensor's device below what a dispatch mode sees."""

    def __init__(self) -> None:
        super().__init__()
        self.found = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.found += any(isinstance(part, list | np.ndarray) for part in index)
        return func(*args, **(kwargs or {}))


class _Pretended:
    """Draws something that depends on every Gaussian, wherever tensors are."""

    name = "pretended"

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        seen = gaussians.means.mean() + gaussians.quats.mean() + gaussians.scales.mean() + gaussians.opacities.mean()
        size = (len(gaussians.means), cameras.height, cameras.width)
        rgb = (seen + gaussians.colors.mean(1))[:, None, None].expand(*size, 3)
        return Rendered(rgb, seen.expand(*size))


ATTENTIVE = replace(
    MODEL, sh_degree=2, face=BranchConfig(600, deformation="triplane", attention=True, moves=("position", "rotation"))
)
"""The yardstick's face: what `talking-gaussian` trains."""
ATTENTIVE_STAGE = StageConfig("joint", WARM_UP + 6, audio_share=1.0, losses=LossConfig(attention=1e-2))


def test_the_yardsticks_attention_is_replayed(tiny_clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (ATTENTIVE_STAGE,)
    launched, _ = trained(make_run(tiny_clip, tmp_path / "a", model=ATTENTIVE), monkeypatch, None, stages)
    recorder = Recorder()
    replayed, said = trained(make_run(tiny_clip, tmp_path / "b", model=ATTENTIVE), monkeypatch, recorder, stages)
    assert (recorder.recorded, recorder.replayed) == (1, 6), said
    for name, value in launched.items():
        assert torch.allclose(value, replayed[name], rtol=1e-3, atol=2e-5), name


@pytest.mark.parametrize(
    ("model", "stages", "number"),
    [
        (replace(MODEL, shading=True), STAGES, 0),
        (replace(MODEL, shading=True), STAGES, 1),
        (ATTENTIVE, (ATTENTIVE_STAGE,), 0),
    ],
    ids=["static", "joint", "yardstick"],
)
def test_a_recorded_step_asks_the_device_nothing(
    model: ModelConfig, stages: tuple[StageConfig, ...], number: int, tiny_clip: Clip, tmp_path: Path
) -> None:
    run = make_run(tiny_clip, tmp_path, model=model)
    stage = stages[number]
    task = HeadTask(run, TrainingConfig(stages=stages))
    task.open(run.clip, None)
    frames, batch = task.at(number, stage, run.clip).fetch(0)
    inputs = HeadSteps(run, stage, number).inputs(0, frames, batch)
    away = {name: copy.deepcopy(module).to("meta") for name, module in (("model", run.model), ("encoder", run.encoder))}
    marks = face_marks(run.clip.tracking.shape, torch.device("meta"))
    pretended = replace(run, **away, closed=run.closed.to("meta"), marks=marks, rasterizer=_Pretended())
    optimizer = make_optimizer(pretended)
    set_rates(optimizer, stage, 0)
    guard = Guard("training", stage, optimizer, 20.0)
    steps = HeadSteps(pretended, stage, number)
    moved = {name: tensor.to("meta") for name, tensor in inputs.items()}
    steps.losses(moved)  # what is brought once and kept, a window's weights, is there from the warm-up on
    with _Asked() as asked, _Lists() as lists:
        parts = steps.losses(moved)
        guard.note_losses(parts)
        torch.stack(list(parts.values())).sum().backward()
        guard.judge()
    assert asked.found == [] and lists.found == 0
    with _Asked() as asked, _Lists() as lists:
        torch.ones(3, device="meta")[[0, 1, 2]] + torch.eye(3).to("meta")
    assert asked.found and lists.found == 1, "what is looked for is found"
