"""Changing which Gaussians a branch has: every tensor that counts them, and the optimiser's moments with them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from gaussavatar.model.avatar import Branch
from gaussavatar.model.per_gaussian import PerGaussian


def per_gaussian_tensors(branch: Branch) -> dict[str, PerGaussian]:
    """Names below ``branch`` of all parameters and buffers that count Gaussians, as their modules say."""
    layout: dict[str, PerGaussian] = {}
    for module_name, module in branch.named_modules():
        if hasattr(module, "per_gaussian"):
            own: dict[str, PerGaussian] = module.per_gaussian()
            layout |= {f"{module_name}.{name}": place for name, place in own.items()}
    return layout


def taken(tensor: Tensor, source: Int[Tensor, "m"], axis: int, width: int) -> Tensor:
    """The entries of the Gaussians ``source``, in that order, along ``axis`` with ``width`` entries each."""
    apart = tensor.detach().unflatten(axis, (-1, width))
    return apart.index_select(axis, source).flatten(axis, axis + 1).contiguous()


def rearrange(
    branch: Branch,
    source: Int[Tensor, "m"],
    n_moving: int,
    fresh: Bool[Tensor, "m"],
    optimizer: torch.optim.Optimizer | None,
) -> None:
    """Make the branch's Gaussians copies of those at ``source``, and let the moments follow.

    The first ``n_moving`` entries of ``source`` are moving Gaussians, the others are not.
    Adam's moments of ``fresh`` ones begin at zero. Parameters are replaced by new ones, in
    the optimiser too.

    Raises:
        ValueError: a tensor counts neither all Gaussians nor the moving ones.
    """
    total, moving = len(branch.gaussians), branch.gaussians.n_moving
    for name, place in per_gaussian_tensors(branch).items():
        axis, width = place.axis, place.width
        owner_name, _, attribute = name.rpartition(".")
        owner = branch.get_submodule(owner_name)
        tensor: Tensor = getattr(owner, attribute)
        entries = tensor.shape[axis] // width
        if entries not in (total, moving):
            raise ValueError(f"{name} holds {entries} Gaussians of {total}, {moving} of them moving")
        every = entries == total
        chosen, new = (source, fresh) if every else (source[:n_moving], fresh[:n_moving])
        value = taken(tensor, chosen, axis, width)
        if not isinstance(tensor, nn.Parameter):
            setattr(owner, attribute, value)
            continue
        parameter = nn.Parameter(value, requires_grad=tensor.requires_grad)
        setattr(owner, attribute, parameter)
        if optimizer is not None:
            _replace(optimizer, tensor, parameter, chosen, new, axis, width)
    branch.gaussians.n_moving = n_moving


def _replace(
    optimizer: torch.optim.Optimizer,
    old: nn.Parameter,
    new: nn.Parameter,
    source: Tensor,
    fresh: Tensor,
    axis: int,
    width: int,
) -> None:
    """Put ``new`` into the place of ``old`` in the optimiser, with its moments."""
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]
    state = optimizer.state.pop(old, None)
    if not state:
        return
    keep = (~fresh).repeat_interleave(width)
    shape = [1] * old.dim()
    shape[axis] = -1
    for field, value in state.items():
        if torch.is_tensor(value) and value.shape == old.shape:
            moment = taken(value, source, axis, width)
            state[field] = torch.where(keep.view(shape), moment, torch.zeros_like(moment))
    optimizer.state[new] = state


def resize(branch: Branch, count: int, n_moving: int) -> None:
    """Give the branch ``count`` Gaussians, the first ``n_moving`` moving, with values to be filled in afterwards."""
    if (count, n_moving) == (len(branch.gaussians), branch.gaussians.n_moving):
        return
    device = branch.gaussians.means.device
    fixed = torch.full((count - n_moving,), len(branch.gaussians) - 1, device=device)
    source = torch.cat([torch.zeros(n_moving, dtype=fixed.dtype, device=device), fixed])
    rearrange(branch, source, n_moving, torch.ones(count, dtype=torch.bool, device=device), None)
