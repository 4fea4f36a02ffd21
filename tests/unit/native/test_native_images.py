"""The kernels of image losses and layers against their float64 twins: as plain C++ loops here, as kernels on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gaussavatar.native import abi, image_loss, library
from gaussavatar.native.image_loss import (
    gaussian_window,
    photometric_loss_cuda,
    photometric_loss_torch,
    ssim_cuda,
    ssim_torch,
)
from gaussavatar.native.layers import composite_cuda, composite_torch
from gaussavatar.native.operations import OPERATIONS

SHAPES = [(1, 1, 1), (1, 7, 5), (3, 33, 17), (2, 16, 40), (3, 4, 64), (0, 4, 4)]
VALUE, GRADIENT = 1e-5, 1e-4


def images(shape: tuple[int, int, int], device: str = "cpu", noise: float = 0.2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    pred, target = (torch.rand(*shape, 3, generator=generator) for _ in range(2))
    weight = torch.rand(shape, generator=generator) * (torch.rand(shape, generator=generator) < 0.8)
    return pred.to(device), torch.lerp(pred, target, noise).to(device), weight.to(device)


def close(values: Tensor, true: Tensor, bound: float) -> bool:
    assert values.shape == true.shape
    return bool((values.double() - true).abs().sum() <= bound * true.abs().sum().clamp(min=1e-6))


def layers(shape: tuple[int, int, int], device: str = "cpu") -> list[Tensor]:
    generator = torch.Generator().manual_seed(6)
    sizes = [(*shape, *channels) for channels in ((3,), (), (3,), (), (3,))]
    return [torch.rand(size, generator=generator).to(device) for size in sizes]


def compare_loss(form, shape: tuple[int, int, int], dssim_weight: float, device: str = "cpu") -> None:  # noqa: ANN001
    pred, target, weight = images(shape, device)
    exact, single = pred.double().requires_grad_(), pred.clone().requires_grad_()
    expected = photometric_loss_torch(exact, target.double(), weight.double(), dssim_weight)
    loss = form(single, target, weight, dssim_weight)
    assert close(loss, expected, VALUE)
    for scale in (1.0, -3.0):
        (true,) = torch.autograd.grad(scale * expected, exact, retain_graph=True)
        (gradient,) = torch.autograd.grad(scale * loss, single, retain_graph=True)
        assert close(gradient, true, GRADIENT)


def compare_layers(form, shape: tuple[int, int, int], device: str = "cpu") -> None:  # noqa: ANN001
    single = [layer.requires_grad_() for layer in layers(shape, device)]
    exact = [layer.detach().double().requires_grad_() for layer in single]
    image, true = form(*single), composite_torch(*exact)
    assert close(image, true, VALUE)
    v_image = torch.rand(image.shape, generator=torch.Generator().manual_seed(7)).to(device)
    gradients, true_gradients = torch.autograd.grad(image, single, v_image), torch.autograd.grad(true, exact, v_image)
    assert all(close(a, b, GRADIENT) for a, b in zip(gradients, true_gradients, strict=True))


def no_gpu() -> str | None:
    if not torch.cuda.is_available():
        return "no CUDA device"
    return None if library.cuda_library() is not None else f"no kernels: {library.cuda_failure()}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dssim_weight", [0.0, 0.25, 1.0])
def test_the_loss_and_its_gradient_agree_with_the_twin(
    host_kernels: None, shape: tuple[int, int, int], dssim_weight: float
) -> None:
    compare_loss(photometric_loss_cuda, shape, dssim_weight)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_similarity_agrees_with_the_twin(host_kernels: None, shape: tuple[int, int, int]) -> None:
    pred, target, _ = images(shape)
    assert close(ssim_cuda(pred, target), ssim_torch(pred.double(), target.double()), VALUE)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_layers_and_their_gradients_agree_with_the_twin(host_kernels: None, shape: tuple[int, int, int]) -> None:
    compare_layers(composite_cuda, shape)


@pytest.mark.parametrize("dssim_weight", [0.0, 0.2])
def test_zero_weights_cost_nothing(host_kernels: None, dssim_weight: float) -> None:
    pred, target, weight = images((2, 9, 6))
    pred.requires_grad_()
    loss = photometric_loss_cuda(pred, target, 0 * weight, dssim_weight)
    loss.backward()
    assert loss.item() == 0 and pred.grad is not None and pred.grad.abs().sum() == 0


def test_only_the_picture_gets_a_gradient_and_only_where_one_is_wanted(host_kernels: None) -> None:
    pred, target, weight = images((1, 12, 11))
    expected = photometric_loss_torch(pred, target, weight, 0.2)
    plain = photometric_loss_cuda(pred, target.clone().requires_grad_(), weight.clone().requires_grad_(), 0.2)
    with torch.no_grad():
        quiet = photometric_loss_cuda(pred.clone().requires_grad_(), target, weight, 0.2)
    wanted = photometric_loss_cuda(pred.clone().requires_grad_(), target, weight, 0.2)
    assert wanted.requires_grad and not quiet.requires_grad
    for loss in (plain, quiet, wanted):
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    target.requires_grad_(), weight.requires_grad_()
    photometric_loss_cuda(pred.requires_grad_(), target, weight, 0.2).backward()
    assert target.grad is None and weight.grad is None and pred.grad is not None


def test_a_picture_in_another_layout_is_taken(host_kernels: None) -> None:
    pred, target, weight = images((2, 8, 13))
    turned = pred.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    loss = photometric_loss_cuda(turned, target, weight, 0.3)
    assert close(loss, photometric_loss_torch(pred.double(), target.double(), weight.double(), 0.3), VALUE)
    loss.backward()
    assert turned.grad is not None and turned.grad.shape == pred.shape


def test_a_plain_background_gets_no_gradient(host_kernels: None) -> None:
    face, face_alpha, mouth, mouth_alpha, under = layers((1, 5, 6))
    image = composite_cuda(face.requires_grad_(), face_alpha, mouth, mouth_alpha.requires_grad_(), under)
    image.sum().backward()
    assert under.grad is None and mouth_alpha.grad is not None and face.grad is not None and face.grad.min() == 1


def test_sizes_out_of_range_are_refused(host_built: abi.Library) -> None:
    one = torch.zeros(8)
    for size in ((1, -2, 2), (2, 30000, 30000), (1, 1, 2**30), (2**31 - 1, 1, 1)):
        with pytest.raises(RuntimeError, match="out of range"):
            host_built.ga_cuda_ssim(one, one, *size, one, one, 0, None)
    with pytest.raises(RuntimeError, match="out of range"):
        host_built.ga_cuda_composite(one, one, one, one, one, -1, one, 0, None)


def test_the_twins_window_is_made_once_and_serves_gradients_whoever_asked_first() -> None:
    image_loss._window_on.cache_clear()
    pred, target, weight = images((1, 6, 6))
    with torch.inference_mode():
        ssim_torch(pred, target)
    window = image_loss._window_on(torch.float32, pred.device)
    assert window is image_loss._window_on(torch.float32, pred.device)
    assert torch.equal(window, gaussian_window()) and image_loss._window_on(torch.float64, pred.device) is not window
    photometric_loss_torch(pred.requires_grad_(), target, weight, 0.2).backward()
    assert pred.grad is not None and pred.grad.abs().sum() > 0


@pytest.mark.gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernels_agree_with_the_twins_on_the_gpu(shape: tuple[int, int, int]) -> None:
    if why := no_gpu():
        pytest.skip(why)
    assert OPERATIONS["photometric"].backend(*images(shape, "cuda"), 0.2) == "cuda"
    for dssim_weight in (0.0, 0.25):
        compare_loss(OPERATIONS["photometric"], shape, dssim_weight, "cuda")
    compare_layers(OPERATIONS["composite"], shape, "cuda")
    pred, target, _ = images(shape, "cuda")
    assert close(OPERATIONS["ssim"](pred, target), ssim_torch(pred.double(), target.double()), VALUE)


@pytest.mark.gpu
def test_a_step_can_be_captured_as_a_graph_and_repeats_bit_by_bit() -> None:
    if why := no_gpu():
        pytest.skip(why)
    pred, target, weight = images((2, 96, 80), "cuda")
    pred.requires_grad_()

    def step() -> tuple[Tensor, Tensor]:
        loss = photometric_loss_cuda(pred, target, weight, 0.2)
        return loss, torch.autograd.grad(loss, pred)[0]

    loss, gradient = step()
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        step()
    stream.synchronize()
    with torch.cuda.graph(graph):
        captured = step()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(captured[0], loss) and torch.equal(captured[1], gradient)
