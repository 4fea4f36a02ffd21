"""Frames, cameras, codes and weights of a clip as batches of tensors; frames stay on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gaussavatar.audio.targets import closed_mean
from gaussavatar.errors import UserError
from gaussavatar.landmarks.indices import LEFT_EYE, LIPS_OUTER, RIGHT_EYE
from gaussavatar.segmentation.records import Segmentation
from gaussavatar.storage import FrameStore
from gaussavatar.training.config import LossConfig, StageConfig
from gaussavatar.training.windows import Windows
from gaussavatar.types import Cameras, FaceMotion, Landmarks, Tracking

WINDOW = 0.3
"""Share of the range of openings that incremental sampling looks at (TalkingGaussian, ECCV 2024: .3 and .15)."""


@dataclass(frozen=True)
class Batch:
    """Supervision of a few frames; images in 0..1."""

    frames: Float[Tensor, "b h w 3"]
    under: Float[Tensor, "b h w 3"]
    head: Float[Tensor, "b h w"]
    inside: Float[Tensor, "b h w"]
    weight: Float[Tensor, "b h w"]
    cameras: Cameras
    mouth_codes: Float[Tensor, "b m"]
    upper: Float[Tensor, "b u"]
    shares: tuple[float, float] = (1.0, 1.0)
    """What the images hold of their frames' pixels, and of the sum of their frames' weights."""


@dataclass(frozen=True)
class Clip:
    """A prepared clip: frame stores at the training size and what tracking found."""

    frames: FrameStore
    masks: FrameStore
    under: FrameStore
    size: int
    tracking: Tracking
    motion: FaceMotion
    boxes: Float[np.ndarray, "n 3 4"]
    """Mouth, right eye and left eye: x0, y0, x1, y1 in pixels at ``size``."""
    usable: Bool[np.ndarray, "n"]
    n_train: int
    """Frames before this one may be trained on; the rest is held out."""
    heads: Int[np.ndarray, "n 4"] | None = None
    """Head masks of training frames: x0, y0, x1, y1 in pixels at ``size``; where none was looked for, zeros."""

    def __len__(self) -> int:
        return len(self.frames)


def region_boxes(landmarks: Landmarks, size: int) -> Float[np.ndarray, "n 3 4"]:
    """Boxes of mouth and eyes with a margin, in pixels of an image of side ``size``."""
    boxes = []
    for indices, margin in ((LIPS_OUTER, 0.3), (RIGHT_EYE, 0.4), (LEFT_EYE, 0.4)):
        points = landmarks.points[:, list(indices), :2] * (size / landmarks.size)
        low, high = points.min(axis=1), points.max(axis=1)
        border = margin * (high - low).max(axis=1, keepdims=True)
        boxes.append(np.concatenate([low - border, high + border], axis=1))
    return np.clip(np.stack(boxes, axis=1), 0, size)


def open_clip(
    segmentation: Segmentation, tracking: Tracking, motion: FaceMotion, landmarks: Landmarks, held_out: float
) -> Clip:
    """Join what the stages wrote."""
    count = segmentation.n_frames
    return Clip(
        frames=segmentation.frames(),
        masks=segmentation.masks(),
        under=segmentation.under(),
        size=segmentation.size,
        tracking=tracking,
        motion=motion,
        boxes=region_boxes(landmarks, segmentation.size),
        usable=tracking.valid.astype(bool),
        n_train=count - max(1, round(count * held_out)),
    )


FAINT, PRESENT = 2, 127
"""Values of a head mask above which a pixel counts as touched by the head, and as the head's."""


def head_boxes(clip: Clip) -> Int[np.ndarray, "n 4"]:
    """Boxes around the head masks of the frames that may be trained on; zeros where the mask has no head."""
    boxes = np.zeros((len(clip), 4), int)
    for index in np.flatnonzero(clip.usable[: clip.n_train]):
        mask = clip.masks.read_channel(int(index), 0)
        if mask.max() <= PRESENT:
            continue
        ends = [np.flatnonzero((mask > FAINT).any(axis))[[0, -1]] for axis in (0, 1)]
        boxes[index] = ends[0][0], ends[1][0], ends[0][1] + 1, ends[1][1] + 1
    return boxes


def without_mouth(clip: Clip) -> Bool[np.ndarray, "n"]:
    """Training frames whose mouth's box is empty; false beyond ``n_train``."""
    x0, y0, x1, y1 = clip.boxes[:, 0].astype(int).T
    return ((x1 <= x0) | (y1 <= y0)) & (np.arange(len(clip)) < clip.n_train)


def leave_out_empty(clip: Clip, say: Callable[[str], None]) -> Clip:
    """The clip without training frames that have nothing to learn from; ``say`` is told how many those are.

    Raises:
        UserError: no training frame is left.
    """
    heads, no_mouth = head_boxes(clip), without_mouth(clip)
    no_head = (heads[:, 2] == 0) & (np.arange(len(clip)) < clip.n_train)
    usable = clip.usable & ~no_head & ~no_mouth
    for what, found in (("an empty head mask", no_head), ("no mouth in the picture", no_mouth)):
        count = int((found & clip.usable).sum())
        if count:
            say(f"{count} of {int(clip.usable[: clip.n_train].sum())} training frames left out: {what}")
    if not usable[: clip.n_train].any():
        raise UserError(
            "training frames with a face",
            f"none of {clip.n_train} (no face found, an empty head mask, or no mouth in the picture)",
            "film the whole face in good light, or look at capture/quality.html",
        )
    return replace(clip, usable=usable, heads=heads)


def cameras_of(tracking: Tracking, indices: np.ndarray, size: int) -> Cameras:
    """The cameras of some frames for square images of side ``size``."""
    T_camera_world = np.tile(np.eye(4, dtype=np.float32), (len(indices), 1, 1))
    T_camera_world[:, :3, :3] = tracking.R_camera_head[indices]
    T_camera_world[:, :3, 3] = tracking.t_camera_head[indices]
    K = tracking.K * np.array([[size / tracking.size], [size / tracking.size], [1]])
    K_batch = torch.tensor(K, dtype=torch.float32).expand(len(indices), 3, 3)
    return Cameras(torch.from_numpy(T_camera_world), K_batch, size, size)


def load_batch(clip: Clip, indices: np.ndarray, losses: LossConfig, device: torch.device | None = None) -> Batch:
    """Read the frames ``indices`` from disk, to ``device`` or the CPU."""
    return BatchReader(clip, losses, device or torch.device("cpu")).read(indices)


class BatchReader:
    """Reads batches of a clip for one device, from disk or from what :func:`resident_frames` keeps there."""

    def __init__(
        self,
        clip: Clip,
        losses: LossConfig,
        device: torch.device,
        resident: dict[str, Tensor] | None = None,
        coarse: int = 1,
        windows: Windows | None = None,
    ) -> None:
        """Read frames ``coarse`` times smaller than the clip's, or ``windows`` of them.

        Windows are of frames on disk, and ``coarse`` divides :data:`~gaussavatar.training.windows.STEP` then.
        """
        self._clip, self._losses, self._device, self._resident = clip, losses, device, resident
        self._size, self._coarse = coarse_size(clip.size, coarse), coarse
        self._windows = windows or Windows(np.zeros((len(clip), 2), int), clip.size, clip.size)
        whole = windows is None
        self._shape = (self._size, self._size) if whole else (windows.height // coarse, windows.width // coarse)

    def read(self, indices: np.ndarray) -> Batch:
        """Supervision of the frames ``indices``. Nothing waits for the device."""
        clip, scale = self._clip, self._size / self._clip.size
        head, inside = self._masks(indices)
        corners = scale * self._windows.corners[indices]
        weight = self._weights(indices, corners.astype(int))
        (height, width), side = self._shape, self._size
        cameras = cameras_of(clip.tracking, indices, side)
        K = cameras.K.clone()
        K[:, :2, 2] -= torch.from_numpy(corners).float()
        area = height * width / side**2
        left_out = len(indices) * (side**2 - height * width)
        return Batch(
            frames=self._images("frames", indices),
            under=self._images("under", indices),
            head=head,
            inside=inside,
            weight=weight,
            cameras=Cameras(self._moved(cameras.T_camera_world), self._moved(K), width, height),
            mouth_codes=self._moved(torch.from_numpy(clip.motion.mouth_codes[indices])),
            upper=self._moved(torch.from_numpy(clip.motion.upper[indices])),
            shares=(area, 1.0 if left_out == 0 else float(weight.sum() / (weight.sum() + left_out))),
        )

    def _weights(self, indices: np.ndarray, corners: np.ndarray) -> Tensor:
        weight = torch.ones(len(indices), *self._shape, device=self._device)
        factors = (self._losses.mouth_region, self._losses.eye_region, self._losses.eye_region)
        scale = self._size / self._clip.size
        for row, index in enumerate(indices):
            for box, factor in zip(self._clip.boxes[index], factors, strict=True):
                x0, y0, x1, y1 = np.maximum((scale * box).astype(int) - np.tile(corners[row], 2), 0)
                weight[row, y0:y1, x0:x1] = factor
        return weight

    def _images(self, name: str, indices: np.ndarray) -> Tensor:
        if self._resident is not None:
            images = self._resident[name][self._moved(torch.from_numpy(indices))].float().div_(255)
        else:
            store: FrameStore = getattr(self._clip, name)
            found = np.stack([store.read(index)[self._part(index)] for index in indices.tolist()])
            images = self._moved(torch.from_numpy(found)).float().div_(255)
        if self._coarse == 1:
            return images
        smaller = F.adaptive_avg_pool2d(images.movedim(-1, 1), self._shape)
        return smaller.movedim(1, -1).contiguous()

    def _part(self, index: int) -> tuple[slice, slice]:
        """Rows and columns of a frame's window."""
        windows = self._windows
        x, y = windows.corners[index]
        return slice(y, y + windows.height), slice(x, x + windows.width)

    def _masks(self, indices: np.ndarray) -> Tensor:
        """Head and inside of the mouth, each for all frames: two of the masks' channels."""
        if self._resident is not None:
            found = self._resident["masks"][self._moved(torch.from_numpy(indices))][..., :2]
            masks = found.movedim(-1, 0).float().div_(255)
        else:
            store = self._clip.masks
            masks = np.array([[store.read_channel(i, c)[self._part(i)] for i in indices.tolist()] for c in (0, 1)])
            masks = self._moved(torch.from_numpy(masks)).float().div_(255)
        return masks if self._coarse == 1 else F.adaptive_avg_pool2d(masks, self._shape)

    def _moved(self, tensor: Tensor) -> Tensor:
        return to_device(tensor, self._device)


def coarse_size(size: int, coarse: int) -> int:
    """Side of an image of side ``size`` that is ``coarse`` times smaller."""
    return max(1, size // coarse)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on ``device``, without waiting for it."""
    if device.type == "cpu":
        return tensor
    if device.type == "cuda":
        # Only from pinned memory does a copy not wait.
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)


def wants_resident(clip: Clip, device: torch.device, wish: Literal["auto", "yes", "no"]) -> bool:
    """Whether a device is to keep all frames: never the CPU, which maps them from disk as it is."""
    if wish != "auto" or device.type != "cuda":
        return wish == "yes" and device.type != "cpu"
    need = sum(int(np.prod(store.shape)) for store in (clip.frames, clip.masks, clip.under))
    return need <= torch.cuda.mem_get_info(device)[0] / 2


def resident_frames(clip: Clip, device: torch.device) -> dict[str, Tensor]:
    """All frames of a clip as bytes on ``device``, read a few at a time."""
    resident = {}
    for name, store in (("frames", clip.frames), ("masks", clip.masks), ("under", clip.under)):
        resident[name] = torch.empty(store.shape, dtype=torch.uint8, device=device)
        for start in range(0, len(store), 64):
            indices = range(start, min(start + 64, len(store)))
            resident[name][start : indices.stop] = torch.from_numpy(store.read_batch(indices)).to(device)
    return resident


def draw_frames(clip: Clip, stage: StageConfig, random: np.random.Generator, progress: float = 0.0) -> np.ndarray:
    """Indices of one batch: uniform, by mouth opening or by blink, as the stage's shares say; or in pairs."""
    candidates = np.flatnonzero(clip.usable[: clip.n_train])
    aperture = np.clip(clip.motion.aperture[candidates], 0, None) + 1e-4
    blink = clip.motion.upper[candidates, 0].clip(0) ** 2 + 1e-4
    if stage.incremental:
        # Mouths from the widest downwards, lids from open to closed, as the published schedule has it.
        aperture = _window(aperture, 1 - progress)
        blink = _window(blink, progress)
    kinds = random.random(stage.batch)
    picked = np.empty(stage.batch, int)
    for slot, kind in enumerate(kinds):
        if kind < stage.open_share:
            chance = aperture / aperture.sum()
        elif kind < stage.open_share + stage.blink_share:
            chance = blink / blink.sum()
        else:
            chance = None
        picked[slot] = random.choice(candidates, p=chance)
    if stage.pairs:
        followed = picked[: 2 * (stage.batch // 2) : 2]
        follows = np.isin(followed + 1, candidates)
        # A frame without a usable successor is paired with itself, which asks for no change.
        picked[1 : 2 * (stage.batch // 2) : 2] = followed + follows
    return picked


def _window(values: Float[np.ndarray, "n"], place: float) -> Float[np.ndarray, "n"]:
    """1 for the values of a window of :data:`WINDOW` of their range, 0 elsewhere; ``place`` 0 is the low end."""
    top = float(np.quantile(values, 0.98))
    low = float(values.min())
    start = low + place * (1 - WINDOW) * (top - low)
    inside = (values >= start) & (values <= start + WINDOW * (top - low))
    inside |= (place > 0.999) & (values >= start)
    # A window that no frame falls into takes the frame next to it.
    inside[np.argmin(np.abs(values - start))] = True
    return inside.astype(float)


def reference_frames(clip: Clip) -> list[int]:
    """Training frames to start from: the most frontal with a closed mouth, and the two widest turns."""
    candidates = np.flatnonzero(clip.usable[: clip.n_train])
    forward = clip.tracking.R_camera_head[candidates]
    yaw = np.arctan2(forward[:, 0, 2], forward[:, 2, 2])
    pitch = np.arcsin(np.clip(forward[:, 1, 2], -1, 1))
    blink = clip.motion.upper[candidates, 0]
    cost = np.abs(yaw) + np.abs(pitch) + 2 * clip.motion.aperture[candidates] + 0.3 * blink
    return [int(candidates[np.argmin(cost)]), int(candidates[np.argmin(yaw)]), int(candidates[np.argmax(yaw)])]


def closed_mouth(motion: FaceMotion) -> Float[np.ndarray, "m"]:
    """Mouth codes of this person's closed mouth."""
    return closed_mean(motion.mouth_codes, motion.aperture)
