"""The one adapter around MediaPipe's faces: boxes, 478 landmarks, and the 52 scores of a given face landmarker."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError

os.environ.setdefault("GLOG_minloglevel", "3")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_stderr_lock = threading.Lock()
_stderr_users = 0
_stderr_copy = -1


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: MediaPipe's C++ start-up lines obey no log level.

    Several threads may be inside at once; the last one out restores the descriptor.
    """
    global _stderr_users, _stderr_copy
    with _stderr_lock:
        _stderr_users += 1
        if _stderr_users == 1:
            _stderr_copy = os.dup(2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            os.close(nowhere)
    try:
        yield
    finally:
        with _stderr_lock:
            _stderr_users -= 1
            if _stderr_users == 0:
                os.dup2(_stderr_copy, 2)
                os.close(_stderr_copy)


class _Solution(ABC):
    """A MediaPipe solution that is silent while it starts and closes with its ``with`` block."""

    def __init__(self) -> None:
        self._solution: Any = None
        self._has_found = False

    @abstractmethod
    def _make(self) -> Any:
        """The MediaPipe object."""

    def open(self) -> None:
        """Load the model now rather than at the first image."""
        if self._solution is None:
            with quiet_stderr():
                self._solution = self._make()
                # The graph's threads write their lines after the constructor; one image waits for them.
                self._solution.process(np.zeros((64, 64, 3), np.uint8))

    def close(self) -> None:
        """Free the model."""
        if self._solution is not None:
            self._solution.close()
            self._solution = None

    def _process(self, image: UInt8[np.ndarray, "h w 3"], field: str) -> list[Any]:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"expected uint8 (h, w, 3), got {image.dtype} {image.shape}")
        self.open()
        if self._has_found:
            return list(getattr(self._solution.process(image), field) or [])
        # The last of the start-up lines comes with the first face that is found.
        with quiet_stderr():
            found = list(getattr(self._solution.process(image), field) or [])
        self._has_found = bool(found)
        return found

    def __enter__(self):  # noqa: ANN204
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class FaceMesh(_Solution):
    """478 landmarks (468 and the irises) of the faces in an image.

    Args:
        static: Look for faces afresh in every image; otherwise follow the face from image to image.
        max_faces: Largest number of faces to find.
        min_confidence: Detection and tracking confidence below which a face is dropped.
    """

    def __init__(self, *, static: bool = False, max_faces: int = 1, min_confidence: float = 0.5) -> None:
        super().__init__()
        self._options = {
            "static_image_mode": static,
            "max_num_faces": max_faces,
            "refine_landmarks": True,
            "min_detection_confidence": min_confidence,
            "min_tracking_confidence": min_confidence,
        }

    def _make(self) -> Any:
        import mediapipe

        return mediapipe.solutions.face_mesh.FaceMesh(**self._options)

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "478 3"] | None:
        """Landmarks of the first face, pixels (centres at +0.5) and relative depth in pixels, or None."""
        found = self.detect_all(image)
        return found[0] if found else None

    def detect_all(self, image: UInt8[np.ndarray, "h w 3"]) -> list[Float32[np.ndarray, "478 3"]]:
        """Landmarks of every face, as :meth:`detect`."""
        height, width = image.shape[:2]
        # MediaPipe normalises x and y by their own side, and depth by the width.
        scale = np.array([width, height, width], np.float32)
        return [
            np.array([(p.x, p.y, p.z) for p in face.landmark], np.float32) * scale
            for face in self._process(image, "multi_face_landmarks")
        ]


@dataclass(frozen=True)
class FaceBox:
    """A face's box in pixels, and the detector's score 0..1."""

    x: float
    y: float
    width: float
    height: float
    score: float


class FaceDetector(_Solution):
    """Boxes of all faces down to about 1/20 of the picture (the full-range detector), largest first."""

    def __init__(self, *, min_confidence: float = 0.5) -> None:
        super().__init__()
        self._min_confidence = min_confidence

    def _make(self) -> Any:
        import mediapipe

        return mediapipe.solutions.face_detection.FaceDetection(
            model_selection=1, min_detection_confidence=self._min_confidence
        )

    def detect_all(self, image: UInt8[np.ndarray, "h w 3"]) -> list[FaceBox]:
        """Boxes of the faces in the image, largest first."""
        height, width = image.shape[:2]
        boxes = []
        for found in self._process(image, "detections"):
            box = found.location_data.relative_bounding_box
            boxes.append(
                FaceBox(box.xmin * width, box.ymin * height, box.width * width, box.height * height, found.score[0])
            )
        return sorted(boxes, key=lambda box: -box.height)


class FaceScorer:
    """Named scores (0..1) of a face's movements from a ``face_landmarker.task`` that the user gives.

    Frames of one video are to be given in order. The model is MediaPipe's, Apache-2.0; it is not part of the package.

    Args:
        path: the ``.task`` file.
        names: which scores, in which order; one that the model does not have is 0.

    Raises:
        UserError: when opened: the file is missing or is no face landmarker with scores.
    """

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._path, self._names = path, names
        self._landmarker: Any = None
        self._frame = 0

    def open(self) -> None:
        """Load the model now rather than at the first image."""
        if self._landmarker is not None:
            return
        if not self._path.is_file():
            raise self._bad("no such file")
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self._path)),
            running_mode=vision.RunningMode.VIDEO,
            output_face_blendshapes=True,
            num_faces=1,
        )
        with quiet_stderr():
            try:
                self._landmarker = vision.FaceLandmarker.create_from_options(options)
                self._score(np.zeros((64, 64, 3), np.uint8))
            except (RuntimeError, ValueError) as error:
                raise self._bad(str(error).partition("\n")[0]) from error

    def _bad(self, came: str) -> UserError:
        return UserError(
            f"a face_landmarker.task with blendshapes at {self._path}",
            came,
            "download face_landmarker.task from MediaPipe's model page, or leave the option out",
        )

    def close(self) -> None:
        """Free the model."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def __enter__(self) -> FaceScorer:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def score(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "k"] | None:
        """Scores of the face in the next frame, or None where there is none."""
        self.open()
        if self._frame < 3:
            # The last of the start-up lines comes with the first face that is found.
            with quiet_stderr():
                return self._score(image)
        return self._score(image)

    def _score(self, image: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "k"] | None:
        import mediapipe

        # Timestamps have to rise; their unit does not matter to the scores.
        self._frame += 1
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        found = self._landmarker.detect_for_video(picture, 40 * self._frame).face_blendshapes
        if not found:
            return None
        scores = {category.category_name: category.score for category in found[0]}
        return np.array([scores.get(name, 0.0) for name in self._names], np.float32)
