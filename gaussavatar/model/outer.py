"""The gradient of a matrix as the outer products that it is a sum of."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


class OuterGradient:
    """Gathers, while gradients flow back, the factors of a matrix' gradient, ``rows.T @ columns``.

    It stands where ``grad`` would: a product with a matrix of k rows and n columns for a batch of b has a gradient of k
    n numbers that b (k + n) say.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []
        self._columns: list[Tensor] = []

    def add(self, rows: Float[Tensor, "b k"], columns: Float[Tensor, "b n"]) -> None:
        """Add the outer products of the rows of both."""
        self._rows.append(rows)
        self._columns.append(columns)

    def clear(self) -> None:
        """No gradient."""
        self._rows.clear()
        self._columns.clear()

    def __bool__(self) -> bool:
        return bool(self._rows)

    @property
    def factors(self) -> tuple[Float[Tensor, "r k"], Float[Tensor, "r n"]]:
        """The rows of both factors, one below the other."""
        if len(self._rows) == 1:
            return self._rows[0], self._columns[0]
        return torch.cat(self._rows), torch.cat(self._columns)

    def norm(self) -> Float[Tensor, ""]:
        """The Euclidean norm of the gradient: that of a product follows from the factors' own products."""
        rows, columns = (factor.double() for factor in self.factors)
        return ((rows @ rows.T) * (columns @ columns.T)).sum().clamp_min(0).sqrt()

    def mul_(self, factor: Tensor) -> None:
        """Multiply the gradient by a number, in place."""
        self._rows = [rows * factor.to(rows) for rows in self._rows]
