"""The person segmentation that comes inside MediaPipe's wheel."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

NETWORK_SIDE = 256
"""Input side of the general selfie model; larger images are only enlarged again afterwards."""


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keep the native libraries' start-up lines off standard error.

    They are written by C++ before any Python logging can catch them, so the file
    descriptor itself is pointed at the null device for the moment of the start.
    """
    os.environ.setdefault("GLOG_minloglevel", "3")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


class SelfieSegmenter:
    """Person probability of single images; a context manager that holds the network.

    One instance serves one thread. Model: MediaPipe selfie segmentation, general (0).
    """

    def __enter__(self) -> SelfieSegmenter:
        with quiet_start():
            from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

            self._network = SelfieSegmentation(model_selection=0)
            # The graph prints on its first image, not when it is built.
            self._network.process(np.zeros((NETWORK_SIDE, NETWORK_SIDE, 3), np.uint8))
        return self

    def __exit__(self, *exception: object) -> None:
        self._network.close()

    def segment(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
        """Probability, 0..1, that a pixel of the RGB image belongs to a person."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (NETWORK_SIDE, NETWORK_SIDE), interpolation=cv2.INTER_AREA)
        probability = self._network.process(small).segmentation_mask
        if (height, width) == (NETWORK_SIDE, NETWORK_SIDE):
            return probability.copy()
        return cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
