"""Native compositing against its torch twin in float64."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.native.layers import composite_torch
from gaussavatar.native.library import available_isas, force_isa, native_info
from gaussavatar.render.composite import composite
from gaussavatar.types import Rendered


def layers(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    sizes = ((*shape, 3), shape, (*shape, 3), shape, (*shape, 3))
    return [torch.rand(*size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]


def composite_flat(*layers):
    return composite(Rendered(*layers[:2]), Rendered(*layers[2:4]), layers[4])


def blend(function, tensors):
    image = function(*tensors)
    v_image = torch.rand(image.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return image, torch.autograd.grad(image, tensors, v_image.to(image.dtype))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 13, 17), (1, 150, 131)])
@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512"])
def test_native_agrees_with_the_twin(isa, shape):
    if isa not in available_isas():
        pytest.skip(f"this processor has no {isa}")
    before = native_info()["isa"]
    force_isa(isa)
    image, gradients = blend(composite_flat, layers(shape, torch.float32))
    force_isa(before)
    true_image, true_gradients = blend(composite_torch, layers(shape, torch.float64))
    assert (image - true_image).abs().max() < 1e-6
    for gradient, true in zip(gradients, true_gradients, strict=True):
        assert (gradient - true).abs().max() < 1e-6


def test_a_constant_background_and_other_layouts_are_accepted():
    face_rgb, face_alpha, mouth_rgb, mouth_alpha, under = layers((2, 9, 8), torch.float32)
    plain = under.detach()[:1, :1, :1].expand(2, 9, 8, 3)
    turned = face_rgb.transpose(1, 2).contiguous().transpose(1, 2)
    face, mouth = Rendered(turned, face_alpha), Rendered(mouth_rgb, mouth_alpha)
    image = composite(face, mouth, plain)
    assert torch.allclose(image, composite_torch(turned, face_alpha, mouth_rgb, mouth_alpha, plain), atol=1e-6)
    image.sum().backward()
    assert face_rgb.grad.min() == 1 and under.grad is None
    assert composite(Rendered(*(t.double() for t in (face_rgb, face_alpha))), mouth, under).dtype == torch.float64


def test_shapes_are_checked():
    face_rgb, face_alpha, mouth_rgb, mouth_alpha, under = layers((2, 9, 8), torch.float32)
    with pytest.raises(ValueError, match="layers of shapes"):
        composite(Rendered(face_rgb, face_alpha), Rendered(mouth_rgb, mouth_alpha), under[:1])
