"""The parts of the audio network that are not torch's own, against torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gaussavatar.audio.encoder import Dropout, MemberConv


@pytest.mark.parametrize(("kernel", "stride", "length"), [(5, 2, 33), (3, 2, 16), (3, 1, 3)])
@pytest.mark.parametrize("shared", [True, False])
def test_members_convolve_as_torch_does(kernel: int, stride: int, length: int, shared: bool) -> None:
    torch.manual_seed(0)
    convolution = MemberConv(2, 4, 3, kernel, stride).double()
    x = torch.randn(1 if shared else 2, 5, length, 4, dtype=torch.float64, requires_grad=True)
    weight, bias = convolution.weight, convolution.bias
    wanted = torch.stack([
        functional.conv1d(
            part.transpose(1, 2), weight[k].unflatten(0, (kernel, 4)).permute(2, 1, 0), bias[k, 0], stride
        ).transpose(1, 2)
        for k, part in enumerate(x.expand(2, -1, -1, -1))
    ])  # fmt: skip
    found = convolution(x)
    torch.testing.assert_close(found, wanted)
    direction = torch.randn_like(wanted)
    gradients = [torch.autograd.grad(answer, (x, weight, bias), direction) for answer in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    dropout, x = Dropout(0.15), torch.ones(3, 999, 37, requires_grad=True)
    y = dropout(x)
    y.sum().backward()
    kept = y > 0
    assert abs(float(kept.float().mean()) - 0.85) < 0.005 and float(y.detach().mean()) == pytest.approx(1.0, abs=0.005)
    assert x.grad is not None and torch.equal(x.grad, y)
    # Neighbours share a word of chance, and nothing else.
    pairs = kept.flatten()[:-1] == kept.flatten()[1:]
    assert abs(float(pairs.float().mean()) - (0.85**2 + 0.15**2)) < 0.01
    assert not torch.equal(dropout(x) > 0, kept)
    assert torch.equal(dropout.eval()(x), x) and torch.equal(Dropout(0.0)(x), x)
