"""The blendshapes' kernels against their float64 twin: as plain C++ loops here, as kernels on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.model.config import Channel
from gaussavatar.model.gaussians import motion_layout, motion_width
from gaussavatar.native import library
from gaussavatar.native.activation import Raw
from gaussavatar.native.blendshapes import Blended, blendshapes_cpu, blendshapes_cuda, blendshapes_torch
from gaussavatar.native.operations import OPERATIONS

ALL: tuple[Channel, ...] = ("position", "rotation", "scale", "color", "opacity")
CASES = [
    (1, 5, 30, 30, ("position",)),
    (3, 7, 30, 12, ("position", "rotation", "scale", "color")),
    (4, 1, 20, 20, ALL),
    (9, 6, 25, 24, ("scale", "opacity", "position")),
    (2, 3, 10, 0, ("position",)),
    (2, 3, 0, 0, ALL),
    (0, 3, 4, 2, ALL),
]
"""Frames, shapes, Gaussians, moving ones, channels."""


def inputs(case: tuple, device: str = "cpu") -> tuple[list[torch.Tensor], int, tuple[Channel, ...]]:
    frames, shapes, count, moving, moves = case
    generator = torch.Generator().manual_seed(3)
    width = motion_width(moves)
    sizes = ((frames, shapes), (shapes, moving * width), (count, 3), (count, 4), (count, 3), (count,), (count, 3))
    tensors = [torch.randn(*size, generator=generator).to(device).requires_grad_() for size in sizes]
    return tensors, width, moves


def run(form, tensors: list[torch.Tensor], width: int, moves: tuple[Channel, ...], with_motion: bool):  # noqa: ANN001, ANN201
    """Values, and gradients of a random weighting of them, in the order of the inputs."""
    done: Blended = form(*tensors[:2], width, Raw(*tensors[2:]), motion_layout(moves))
    values = [*done[0], done[1]] if with_motion else list(done[0])
    generator = torch.Generator().manual_seed(4)
    weights = [torch.randn(value.shape, generator=generator).to(value) for value in values]
    loss = sum((value * weight).sum() for value, weight in zip(values, weights, strict=True))
    return values, torch.autograd.grad(loss, tensors)


def compare(form, case: tuple, with_motion: bool, device: str = "cpu") -> None:  # noqa: ANN001
    tensors, width, moves = inputs(case, device)
    values, gradients = run(form, tensors, width, moves, with_motion)
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    true_values, true_gradients = run(blendshapes_torch, exact, width, moves, with_motion)
    for value, true in zip((*values, *gradients), (*true_values, *true_gradients), strict=True):
        assert value.shape == true.shape
        torch.testing.assert_close(value.double(), true, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("with_motion", [False, True])
def test_the_kernels_mathematics_agrees_with_the_twin(host_kernels: None, case: tuple, with_motion: bool) -> None:
    compare(blendshapes_cuda, case, with_motion)


@pytest.mark.parametrize("case", CASES)
def test_the_form_of_the_cpu_agrees_with_the_twin(case: tuple) -> None:
    compare(blendshapes_cpu, case, True)


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("with_motion", [False, True])
def test_the_kernels_agree_with_the_twin_on_the_gpu(case: tuple, with_motion: bool) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if library.cuda_library() is None:
        pytest.skip(f"no kernels: {library.cuda_failure()}")
    tensors, _, _ = inputs(case, "cuda")
    assert OPERATIONS["blendshapes"].backend(*tensors) == "cuda"
    compare(OPERATIONS["blendshapes"], case, with_motion, "cuda")


@pytest.mark.gpu
def test_the_kernels_repeat_bit_by_bit_on_the_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if library.cuda_library() is None:
        pytest.skip(f"no kernels: {library.cuda_failure()}")
    tensors, width, moves = inputs((4, 24, 20000, 15000, ALL), "cuda")
    first, second = (run(blendshapes_cuda, tensors, width, moves, True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip((*first[0], *first[1]), (*second[0], *second[1]), strict=True))


def test_sizes_out_of_range_are_refused(host_kernels: None) -> None:
    tensors, width, moves = inputs(CASES[0])
    wide = torch.zeros(5, 30 * 15)
    with pytest.raises(RuntimeError, match="out of range"):
        blendshapes_cuda(tensors[0], wide, 15, Raw(*tensors[2:]), motion_layout(moves))


def test_without_nvcc_plain_torch_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("_loaded", "_failed"):
        monkeypatch.setattr(library, name, {})
    monkeypatch.setenv("CUDACXX", "/no/such/nvcc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library.cuda_library() is None
    failure = library.cuda_failure()
    assert isinstance(failure, UserError) and "CUDACXX" in str(failure)
