"""Draws the actor: a mesh raster of twice the size, lit in native code, box-filtered to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from scipy.ndimage import gaussian_filter

from gaussavatar.mesh.zbuffer import MeshRaster, rasterize_mesh
from gaussavatar.native import abi
from gaussavatar.native.library import load_library
from gaussavatar.synthetic.body import PARTS, ActorBody, PosedActor
from gaussavatar.synthetic.light import FILL_DIRECTION, KEY_DIRECTION, RIM_DIRECTION, SeenLight, unit
from gaussavatar.synthetic.look import ActorLook, to_linear
from gaussavatar.synthetic.paint import CHART, TEXELS, SkinTexture

OVERSAMPLE = 2
KEY = np.array([1.0, 0.95, 0.88]) * 1.55
FILL = np.array([0.90, 0.94, 1.0]) * 0.30
RIM = np.array([0.92, 0.96, 1.0]) * 0.55
SKY = np.array([0.94, 0.97, 1.0]) * 0.48
GROUND = np.array([1.0, 0.87, 0.78]) * 0.26
EXPOSURE = 1.24
SKIN_WRAP = (0.34, 0.18, 0.12)
"""How far the key light bleeds around the terminator of skin, by channel (a stand-in for subsurface scattering)."""

MATERIALS = {
    "skin": (SKIN_WRAP, 2.6, 2.2, 0, 1),
    "mouth": ((0.15, 0.08, 0.08), 2.0, 14.0, 0, 0),
    "eyes": ((0.10, 0.10, 0.10), 1.0, 60.0, 0, 0),
    "shirt": ((0.10, 0.10, 0.10), 0.5, 0.0, 0, 0),
    "lashes": ((0.10, 0.10, 0.10), 0.5, 0.0, 0, 0),
    "brows": ((0.20, 0.20, 0.20), 0.5, 0.0, 0, 0),
    "hair": ((0.0, 0.0, 0.0), 0.0, 0.0, 1, 0),
}
"""Of each part: wrap, broad and tight highlight, already lit, textured."""


@dataclass(frozen=True)
class Picture:
    """One drawn frame: the sRGB picture, and the raster of twice its size that it was made of."""

    rgb: UInt8[np.ndarray, "s s 3"]
    raster: MeshRaster


def paint_wall(size: int, look: ActorLook) -> Float32[np.ndarray, "s s 3"]:
    """A plain wall in linear light: soft light from the left, faint plaster texture, a blurred shelf edge."""
    random = np.random.default_rng([look.seed, 23])
    y, x = np.mgrid[0:size, 0:size] / size
    light = 0.62 + 0.38 * np.exp(-((x - 0.18) ** 2 + (y - 0.22) ** 2) / 0.5)
    plaster = sum(
        weight * gaussian_filter(random.normal(size=(size, size)), sigma * size / 512, mode="wrap") * sigma
        for sigma, weight in ((1.2, 0.012), (5, 0.012), (28, 0.02))
    )
    wall = to_linear(look.wall) * (light * (1 + plaster))[..., None]
    panel = 1 / (1 + np.exp(-(x - 0.80) * 55))
    wall *= (1 - 0.30 * panel)[..., None] * (1 - panel[..., None] * [0.0, 0.03, 0.08])
    skirting = 1 / (1 + np.exp(-(y - 0.87) * 40))
    return (wall * (1 - 0.18 * skirting)[..., None]).astype(np.float32)


def _light(direction: np.ndarray, colour: np.ndarray) -> abi.GaMeshLight:
    return abi.GaMeshLight(abi.floats(unit(direction)), abi.floats(colour))


def _scene(texture: SkinTexture, turn: np.ndarray) -> abi.GaMeshScene:
    return abi.GaMeshScene(
        _light(turn @ KEY_DIRECTION, KEY),
        _light(turn @ FILL_DIRECTION, FILL),
        _light(turn @ RIM_DIRECTION, RIM),
        *(abi.floats(SKY), abi.floats(GROUND)),
        abi.address(texture.texels),
        *(CHART[0], CHART[1], TEXELS, EXPOSURE),
        *(texture.texels.shape[1], texture.texels.shape[0]),
    )


def _materials() -> Any:
    rows = (MATERIALS[name] for name in PARTS)
    return abi.records([abi.GaMeshMaterial(abi.floats(wrap), *answer) for wrap, *answer in rows])


def draw_actor(
    body: ActorBody,
    posed: PosedActor,
    seen: SeenLight,
    K: Float[np.ndarray, "3 3"],
    wall: Float32[np.ndarray, "s s 3"],
    R_camera_light: Float[np.ndarray, "3 3"] | None = None,
) -> Picture:
    """Draw one frame.

    Args:
        body: the actor.
        posed: its vertices and normals in camera space.
        seen: how much light reaches each vertex.
        K: camera matrix of the final picture.
        wall: the background in linear light, of the final size.
        R_camera_light: how far the camera is turned from where the light was set up; None is not at all.
    """
    size = wall.shape[0]
    K_fine = np.array(K, np.float64)
    K_fine[:2] *= OVERSAMPLE
    raster = rasterize_mesh(posed.vertices, body.triangles, K_fine, OVERSAMPLE * size, OVERSAMPLE * size)
    turn = np.eye(3) if R_camera_light is None else R_camera_light
    return Picture(_shade(body, posed, seen, raster, wall, turn), raster)


def _shade(
    body: ActorBody, posed: PosedActor, seen: SeenLight, raster: MeshRaster, wall: np.ndarray, turn: np.ndarray
) -> UInt8[np.ndarray, "s s 3"]:
    """Light a raster in native code."""
    library, scene, materials = load_library(), _scene(body.texture, turn), _materials()
    strands, points = body.hair.shape
    start = len(posed.vertices) - 2 * strands * points
    # A ribbon's two columns share their light, which is computed once for the strand's middle.
    middle = (posed.vertices[start::2] + posed.vertices[start + 1 :: 2]) / 2
    normals = np.ascontiguousarray(posed.normals[start::2])
    sky, key = (np.ascontiguousarray(values[start::2]) for values in (seen.sky, seen.key))
    tones = np.ascontiguousarray(body.colour[start :: 2 * points])
    hair = np.empty((strands * points, 3), np.float32)
    library.ga_shade_strands(middle, normals, tones, sky, key, scene, strands, points, hair)
    packed = np.empty((len(posed.vertices), 12), np.float32)
    packed[:, :3], packed[:, 3:6], packed[:, 9:] = posed.normals, body.colour, posed.vertices
    packed[:, 6], packed[:, 7], packed[:, 8] = body.gloss, seen.sky, seen.key
    packed[start::2, 3:6] = packed[start + 1 :: 2, 3:6] = hair
    picture = np.empty(wall.shape, np.uint8)
    arrays = (raster.triangle_index, raster.barycentrics, body.triangles, body.part, body.corner_uv, packed)
    library.ga_shade_mesh(*arrays, materials, scene, wall, len(wall), OVERSAMPLE, picture)
    return picture
