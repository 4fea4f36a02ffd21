"""Learnt blendshapes: motion linear in the codes and in a few weights that an MLP predicts from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gaussavatar.model.deform.design import DeformationRequest
from gaussavatar.model.outer import OuterGradient
from gaussavatar.model.per_gaussian import PerGaussian


def build(request: DeformationRequest) -> Blendshapes:
    """Blendshapes that start at the landmarks' motion."""
    start = request.start
    return Blendshapes(request.n_codes, request.config.n_free, start.n_moving, request.width, start.position)


class Blendshapes(nn.Module):
    """Motion linear in the codes and in a few free weights that an MLP predicts from them.

    Linear in the codes as in Gaussian blendshapes (RGBAvatar, CVPR 2025, sec. 3.2,
    reduced blendshapes), so that an avatar exports exactly and costs one matrix product.
    """

    def __init__(self, n_codes: int, n_free: int, n_moving: int, width: int, position: Float[Tensor, "c m 3"]) -> None:
        """Start at ``position`` (displacement per unit code, in units of ``MOTION_SCALE``), else zero.

        The first three of the ``width`` channels are the position.
        """
        super().__init__()
        basis = torch.zeros(n_codes + n_free, n_moving, width)
        basis[:n_codes, :, :3] = position
        self.basis = nn.Parameter(basis.reshape(n_codes + n_free, n_moving * width))
        self.width = width
        self.outer: OuterGradient | None = None
        """Takes the basis' gradient in place of ``grad``, where an optimiser has put it there."""
        self.free = nn.Sequential(nn.Linear(n_codes, 32), nn.Tanh(), nn.Linear(32, n_free)) if n_free else None

    def weights(self, codes: Float[Tensor, "b c"]) -> Float[Tensor, "b k"]:
        """Blend weights: the codes and the free weights (in -1..1)."""
        if self.free is None:
            return codes
        return torch.cat([codes, torch.tanh(self.free(codes))], dim=-1)

    def forward(self, codes: Float[Tensor, "b c"], means: Float[Tensor, "m 3"]) -> Float[Tensor, "b m w"]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        return (self.weights(codes) @ self.basis).unflatten(-1, (self.basis.shape[1] // self.width, self.width))

    def product(
        self, codes: Float[Tensor, "b c"]
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, "k mw"], Callable[[Float[Tensor, "b m w"]], None]]:
        """Weights and basis, whose product is the motion, and what the motion is then to be given to.

        Where :attr:`outer` takes the gradient, it learns it from the motion's, and the basis has none.
        """
        weights, outer = self.weights(codes), self.outer
        if outer is None or not (torch.is_grad_enabled() and self.basis.requires_grad):
            return weights, self.basis, _let_be
        # The motion has a gradient only where one of its factors has.
        weights = weights if weights.requires_grad else weights.detach().requires_grad_()

        def watch(motion: Tensor) -> None:
            motion.register_hook(lambda gradient: outer.add(weights.detach(), gradient.flatten(1)))

        return weights, self.basis.detach(), watch

    def per_gaussian(self) -> dict[str, PerGaussian]:
        """See :class:`gaussavatar.model.deform.design.Deformation`."""
        return {"basis": PerGaussian(axis=1, width=self.width)}


def _let_be(motion: Tensor) -> None:
    pass
