"""The native image losses against their float64 twin."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.image.losses import photometric_loss, ssim
from gaussavatar.native.image_loss import gaussian_window, photometric_loss_torch, ssim_torch
from gaussavatar.native.library import available_isas, force_isa, native_info
from gaussavatar.native.threads import set_threads

SHAPES = [(2, 37, 29), (1, 70, 41), (3, 5, 7), (1, 1, 1), (1, 130, 64)]


@pytest.fixture(autouse=True)
def restore_native():
    before = native_info()["isa"]
    yield
    force_isa(before)
    set_threads(None)


def images(shape, seed=0, noise=0.2):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.rand(*shape, 3, generator=generator, dtype=torch.float64)
    target = (pred + noise * torch.randn(*shape, 3, generator=generator, dtype=torch.float64)).clamp(0, 1)
    return pred, target, torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradient_agree_with_the_twin_on_every_instruction_set(shape):
    pred, target, weight = images(shape)
    similarity = ssim_torch(pred, target)
    for dssim_weight in (0.0, 0.25):
        exact = pred.clone().requires_grad_()
        expected = photometric_loss_torch(exact, target, weight, dssim_weight)
        (3 * expected).backward()
        for isa in available_isas():
            force_isa(isa)
            for threads in (1, 2, 7):
                set_threads(threads)
                single = pred.float().requires_grad_()
                loss = photometric_loss(single, target.float(), weight.float(), dssim_weight)
                (3 * loss).backward()
                assert loss.item() == pytest.approx(expected.item(), rel=1e-6, abs=1e-7)
                assert (single.grad - exact.grad).abs().max() < 1e-5 * exact.grad.abs().max()
                assert (ssim(pred.float(), target.float()) - similarity).abs().max() < 1e-5


def test_twin_gradient_agrees_with_finite_differences():
    pred, target, weight = images((1, 4, 3), noise=0.5)
    pred.requires_grad_()
    assert torch.autograd.gradcheck(lambda image: photometric_loss_torch(image, target, weight, 0.4), pred)


def test_flat_and_saturated_images_stay_accurate():
    # Variances cancel to nothing here, so float32 rounding shows most.
    pred, target = torch.full((1, 40, 40, 3), 0.95), torch.full((1, 40, 40, 3), 0.9)
    exact = ssim_torch(pred.double(), target.double())
    assert (ssim(pred, target) - exact).abs().max() < 1e-3
    assert (ssim(pred, pred) - 1).abs().max() < 1e-4


def test_equal_images_cost_nothing_and_noise_lowers_ssim():
    pred, target, weight = (value.float() for value in images((1, 48, 48), noise=0.1))
    assert photometric_loss(pred, pred, weight, 0.2).item() == pytest.approx(0, abs=1e-6)
    noisy = (target + 0.3 * torch.rand(target.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    assert ssim(pred, noisy).mean() < ssim(pred, target).mean() < 1


def test_weights_select_pixels():
    pred, target, _ = (value.float() for value in images((1, 40, 40), seed=2))
    weight = torch.zeros(1, 40, 40)
    weight[:, :10, :10] = 2.0
    pred.requires_grad_()
    photometric_loss(pred, target, weight, 0.0).backward()
    assert pred.grad[:, 10:].abs().sum() == 0 and pred.grad[:, :10, :10].abs().min() > 0
    expected = (pred - target).abs()[:, :10, :10].mean()
    assert photometric_loss(pred, target, weight, 0.0).item() == pytest.approx(expected.item(), rel=1e-5)
    # SSIM of the chosen pixels sees half a window beyond them, and no further.
    pred.grad = None
    photometric_loss(pred, target, weight, 1.0).backward()
    assert pred.grad[:, 14, :15].abs().sum() > 0 and pred.grad[:, 15:].abs().sum() == 0


def test_zero_weights_cost_nothing():
    pred = torch.rand(1, 8, 8, 3, requires_grad=True)
    loss = photometric_loss(pred, torch.rand(1, 8, 8, 3), torch.zeros(1, 8, 8), 0.2)
    loss.backward()
    assert loss.item() == 0 and pred.grad.abs().sum() == 0


def test_loss_repeats_bit_by_bit_and_hardly_depends_on_threads():
    pred, target, weight = (value.float() for value in images((1, 200, 90), seed=3))
    losses = []
    for threads in (1, 1, 4, 4):
        set_threads(threads)
        image = pred.clone().requires_grad_()
        loss = photometric_loss(image, target, weight, 0.2)
        loss.backward()
        losses.append((loss.item(), image.grad))
    assert losses[0][0] == losses[1][0] and losses[2][0] == losses[3][0]
    assert torch.equal(losses[2][1], losses[3][1])
    assert torch.allclose(losses[0][1], losses[2][1], rtol=1e-5, atol=1e-9)


@pytest.mark.usefixtures("types_unchecked")
def test_float64_uses_the_twin_and_shapes_are_checked():
    pred, target, weight = images((1, 9, 9))
    assert photometric_loss(pred, target, weight, 0.3).dtype == torch.float64
    with pytest.raises(ValueError, match="weight"):
        photometric_loss(pred, target, weight[:, :5], 0.3)
    with pytest.raises(ValueError, match="target"):
        ssim(pred, target[:, :5])


def test_window_is_normalised():
    assert gaussian_window(torch.float64).sum().item() == pytest.approx(1)
