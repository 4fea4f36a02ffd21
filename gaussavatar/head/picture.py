"""Pictures and facts of a head model, for a person to look at."""

from __future__ import annotations

import difflib
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from gaussavatar.errors import UserError
from gaussavatar.head.embedding import render_plain
from gaussavatar.head.installed import BUILT_IN, get_head
from gaussavatar.head.model import HeadModel, pose_vertices
from gaussavatar.media.images import write_image
from gaussavatar.motion.rotations import rotation_matrices

YAWS = (-0.6, 0.0, 0.6)
"""Turns of the head in the picture, radians."""

SIDES = (-1.3, -0.6, 0.0, 0.6, 1.3)
"""Turns of an installed head in the upper row of its picture, radians."""

DISTANCE = 0.75
"""Metres from the camera to the head."""

SHOWN_EXPRESSIONS = (
    ("jawOpen",),
    ("eyeBlinkLeft", "eyeBlinkRight"),
    ("mouthSmileLeft", "mouthSmileRight"),
    ("mouthPucker",),
    ("browInnerUp",),
)
"""Movements in the lower row of a picture, for heads whose expressions have names."""

LIST_NAMES_UP_TO = 64
"""Heads with more expressions than this have directions rather than names worth listing."""


def head_facts(name: str | None = None) -> str:
    """Facts of one head as text for a terminal.

    Raises:
        UserError: no such head is installed.
    """
    head = get_head(name or BUILT_IN)
    seen = 0 if head.embedding is None else int((head.embedding.confidence > 0).sum())
    lines = [
        f"{head.name}: {len(head.template)} vertices, {len(head.triangles)} triangles, {len(head.joint_names)} joints",
        f"identity shapes: {len(head.identity_names)}; MediaPipe landmarks embedded: {seen} of 478",
        f"expressions ({len(head.expression_names)}):",
    ]
    names = head.expression_names
    if len(names) > LIST_NAMES_UP_TO:
        names = (*names[:2], "...", names[-1])
    return "\n".join([*lines, *(f"  {line}" for line in textwrap.wrap(", ".join(names), 96))])


def parse_weights(words: Sequence[str], name: str | None = None) -> dict[str, float]:
    """``NAME=WEIGHT`` words to weights by name, for one head.

    Raises:
        UserError: an unknown name (with a suggestion) or a weight that is not a number.
    """
    if not words:
        return {}
    known = get_head(name or BUILT_IN).expression_names
    weights: dict[str, float] = {}
    for word in words:
        entry, _, text = word.partition("=")
        if entry not in known:
            close = difflib.get_close_matches(entry, known, n=1)
            hint = f"did you mean {close[0]}?" if close else "gaussavatar head list names them"
            raise UserError("the name of an expression", repr(entry), hint)
        try:
            weights[entry] = float(text)
        except ValueError as error:
            raise UserError(f"a number after {entry}=", repr(text), f"write {entry}=0.5, for example") from error
        if not math.isfinite(weights[entry]):
            raise UserError(f"a finite number after {entry}=", repr(text), f"write {entry}=0.5, for example")
    return weights


def write_head_picture(path: Path, weights: Mapping[str, float], name: str | None = None) -> None:
    """Write a picture of a head from three sides.

    Raises:
        UserError: the path cannot be written or is not an image's.
    """
    head = get_head(name or BUILT_IN)
    vertices = _posed(head, head.expression_row(**weights))
    write_image(path, np.concatenate([_view(head, vertices, yaw) for yaw in YAWS], axis=1))


def write_head_sheet(path: Path, name: str) -> None:
    """Write a picture of a head at rest from five sides and with five movements below.

    Movements are ARKit shapes where the head has them, else the opened jaw and its first expression directions.

    Raises:
        UserError: no such head, or the path cannot be written or is not an image's.
    """
    head = get_head(name)
    rest = _posed(head, head.expression_row())
    rows = [[_view(head, rest, yaw) for yaw in SIDES], [_view(head, moved, -0.25) for moved in _movements(head)]]
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)
    write_image(path, sheet)


def _movements(head: HeadModel) -> list[np.ndarray]:
    """Vertices of the head in five movements."""
    known = set(head.expression_names)
    if known >= {entry for group in SHOWN_EXPRESSIONS for entry in group}:
        rows = [head.expression_row(**dict.fromkeys(group, 0.8)) for group in SHOWN_EXPRESSIONS]
        return [_posed(head, row) for row in rows]
    moved = [_posed(head, head.expression_row(), jaw=0.25)] if "jaw" in head.joint_names else []
    for index in range(5 - len(moved)):
        row = head.expression_row()
        row[min(index, len(row) - 1)] = 2.5
        moved.append(_posed(head, row))
    return moved


def _posed(head: HeadModel, expression: np.ndarray, jaw: float = 0.0) -> np.ndarray:
    rotations = torch.zeros(1, len(head.joint_names), 3)
    if jaw:
        rotations[0, head.joint_names.index("jaw"), 0] = jaw
    identity = torch.zeros(1, len(head.identity_names))
    return pose_vertices(head, identity, torch.from_numpy(expression)[None], rotations)[0].numpy()


def _view(head: HeadModel, vertices: np.ndarray, yaw: float) -> np.ndarray:
    """A picture of posed vertices from one side, 512 px."""
    R_camera_head = rotation_matrices(torch.tensor([0.0, yaw, 0.0])).numpy()
    camera = (vertices @ R_camera_head.T + np.array([0, 0, DISTANCE])).astype(np.float32)
    return render_plain(head, camera)[0]
