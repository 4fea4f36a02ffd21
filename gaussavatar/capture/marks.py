"""Frames that show something else than the person's bare face: hands before it, another person, a fade."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from gaussavatar.capture.fades import find_faded
from gaussavatar.capture.hands import hands_over_face
from gaussavatar.capture.identity import find_strangers
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.progress import Progress
from gaussavatar.storage import FrameStore, read_arrays, write_arrays
from gaussavatar.types import Landmarks, Tracking


@dataclass(frozen=True)
class Marks:
    """What must not be learnt from, per frame."""

    hands: Bool[np.ndarray, "n"]
    strangers: Bool[np.ndarray, "n"]
    faded: Bool[np.ndarray, "n"]

    @property
    def any(self) -> Bool[np.ndarray, "n"]:
        """Frames with any mark."""
        return self.hands | self.strangers | self.faded


def find_marks(frames: FrameStore, landmarks: Landmarks, progress: Progress) -> Marks:
    """Look for hands before the face, for other people and for fades."""
    strangers = find_strangers(frames, landmarks, progress)
    faded = find_faded(frames, landmarks)
    # In the dark nothing tells a hand from a face's own shadow.
    return Marks(hands_over_face(frames, landmarks, progress) & ~faded, strangers, faded)


def without_marked(landmarks: Landmarks, marks: Marks) -> Landmarks:
    """The landmarks with marked frames taken for frames without a face, so that nothing is fitted to them."""
    return replace(landmarks, valid=landmarks.valid & ~marks.any)


def unmarked(tracking: Tracking, marks: Marks) -> Tracking:
    """The tracking with marked frames not used, also those that a short gap's interpolation has bridged."""
    return replace(tracking, valid=tracking.valid & ~marks.any)


def save_marks(folder: Path, marks: Marks) -> None:
    """Write ``marks.safetensors`` into a capture folder, atomically."""
    kinds = {"hands": marks.hands, "strangers": marks.strangers, "faded": marks.faded}
    write_arrays(CaptureLayout(folder).marks, {name: mark.astype(np.uint8) for name, mark in kinds.items()})


def load_marks(folder: Path) -> Marks:
    """Read :func:`save_marks`.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = CaptureLayout(folder).marks
    arrays, _ = read_arrays(path)
    try:
        hands, strangers = arrays["hands"].astype(bool), arrays["strangers"].astype(bool)
        # A capture from before fades were looked for has none.
        return Marks(hands, strangers, arrays.get("faded", np.zeros(len(hands), np.uint8)).astype(bool))
    except KeyError as error:
        raise UserError(f"marks in {path}", f"a damaged file ({error!r})", "delete it and run again") from error
