"""What no frame shows of the head: colours for hidden Gaussians, and a backing that closes the gaps between them.

Training leaves Gaussians that hardly any frame shows with whatever colour they had, and nothing at all where nothing
was seen. From the side both come into view. So, after training, hidden Gaussians take the colours of well-seen
neighbours, and opaque Gaussians are laid a little under the skin of the tracked head wherever no frame sees them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from gaussavatar.head.model import HeadModel
from gaussavatar.image.widening import widened
from gaussavatar.mesh.sampling import draw_triangles
from gaussavatar.mesh.surface import area_normals, closest_points
from gaussavatar.model.avatar import AvatarModel, Branch
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.semantics import BLUR
from gaussavatar.render.torch_oracle import rotation_from_quats
from gaussavatar.training.config import LossConfig
from gaussavatar.training.data import Clip, load_batch
from gaussavatar.training.resample import rearrange
from gaussavatar.types import Activated, Cameras

VIEWS = 48
"""Training frames that are looked through: even over the clip, the widest mouths and the most closed lids."""

PER_LAUNCH = 4
"""Frames rendered at once."""

HIDDEN, SEEN = 0.004, 0.025
"""Share of a Gaussian's own footprint that frames show: up to the first it takes its neighbours' colour, from the
second on it keeps its own; in between, part of both."""

DONOR = 0.1
"""The same away from the rim of the matte, from which on a Gaussian lends its colour to others."""

EDGE = 0.025
"""Width of the rim of the head's matte, in image widths, whose colours may be the background's: no donor there."""

NEIGHBOURS = 16
"""Well-seen Gaussians whose median colour a hidden one takes."""

LARGEST = 1.5
"""Largest standard deviation of a hidden Gaussian, in its neighbours' largest: needles stick out from the side."""

DEPTH = 6e-3
"""Metres between the head's skin and the backing."""

FRONTAL = 0.55
"""Cosine of the skin's normal with the line ahead from which on the clip shows the skin and nothing has to back it."""

BACKED_REGIONS = ("scalp", "face", "ear")
"""Regions of the head model under which the backing lies."""

FARTHEST_HAIR = 0.04
"""Metres from the scalp within which a Gaussian may be hair."""

JAW = 0.045
"""Metres above the chin's lowest point below which there is no backing: the jaw moves, the backing does not."""

SHOWN, TOLERATED = 8e-3, 2e-2
"""Share of a backing Gaussian's footprint in the training frames from which on it goes again; and up to which the rest
may then be seen."""

OPACITY = 0.95
"""Opacity of the backing."""


@dataclass(frozen=True)
class Visibility:
    """How much of every Gaussian's own footprint the frames show, mean over frames."""

    share: Float[Tensor, "n"]
    inside: Float[Tensor, "n"]
    """The same away from the rim of the head's matte."""


def viewed_frames(clip: Clip) -> Int[np.ndarray, "v"]:
    """Training frames to look through."""
    usable = np.flatnonzero(clip.usable[: clip.n_train])
    even = usable[np.linspace(0, len(usable) - 1, min(VIEWS // 2, len(usable))).round().astype(int)]
    widest = usable[np.argsort(clip.motion.aperture[usable])[-VIEWS // 4 :]]
    closed = usable[np.argsort(clip.motion.upper[usable, 0])[-VIEWS // 4 :]]
    return np.unique(np.concatenate([even, widest, closed]))


def visibility(model: AvatarModel, rasterizer: Rasterizer, clip: Clip, frames: Int[np.ndarray, "v"]) -> Visibility:
    """How much of the face branch's Gaussians the frames show.

    A picture is linear in the colours, so the gradient of its sum by a Gaussian's colour is the sum of its blending
    weights over all pixels; the footprint is what that sum would be with nothing before it.
    """
    device, count = model.face.gaussians.means.device, len(model.face.gaussians)
    sums = torch.zeros(3, count, device=device)
    rim = max(1, round(EDGE * clip.size))
    for start in range(0, len(frames), PER_LAUNCH):
        batch = load_batch(clip, frames[start : start + PER_LAUNCH], LossConfig(), device)
        cameras = batch.cameras
        with torch.no_grad():
            face, _, _ = model.activate(batch.mouth_codes, batch.upper, T_camera_world=cameras.T_camera_world)
        colors = torch.zeros_like(face.colors).requires_grad_(True)
        image = rasterizer(replace(face, colors=colors), cameras).rgb
        interior = 1 - widened(1 - batch.head, rim)
        for row, picture in enumerate((image.sum(), (image * interior[..., None]).sum())):
            (weights,) = torch.autograd.grad(picture, colors, retain_graph=row == 0)
            sums[row] += weights.mean(dim=-1).sum(dim=0)
        sums[2] += (face.opacities * footprints(face, cameras)).sum(dim=0)
    return Visibility(*(sums[:2] / sums[2].clamp_min(1e-9)).cpu())


def footprints(gaussians: Activated, cameras: Cameras) -> Float[Tensor, "b n"]:
    """Integral over all pixels of opaque Gaussians with nothing before them, as the rasterizer widens them.

    Perspective is neglected within a Gaussian.
    """
    R, t = cameras.T_camera_world[:, :3, :3], cameras.T_camera_world[:, :3, 3]
    depth = (gaussians.means @ R[:, 2, :, None])[..., 0] + t[:, 2, None]
    turned = rotation_from_quats(gaussians.quats.flatten(0, 1)).unflatten(0, gaussians.quats.shape[:2])
    axes = (R[:, None, :2] @ turned) * gaussians.scales[..., None, :]
    covariance = (axes @ axes.mT) * (cameras.K[:, 0, 0, None] / depth)[..., None, None] ** 2
    a, b, c = covariance[..., 0, 0] + BLUR, covariance[..., 0, 1], covariance[..., 1, 1] + BLUR
    return 2 * torch.pi * (a * c - b * b).clamp_min(0).sqrt()


@dataclass(frozen=True)
class Donors:
    """Well-seen Gaussians and what the others take from them."""

    tree: cKDTree
    index: Int[np.ndarray, "d"]

    def near(self, points: Float[np.ndarray, "n 3"]) -> Int[Tensor, "n k"]:
        """Gaussians whose median counts at each point, the nearest first."""
        _, found = self.tree.query(points, k=NEIGHBOURS)
        return torch.from_numpy(self.index[found])


def donors_of(branch: Branch, seen: Visibility) -> Donors | None:
    """The branch's Gaussians that frames show well, away from the matte's rim; None where they are too few."""
    index = np.flatnonzero(seen.inside.numpy() > DONOR)
    if len(index) < 4 * NEIGHBOURS:
        return None
    return Donors(cKDTree(branch.gaussians.means.detach().cpu().numpy()[index]), index)


def _look(branch: Branch) -> list[Tensor]:
    """The tensors that say what colour a Gaussian has."""
    shading = [] if branch.shading is None else [branch.shading.slopes]
    return [branch.gaussians.colors, *shading]


def recolour_hidden(branch: Branch, seen: Visibility, donors: Donors) -> None:
    """Give hidden Gaussians the median colour, and no more than the size, of well-seen neighbours."""
    gaussians = branch.gaussians
    hidden = torch.nonzero(seen.share < SEEN)[:, 0]
    if len(hidden) == 0:
        return
    device = gaussians.means.device
    near = donors.near(gaussians.means.detach().cpu().numpy()[hidden.numpy()]).to(device)
    keep = ((seen.share[hidden] - HIDDEN) / (SEEN - HIDDEN)).clamp(0, 1)[:, None].to(device)
    hidden = hidden.to(device)
    with torch.no_grad():
        for tensor in _look(branch):
            tensor[hidden] = torch.lerp(tensor[near].median(dim=1).values, tensor[hidden], keep)
        largest = gaussians.log_scales.max(dim=1).values[near].median(dim=1).values + float(np.log(LARGEST))
        small = torch.minimum(gaussians.log_scales[hidden], largest[:, None])
        gaussians.log_scales[hidden] = torch.where(keep < 0.5, small, gaussians.log_scales[hidden])


@dataclass(frozen=True)
class Backing:
    """Where Gaussians are laid that close what no frame shows."""

    on_skin: Float[np.ndarray, "n 3"]
    """Points of the head's skin above them, head space, metres."""
    normal: Float[np.ndarray, "n 3"]
    """Of the skin there, outward."""
    haired: Bool[np.ndarray, "n"]
    """Those of the scalp."""
    spacing: float
    """Metres between them."""


def backing_places(head: HeadModel, lowest: float, count: int, seed: int) -> Backing:
    """Places on the skin at the sides and the back of the head above ``lowest``.

    Args:
        head: the person's head in head space (x to the image's right, y down, z away from the camera).
        lowest: y in metres below which there is no backing: the jaw moves.
        count: points asked for.
        seed: of where they lie.
    """
    backed = head.triangle_region(*BACKED_REGIONS)
    corners = head.template.astype(np.float64)[head.triangles[backed]]
    normal = area_normals(corners)
    double = np.linalg.norm(normal, axis=1)
    normal /= np.maximum(double, 1e-12)[:, None]
    area = double / 2 * ((-normal[:, 2] < FRONTAL) & (corners[..., 1].mean(axis=1) < lowest))
    if area.sum() == 0:
        return Backing(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, bool), 0.0)
    random = np.random.default_rng(seed)
    chosen = draw_triangles(area, count, random)
    places = random.dirichlet((1.0, 1.0, 1.0), count)
    points = np.einsum("nk,nkd->nd", places, corners[chosen])
    haired = head.triangle_region("scalp")[backed][chosen]
    return Backing(points, normal[chosen], haired, float(np.sqrt(area.sum() / count)))


@dataclass(frozen=True)
class _Hair:
    """Well-seen Gaussians that are hair, and how far before the scalp each of them lies, metres."""

    donors: Donors
    height: Float[np.ndarray, "d"]


def _hair(branch: Branch, head: HeadModel, donors: Donors) -> _Hair | None:
    """Those of the donors that are nearest to the scalp; None where they are too few to tell."""
    triangles = head.triangles[head.triangle_region("scalp", "face", "ear")]
    vertices = head.template.astype(np.float64)
    means = branch.gaussians.means.detach().cpu().numpy()[donors.index].astype(np.float64)
    found = closest_points(means, vertices, triangles)
    corners = triangles[found.face]
    on_scalp = head.region("scalp")[corners].all(axis=1) & (found.distance < FARTHEST_HAIR)
    if on_scalp.sum() < 4 * NEIGHBOURS:
        return None
    normal = area_normals(vertices[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    on_skin = np.einsum("nk,nkd->nd", found.barycentrics, vertices[corners])
    height = ((means - on_skin) * normal).sum(axis=1)
    return _Hair(Donors(cKDTree(means[on_scalp]), donors.index[on_scalp]), height[on_scalp])


def _laid(
    branch: Branch, head: HeadModel, backing: Backing, donors: Donors
) -> tuple[Float[np.ndarray, "n 3"], Int[Tensor, "n k"]]:
    """Where the backing lies, and the Gaussians that it takes its colours from.

    Under skin it lies :data:`DEPTH` deep. On the scalp it is hair: as high as the hair that frames show nearby, in the
    colours of hair alone.
    """
    points = backing.on_skin - DEPTH * backing.normal
    near = donors.near(points)
    hair = _hair(branch, head, donors)
    if hair is not None and backing.haired.any():
        on = backing.haired
        _, found = hair.donors.tree.query(backing.on_skin[on], k=NEIGHBOURS)
        height = np.median(hair.height[found], axis=1)
        points[on] = backing.on_skin[on] + height[:, None] * backing.normal[on]
        near[torch.from_numpy(on)] = torch.from_numpy(hair.donors.index[found])
    return points, near


def _append(branch: Branch, points: np.ndarray, spacing: float, near: Int[Tensor, "n k"]) -> None:
    """Add opaque Gaussians at ``points`` in the median colours of those that are near.

    They are still, but where all of the branch's Gaussians move: then they move as their nearest neighbour does.
    """
    count, device = len(branch.gaussians), branch.gaussians.means.device
    near = near.to(device)
    source = torch.cat([torch.arange(count, device=device), near[:, 0]])
    colours = [tensor.detach()[near].median(dim=1).values for tensor in _look(branch)]
    fresh = torch.zeros(len(source), dtype=torch.bool, device=device)
    moving = branch.gaussians.n_moving
    rearrange(branch, source, len(source) if moving == count else moving, fresh, None)
    gaussians = branch.gaussians
    with torch.no_grad():
        gaussians.means[count:] = torch.from_numpy(points).to(gaussians.means)
        gaussians.quats[count:] = torch.tensor([1.0, 0, 0, 0], device=device)
        gaussians.log_scales[count:] = float(np.log(0.8 * spacing))
        gaussians.logit_opacities[count:] = float(np.log(OPACITY / (1 - OPACITY)))
        for tensor, colour in zip(_look(branch), colours, strict=True):
            tensor[count:] = colour


def _keep(branch: Branch, kept: Int[Tensor, "k"]) -> None:
    """Remove all other Gaussians."""
    kept = kept.to(branch.gaussians.means.device)
    still = branch.gaussians.n_moving < len(branch.gaussians)
    fresh = torch.zeros(len(kept), dtype=torch.bool, device=kept.device)
    rearrange(branch, kept, branch.gaussians.n_moving if still else len(kept), fresh, None)


def complete_unseen(
    model: AvatarModel, rasterizer: Rasterizer, clip: Clip, head: HeadModel | None, count: int, seed: int
) -> int:
    """Recolour what is hidden and lay at most ``count`` Gaussians under the head's skin; returns how many.

    The training frames stay as they are, but for what the hidden added to them.
    """
    frames, branch = viewed_frames(clip), model.face
    seen = visibility(model, rasterizer, clip, frames)
    donors = donors_of(branch, seen)
    if donors is None:
        return 0
    recolour_hidden(branch, seen, donors)
    if head is None or count == 0:
        return 0
    before = len(branch.gaussians)
    lowest = float(clip.tracking.shape[:, 1].max()) - JAW
    backing = backing_places(head, lowest, count, seed)
    if len(backing.on_skin):
        points, near = _laid(branch, head, backing, donors)
        _append(branch, points, backing.spacing, near)
    while len(branch.gaussians) > before:
        # What goes uncovers others behind it, so this is looked at again until nearly nothing of the backing is seen.
        share = visibility(model, rasterizer, clip, frames).share[before:]
        if float(share.max()) <= TOLERATED:
            break
        _keep(branch, torch.cat([torch.arange(before), before + torch.nonzero(share <= SHOWN)[:, 0]]))
    return len(branch.gaussians) - before
