"""Bases that step along outer products learn what they would with a gradient written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.outer import OuterGradient
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.descent import Descent, gradients
from gaussavatar.training.guards import Guard
from gaussavatar.training.step import Run, make_optimizer, parameter_groups, set_rates, step_loss

from .tiny_runs import make_run

STAGE = StageConfig("joint", 10, audio_share=0.5)


def steps(run: Run, optimizer: Descent, clip: float = 0.0, count: int = 4) -> Guard:
    guard = Guard("x", STAGE, optimizer, clip)
    for k in range(count):
        set_rates(optimizer, STAGE, k)
        optimizer.zero_grad()
        indices = np.array([2 + k, 9])
        parts = step_loss(run, STAGE, load_batch(run.clip, indices, STAGE.losses), indices, k).parts
        torch.stack(list(parts.values())).sum().backward()
        guard.gradients(k, indices)
        optimizer.step()
    return guard


def bases(run: Run) -> list[Blendshapes]:
    return [branch.motion for branch in (run.model.face, run.model.mouth) if isinstance(branch.motion, Blendshapes)]


def test_a_run_by_outer_products_is_the_run_by_written_gradients(tiny_clip: Clip, tmp_path: Path) -> None:
    plain, factored = make_run(tiny_clip, tmp_path / "a"), make_run(tiny_clip, tmp_path / "b")
    written, outer = Descent(parameter_groups(plain)), make_optimizer(factored)
    before = [motion.basis.detach().clone() for motion in bases(factored)]
    norms = steps(plain, written).norms, steps(factored, outer).norms
    assert len(before) == 2 and all(motion.basis.grad is None for motion in bases(factored))
    torch.testing.assert_close(norms[1], norms[0], rtol=1e-3, atol=1e-7)
    for start, one, other in zip(before, bases(plain), bases(factored), strict=True):
        moved, off = ((basis - other.basis).detach().abs() for basis in (start, one.basis))
        # Where a gradient is nothing but rounding, Adam's first steps follow its sign.
        assert moved.mean() > 0 and off.quantile(0.9) < 1e-3 * moved.mean()
    states = written.state_dict()["state"], outer.state_dict()["state"]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][index].keys() == states[1][index].keys() for index in states[0])


def test_a_cut_gradient_is_cut_in_its_factors(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    optimizer = make_optimizer(run)
    guard = steps(run, optimizer, clip=10.0, count=1)
    where = guard.names.index("face_motion:motion")
    basis = next(g for g in gradients(optimizer)[where] if isinstance(g, OuterGradient))
    rows, columns = basis.factors
    guard._limits[where] = guard.norms[where] / 4
    guard.gradients(1, np.array([2]))
    torch.testing.assert_close(basis.norm(), torch.linalg.vector_norm(rows.T @ columns).double() / 4, rtol=1e-4, atol=0)


def test_the_norm_of_a_sum_of_outer_products() -> None:
    generator = torch.Generator().manual_seed(0)
    outer, written = OuterGradient(), torch.zeros(5, 300)
    assert not outer
    for _ in range(3):
        rows, columns = torch.randn(2, 5, generator=generator), torch.randn(2, 300, generator=generator)
        outer.add(rows, columns)
        written += rows.T @ columns
    torch.testing.assert_close(outer.norm().float(), written.norm())
    outer.clear()
    assert not outer


def test_a_motion_that_no_one_trains_leaves_nothing_behind(tiny_clip: Clip, tmp_path: Path) -> None:
    run = make_run(tiny_clip, tmp_path)
    make_optimizer(run)
    run.model.requires_grad_(False)
    codes = torch.zeros(1, run.model.n_mouth).requires_grad_()
    activated, _, _ = run.model.activate(codes, torch.zeros(1, run.model.n_upper))
    activated.means.sum().backward()
    assert codes.grad is not None and not any(motion.outer for motion in bases(run))
