"""Sections of a ``.gsa`` file as its header promises them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class WrongShapeError(Exception):
    """A section of another shape or type than the header asks for, or numbers in the header that cannot be."""


def taken(sections: Mapping[str, np.ndarray], name: str, kind: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """A section of the type and shape that the header asks for; None is any length.

    Raises:
        KeyError: there is none.
        WrongShapeError: it is another one.
    """
    array = sections[name]
    fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
    if not fits or array.dtype.str[1:] != kind:
        raise WrongShapeError(f"{name} of {array.dtype} {array.shape}")
    return array
