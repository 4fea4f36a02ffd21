"""Golden scenes: small stored scenes with the image and the gradients that every rasterizer has to give.

``python -m gaussavatar.bench.golden FOLDER`` makes them again with the float64 torch oracle. Each file carries how it
was made. They are data rather than a second run of the oracle, so that a backend on another machine, or after a change
of the oracle itself, is measured against what was agreed on.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gaussavatar import __version__
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.semantics import BLUR, MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, NEAR
from gaussavatar.render.torch_oracle import TorchRasterizer
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.types import Activated, Cameras

INPUTS = tuple(field.name for field in fields(Activated))


@dataclass(frozen=True)
class Recipe:
    """How a golden scene is drawn. Lengths in metres."""

    seed: int
    count: int
    batch: int = 1
    width: int = 36
    height: int = 28
    size: tuple[float, float] = (0.01, 0.05)
    """Range of the standard deviations, drawn evenly in their logarithm."""
    stretch: float = 1.0
    """Factor on the first axis of every Gaussian."""
    opacity: tuple[float, float] = (0.1, 0.95)
    depth: tuple[float, float] = (0.6, 1.0)
    shared: bool = False
    """One set of Gaussians, expanded along the batch without a copy."""


RECIPES: dict[str, Recipe] = {
    "opaque": Recipe(seed=1, count=24, size=(0.04, 0.12), opacity=(0.97, 0.9999)),
    "tiny": Recipe(seed=2, count=120, size=(1e-5, 4e-4), opacity=(0.5, 0.999)),
    "near_plane": Recipe(seed=3, count=16, size=(5e-4, 4e-3), depth=(0.004, 0.06)),
    "anisotropic": Recipe(seed=4, count=40, size=(1e-3, 4e-3), stretch=50.0),
    "three_cameras": Recipe(seed=5, count=30, batch=3, width=21, height=17),
    "expanded": Recipe(seed=6, count=30, batch=3, width=21, height=17, shared=True),
}


@dataclass(frozen=True)
class Golden:
    """A stored scene: inputs, weights of the scalar that is differentiated, expected image and gradients."""

    name: str
    inputs: dict[str, Tensor]
    cameras: Cameras
    shared: bool
    weights: tuple[Tensor, Tensor]
    image: tuple[Tensor, Tensor]
    gradients: dict[str, Tensor]
    made: dict[str, Any]


def draw(recipe: Recipe) -> tuple[dict[str, Tensor], Cameras, tuple[Tensor, Tensor]]:
    """The inputs of a scene in float32, and the weights of its images' sum."""
    generator = torch.Generator().manual_seed(recipe.seed)

    def between(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)

    batch, n, size = recipe.batch, recipe.count, recipe.size
    sets = 1 if recipe.shared else batch
    focal = 1.6 * recipe.width
    depth = between(*recipe.depth, sets, n, 1)
    across = between(-0.5, 0.5, sets, n, 2) * torch.tensor([recipe.width, recipe.height]) / focal * depth
    scales = between(float(np.log(size[0])), float(np.log(size[1])), sets, n, 3).exp()
    inputs = {
        "means": torch.cat([across, depth], dim=-1),
        "quats": between(-1, 1, sets, n, 4),
        "scales": scales * torch.tensor([recipe.stretch, 1, 1]),
        "opacities": between(*recipe.opacity, sets, n),
        "colors": between(0, 1, sets, n, 3),
    }
    poses = torch.eye(4, dtype=torch.float64).repeat(batch, 1, 1)
    poses[:, :3, 3] = between(-0.03, 0.03, batch, 3) * min(1.0, recipe.depth[0])
    turn = between(-0.1, 0.1, batch)
    poses[:, 0, 0], poses[:, 0, 2] = turn.cos(), turn.sin()
    poses[:, 2, 0], poses[:, 2, 2] = -turn.sin(), turn.cos()
    K = torch.eye(3, dtype=torch.float64).repeat(batch, 1, 1)
    K[:, 0, 0], K[:, 1, 1] = focal * between(0.9, 1.1, batch), focal * between(0.9, 1.1, batch)
    K[:, 0, 2], K[:, 1, 2] = recipe.width / 2 + between(-2, 2, batch), recipe.height / 2 + between(-2, 2, batch)
    shape = (batch, recipe.height, recipe.width)
    weights = (between(-1, 1, *shape, 3).float(), between(-1, 1, *shape).float())
    cameras = Cameras(poses.float(), K.float(), recipe.width, recipe.height)
    return {name: value.float() for name, value in inputs.items()}, cameras, weights


def run_scene(
    rasterizer: Rasterizer,
    inputs: dict[str, Tensor],
    cameras: Cameras,
    weights: tuple[Tensor, Tensor],
    device: str,
    dtype: torch.dtype,
) -> tuple[tuple[Tensor, Tensor], dict[str, Tensor]]:
    """Images (colour, alpha) and the gradients of their weighted sum, on the CPU in float64."""
    batch = cameras.T_camera_world.shape[0]
    leaves = {name: value.to(device, dtype).requires_grad_() for name, value in inputs.items()}
    pose = cameras.T_camera_world.to(device, dtype).requires_grad_()
    whole = {name: leaf.expand(batch, *leaf.shape[1:]) for name, leaf in leaves.items()}
    moved = Cameras(pose, cameras.K.to(device, dtype), cameras.width, cameras.height)
    rendered = rasterizer(Activated(**whole), moved)
    total = (rendered.rgb * weights[0].to(device)).sum() + (rendered.alpha * weights[1].to(device)).sum()
    gradients = torch.autograd.grad(total, [*leaves.values(), pose])
    images = (rendered.rgb.detach().cpu().double(), rendered.alpha.detach().cpu().double())
    named = dict(zip([*leaves, "pose"], gradients, strict=True))
    named["pose"] = named["pose"][:, :3]
    return images, {name: value.cpu().double() for name, value in named.items()}


def make_golden(name: str, folder: Path) -> Path:
    """Draw a scene, render it with the oracle in float64, and store all of it with how it was made."""
    recipe = RECIPES[name]
    inputs, cameras, weights = draw(recipe)
    images, gradients = run_scene(TorchRasterizer(), inputs, cameras, weights, "cpu", torch.float64)
    arrays = {f"input.{key}": value for key, value in inputs.items()}
    arrays |= {"T_camera_world": cameras.T_camera_world, "K": cameras.K}
    arrays |= {"weight.rgb": weights[0], "weight.alpha": weights[1], "image.rgb": images[0], "image.alpha": images[1]}
    arrays |= {f"gradient.{key}": value for key, value in gradients.items()}
    made = {
        "by": "python -m gaussavatar.bench.golden",
        "oracle": "gaussavatar.render.torch_oracle in float64",
        "gaussavatar": __version__,
        "torch": torch.__version__,
        "recipe": {field.name: getattr(recipe, field.name) for field in fields(recipe)},
        "semantics": {"blur": BLUR, "near": NEAR, "alpha": [MIN_ALPHA, MAX_ALPHA], "stop": MIN_TRANSMITTANCE},
    }
    path = folder / f"{name}.safetensors"
    write_arrays(path, {k: v.float().numpy() for k, v in arrays.items()}, {"made": json.dumps(made, sort_keys=True)})
    return path


def load_golden(path: Path) -> Golden:
    """Read a stored scene.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, metadata = read_arrays(path)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    made = json.loads(metadata["made"])
    height, width = tensors["image.alpha"].shape[1:]
    return Golden(
        name=path.stem,
        inputs={name: tensors[f"input.{name}"] for name in INPUTS},
        cameras=Cameras(tensors["T_camera_world"], tensors["K"], width, height),
        shared=bool(made["recipe"]["shared"]),
        weights=(tensors["weight.rgb"], tensors["weight.alpha"]),
        image=(tensors["image.rgb"], tensors["image.alpha"]),
        gradients={name: tensors[f"gradient.{name}"] for name in (*INPUTS, "pose")},
        made=made,
    )


def disagreement(rasterizer: Rasterizer, golden: Golden, device: str) -> dict[str, float]:
    """How far a rasterizer is off: mean absolute difference of the images; each gradient relative to its norm."""
    images, gradients = run_scene(
        rasterizer, golden.inputs, golden.cameras, golden.weights, device, golden.inputs["means"].dtype
    )
    off = {
        name: (image - true.double()).abs().mean().item()
        for name, image, true in zip(("rgb", "alpha"), images, golden.image, strict=True)
    }
    for name, true in golden.gradients.items():
        off[f"gradient of {name}"] = ((gradients[name] - true).norm() / true.double().norm()).item()
    return off


if __name__ == "__main__":
    for scene in RECIPES:
        made = make_golden(scene, Path(sys.argv[1] if len(sys.argv) > 1 else "tests/unit/render/golden"))
        print(f"{made}: {made.stat().st_size} bytes")
