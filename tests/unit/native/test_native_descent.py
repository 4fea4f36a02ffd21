"""A step of Adam along a sum of outer products is torch's own step along the matrix that they make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from gaussavatar.native.descent import AdamStep, outer_adam_cpu, outer_adam_torch
from gaussavatar.native.library import available_isas, force_isa, native_info

RATE, BETAS, EPSILON = 3e-3, (0.9, 0.999), 1e-15


@pytest.fixture(params=available_isas())
def at_isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set in turn."""
    before = native_info()["isa"]
    force_isa(request.param)
    yield request.param
    force_isa(before)


@pytest.mark.parametrize("form", [outer_adam_cpu, outer_adam_torch])
@pytest.mark.parametrize(("rank", "height", "width"), [(1, 1, 1), (2, 5, 37), (4, 31, 4111), (0, 3, 20)])
def test_steps_are_those_of_torch(form, rank: int, height: int, width: int, at_isa: str) -> None:
    generator = torch.Generator().manual_seed(rank)
    start = torch.randn(height, width, generator=generator)
    parameter = torch.nn.Parameter(start.double())
    optimizer = torch.optim.Adam([parameter], lr=RATE, betas=BETAS, eps=EPSILON)
    matrix, mean, square = start.clone(), torch.zeros_like(start), torch.zeros_like(start)
    for count in range(1, 6):
        rows = torch.randn(rank, height, generator=generator)
        columns = torch.randn(rank, width, generator=generator)
        parameter.grad = rows.double().T @ columns.double()
        optimizer.step()
        form(rows, columns, AdamStep(RATE, BETAS, EPSILON, count), matrix, mean, square)
    state = optimizer.state[parameter]
    torch.testing.assert_close(mean.double(), state["exp_avg"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(square.double(), state["exp_avg_sq"], rtol=1e-5, atol=1e-7)
    # Where the mean of the gradients is next to nothing beside them, its rounding is what is left.
    torch.testing.assert_close(matrix.double(), parameter.detach(), rtol=0, atol=2e-5)


def test_where_there_never_was_a_gradient_nothing_moves(at_isa: str) -> None:
    matrix, mean, square = torch.ones(3, 40), torch.zeros(3, 40), torch.zeros(3, 40)
    step = AdamStep(RATE, BETAS, EPSILON, 1)
    outer_adam_cpu(torch.tensor([[1.0, 0.0, 1.0]]), torch.ones(1, 40), step, matrix, mean, square)
    assert torch.equal(matrix[1], torch.ones(40)) and torch.allclose(matrix[0], torch.tensor(1 - RATE))
