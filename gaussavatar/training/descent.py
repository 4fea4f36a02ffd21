"""The optimiser: torch's Adam, and a step of its own for matrices whose gradient comes as outer products."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.outer import OuterGradient
from gaussavatar.native.descent import AdamStep
from gaussavatar.native.operations import OPERATIONS

EPSILON = 1e-15

MEMORY = 0.999
"""Decay of Adam's mean of squares."""


class Descent(torch.optim.Adam):
    """Adam over groups of parameters that are named ``part:rate``.

    The bases of ``outer`` take their steps along :class:`OuterGradient`, equal to torch's but for rounding: with a
    basis of millions of numbers and batches of two, writing and reading the gradient is a seventh of a training step.
    """

    def __init__(
        self, groups: Mapping[str, list[nn.Parameter]], motion_memory: float = MEMORY, outer: Sequence[Blendshapes] = ()
    ) -> None:
        named = [
            {"params": params, "name": name, "betas": (0.9, motion_memory if "_motion:" in name else MEMORY)}
            for name, params in groups.items()
        ]
        super().__init__(named, lr=0.0, eps=EPSILON, fused=True)
        self._outer = tuple(outer)
        for blendshapes in self._outer:
            blendshapes.outer = OuterGradient()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        super().zero_grad(set_to_none)
        for blendshapes in self._outer:
            if blendshapes.outer is not None:
                blendshapes.outer.clear()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of all parameters that have a gradient."""
        result = super().step(closure) if closure is not None else super().step()
        groups = {id(parameter): group for group in self.param_groups for parameter in group["params"]}
        for blendshapes in self._outer:
            if blendshapes.outer:
                self._outer_step(blendshapes, groups[id(blendshapes.basis)])
        return result

    def _outer_step(self, blendshapes: Blendshapes, group: Mapping[str, Any]) -> None:
        basis, outer = blendshapes.basis, blendshapes.outer
        assert outer is not None
        state = self.state[basis]
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(basis), torch.zeros_like(basis)
        state["step"] += 1
        step = AdamStep(group["lr"], group["betas"], group["eps"], int(state["step"]))
        OPERATIONS["outer_adam"](*outer.factors, step, basis.detach(), state["exp_avg"], state["exp_avg_sq"])


def gradients(optimizer: torch.optim.Optimizer) -> list[list[Tensor | OuterGradient]]:
    """Of every group, the gradients that there are."""
    outer: dict[int, OuterGradient | None] = {}
    if isinstance(optimizer, Descent):
        outer = {id(blendshapes.basis): blendshapes.outer for blendshapes in optimizer._outer}
    return [
        [g for g in (outer.get(id(p)) or p.grad for p in group["params"]) if g is not None]
        for group in optimizer.param_groups
    ]
