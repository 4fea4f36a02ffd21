"""What a landmark detector sees in rendered or real frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gaussavatar.evaluate.metrics import LANDMARK_SIZE, FaceSeries
from gaussavatar.landmarks.face_mesh import FaceMesh
from gaussavatar.landmarks.measures import eye_openness, lip_aperture, lip_width
from gaussavatar.media.images import resize
from gaussavatar.storage import Pictures


def measure_faces(images: Sequence[np.ndarray] | Pictures) -> FaceSeries:
    """Landmarks and lip and eye measures of consecutive frames, at :data:`LANDMARK_SIZE`."""
    points = np.full((len(images), 478, 3), np.nan, np.float32)
    with FaceMesh() as mesh:
        for index, image in enumerate(images):
            found = mesh.detect(resize(image, LANDMARK_SIZE))
            if found is not None:
                points[index] = found
    return FaceSeries(points, lip_aperture(points), lip_width(points), eye_openness(points).mean(axis=-1))
