"""Steps of Adam for a matrix whose gradient is a few outer products: native on the CPU, and the twin in plain torch.

The gradient of ``weights @ basis`` for the basis has the rank of the batch, and a step along it need not write it: what
a general optimiser spends most of its time on is memory.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gaussavatar.native import abi
from gaussavatar.native.library import load_library


@dataclass(frozen=True)
class AdamStep:
    """What of one step of Adam is the same for all numbers (Kingma and Ba, ICLR 2015, algorithm 1).

    The step is ``value -= rate m / (1 - betas[0]^count) / (sqrt(v / (1 - betas[1]^count)) + epsilon)``, with m and v
    the moving averages of the gradient and of its square.
    """

    rate: float
    betas: tuple[float, float]
    epsilon: float
    count: int
    """Steps so far, this one included."""

    @property
    def corrections(self) -> tuple[float, float]:
        """What the averages lack, because they began at zero, as factors."""
        return 1 - self.betas[0] ** self.count, 1 - self.betas[1] ** self.count


def outer_adam_torch(
    rows: Float[Tensor, "r k"],
    columns: Float[Tensor, "r n"],
    step: AdamStep,
    matrix: Float[Tensor, "k n"],
    mean: Float[Tensor, "k n"],
    square: Float[Tensor, "k n"],
) -> None:
    """A step of ``matrix`` along ``rows.T @ columns``, in place, as its moments are. Any device, any precision."""
    gradient = rows.T @ columns
    first, second = step.corrections
    mean.lerp_(gradient, 1 - step.betas[0])
    square.mul_(step.betas[1]).addcmul_(gradient, gradient, value=1 - step.betas[1])
    matrix.addcdiv_(mean, (square / second).sqrt().add_(step.epsilon), value=-step.rate / first)


def outer_adam_cpu(
    rows: Float[Tensor, "r k"],
    columns: Float[Tensor, "r n"],
    step: AdamStep,
    matrix: Float[Tensor, "k n"],
    mean: Float[Tensor, "k n"],
    square: Float[Tensor, "k n"],
) -> None:
    """The same for contiguous float32 on the CPU, in one pass over memory."""
    first, second = step.corrections
    adam = abi.GaAdam(step.rate / first, second**-0.5, *step.betas, step.epsilon)
    rank, height = rows.shape
    load_library().ga_outer_adam(
        rows.contiguous(), columns.contiguous(), rank, height, matrix.shape[1], adam, matrix, mean, square
    )
