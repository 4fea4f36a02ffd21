"""Layers put over each other: the face over the inside of the mouth over what is behind the head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gaussavatar.native.operations import OPERATIONS
from gaussavatar.types import Rendered


def composite(face: Rendered, mouth: Rendered, under: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Porter-Duff "over" of premultiplied layers: face over mouth over the opaque ``under``, values 0..1.

    Native where there is a native form, plain torch elsewhere; gradients flow to all layers.

    Raises:
        ValueError: shapes that do not fit.
    """
    tensors = (face.rgb, face.alpha, mouth.rgb, mouth.alpha, under)
    image, mask = face.rgb.shape, face.rgb.shape[:-1]
    if [tensor.shape for tensor in tensors] != [image, mask, image, mask, image]:
        raise ValueError(f"layers of shapes {[tuple(tensor.shape) for tensor in tensors]}")
    return OPERATIONS["composite"](*tensors)
