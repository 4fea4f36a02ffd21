"""Every backend against the stored golden scenes: 1e-3 in the mean of the image, 1e-3 of each gradient's norm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gaussavatar.bench.golden import RECIPES, disagreement, draw, load_golden
from gaussavatar.native.library import available_isas, force_isa, native_info
from gaussavatar.render.api import get_rasterizer
from gaussavatar.render.torch_oracle import TorchRasterizer

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1e-3


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512"])
def test_native_gives_the_golden_scene(isa: str, name: str) -> None:
    if isa not in available_isas():
        pytest.skip(f"this processor has no {isa}")
    before = native_info()["isa"]
    force_isa(isa)
    off = disagreement(get_rasterizer("cpu"), load_golden(FOLDER / f"{name}.safetensors"), "cpu")
    force_isa(before)
    assert max(off.values()) < TOLERANCE, off


@pytest.mark.gpu
@pytest.mark.parametrize("name", RECIPES)
def test_gsplat_gives_the_golden_scene(name: str) -> None:
    """Compiles gsplat's kernels at the first run."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("gsplat")
    off = disagreement(get_rasterizer("cuda"), load_golden(FOLDER / f"{name}.safetensors"), "cuda")
    assert max(off.values()) < TOLERANCE, off


@pytest.mark.parametrize("name", RECIPES)
def test_the_stored_scene_is_what_its_recipe_draws(name: str) -> None:
    golden = load_golden(FOLDER / f"{name}.safetensors")
    recipe = RECIPES[name]
    assert golden.made["recipe"]["seed"] == recipe.seed and golden.made["gaussavatar"]
    inputs, cameras, _ = draw(recipe)
    for key, value in inputs.items():
        assert torch.allclose(value, golden.inputs[key], atol=1e-6), "made by other code: make the scenes again"
    assert torch.allclose(cameras.K, golden.cameras.K)
    assert golden.shared == (len(golden.inputs["means"]) < len(golden.cameras.K))


def test_a_wrong_image_and_a_wrong_gradient_are_noticed() -> None:
    golden = load_golden(FOLDER / "opaque.safetensors")
    assert max(disagreement(TorchRasterizer(), golden, "cpu").values()) < 1e-4
    shifted = golden.cameras.K.clone()
    shifted[:, 0, 2] += 0.1
    off = disagreement(TorchRasterizer(), replace(golden, cameras=replace(golden.cameras, K=shifted)), "cpu")
    assert off["rgb"] > TOLERANCE
    halved = replace(golden, gradients=golden.gradients | {"quats": golden.gradients["quats"] * 0.99})
    assert disagreement(TorchRasterizer(), halved, "cpu")["gradient of quats"] > TOLERANCE


def test_the_scenes_have_what_they_are_named_for() -> None:
    scenes = {name: load_golden(FOLDER / f"{name}.safetensors") for name in RECIPES}
    assert scenes["opaque"].image[1].median() > 0.99
    assert (scenes["near_plane"].gradients["means"].norm(dim=-1) == 0).any(), "some are before the near plane"
    scales = scenes["anisotropic"].inputs["scales"]
    assert scales[..., 0].min() > 5 * scales[..., 1].max()
    pixels = scenes["tiny"].inputs["scales"] * scenes["tiny"].cameras.K[0, 0, 0] / 0.6
    assert pixels.max() < 0.05 and all(gold.image[0].std() > 0.01 for gold in scenes.values())
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 300_000
