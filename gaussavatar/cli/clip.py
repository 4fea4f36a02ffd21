"""What ``fit`` and ``track`` both ask about a clip."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from gaussavatar.media.given import require_file

if TYPE_CHECKING:
    from gaussavatar.fitting.request import FitRequest


@dataclass(frozen=True)
class ClipOptions:
    """Options of every verb that prepares a clip; a verb says in its own words what it reads and writes."""

    video: Positional[Path]
    """Any video that ffmpeg reads, with one face."""

    out: Path | None = None
    """Folder to write."""

    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE ...")] = ()
    """Fields of the recipe to change, such as capture.size=384."""

    focal: float | None = None
    """Focal length of the source video in its pixels, when it is known; 1.2 times its longer side otherwise."""

    av_offset: Annotated[float | None, arg(metavar="MS")] = None
    """Milliseconds by which the sound comes later than the picture; found by itself where the clip is clear."""

    head: str | None = None
    """Head model to track (see gaussavatar head list); FLAME where it is installed, else the built-in one."""

    seg_model: Path | None = None
    """A better parser for the masks: selfie_multiclass_256x256.tflite, or a 19-class BiSeNet as .onnx."""

    blendshapes: Path | None = None
    """A face_landmarker.task, for its 52 blendshapes."""

    replace: bool = False
    """Replace what another video gave, where it is in the folder."""

    def check_video(self) -> None:
        """Say at once where there is no file."""
        require_file(self.video, "a video")

    def request(self) -> FitRequest:
        """What a fit or a tracking is asked for."""
        from gaussavatar.fitting.request import FitRequest

        return FitRequest(
            self.video,
            self.out,
            overrides=self.set,
            focal=self.focal,
            av_offset_ms=self.av_offset,
            head=self.head,
            parser=self.seg_model,
            blendshapes=self.blendshapes,
            replace=self.replace,
        )
