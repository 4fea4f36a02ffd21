"""Motion without a sound: numbered pictures, and animated GIFs; both marked as made, where the file has room for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from gaussavatar.errors import UserError
from gaussavatar.storage import atomic_path

PALETTE_FRAMES = 100
"""From so many first frames a GIF takes its colours."""


def numbered(path: Path, index: int) -> Path:
    """The picture of a frame in a series that is named ``path``."""
    return path.with_name(f"{path.stem}_{index:06d}.png")


def write_pngs(path: Path, frames: Iterable[UInt8[np.ndarray, "h w c"]], comment: str = "") -> int:
    """Write RGB or RGBA frames beside each other: ``talk.png`` gives ``talk_000000.png`` and so on.

    Those of a longer one of the same name, which would follow them, go once all are there.

    Returns:
        How many.

    Raises:
        UserError: one of them cannot be written.
    """
    facts, count = PngInfo(), 0
    facts.add_text("Comment", comment)
    for count, frame in enumerate(frames, start=1):
        with atomic_path(numbered(path, count - 1)) as temporary:
            Image.fromarray(frame).save(temporary, "PNG", pnginfo=facts, compress_level=4)
    ours = re.compile(re.escape(path.stem) + r"_(\d{6})\.png")
    for each in list(path.parent.glob("*.png")) if count else ():
        if (name := ours.fullmatch(each.name)) and int(name[1]) >= count:
            each.unlink()
    return count


def write_gif(path: Path, frames: Iterable[UInt8[np.ndarray, "h w 3"]], fps: float, comment: str = "") -> None:
    """Write RGB frames as a GIF that repeats for ever, with one palette of 256 colours.

    Raises:
        UserError: a frame rate that hundredths of a second cannot tell, no frame, or the file cannot be written.
    """
    hundredths = 100 / fps
    if abs(hundredths - round(hundredths)) > 0.01 or hundredths < 2:
        raise UserError("a frame rate that a gif can tell", f"{fps:g}", "give --fps 10, 20, 25 or 50")
    pictures = _in_one_palette(iter(frames))
    with atomic_path(path) as temporary:
        next(pictures).save(
            temporary, "GIF", save_all=True, append_images=pictures, loop=0,
            duration=10 * round(hundredths), comment=comment.encode(), optimize=False,
        )  # fmt: skip


def _in_one_palette(frames: Iterator[UInt8[np.ndarray, "h w 3"]]) -> Iterator[Image.Image]:
    first = list(itertools.islice(frames, PALETTE_FRAMES))
    palette = Image.fromarray(np.concatenate(first)).quantize(256, Image.Quantize.MEDIANCUT)
    for frame in itertools.chain(first, frames):
        yield Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
