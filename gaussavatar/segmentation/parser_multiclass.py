"""MediaPipe's selfie multiclass model (``selfie_multiclass_256x256.tflite``) as a parser of frames."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError
from gaussavatar.segmentation.selfie import quiet_start

CLASSES = ("background", "hair", "body_skin", "face", "torso", "")
"""The model's classes: background, hair, body skin, face skin, clothes, others (accessories)."""

SIDE = 256


class MulticlassParser:
    """Class probabilities from MediaPipe's Tasks image segmenter; the model file is the user's.

    Raises:
        UserError: the file is no such model.
    """

    names: tuple[str, ...] = CLASSES

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        # The flatbuffer's identifier: anything else never reaches the native code.
        if content[4:8] != b"TFL3":
            raise _refusal(path, "a file that is no TensorFlow Lite model")
        try:
            with quiet_start():
                from mediapipe.tasks.python import BaseOptions, vision

                options = vision.ImageSegmenterOptions(
                    base_options=BaseOptions(model_asset_buffer=content), output_confidence_masks=True
                )
                self._segmenter = vision.ImageSegmenter.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise _refusal(path, f"a model that MediaPipe does not open ({str(error).splitlines()[0][:90]})") from error
        self._lock = threading.Lock()
        found = self.probabilities(np.zeros((SIDE, SIDE, 3), np.uint8)).shape[-1]
        if found != len(CLASSES):
            raise _refusal(path, f"a model of {found} classes")

    def probabilities(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "p p c"]:
        """Probability of every class of :data:`CLASSES` at the model's size."""
        from mediapipe import Image, ImageFormat

        small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        # One segmenter serves all threads, one after the other.
        with self._lock:
            result = self._segmenter.segment(Image(image_format=ImageFormat.SRGB, data=np.ascontiguousarray(small)))
            masks = result.confidence_masks or []
            return np.stack([mask.numpy_view().reshape(SIDE, SIDE).copy() for mask in masks], -1).astype(np.float32)


def _refusal(path: Path, came: str) -> UserError:
    return UserError(
        f"MediaPipe's selfie_multiclass_256x256.tflite at {path}",
        came,
        "download that model again from the MediaPipe image segmenter page, or leave the parser out",
    )
