"""Named landmarks of the 478-point face mesh. Right and left are the person's; the right side is image-left."""

from __future__ import annotations

import numpy as np

from gaussavatar.types import N_LANDMARKS

FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""The outline of the face, a closed ring."""

LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
"""The lips' outer border, a closed ring from the right corner over the lower lip."""

LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
"""The lips' inner border, a closed ring from the right corner over the lower lip."""

RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
"""The lid borders, closed rings from the outer corner over the lower lid."""

RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
LEFT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
"""Lower border, then upper border, each from the temple to the nose."""

RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
"""Centre, then the ring."""

RIGHT_LID_PAIRS = ((159, 145), (158, 153), (160, 144))
LEFT_LID_PAIRS = ((386, 374), (385, 380), (387, 373))
"""Upper and lower lid points that face each other."""

RIGHT_EYE_CORNERS = (33, 133)
LEFT_EYE_CORNERS = (263, 362)
"""Outer, inner."""

LIP_GAP_PAIRS = ((13, 14), (312, 317), (82, 87))
"""Inner upper and lower lip points that face each other in the middle of the mouth."""

MOUTH_CORNERS = (61, 291)
OUTER_EYE_CORNERS = (33, 263)
FOREHEAD_TOP, CHIN = 10, 152
RIGHT_TRAGION, LEFT_TRAGION = 234, 454
EXPRESSION_FREE_NOSE = (168, 6, 197, 195, 122, 351, 196, 419, 193, 417, 245, 465, 188, 412, 174, 399, 114, 343)

RIGID = (
    10, 151, 9, 8, 5, 4, 3, 248, 236, 456, 198, 420, *EXPRESSION_FREE_NOSE, 33, 133, 263, 362, 127, 356, 234, 454,
    162, 389, 139, 368, 156, 383, 71, 301, 21, 251, 68, 298, 54, 284, 103, 332, 67, 297, 109, 338, 69, 299, 104, 333,
    108, 337, 34, 264, 143, 372, 116, 345, 111, 340, 117, 346, 227, 447, 93, 323,
)  # fmt: skip
"""Points that the face's muscles hardly move: forehead, nose, eye corners, temples, cheek bones."""

OVAL_SIDES = (*FACE_OVAL[4:18], *FACE_OVAL[19:33])
"""The outline without forehead and chin: on the far side of a turned head these points slide over the skin."""

MIDLINE = (
    0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 94, 151, 152, 164, 168, 175, 195, 197, 199, 200,
)  # fmt: skip
"""The points that mirroring maps to themselves."""


def mirror_map() -> np.ndarray:
    """For every landmark the index of its mirror image, int64 (478,).

    The mesh numbers its right half and midline first (0 to 247), then the left half in the same order.
    """
    mapped = np.arange(N_LANDMARKS)
    right = np.setdiff1d(np.arange(248), MIDLINE)
    left = np.arange(248, 468)
    mapped[right], mapped[left] = left, right
    for a, b in zip((468, 469, 470, 471, 472), (473, 476, 475, 474, 477), strict=True):
        mapped[a], mapped[b] = b, a
    return mapped


MIRROR = mirror_map()
