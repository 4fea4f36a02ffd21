"""What a user asks of ``fit`` and ``track``, as plain data, and what they get."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gaussavatar.capture.video import check_av_offset
from gaussavatar.errors import UserError
from gaussavatar.head.installed import head_key
from gaussavatar.render.device import DeviceWish
from gaussavatar.segmentation.parser import open_parser

MOST_MINUTES = 10_000
"""A week."""


@dataclass(frozen=True)
class FitRequest:
    """One video and everything that a user says about it; :func:`dump_request` makes it a line of JSON."""

    video: Path
    """Any video that ffmpeg reads, of one person."""
    out: Path | None = None
    """Folder to write; None is ``avatars/`` (of ``track``: ``tracks/``) and the video's name."""
    recipe: str = "default"
    """A recipe's name, or the path of a YAML file."""
    overrides: tuple[str, ...] = ()
    """Changes of the recipe, each ``a.b.c=value``."""
    subject: str = "unknown"
    """Whose face and voice this is."""
    consent: str = "not recorded"
    """On what consent of that person."""
    seed: int = 0
    """Seed of everything random."""
    device: DeviceWish = "auto"
    """Where to train."""
    focal: float | None = None
    """The source's focal length in its own pixels; None is 1.2 times its longer side."""
    av_offset_ms: float | None = None
    """How much later than its picture the sound comes; None leaves it to the clip itself, where that is sure."""
    head: str | None = None
    """A head model's name; None is FLAME where it is installed, else the built-in one."""
    parser: Path | None = None
    """A better segmentation model, a file of the user's."""
    blendshapes: Path | None = None
    """A ``face_landmarker.task``, a file of the user's."""
    replace: bool = False
    """Whether what another video gave may be replaced in the folder."""
    minutes: float | None = None
    """How long the fit may take; sizes and steps of the recipe are planned for it. None leaves them as they are."""


@dataclass(frozen=True)
class FitResult:
    """Where a fit left its avatar, figures and page."""

    avatar: Path
    metrics: dict[str, Any]
    report: Path


def check_request(request: FitRequest) -> None:
    """Refuse what cannot work before anything is done; the video itself is looked at later.

    Raises:
        UserError: an offset out of reason, an unknown head, a missing or wrong file.
    """
    if request.av_offset_ms is not None:
        check_av_offset(request.av_offset_ms)
    if request.focal is not None and not 1 <= request.focal <= 1e6:
        raise UserError("a focal length in pixels", str(request.focal), "give that of the source video, or none")
    if request.minutes is not None and not 0 < request.minutes <= MOST_MINUTES:
        raise UserError(f"minutes from 0 to {MOST_MINUTES:,}", f"{request.minutes:g}", "give another number, or none")
    head_key(request.head)
    if request.parser is not None:
        open_parser(request.parser)
    if request.blendshapes is not None and not request.blendshapes.is_file():
        raise UserError(f"a face_landmarker.task at {request.blendshapes}", "no such file", "give its path, or none")


def dump_request(request: FitRequest) -> bytes:
    """The request as JSON; paths are text."""
    return msgspec.json.encode(request, enc_hook=str)


def read_request(text: bytes | str) -> FitRequest:
    """Read :func:`dump_request`; what is left out takes its default.

    Raises:
        UserError: not JSON, no video, or a value of the wrong type.
    """
    try:
        return msgspec.json.decode(text, type=FitRequest, dec_hook=lambda kind, value: kind(value))
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise UserError("a request to fit as JSON", str(error), "see FitRequest for its fields") from error
