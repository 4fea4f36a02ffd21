"""What is put behind the person: the filmed place, a colour, a picture, or nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError
from gaussavatar.media.images import read_image, resize
from gaussavatar.media.probe import probe

LARGEST = 100_000_000
"""Pixels of a picture above which it is refused: decoding it takes a gigabyte."""


@dataclass(frozen=True)
class Background:
    """A wish for the background; exactly one of the three is set, or ``filmed`` or ``clear`` says it all."""

    filmed: bool = False
    clear: bool = False
    color: tuple[int, int, int] | None = None
    picture: UInt8[np.ndarray, "h w 3"] | None = None

    def image(self, width: int, height: int) -> Float32[np.ndarray, "h w 3"] | None:
        """The background as a picture in 0..1; None where there is none of its own."""
        if self.color is not None:
            return np.broadcast_to(np.float32(self.color) / np.float32(255), (height, width, 3))
        if self.picture is not None:
            side = max(width, height)
            top, left = (side - height) // 2, (side - width) // 2
            return cover(self.picture, side)[top : top + height, left : left + width].astype(np.float32) / 255
        return None


def parse_background(text: str | Path) -> Background:
    """Read what ``--background`` was given: ``plate``, ``none``, ``#rrggbb`` or a picture's path.

    Raises:
        UserError: none of these, or a picture that cannot be read or is too large.
    """
    if not isinstance(text, str | Path):
        do = "give one of these"
        raise UserError("plate, none, #rrggbb or a picture's path as background", type(text).__name__, do)
    text = str(text)
    if text == "plate":
        return Background(filmed=True)
    if text == "none":
        return Background(clear=True)
    if text.startswith("#"):
        if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
            raise UserError("a colour such as #1e90ff", repr(text), "give six hexadecimal digits after #")
        return Background(color=(int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)))
    return Background(picture=read_picture(Path(text)))


def read_picture(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """Read a background picture as RGB.

    Raises:
        UserError: no such picture, not a picture, or more than :data:`LARGEST` pixels.
    """
    if not path.is_file():
        raise UserError("plate, none, #rrggbb or a picture for --background", f"{path} (no such file)", "give another")
    try:
        info = probe(path)
    except UserError as error:
        raise UserError(f"a picture at {path}", "one that is damaged, too large or none", "give another") from error
    if info.width * info.height > LARGEST:
        raise UserError(
            f"a picture of at most {LARGEST // 10**6} megapixels",
            f"{info.width} x {info.height} in {path}",
            "shrink it first",
        )
    try:
        return read_image(path)
    except cv2.error as error:
        raise UserError(f"a picture at {path}", "a damaged one", "save it again as png or jpg") from error


def cover(picture: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The largest square from the middle of a picture, at ``size``."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(np.ascontiguousarray(picture[top : top + side, left : left + side]), size)
