"""Where training and rendering run."""

from __future__ import annotations

import importlib.util
from typing import Literal

import torch

from gaussavatar.errors import UserError

DeviceWish = Literal["auto", "cpu", "cuda"]


def choose_device(wish: DeviceWish) -> torch.device:
    """The device that was asked for; ``auto`` is a GPU where one can be used, else the CPU.

    Raises:
        UserError: ``cuda`` without a GPU that torch sees, or without gsplat.
    """
    gpu, gsplat = torch.cuda.is_available(), importlib.util.find_spec("gsplat") is not None
    if wish == "cpu" or (wish == "auto" and not (gpu and gsplat)):
        return torch.device("cpu")
    if not gpu:
        raise UserError(
            "a GPU for --device cuda", "none that torch sees", "use --device cpu, or run gaussavatar doctor"
        )
    if not gsplat:
        raise UserError("gsplat for --device cuda", "no such package", "pip install 'gaussavatar[gpu]'")
    return torch.device("cuda")
