"""Colour that depends on the direction of view: real spherical harmonics of degree 1 and 2.

Order and signs are those of 3D Gaussian Splatting files (Kerbl et al. 2023); degree 0 is the
Gaussians' plain colour.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

C1 = 0.4886025119029199
"""sqrt(3 / (4 pi))."""
C2 = (1.0925484305920792, 0.31539156525252005, 0.5462742152960396)
"""sqrt(15 / (4 pi)), sqrt(5 / (16 pi)), sqrt(15 / (16 pi))."""


def n_coefficients(degree: int) -> int:
    """Coefficients per colour beyond the constant one."""
    return (degree + 1) ** 2 - 1


def basis(directions: Float[Tensor, "*b 3"], degree: int) -> Float[Tensor, "*b k"]:
    """Values of the harmonics of degrees 1 to ``degree`` at unit ``directions``.

    Raises:
        ValueError: a degree other than 1 or 2.
    """
    if degree not in (1, 2):
        raise ValueError(f"spherical harmonics of degree {degree}, expected 1 or 2")
    x, y, z = directions.unbind(-1)
    values = [-C1 * y, C1 * z, -C1 * x]
    if degree == 2:
        values += [
            C2[0] * x * y,
            -C2[0] * y * z,
            C2[1] * (2 * z * z - x * x - y * y),
            -C2[0] * x * z,
            C2[2] * (x * x - y * y),
        ]
    return torch.stack(values, dim=-1)


def view_colors(
    means: Float[Tensor, "b n 3"], coefficients: Float[Tensor, "n k 3"], T_camera_world: Float[Tensor, "#b 4 4"]
) -> Float[Tensor, "b n 3"]:
    """What the direction from camera to Gaussian, in head space, adds to each colour."""
    R, t = T_camera_world[:, :3, :3], T_camera_world[:, :3, 3:]
    centre = -(R.transpose(1, 2) @ t).transpose(1, 2)
    directions = torch.nn.functional.normalize(means - centre, dim=-1)
    degree = 1 if coefficients.shape[1] == n_coefficients(1) else 2
    return torch.einsum("bnk,nkc->bnc", basis(directions, degree), coefficients)
