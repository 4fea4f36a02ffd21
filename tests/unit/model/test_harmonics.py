"""View-dependent colour: orthonormal harmonics, the right direction, and degree 0 as it was."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.avatar.load import blank_branch
from gaussavatar.model.avatar import Branch
from gaussavatar.model.config import BranchConfig
from gaussavatar.model.harmonics import basis, n_coefficients, view_colors


def sphere(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss-Legendre in height by equal steps in angle: exact for polynomials of low degree."""
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(n)
    angle = np.arange(2 * n) * np.pi / n
    height, turn = np.meshgrid(nodes, angle, indexing="ij")
    across = np.sqrt(1 - height**2)
    points = np.stack([across * np.cos(turn), across * np.sin(turn), height], -1).reshape(-1, 3)
    return torch.from_numpy(points), torch.from_numpy(np.repeat(weights, 2 * n) * np.pi / n)


@pytest.mark.parametrize("degree", [1, 2])
def test_harmonics_are_orthonormal_and_orthogonal_to_the_constant(degree: int) -> None:
    points, weights = sphere(8)
    values = basis(points, degree)
    assert values.shape[1] == n_coefficients(degree)
    gram = torch.einsum("n,ni,nj->ij", weights, values, values)
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64))
    torch.testing.assert_close(weights @ values, torch.zeros(len(gram), dtype=torch.float64))


def test_other_degrees_are_refused() -> None:
    with pytest.raises(ValueError, match="degree 3"):
        basis(torch.ones(1, 3), 3)


@pytest.mark.parametrize("degree", [1, 2])
def test_colour_follows_the_direction_from_the_camera_in_head_space(degree: int) -> None:
    import roma

    generator = torch.Generator().manual_seed(0)
    means = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64) * 0.1
    coefficients = torch.randn(5, n_coefficients(degree), 3, generator=generator, dtype=torch.float64)
    T = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    T[:, :3, :3] = roma.random_rotmat(2, dtype=torch.float64)
    T[:, 2, 3] = 0.7
    found = view_colors(means, coefficients, T)
    for frame in range(2):
        centre = torch.linalg.inv(T[frame])[:3, 3]
        for index in range(5):
            direction = (means[frame, index] - centre) / torch.linalg.norm(means[frame, index] - centre)
            expected = basis(direction, degree) @ coefficients[index]
            torch.testing.assert_close(found[frame, index], expected)
    means.requires_grad_(True)
    coefficients.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda m, c: view_colors(m, c, T), (means, coefficients))


def test_degree_zero_has_no_parameters_and_higher_ones_start_without_effect() -> None:
    start = blank_branch(6, 4, 2)
    plain, seen = (Branch(BranchConfig(6), 2, 0, start, sh_degree=degree) for degree in (0, 2))
    assert {name for name, _ in seen.named_parameters()} - {name for name, _ in plain.named_parameters()} == {
        "gaussians.sh"
    }
    gaussians, _ = plain(torch.zeros(1, 2))
    assert plain.seen(gaussians, None, None) is gaussians
    front = seen(torch.zeros(1, 2))[0]
    assert torch.equal(seen.seen(front, None, None).colors, gaussians.colors)
    with torch.no_grad():
        assert seen.gaussians.sh is not None
        seen.gaussians.sh[:, 1] = 1.0  # z: brighter the farther the view looks along it
    assert float(seen.seen(front, None, None).colors.min()) > 0.4
    behind = torch.diag(torch.tensor([-1.0, 1, -1, 1]))[None].clone()
    behind[:, 2, 3] = 0.7
    assert float(seen.seen(front, None, behind).colors.max()) < -0.4
