"""A 19-class face parser (BiSeNet trained on CelebAMask-HQ, exported to ONNX) as a parser of frames."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError

CLASSES = (
    *("background", "face", "face", "face", "face", "face", "face", "ears", "ears", "ears", "face"),
    *("inner_mouth", "lips", "lips", "neck", "neck", "torso", "hair", "hair"),
)
"""Parts of the 19 classes: background, skin, brows, eyes, glasses, ears, ear ring, nose, inside of the mouth, upper
and lower lip, neck, necklace, cloth, hair, hat (Lee et al., MaskGAN, 2020, section 4)."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the colours 0..1 that such networks are trained with (ImageNet's)."""

DEFAULT_SIDE = 512


class BisenetParser:
    """Class probabilities from an ONNX network through onnxruntime; file and package are the user's.

    The network takes (1, 3, s, s) normalised RGB and gives logits (1, 19, s', s') as its first output.

    Raises:
        UserError: onnxruntime is not installed, or the file is no such network.
    """

    names: tuple[str, ...] = CLASSES

    def __init__(self, path: Path) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = runtime.InferenceSession(
                str(path), sess_options=options, providers=runtime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's exceptions share no public base class.
            raise _refusal(
                path, f"a file that onnxruntime does not open ({str(error).splitlines()[0][:90]})"
            ) from error
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        if len(shape) != 4 or shape[1] != 3:
            raise _refusal(path, f"a network with inputs of shape {[each.shape for each in inputs]}")
        self._input = inputs[0].name
        self._side = shape[2] if isinstance(shape[2], int) else DEFAULT_SIDE
        self._output = self._session.get_outputs()[0].name
        answer = self._logits(np.zeros((self._side, self._side, 3), np.uint8))
        if answer.ndim != 4 or answer.shape[:2] != (1, len(CLASSES)):
            raise _refusal(path, f"a network that answers with shape {answer.shape}")

    def probabilities(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "p q c"]:
        """Probability of every class of :data:`CLASSES` at the network's output size."""
        return softmax(self._logits(image)[0])

    def _logits(self, image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
        batch = network_input(image, self._side)
        return np.asarray(self._session.run([self._output], {self._input: batch})[0], np.float32)


def network_input(image: UInt8[np.ndarray, "h w 3"], side: int) -> Float32[np.ndarray, "1 3 s s"]:
    """A frame as such networks want it: square, normalised colours, channels first."""
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
    normalised = (small - np.float32(MEAN)) / np.float32(DEVIATION)
    return np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])


def softmax(logits: Float32[np.ndarray, "c p q"]) -> Float32[np.ndarray, "p q c"]:
    """Probabilities from logits, classes last."""
    powers = np.exp(logits - logits.max(0))
    return np.ascontiguousarray((powers / powers.sum(0)).transpose(1, 2, 0))


def _runtime() -> Any:
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError(
            "the package onnxruntime for a parser in ONNX form",
            "it is not installed",
            "run `pip install onnxruntime`, or leave the parser out",
        ) from error


def _refusal(path: Path, came: str) -> UserError:
    return UserError(
        f"a 19-class BiSeNet face parser (input 1x3xSxS, output 1x19xSxS) at {path}",
        came,
        "export the network to ONNX again, or leave the parser out",
    )
