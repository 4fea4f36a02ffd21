"""Growing and pruning: one strategy for every rasterizer.

It needs nothing of a backend but the gradient of the world-space means. A Gaussian's screen
position is ``u = f x / z + c`` at the camera point p = (x, y, z), with the Jacobian
J = f / z [[1, 0, -x / z], [0, 1, -y / z]]. What the loss gains by moving the Gaussian on the
screen reaches the mean as g = J^T dL/du, and J p = 0: it is perpendicular to the ray through
the Gaussian, and near the axis |g| = (f / z) |dL/du|. So |dL/du| = |g_perp| z / f, where g_perp
leaves out the part along the ray, through which only the size on the screen changes (|g x p| / |p|). Times half
the image's width it is the gradient per half image, the unit of the published thresholds (Kerbl
et al. 2023, sec. 5.2), independent of resolution; times the batch size it is a single frame's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gaussavatar.model.avatar import AvatarImage, AvatarModel, Branch
from gaussavatar.training.config import DensifyConfig, StageConfig
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.training.resample import rearrange
from gaussavatar.types import Activated, Cameras

SPLIT_SHRINK = 1.6
"""A split Gaussian's halves are smaller by this factor (Kerbl et al. 2023, sec. 5.2)."""

FEWEST = 16
"""Gaussians that pruning leaves in a branch."""

INSIDE = 0.1
"""Head mask from which on a pixel counts as head."""


@dataclass(frozen=True)
class Change:
    """What a refinement did to one branch."""

    cloned: int
    split: int
    pruned: int
    count: int


def screen_gradient(
    gradient: Float[Tensor, "b n 3"], means: Float[Tensor, "b n 3"], cameras: Cameras
) -> Float[Tensor, "b n"]:
    """Norm of the loss's gradient by the position on the screen, in half image widths; see the module."""
    T_camera_world = cameras.T_camera_world.to(means.dtype)
    R_camera_world, t = T_camera_world[:, :3, :3], T_camera_world[:, :3, 3:]
    ray = means + (R_camera_world.transpose(1, 2) @ t).transpose(1, 2)
    # Coordinate by coordinate: in rows of three a CPU takes three times as long.
    x, y, z = ray.movedim(-1, 0).contiguous()
    a, b, c = gradient.movedim(-1, 0).contiguous()
    ahead = R_camera_world[:, 2, :, None].movedim(1, 0)
    depth = (x * ahead[0] + y * ahead[1] + z * ahead[2]).clamp_min(0)
    across = (b * z - c * y).square() + (c * x - a * z).square() + (a * y - b * x).square()
    half_widths = cameras.width * means.shape[0] / (cameras.K[:, 0, 0] + cameras.K[:, 1, 1]).to(means.dtype)
    return (across / (x * x + y * y + z * z).clamp_min(1e-12)).sqrt() * depth * half_widths[:, None]


class GrowthStatistics:
    """Screen gradients since the last refinement: their sum and in how many frames there was one, by branch."""

    def __init__(self, model: AvatarModel, stage: StageConfig) -> None:
        self._branches = growing_branches(model, stage)
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        self.clear()

    def clear(self) -> None:
        """Begin anew, with as many entries as there are Gaussians now."""
        for name, branch in self._branches.items():
            means = branch.gaussians.means
            self.sums[name] = torch.zeros(len(means), device=means.device)
            self.counts[name] = torch.zeros(len(means), device=means.device)

    def watch(self, rendered: AvatarImage) -> None:
        """Have autograd keep the gradients of the means; before the backward pass."""
        for means in self._means(rendered).values():
            means.retain_grad()

    def add(self, rendered: AvatarImage, cameras: Cameras) -> None:
        """Take in what the backward pass left. A Gaussian without a gradient was not seen."""
        for name, means in self._means(rendered).items():
            if means.grad is not None:
                norms = screen_gradient(means.grad, means.detach(), cameras).float()
                self.sums[name] += norms.sum(0)
                self.counts[name] += (norms > 0).sum(0)

    def mean(self, name: str) -> Float[Tensor, "n"]:
        """Mean gradient over the frames that saw the Gaussian."""
        return self.sums[name] / self.counts[name].clamp_min(1)

    def _means(self, rendered: AvatarImage) -> dict[str, Tensor]:
        pairs = zip(("face", "mouth"), rendered.gaussians, strict=True)
        return {name: g.means for name, g in pairs if name in self._branches and g.means.requires_grad}

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {f"{name}.sums": value for name, value in self.sums.items()} | {
            f"{name}.counts": value for name, value in self.counts.items()
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        for name in self._branches:
            if f"{name}.sums" in state and state[f"{name}.sums"].shape == self.sums[name].shape:
                self.sums[name].copy_(state[f"{name}.sums"])
                self.counts[name].copy_(state[f"{name}.counts"])


def branches(model: AvatarModel) -> dict[str, Branch]:
    """The branches that can grow, by name."""
    return {"face": model.face, "mouth": model.mouth}


def growing_branches(model: AvatarModel, stage: StageConfig) -> dict[str, Branch]:
    """The branches that a stage trains and refines, by name."""
    parts = (stage.densify or DensifyConfig()).parts
    return {name: branch for name, branch in branches(model).items() if name in stage.train and name in parts}


def is_due(config: DensifyConfig | None, done: int) -> bool:
    """Whether a refinement follows after ``done`` steps of the stage."""
    return config is not None and config.start <= done < config.stop and done % config.every == 0


def opacity_threshold(config: DensifyConfig, done: int, iterations: int) -> float:
    """Opacity below which a Gaussian goes after ``done`` steps of the stage's ``iterations``."""
    last = min(config.stop, iterations)
    share = min(1.0, max(0.0, (done - config.start) / max(1, last - config.start)))
    return config.prune_opacity_start + share * (config.prune_opacity_end - config.prune_opacity_start)


def refine(
    model: AvatarModel,
    growth: GrowthStatistics,
    stage: StageConfig,
    done: int,
    clip: Clip,
    optimizer: torch.optim.Optimizer,
    seed: int,
) -> dict[str, Change]:
    """Prune and grow every trained branch after ``done`` steps; the same seed makes the same draws."""
    config = stage.densify
    assert config is not None
    generator = torch.Generator().manual_seed(seed)
    changes = {}
    for name, branch in growing_branches(model, stage).items():
        if len(branch.gaussians) == 0:
            continue
        rest = at_rest(branch)
        doomed = to_prune(rest, config, opacity_threshold(config, done, stage.iterations))
        if config.prune_background:
            doomed |= outside_the_head(rest.means, clip, config)
        growing, cap = growth.mean(name), config.cap_face if name == "face" else config.cap_mouth
        threshold = config.grow_face if name == "face" else config.grow_mouth
        changes[name] = _apply(branch, rest, doomed, growing, threshold, cap, config, optimizer, generator)
    growth.clear()
    return changes


def at_rest(branch: Branch) -> Activated:
    """The branch's Gaussians without motion, each tensor without the batch dimension."""
    with torch.no_grad():
        gaussians = branch.gaussians
        codes = gaussians.means.new_zeros(1, 1)
        still, _ = branch(codes, True)
    return Activated(*(getattr(still, name)[0] for name in ("means", "quats", "scales", "opacities", "colors")))


def to_prune(rest: Activated, config: DensifyConfig, opacity: float) -> Bool[Tensor, "n"]:
    """Gaussians that are nearly transparent, too large, or no numbers."""
    numbers = torch.cat([rest.means, rest.scales, rest.quats, rest.colors, rest.opacities[:, None]], dim=-1)
    return (rest.opacities < opacity) | (rest.scales.amax(-1) > config.largest) | ~torch.isfinite(numbers).all(-1)


def outside_the_head(means: Float[Tensor, "n 3"], clip: Clip, config: DensifyConfig) -> Bool[Tensor, "n"]:
    """Gaussians whose place lies outside the head mask in most of a few training frames.

    What is seen of them there is background that they have learnt. Published runs paint the
    background green and prune by colour; a mask needs no colour that nobody may wear.
    """
    usable = np.flatnonzero(clip.usable[: clip.n_train])
    chosen = usable[np.linspace(0, len(usable) - 1, min(config.background_views, len(usable))).round().astype(int)]
    cameras = cameras_of(clip.tracking, chosen, clip.size)
    places = means.detach().cpu().double()
    outside = torch.zeros(len(places))
    for row, index in enumerate(chosen):
        T = cameras.T_camera_world[row].double()
        point = places @ T[:3, :3].T + T[:3, 3]
        pixel = point @ cameras.K[row].double().T
        xy = (pixel[:, :2] / pixel[:, 2:].clamp_min(1e-6)).nan_to_num(-1.0).floor().long()
        within = ((xy >= 0) & (xy < clip.size)).all(-1)
        xy = xy.clamp(0, clip.size - 1)
        head = torch.from_numpy(clip.masks.read(int(index)))[..., 0]
        outside += ~(within & (head[xy[:, 1], xy[:, 0]] >= 255 * INSIDE))
    return (outside >= config.background_share * len(chosen)).to(means.device)


def _apply(
    branch: Branch,
    rest: Activated,
    doomed: Bool[Tensor, "n"],
    growing: Float[Tensor, "n"],
    threshold: float,
    cap: int,
    config: DensifyConfig,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Change:
    """Prune ``doomed``, then split or clone those above ``threshold``, up to ``cap`` in all."""
    count, n_moving = len(branch.gaussians), branch.gaussians.n_moving
    if count - int(doomed.sum()) < min(FEWEST, count):
        # The most opaque stay: a branch that all but vanished is not made better by an empty one.
        best = rest.opacities.nan_to_num(0.0).argsort(descending=True, stable=True)[:FEWEST]
        doomed = doomed.clone()
        doomed[best] = False
    kept = (~doomed).nonzero()[:, 0]
    room = max(0, cap - len(kept))
    wanted = ((growing >= threshold) & ~doomed).nonzero()[:, 0]
    wanted = wanted[growing[wanted].argsort(descending=True, stable=True)][:room].sort().values
    splits = rest.scales[wanted].amax(-1) > config.split_scale
    source, moving, fresh, halves, twins = _order(kept, wanted, splits, n_moving)
    rearrange(branch, source, moving, fresh, optimizer)
    _separate(branch, halves, generator)
    if config.revised_opacity:
        _share_opacity(branch, twins)
    split = int(splits.sum())
    return Change(len(wanted) - split, split, int(doomed.sum()), len(source))


def _order(
    kept: Int[Tensor, "k"], wanted: Int[Tensor, "w"], splits: Bool[Tensor, "w"], n_moving: int
) -> tuple[Tensor, int, Tensor, Tensor, Tensor]:
    """Where each new Gaussian comes from: moving ones first, in each half the kept before the born.

    Returns the sources, how many of them move, which begin with fresh moments (the born, and
    both halves of a split), the places of both halves, and those of clones and their parents.
    """
    parents = torch.cat([kept[kept < n_moving], wanted[wanted < n_moving]])
    moving = len(parents)
    source = torch.cat([parents, kept[kept >= n_moving], wanted[wanted >= n_moving]])
    born = torch.zeros(len(source), dtype=torch.bool, device=source.device)
    born[int((kept < n_moving).sum()) : moving] = True
    born[len(source) - int((wanted >= n_moving).sum()) :] = True
    splitting = torch.isin(source, wanted[splits])
    cloning = torch.isin(source, wanted[~splits])
    return source, moving, born | splitting, splitting.nonzero()[:, 0], cloning.nonzero()[:, 0]


def _separate(branch: Branch, halves: Int[Tensor, "h"], generator: torch.Generator) -> None:
    """Put both halves of every split somewhere inside their parent, drawn from it, and shrink them."""
    gaussians = branch.gaussians
    with torch.no_grad():
        noise = torch.randn(len(halves), 3, generator=generator).to(gaussians.means)
        local = noise * gaussians.log_scales[halves].exp()
        gaussians.means[halves] += rotated(local, gaussians.quats[halves])
        gaussians.log_scales[halves] -= math.log(SPLIT_SHRINK)


def _share_opacity(branch: Branch, twins: Int[Tensor, "t"]) -> None:
    """Give clones and parents the opacity of which two in a row make the parent's: 1 - sqrt(1 - a)."""
    logits = branch.gaussians.logit_opacities
    with torch.no_grad():
        half = 1 - (1 - logits[twins].sigmoid()).sqrt()
        logits[twins] = torch.logit(half, eps=1e-6)


def rotated(vectors: Float[Tensor, "n 3"], quats: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3"]:
    """Vectors turned by quaternions (wxyz, of any length): v + 2 w (u x v) + 2 u x (u x v)."""
    unit = torch.nn.functional.normalize(quats, dim=-1)
    u = unit[:, 1:]
    twice = 2 * torch.linalg.cross(u, vectors)
    return vectors + unit[:, :1] * twice + torch.linalg.cross(u, twice)
