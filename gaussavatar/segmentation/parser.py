"""Optional better parsers of single frames: what they promise, how they are opened, how they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError


@runtime_checkable
class FrameParser(Protocol):
    """Class probabilities of single frames; called from several threads at once."""

    names: tuple[str, ...]
    """The part of each channel: a name of :data:`~gaussavatar.segmentation.parts.PART_NAMES`, or "" for none of them.

    A name may stand more than once; "body_skin" is neck, or torso where the shoulders are bare.
    """

    def probabilities(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "p q c"]:
        """Probability of every class, 0..1, summing to 1, at the parser's own size."""
        ...


def open_parser(path: Path) -> FrameParser:
    """The parser for a model file: ``.tflite`` is MediaPipe's selfie multiclass, ``.onnx`` a 19-class BiSeNet.

    Raises:
        UserError: the file is missing, of another kind, damaged, or a package for it is not installed.
    """
    if not path.is_file():
        raise UserError(
            f"a parser's model file at {path}", "no such file", "give the path of a .tflite or .onnx file, or none"
        )
    if path.suffix == ".tflite":
        from gaussavatar.segmentation.parser_multiclass import MulticlassParser

        return MulticlassParser(path)
    if path.suffix == ".onnx":
        from gaussavatar.segmentation.parser_bisenet import BisenetParser

        return BisenetParser(path)
    raise UserError(
        "a parser's model file ending in .tflite (selfie_multiclass_256x256) or .onnx (19-class BiSeNet)",
        path.name,
        "give one of these two, or none",
    )


def parse_frame(
    parser: FrameParser, image: UInt8[np.ndarray, "h w 3"], side: int
) -> dict[str, Float32[np.ndarray, "s s"]]:
    """A parser's probabilities by part at ``side``; parts that it does not know are left out."""
    found = parser.probabilities(image)
    if found.ndim != 3 or found.shape[2] != len(parser.names):
        raise UserError(
            f"{len(parser.names)} classes from the parser", f"an answer of shape {found.shape}", "give another model"
        )
    by_name: dict[str, np.ndarray] = {}
    for channel, name in enumerate(parser.names):
        # Bare skin below the face is neck near the head and torso farther down: place decides.
        for part in {"": (), "body_skin": ("neck", "ears")}.get(name, (name,)):
            by_name[part] = by_name.get(part, np.float32(0.0)) + found[..., channel]
    return {
        part: cv2.resize(value.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        for part, value in by_name.items()
    }


def fuse_person(
    probability: Float32[np.ndarray, "p p"], parsed: dict[str, Float32[np.ndarray, "s s"]]
) -> Float32[np.ndarray, "p p"]:
    """Person probability with a parser's: the mean of both, so that either can veto a sure foreground."""
    if "background" not in parsed:
        return probability
    shape = probability.shape[::-1]
    other = 1.0 - cv2.resize(parsed["background"], shape, interpolation=cv2.INTER_LINEAR)
    return np.clip(0.4 * probability + 0.6 * other, 0.0, 1.0).astype(np.float32)
