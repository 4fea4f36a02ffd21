"""What the segmentation stage is told and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from gaussavatar.capture.layout import SegmentationLayout
from gaussavatar.errors import UserError
from gaussavatar.media.packed import open_frames
from gaussavatar.storage import FrameStore, read_json

MASK_CHANNELS = ("head", "mouth", "face", "person")
"""Meaning of the channels of ``masks.u8``; all are soft, 0..255."""


@dataclass(frozen=True)
class SegmentationConfig:
    """Knobs of the masks. Lengths are fractions of the face's height, forehead to chin."""

    plate_samples: int = 48
    """Frames that the background plate is taken from."""

    jaw_margin: float = 0.012
    """How far outside the landmarks' jaw line the head is cut from the neck."""

    jaw_feather: float = 0.010
    """Standard deviation of the soft edge of that cut."""

    min_mouth_opening: float = 1.5
    """Inner-lip gap in pixels at 512 below which the mouth counts as shut."""

    exclusion: float = 0.022
    """Width of the rim between head and background that no pixel of ``under`` is taken from."""

    body_exclusion: float = 0.008
    """The same between head and neck or torso, beyond the feathered cut."""

    neck_reach: float = 0.24
    """How far the neck is continued upward behind the jaw."""

    hair_reach: float = 0.35
    """How far hair that falls over the shoulders is continued upward behind the hair that goes with the head."""

    workers: int = 2
    """Threads; the heavy calls release the interpreter's lock."""


@dataclass(frozen=True)
class Segmentation:
    """The folder that :func:`segment_capture` wrote."""

    folder: Path
    size: int
    n_frames: int
    static_camera: bool
    plate_residual: float
    """Median absolute difference, 0..255, between the plate and the visible background."""
    camera_motion: float = 0.0
    """Motion of the background, root mean square over the frames, in pixels per frame at 512."""
    camera_travel: float = 0.0
    """How far the background comes from where it started, in pixels at 512 (95th percentile)."""

    @property
    def layout(self) -> SegmentationLayout:
        """The paths in the folder."""
        return SegmentationLayout(self.folder)

    def frames(self) -> FrameStore:
        """Frames at ``size``, RGB."""
        return open_frames(self.layout.frames)

    def masks(self) -> FrameStore:
        """Masks, channels as in :data:`MASK_CHANNELS`."""
        return open_frames(self.layout.masks)

    def parts(self) -> FrameStore:
        """Label (:data:`~gaussavatar.segmentation.parts.PART_NAMES`) and certainty of every pixel.

        Raises:
            UserError: the folder was written before there were parts.
        """
        return open_frames(self.layout.parts)

    def part(self, name: str, index: int) -> tuple[UInt8[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Soft mask, 0..255, of one part in one frame, and where it should not be relied on.

        ``name`` is one of :data:`~gaussavatar.segmentation.parts.PART_NAMES` or ``person``. The soft masks
        of the parts sum to 255; those of the head, the mouth, the face and the person are the channels of ``masks.u8``.

        Raises:
            ValueError: no such part.
        """
        from gaussavatar.segmentation.parts import soft_part, uncertain

        masks, parts = self.masks().read(index), self.parts().read(index)
        return soft_part(name, masks, parts), uncertain(name, masks, parts)

    def under(self) -> FrameStore:
        """What is behind the head, RGB; equals the frame away from the head."""
        return open_frames(self.layout.under)

    def plate(self) -> UInt8[np.ndarray, "h w 3"]:
        """The background without the person, RGB."""
        import cv2

        image = cv2.imread(str(self.layout.plate), cv2.IMREAD_COLOR)
        if image is None:
            raise UserError(
                f"a background plate at {self.layout.plate}",
                "no readable image",
                "delete the segmentation folder and run again",
            )
        return np.ascontiguousarray(image[:, :, ::-1])


def load_segmentation(folder: Path) -> Segmentation:
    """Open what :func:`segment_capture` wrote into ``folder``.

    Raises:
        UserError: the folder holds no complete segmentation, or a damaged one.
    """
    path = SegmentationLayout(folder).record
    record = read_json(path)
    try:
        return Segmentation(
            folder=folder,
            size=int(record["size"]),
            n_frames=int(record["n_frames"]),
            static_camera=bool(record["static_camera"]),
            plate_residual=float(record["plate_residual"]),
            camera_motion=float(record.get("camera_motion", 0.0)),
            camera_travel=float(record.get("camera_travel", 0.0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"a segmentation record in {path}",
            f"one that lacks or garbles {error}",
            "delete the segmentation folder and run again",
        ) from error
