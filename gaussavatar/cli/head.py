"""What the verb ``head`` shows of the built-in head."""

from __future__ import annotations

import difflib
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.builtin import builtin_head
from gaussavatar.head.embedding import render_plain
from gaussavatar.head.model import pose_vertices
from gaussavatar.media.images import write_image

YAWS = (-0.6, 0.0, 0.6)
"""Turns of the head in the picture, radians."""

DISTANCE = 0.75
"""Metres from the camera to the head."""


def head_facts() -> str:
    """Facts of the built-in head as text for a terminal."""
    head = builtin_head()
    seen = 0 if head.embedding is None else int((head.embedding.confidence > 0).sum())
    lines = [
        f"{head.name}: {len(head.template)} vertices, {len(head.triangles)} triangles, {len(head.joint_names)} joints",
        f"identity shapes: {len(head.identity_names)}; MediaPipe landmarks embedded: {seen} of 478",
        f"expressions ({len(head.expression_names)}):",
    ]
    names = textwrap.wrap(", ".join(head.expression_names), 96)
    return "\n".join([*lines, *(f"  {line}" for line in names)])


def parse_weights(words: Sequence[str]) -> dict[str, float]:
    """``NAME=WEIGHT`` words to weights by name.

    Raises:
        UserError: an unknown name (with a suggestion) or a weight that is not a number.
    """
    known = builtin_head().expression_names
    weights: dict[str, float] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "gaussavatar head list names them"
            raise UserError("the name of an expression", repr(name), hint)
        try:
            weights[name] = float(text)
        except ValueError as error:
            raise UserError(f"a number after {name}=", repr(text), f"write {name}=0.5, for example") from error
        if not math.isfinite(weights[name]):
            raise UserError(f"a finite number after {name}=", repr(text), f"write {name}=0.5, for example")
    return weights


def write_head_picture(path: Path, weights: Mapping[str, float]) -> None:
    """Write a picture of the built-in head from three sides.

    Raises:
        UserError: the path cannot be written or is not an image's.
    """
    head = builtin_head()
    expression = torch.from_numpy(head.expression_row(**weights))[None]
    vertices = pose_vertices(head, torch.zeros(1, len(head.identity_names)), expression)[0].numpy()
    images = []
    for yaw in YAWS:
        R = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], np.float32)
        camera = (vertices @ R.T + np.array([0, 0, DISTANCE])).astype(np.float32)
        images.append(render_plain(head, camera)[0])
    write_image(path, np.concatenate(images, axis=1))
