"""The gsplat backend: what it says without a GPU, and parity with the native rasterizer on one."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.bench.raster import bench_raster, format_rows, head_scene
from gaussavatar.errors import UserError
from gaussavatar.render.api import get_rasterizer
from gaussavatar.types import Activated, Cameras

NAMES = ("means", "quats", "scales", "opacities", "colors")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so():
    with pytest.raises(UserError, match="a CUDA device for gsplat"):
        get_rasterizer("cuda")


@pytest.mark.gpu
@pytest.mark.slow
def test_gsplat_agrees_with_the_native_rasterizer():
    """Compiles gsplat's kernels at the first run."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pytest.importorskip("gsplat")
    gaussians, cameras = head_scene(128, 2000, batch=2)
    leaves = {name: getattr(gaussians, name).detach().clone().requires_grad_() for name in NAMES}
    pose = cameras.T_camera_world.clone().requires_grad_()
    results = []
    for device in ("cpu", "cuda"):
        rendered = get_rasterizer(device)(
            Activated(**{name: leaf.to(device) for name, leaf in leaves.items()}),
            Cameras(pose.to(device), cameras.K.to(device), 128, 128),
        )
        loss = (rendered.rgb.cpu().square().sum() + rendered.alpha.cpu().sum()) / 1000
        gradients = torch.autograd.grad(loss, [*leaves.values(), pose])
        results.append((rendered.rgb.detach().cpu(), rendered.alpha.detach().cpu(), gradients))
    (rgb, alpha, gradients), (gpu_rgb, gpu_alpha, gpu_gradients) = results
    assert (rgb - gpu_rgb).abs().quantile(0.999) < 1e-4 and (alpha - gpu_alpha).abs().mean() < 1e-5
    for ours, theirs in zip(gradients, gpu_gradients, strict=True):
        assert ((ours - theirs).abs() / ours.abs().max()).quantile(0.99) < 1e-3


def test_benchmark_measures_every_case():
    result = bench_raster(cases=[(48, 200)], threads=(1, 2), batch=2, repetitions=2)
    assert [row["what"] for row in result["rows"]] == ["fwd", "fwd+bwd", "loss f+b"] * 2
    assert all(0 < row["min"] <= row["p25"] <= row["median"] for row in result["rows"])
    assert result["machine"]["isa"] in format_rows(result)


def test_the_head_scene_covers_a_third_of_the_image():
    with torch.no_grad():
        alpha = get_rasterizer("cpu")(*head_scene(128, 5000)).alpha
    assert 0.3 < (alpha > 0.05).float().mean() < 0.38
    rows = (alpha[0] > 0.5).any(1).nonzero()
    assert 0.68 < (rows.max() - rows.min()).item() / 128 < 0.82
