"""Layers put over each other: the face over the inside of the mouth over what is behind the head."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from gaussavatar.types import Rendered


def composite(face: Rendered, mouth: Rendered, under: Float[Tensor, "b h w 3"]) -> Float[Tensor, "b h w 3"]:
    """Porter-Duff "over" of premultiplied layers: face over mouth over the opaque ``under``, values 0..1."""
    behind_face = mouth.rgb + (1 - mouth.alpha)[..., None] * under
    return face.rgb + (1 - face.alpha)[..., None] * behind_face
