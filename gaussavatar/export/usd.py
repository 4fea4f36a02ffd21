"""One state as OpenUSD: a ``ParticleField3DGaussianSplat`` prim, written by the package ``usd-core``.

Axes are y up and z to the viewer, the unit is the metre, and the stage says so. The prim's schema is UsdVol's (OpenUSD
26): positions, orientations, scales, opacities and coefficients of spherical harmonics, here of degree 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gaussavatar.avatar.mark import Mark
from gaussavatar.errors import UserError
from gaussavatar.export.cloud import Cloud, first_cloud
from gaussavatar.motion.track import MotionTrack
from gaussavatar.storage import atomic_path
from gaussavatar.types import Activated


def write(
    path: Path, states: Iterator[Activated], motion: MotionTrack, *, mark: Mark | None = None, faintest: float = 0.0
) -> int:
    """Write the first state; returns the number of Gaussians.

    Raises:
        UserError: ``usd-core`` is not installed or too old, the path has no ending of USD; and see
            :func:`gaussavatar.export.ply.write`.
    """
    require_usd()
    if path.suffix not in (".usd", ".usda", ".usdc"):
        raise UserError("a file for --out that ends in .usd, .usda or .usdc", path.name, "change the ending")
    cloud = first_cloud(states, faintest)
    with atomic_path(path) as temporary:
        write_stage(temporary, cloud.by_place().upright(), mark)
    return len(cloud)


def require_usd() -> None:
    """Check that there is a USD that knows Gaussians.

    Raises:
        UserError: there is none.
    """
    do = "pip install 'gaussavatar[usd]'"
    try:
        from pxr import UsdVol
    except ImportError as error:
        raise UserError("the package usd-core for --format usd", "none installed", do) from error
    if not hasattr(UsdVol, "ParticleField3DGaussianSplat"):
        raise UserError("a usd-core that knows Gaussian splats (26.11)", "an older one", do)


def write_stage(path: Path, cloud: Cloud, mark: Mark | None = None) -> None:
    """Write one stage with one prim; the cloud is in the stage's axes."""
    from pxr import Usd, UsdGeom, UsdVol, Vt

    stage = Usd.Stage.CreateNew(str(path))
    said = ["synthetic head avatar made by gaussavatar", *([mark.about] if mark else [])]
    stage.SetMetadata("comment", "; ".join(said))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    prim = UsdVol.ParticleField3DGaussianSplat.Define(stage, "/avatar")
    stage.SetDefaultPrim(prim.GetPrim())
    # USD's arrays of quaternions keep the real part last.
    turns = Vt.QuatfArray.FromNumpy(np.ascontiguousarray(cloud.quats[:, [1, 2, 3, 0]]))
    prim.CreatePositionsAttr(Vt.Vec3fArray.FromNumpy(cloud.means))
    prim.CreateOrientationsAttr(turns)
    prim.CreateScalesAttr(Vt.Vec3fArray.FromNumpy(cloud.scales))
    prim.CreateOpacitiesAttr(Vt.FloatArray.FromNumpy(cloud.opacities))
    prim.CreateRadianceSphericalHarmonicsDegreeAttr(0)
    coefficients = Vt.Vec3fArray.FromNumpy(cloud.harmonics.astype(np.float32))
    prim.CreateRadianceSphericalHarmonicsCoefficientsAttr(coefficients)
    reach = 3 * cloud.scales.max(axis=1, keepdims=True)
    corners = np.stack([(cloud.means - reach).min(axis=0), (cloud.means + reach).max(axis=0)])
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(corners))
    stage.GetRootLayer().Save()
