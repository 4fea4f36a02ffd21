"""How to get a rasterizer. What every one of them keeps to is in :mod:`gaussavatar.render.semantics`."""

from __future__ import annotations

from typing import Literal

import torch

from gaussavatar.errors import UserError
from gaussavatar.render.semantics import Rasterizer

__all__ = ["Rasterizer", "get_rasterizer"]


def get_rasterizer(
    device: torch.device | str, prefer: Literal["auto", "native", "gsplat", "torch"] = "auto"
) -> Rasterizer:
    """The rasterizer for tensors on ``device``.

    ``auto`` is gsplat on CUDA and the native library on the CPU. ``torch`` is the slow
    oracle: it needs memory for every pair of Gaussian and pixel, and serves tests.

    Raises:
        UserError: the backend cannot run here (no GPU, no gsplat, no compiler).
    """
    kind = torch.device(device).type
    choice = prefer if prefer != "auto" else {"cuda": "gsplat", "cpu": "native"}.get(kind, "torch")
    if choice == "native":
        if kind != "cpu":
            raise UserError("tensors on the CPU for the native rasterizer", kind, "use --device cpu or gsplat")
        from gaussavatar.render.native import NativeRasterizer

        return NativeRasterizer()
    if choice == "gsplat":
        if kind != "cuda":
            raise UserError("a CUDA device for gsplat", kind, "use --device cuda, or the native rasterizer")
        from gaussavatar.render.gsplat_backend import GsplatRasterizer

        return GsplatRasterizer()
    if choice == "torch":
        from gaussavatar.render.torch_oracle import TorchRasterizer

        return TorchRasterizer()
    raise UserError("a rasterizer among auto, native, gsplat, torch", repr(prefer), "choose one of these")
