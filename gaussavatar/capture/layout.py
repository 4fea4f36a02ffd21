"""Where everything of a capture folder is: the one place that spells the names of its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SegmentationLayout:
    """The paths in a folder of masks, which a capture has one of for each size of picture."""

    folder: Path

    @property
    def record(self) -> Path:
        """Facts; written last, so that a folder without it is an unfinished one."""
        return self.folder / "segmentation.json"

    @property
    def frames(self) -> Path:
        """The frames at the masks' size."""
        return self.folder / "frames.u8"

    @property
    def masks(self) -> Path:
        """Masks of head, mouth, face and person."""
        return self.folder / "masks.u8"

    @property
    def parts(self) -> Path:
        """Label and certainty of every pixel."""
        return self.folder / "parts.u8"

    @property
    def under(self) -> Path:
        """What is behind the head."""
        return self.folder / "under.u8"

    @property
    def plate(self) -> Path:
        """The background without the person."""
        return self.folder / "plate.png"

    @property
    def scratch(self) -> Path:
        """Folder that is there only while the masks are made."""
        return self.folder / ".persons"


@dataclass(frozen=True)
class CaptureLayout:
    """The paths in a capture folder, in the order in which the stages write them."""

    folder: Path

    @property
    def manifest(self) -> Path:
        """Which stages are done, with which inputs."""
        return self.folder / "manifest.json"

    @property
    def record(self) -> Path:
        """Facts about the clip; written last, so that a folder without it is an unfinished one."""
        return self.folder / "capture.json"

    @property
    def frames(self) -> Path:
        """The square frames."""
        return self.folder / "frames.u8"

    @property
    def recorded(self) -> Path:
        """The sound as it was captured, where there is any."""
        return self.folder / "audio.wav"

    @property
    def aligned(self) -> Path:
        """The same, moved; only there where it was found to lie beside the lips."""
        return self.folder / "aligned.wav"

    @property
    def sound(self) -> Path:
        """What was found about the sound's place, and done."""
        return self.folder / "sound.json"

    @property
    def audio(self) -> Path:
        """The sound to learn from and to measure by, where there is any: aligned, or as captured."""
        return self.aligned if self.aligned.exists() else self.recorded

    @property
    def landmarks(self) -> Path:
        """Landmarks of every frame."""
        return self.folder / "landmarks.safetensors"

    @property
    def marks(self) -> Path:
        """Frames that must not be learnt from."""
        return self.folder / "marks.safetensors"

    @property
    def skin(self) -> Path:
        """Frame store that is there only while poses are aligned to the skin."""
        return self.folder / ".skin.u8"

    @property
    def tracking(self) -> Path:
        """Head poses and face shape."""
        return self.folder / "tracking.safetensors"

    @property
    def transforms(self) -> Path:
        """The same for other head-avatar tools."""
        return self.folder / "transforms.json"

    @property
    def motion(self) -> Path:
        """Mouth codes and upper-face channels."""
        return self.folder / "motion.safetensors"

    @property
    def appearance(self) -> Path:
        """Codes of what the mouth shows besides its outline."""
        return self.folder / "appearance.safetensors"

    @property
    def head(self) -> Path:
        """The person's head model."""
        return self.folder / "head.npz"

    @property
    def head_track(self) -> Path:
        """Its identity, expressions and joints in every frame."""
        return self.folder / "head_track.safetensors"

    @property
    def face_signals(self) -> Path:
        """Blendshape coefficients and action units."""
        return self.folder / "face_signals.safetensors"

    def segmentation(self, size: int) -> SegmentationLayout:
        """Masks for pictures of ``size`` pixels."""
        return SegmentationLayout(self.folder / f"segmentation_{size}")

    @property
    def quality(self) -> Path:
        """The verdict on the clip."""
        return self.folder / "quality.json"

    @property
    def quality_page(self) -> Path:
        """The same to look at."""
        return self.folder / "quality.html"

    @property
    def quality_video(self) -> Path:
        """What was understood, drawn over the clip."""
        return self.folder / "quality.mp4"
