"""Gaussians at rest and bases that move them: what a ``.gsa`` file holds of a branch, and what a program makes of it.

Everything here is numpy, and short: it is what docs/gsa.md says in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from scipy.spatial.transform import Rotation

from gaussavatar.easing import smoothstep
from gaussavatar.model.aside import WIDTH
from gaussavatar.model.config import Channel
from gaussavatar.model.gaussians import CHANNEL_WIDTH
from gaussavatar.model.shading import FARTHEST
from gaussavatar.native.activation import LEAST_LENGTH
from gaussavatar.types import Activated

ROWS: dict[Channel, slice] = {
    "position": slice(0, 3),
    "rotation": slice(3, 7),
    "scale": slice(7, 10),
    "opacity": slice(10, 11),
    "color": slice(11, 14),
}
"""Rows of the Gaussians at rest: mean x y z, quaternion w x y z, log scale x y z, logit opacity, r g b."""


@dataclass(frozen=True)
class FreeNet:
    """Weights of the free shapes: ``tanh(w1 tanh(w0 codes + b0) + b1)``."""

    w0: Float32[np.ndarray, "h c"]
    b0: Float32[np.ndarray, "h"]
    w1: Float32[np.ndarray, "f h"]
    b1: Float32[np.ndarray, "f"]


@dataclass(frozen=True)
class Lighting:
    """Colour per Gaussian and axis of the head's turn, and what turns are measured against."""

    rows: Float32[np.ndarray, "9 n"]
    """Three rows (r, g, b) for each of the axes x, y and z."""
    R_camera_rest: Float32[np.ndarray, "3 3"]
    spread: Float32[np.ndarray, "3"]

    def change(self, R_camera_head: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "3 n"]:
        """Change of the colours for a head of that rotation (:mod:`gaussavatar.model.shading`)."""
        turn = Rotation.from_matrix(R_camera_head @ self.R_camera_rest.T).as_rotvec() / self.spread
        turn = (turn * (FARTHEST / max(float(np.linalg.norm(turn)), FARTHEST))).astype(np.float32)
        return np.tensordot(turn, self.rows.reshape(3, 3, -1), axes=1)


@dataclass(frozen=True)
class AsideColours:
    """Colour that is added where the head is seen from other directions than it was filmed from."""

    rows: Float32[np.ndarray, "3 n"]
    ahead: Float32[np.ndarray, "3"]
    """Mean direction of view of the film, in head space."""
    reach: float
    """How far from it the film's cameras stood, radians."""

    def change(self, R_camera_head: Float32[np.ndarray, "3 3"]) -> Float32[np.ndarray, "3 n"]:
        """Change of the colours for a camera that sees the head so turned (:mod:`gaussavatar.model.aside`)."""
        look = R_camera_head[2].astype(float)
        angle = np.arctan2(np.linalg.norm(np.cross(look, self.ahead)), look @ self.ahead)
        return np.float32(smoothstep(np.clip((angle - self.reach) / WIDTH, 0, 1))) * self.rows


@dataclass(frozen=True)
class LinearBranch:
    """Gaussians in raw units (:data:`ROWS`), of which the first m move."""

    base: Float32[np.ndarray, "14 n"]
    basis: Float32[np.ndarray, "k w m"]
    """Motion per unit of each weight, in the units of the base."""
    moves: tuple[Channel, ...]
    codes: int
    free: FreeNet | None = None
    lighting: Lighting | None = None
    aside: AsideColours | None = None

    @property
    def n_moving(self) -> int:
        """How many of the first Gaussians move."""
        return self.basis.shape[2]

    def weights(self, codes: Float32[np.ndarray, "c"]) -> Float32[np.ndarray, "k"]:
        """The codes, and the weights of the free shapes, in -1..1."""
        if self.free is None:
            return codes
        hidden = np.tanh(self.free.w0 @ codes + self.free.b0)
        return np.concatenate([codes, np.tanh(self.free.w1 @ hidden + self.free.b1)])

    def rows(self, codes: Float32[np.ndarray, "c"]) -> Float32[np.ndarray, "14 n"]:
        """Raw Gaussians of a code."""
        motion = np.tensordot(self.weights(codes), self.basis, axes=1)
        rows, start = self.base.copy(), 0
        for channel in self.moves:
            width = CHANNEL_WIDTH[channel]
            rows[ROWS[channel], : self.n_moving] += motion[start : start + width]
            start += width
        return rows

    def gaussians(
        self,
        codes: Float32[np.ndarray, "c"],
        R_camera_head: Float32[np.ndarray, "3 3"] | None = None,
        R_seen: Float32[np.ndarray, "3 3"] | None = None,
    ) -> Activated:
        """What a rasterizer takes, without batch dimension.

        Args:
            codes: of the branch: mouth codes, and for the face the upper-face channels after them.
            R_camera_head: rotation of the head as the filming camera sees it, which light depends on; None is no
                change of light.
            R_seen: rotation of the head as the camera sees it that the picture is drawn for; None is a view as filmed.
        """
        rows = self.rows(codes)
        colors = rows[ROWS["color"]]
        if self.lighting is not None and R_camera_head is not None:
            colors = colors + self.lighting.change(R_camera_head)
        if self.aside is not None and R_seen is not None:
            colors = colors + self.aside.change(R_seen)
        quats = rows[ROWS["rotation"]]
        quats = quats / np.maximum(np.linalg.norm(quats, axis=0), LEAST_LENGTH)
        opacities = 1 / (1 + np.exp(-rows[ROWS["opacity"]][0]))
        arrays = (rows[ROWS["position"]].T, quats.T, np.exp(rows[ROWS["scale"]]).T, opacities, colors.T)
        return Activated(*(torch.from_numpy(np.ascontiguousarray(array, np.float32)) for array in arrays))
