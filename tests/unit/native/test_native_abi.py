"""Both languages mirror the same constants and structs, and a native call that fails raises."""

from __future__ import annotations

import ctypes
import math

import numpy as np
import pytest
import torch

from gaussavatar.native import abi, activation, blendshapes, image_loss, packing, skin
from gaussavatar.native.library import load_library
from gaussavatar.render import semantics

RENDER = ("BLUR", "NEAR", "FAR", "MIN_ALPHA", "MAX_ALPHA", "MIN_TRANSMITTANCE", "JACOBIAN_MARGIN")
STATUSES = ("OK", "OUT_OF_MEMORY", "NOT_AVAILABLE", "BAD_ARGUMENT", "DEVICE_ERROR")


def test_python_and_cpp_agree_on_every_constant_and_size() -> None:
    middle = image_loss.SSIM_WINDOW // 2
    expected: dict[str, float] = {name: getattr(semantics, name) for name in RENDER}
    expected |= {name: getattr(abi, name) for name in STATUSES}
    expected |= {name: getattr(skin, name) for name in ("GRAZING", "FULL", "LEAST_AREA")}
    expected |= {name: getattr(packing, name) for name in ("BLOCK", "GROUP", "SAME_BLOCK")}
    expected |= {name: getattr(image_loss, name) for name in ("SSIM_WINDOW", "SSIM_C1", "SSIM_C2")}
    window = image_loss.gaussian_window(torch.float64)
    expected |= {f"SSIM_TAP_{k}": window[middle + k].item() for k in range(middle + 1)}
    expected["LOG2_MIN_ALPHA"] = math.log2(semantics.MIN_ALPHA)
    expected["BLEND_PARTS"], expected["LOSS_ROWS"] = blendshapes.PARTS, image_loss.LOSS_ROWS
    expected["LEAST_LENGTH"], expected["CHANNELS"] = activation.LEAST_LENGTH, len(activation.WIDTHS)
    expected |= {f"sizeof {struct.__name__}": ctypes.sizeof(struct) for struct in abi.STRUCTS}
    told = dict(abi.facts(load_library()))
    assert told == pytest.approx(expected, rel=1e-6)


def test_a_bad_argument_is_an_error_of_python() -> None:
    image = np.zeros((1, 2, 2, 3), np.float32)
    with pytest.raises(RuntimeError, match="ga_ssim failed: an argument out of range"):
        load_library().ga_ssim(image, image, 1, -2, 2, image)
    with pytest.raises(RuntimeError, match="ga_force_isa failed: not available"):
        load_library().ga_force_isa(b"sse9")


@pytest.mark.parametrize("wrong", [np.zeros((1, 2, 2, 3)), np.zeros((1, 3, 2, 2), np.float32).transpose(0, 2, 3, 1)])
def test_an_array_of_another_type_or_layout_does_not_reach_native_code(wrong: np.ndarray) -> None:
    image = np.zeros((1, 2, 2, 3), np.float32)
    for array in (wrong, torch.from_numpy(wrong)):
        with pytest.raises(ctypes.ArgumentError, match="contiguous array of float32"):
            load_library().ga_ssim(array, image, 1, 2, 2, image)
