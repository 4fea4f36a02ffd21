"""One protocol for rasterizing meshes, and the choice between its implementations."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from gaussavatar.errors import UserError
from gaussavatar.mesh.zbuffer import MeshRaster, rasterize_mesh


@runtime_checkable
class MeshRasterizer(Protocol):
    """Which triangle each pixel of a batch of images sees, where on it, and how far away."""

    def __call__(
        self,
        vertices_camera: Float[np.ndarray, "*b v 3"],
        triangles: Int[np.ndarray, "t 3"],
        K: Float[np.ndarray, "*#b 3 3"],
        width: int,
        height: int,
        *,
        cull: bool = False,
        near: float = 0.01,
    ) -> MeshRaster:
        """As :func:`gaussavatar.mesh.zbuffer.rasterize_mesh`."""
        ...


MESH_RASTERIZERS = ("native", "pytorch3d")
"""What :func:`get_mesh_rasterizer` knows; the first is the default."""


def get_mesh_rasterizer(name: str = MESH_RASTERIZERS[0]) -> MeshRasterizer:
    """The mesh rasterizer of a name.

    Raises:
        UserError: no such name, or the package behind it is not installed.
    """
    if name == "native":
        return rasterize_mesh
    if name == "pytorch3d":
        from gaussavatar.mesh import rasterizer_pytorch3d

        rasterizer_pytorch3d.require_pytorch3d()
        return rasterizer_pytorch3d.rasterize_mesh_pytorch3d
    raise UserError(f"a mesh rasterizer ({' or '.join(MESH_RASTERIZERS)})", repr(name), "choose one of them")
