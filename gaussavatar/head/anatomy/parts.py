"""Adding parts to a head: any piece of mesh that moves in its own way, and rows of teeth for heads without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int, UInt8

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.teeth import make_row
from gaussavatar.head.model import REGIONS, HeadModel

USUAL_MOUTH = 0.050
"""Width in metres between the corners of the mouth for which the teeth have their average size."""

MIDDLE_UPPER, MIDDLE_LOWER, CORNERS = (0, 13), (14, 17), (61, 291)
"""MediaPipe's landmarks on the midline of the lips (outer and inner ring), and the corners of the mouth."""


def append_part(
    head: HeadModel,
    vertices: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "t 3"],
    weights: Float[np.ndarray, "n j"],
    regions: UInt8[np.ndarray, "n"],
    identity: Float[np.ndarray, "i n 3"] | None = None,
) -> HeadModel:
    """The head with one more piece, which expressions and pose correctives leave alone.

    Args:
        head: the head; a landmark embedding stays valid.
        vertices: of the piece, template space, metres.
        triangles: of the piece, from 0.
        weights: skinning weights of the piece.
        regions: values of the piece.
        identity: how the identity shapes move the piece; not at all when None.
    """
    n = len(vertices)

    def grown(array: np.ndarray | None, more: np.ndarray | None = None) -> np.ndarray | None:
        if array is None:
            return None
        added = np.zeros((len(array), n, 3)) if more is None else more
        return np.concatenate([array, added.astype(np.float32)], 1)

    basis, expression = grown(head.identity, identity), grown(head.expression)
    assert basis is not None and expression is not None
    corner_uv = head.corner_uv
    if corner_uv is not None:
        corner_uv = np.concatenate([corner_uv, np.full((len(triangles), 3, 2), -1, np.float32)])
    return replace(
        head,
        template=np.concatenate([head.template, vertices.astype(np.float32)]),
        triangles=np.concatenate([head.triangles, triangles + len(head.template)]).astype(np.int32),
        identity=basis,
        expression=expression,
        skin_weights=np.concatenate([head.skin_weights, weights.astype(np.float32)]),
        regions=np.concatenate([head.regions, regions.astype(np.uint8)]),
        pose_correctives=grown(head.pose_correctives),
        corner_uv=corner_uv,
    )


def add_teeth(head: HeadModel, *, upper_joint: str, lower_joint: str) -> HeadModel:
    """Teeth and gums behind the lips of a head that has none.

    The rows lie behind the lips' midline, sized by the mouth's width; the upper one is rigid with the skull, the lower
    one with the jaw. Both follow the identity as the lips do on average.

    Args:
        head: a head with lips and a landmark embedding, at rest with its mouth closed.
        upper_joint: the joint that carries the skull.
        lower_joint: the joint that carries the lower jaw.

    Raises:
        UserError: the landmarks of the mouth are not on the head.
    """
    embedding = head.embedding
    lips = head.region("lips")
    needed = [*MIDDLE_UPPER, *MIDDLE_LOWER, *CORNERS]
    if embedding is None or not lips.any() or (embedding.confidence[needed] <= 0).any():
        raise UserError(
            f"a head whose mouth MediaPipe finds, in {head.name}", "landmarks of the mouth missing", "check the file"
        )
    points = (embedding.barycentrics[..., None] * head.template[head.triangles[embedding.face]]).sum(1)
    size = float(np.clip(np.ptp(points[list(CORNERS), 0]) / USUAL_MOUTH, 0.8, 1.2))
    front = float(points[[*MIDDLE_UPPER, *MIDDLE_LOWER], 2].min())
    meeting = float(points[[MIDDLE_UPPER[1], MIDDLE_LOWER[0]], 1].mean())
    moved = head.identity[:, lips].mean(1, keepdims=True)
    for upper in (True, False):
        # The incisors show a little below the upper lip's edge when the mouth opens, and overlap the lower ones.
        edge = np.array(
            [0.0, meeting + size * (0.0020 if upper else 0.0005), front + size * (0.0095 if upper else 0.012)]
        )
        row = make_row(upper=upper, edge=np.zeros(3), arch_width=0.050 if upper else 0.046)
        weights = np.zeros((len(row.vertices), len(head.joint_names)))
        weights[:, head.joint_names.index(upper_joint if upper else lower_joint)] = 1
        regions = np.full(len(row.vertices), REGIONS.index("inner_mouth"), np.uint8)
        regions[: row.n_teeth] = REGIONS.index("teeth_upper" if upper else "teeth_lower")
        identity = np.repeat(moved, len(row.vertices), 1)
        head = append_part(head, edge + size * row.vertices, row.triangles, weights, regions, identity)
    return head
