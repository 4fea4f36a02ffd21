"""The operations that have native forms, and the one place that chooses between them.

A form is a function of tensors or arrays; the forms of an operation take and give the same. A new form is a function
beside its twin and an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from gaussavatar.native import activation, blendshapes, descent, image_loss, layers, packing, skin, supervision
from gaussavatar.native.library import cuda_library

Form = Callable[..., Any]
Backend = Literal["cpu", "cuda", "torch"]


@dataclass(frozen=True)
class Operation:
    """The forms of one operation.

    ``torch`` is plain torch (numpy where arrays come in): any device, any precision, and the other forms' oracle.
    ``cpu`` and ``cuda`` take float32 on their device; None: there is none.
    """

    torch: Form
    cpu: Form | None = None
    cuda: Form | None = None

    def backend(self, *inputs: Any) -> Backend:
        """Which form these inputs go to: their device's own if all are float32 there and it can be had, else torch."""
        kinds = {_kind(array) for array in _arrays(inputs)}
        if kinds == {"cpu"} and self.cpu is not None:
            return "cpu"
        if kinds == {"cuda"} and self.cuda is not None and cuda_library() is not None:
            return "cuda"
        return "torch"

    def __call__(self, *inputs: Any) -> Any:
        """Run the form that :meth:`backend` names."""
        form: Form = getattr(self, self.backend(*inputs))
        return form(*inputs)


def _arrays(inputs: Any) -> Iterator[torch.Tensor | np.ndarray]:
    for value in inputs:
        if isinstance(value, (torch.Tensor, np.ndarray)):
            yield value
        elif isinstance(value, tuple):
            yield from _arrays(value)


def _kind(array: torch.Tensor | np.ndarray) -> str:
    """The device of what a native form takes: float32, and integers; "other" for the rest."""
    if isinstance(array, np.ndarray):
        return "cpu" if array.dtype == np.float32 or array.dtype.kind in "ui" else "other"
    return array.device.type if array.dtype == torch.float32 or not array.is_floating_point() else "other"


OPERATIONS: dict[str, Operation] = {
    "activate": Operation(activation.activate_torch, activation.activate_cpu),
    "blendshapes": Operation(blendshapes.blendshapes_torch, blendshapes.blendshapes_cpu, blendshapes.blendshapes_cuda),
    "photometric": Operation(
        image_loss.photometric_loss_torch, image_loss.photometric_loss_cpu, image_loss.photometric_loss_cuda
    ),
    "ssim": Operation(image_loss.ssim_torch, image_loss.ssim_cpu, image_loss.ssim_cuda),
    "composite": Operation(layers.composite_torch, layers.composite_cpu, layers.composite_cuda),
    "skin_template": Operation(skin.template_sums_twin, skin.template_sums_cpu),
    "skin_normal": Operation(skin.normal_equations_twin, skin.normal_equations_cpu),
    "outer_adam": Operation(descent.outer_adam_torch, descent.outer_adam_cpu),
    "other_background": Operation(supervision.other_background_torch, supervision.other_background_cpu),
    "coverage": Operation(supervision.coverage_torch, supervision.coverage_cpu),
    "pack": Operation(packing.pack_twin, packing.pack_cpu),
    "unpack": Operation(packing.unpack_twin, packing.unpack_cpu),
}
"""By name. The rasterizers are not here: they are whole backends, chosen by ``render.api.get_rasterizer``."""
