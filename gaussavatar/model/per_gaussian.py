"""Which of a module's tensors hold an entry per Gaussian, for whoever changes the set of Gaussians."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PerGaussian:
    """Where a tensor keeps its Gaussians: along ``axis``, ``width`` neighbouring entries for each.

    Densification and pruning (``training/densify.py``) call ``per_gaussian()`` of every module
    below a branch that has it and rearrange the parameters and buffers that it names. How many
    entries the axis has tells whether a tensor holds all Gaussians or only the moving ones.
    """

    axis: int = 0
    width: int = 1
