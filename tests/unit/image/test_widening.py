"""A mask grown by a square is that of looking at the whole square."""

from __future__ import annotations

import pytest
import torch

from gaussavatar.image.widening import widened


@pytest.mark.parametrize(("height", "width", "reach"), [(9, 14, 2), (5, 3, 4), (1, 1, 1), (8, 8, 0)])
def test_a_square_of_neighbours_counts(height: int, width: int, reach: int) -> None:
    mask = torch.rand(2, height, width, generator=torch.Generator().manual_seed(0)) - 0.5
    grown = widened(mask, reach)
    for row in range(height):
        for column in range(width):
            rows = slice(max(0, row - reach), row + reach + 1)
            square = mask[:, rows, max(0, column - reach) : column + reach + 1]
            assert torch.equal(grown[:, row, column], square.amax(dim=(1, 2)))
