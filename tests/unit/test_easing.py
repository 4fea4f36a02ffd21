"""The smooth step is what its name says, for numbers, arrays and tensors."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.easing import smoothstep


def test_it_rises_from_0_to_1_with_level_ends() -> None:
    share = np.linspace(0, 1, 1001)
    risen = smoothstep(share)
    assert risen[0] == 0 and risen[-1] == 1 and (np.diff(risen) > 0).all()
    slope = np.gradient(risen, share)
    assert max(slope[0], slope[-1]) < 0.004 and abs(slope.max() - 1.5) < 1e-4
    np.testing.assert_allclose(risen + risen[::-1], 1, atol=1e-12)


def test_numbers_arrays_and_tensors_go_the_same_way() -> None:
    share = np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    tensor = torch.tensor(share, requires_grad=True)
    smoothstep(tensor).sum().backward()
    assert tensor.grad is not None
    np.testing.assert_allclose(tensor.grad.numpy(), 6 * share * (1 - share), atol=1e-12)
    assert [smoothstep(float(x)) for x in share] == smoothstep(share).tolist() == smoothstep(tensor).tolist()
