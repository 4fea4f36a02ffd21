"""The package's own kernels on this device against their torch twins: values, gradients and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from runner import Options, Report, Skip
from sections.common import off, place, synchronize
from torch import Tensor

from gaussavatar.model.gaussians import motion_layout, motion_width
from gaussavatar.native.activation import Raw
from gaussavatar.native.library import cuda_failure, cuda_library
from gaussavatar.native.operations import OPERATIONS

VALUE, GRADIENT = 1e-5, 1e-4
"""Bounds relative to the norm."""
MOVES = ("position", "rotation", "scale", "color")


def check(report: Report, options: Options) -> None:
    """Every operation that has a form of its own here and whose inputs this file can make."""
    device = place(options)
    own = {name: getattr(operation, device.type) for name, operation in OPERATIONS.items()}
    own = {name: form for name, form in own.items() if form is not None}
    if device.type == "cuda" and cuda_library() is None:
        raise Skip(f"no CUDA kernels of our own: {cuda_failure()}")
    for name, form in own.items():
        if name not in INPUTS:
            report.note(name, compared=False)
            continue
        inputs = INPUTS[name](device, options.small)
        report.expect(OPERATIONS[name].backend(*inputs) == device.type, f"{name} is not done by its form here")
        values, gradients = _run(form, inputs)
        values_2, gradients_2 = _run(OPERATIONS[name].torch, inputs)
        value = max(off(a, b) for a, b in zip(values, values_2, strict=True))
        gradient = max((off(a, b) for a, b in zip(gradients, gradients_2, strict=True)), default=0.0)
        report.note(name, value=value, gradient=gradient)
        report.expect(value < VALUE, f"{name} is off its twin by {value:.2g}")
        report.expect(gradient < GRADIENT, f"a gradient of {name} is off its twin's by {gradient:.2g}")
        for what, one in (("ms", form), ("twin_ms", OPERATIONS[name].torch)):
            report.note(name, **{what: _milliseconds(one, inputs, device, 3 if options.small else 50)})


# The twins' convolutions in full: TF32 leaves three digits, and SSIM subtracts.
@torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
def _run(form: Callable[..., Any], inputs: tuple) -> tuple[list[Tensor], list[Tensor]]:
    """Values, and the gradients of their weighted sum."""
    leaves = [tensor for tensor in _tensors(inputs) if tensor.requires_grad]
    values = list(_tensors((form(*inputs),)))
    if not leaves or not any(value.requires_grad for value in values):
        return values, []
    total = sum((v * _weights(v.shape, v.device)).sum() for v in values)
    return values, list(torch.autograd.grad(total, leaves))  # type: ignore[arg-type]


@cache
def _weights(shape: torch.Size, device: torch.device) -> Tensor:
    """Made once: what is timed would be their way to the device."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(2)).to(device)


def _milliseconds(form: Callable[..., Any], inputs: tuple, device: torch.device, repetitions: int) -> float:
    """Lower quartile of forward and backward."""
    times = []
    for _ in range(repetitions + 3):
        synchronize(device)
        started = time.perf_counter()
        _run(form, inputs)
        synchronize(device)
        times.append((time.perf_counter() - started) * 1e3)
    return float(torch.tensor(times[3:]).quantile(0.25))


def _tensors(values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple):
            yield from _tensors(value)


class _Maker:
    """Random tensors on a device that gradients flow to."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._generator = device, torch.Generator().manual_seed(1)

    def __call__(self, *shape: int, uniform: bool = False) -> Tensor:
        make = torch.rand if uniform else torch.randn
        return make(*shape, generator=self._generator).to(self._device).requires_grad_()


def _raw(make: _Maker, count: int) -> Raw:
    return Raw(make(count, 3), make(count, 4), make(count, 3), make(count), make(count, 3))


def _activate(device: torch.device, small: bool) -> tuple:
    make, count = _Maker(device), 300 if small else 30_000
    return _raw(make, count), make(4, count * 2 // 3, motion_width(MOVES)), motion_layout(MOVES), 4


def _blendshapes(device: torch.device, small: bool) -> tuple:
    make, count, width = _Maker(device), 300 if small else 30_000, motion_width(MOVES)
    return make(4, 27), make(27, count * 2 // 3 * width), width, _raw(make, count), motion_layout(MOVES)


def _photometric(device: torch.device, small: bool) -> tuple:
    make, size = _Maker(device), 48 if small else 512
    target, weight = make(2, size, size, 3, uniform=True).detach(), make(2, size, size, uniform=True).detach()
    return make(2, size, size, 3, uniform=True), target, weight, 0.2


def _ssim(device: torch.device, small: bool) -> tuple:
    return tuple(image.detach() for image in _photometric(device, small)[:2])


def _composite(device: torch.device, small: bool) -> tuple:
    make, size = _Maker(device), 48 if small else 512
    return tuple(make(2, size, size, *channels, uniform=True) for channels in ((3,), (), (3,), (), (3,)))


INPUTS: dict[str, Callable[[torch.device, bool], tuple]] = {
    "activate": _activate,
    "blendshapes": _blendshapes,
    "photometric": _photometric,
    "ssim": _ssim,
    "composite": _composite,
}
