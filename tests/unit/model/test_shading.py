"""Shading: colours follow the head's rotation, not the camera, and stop where the clip saw nothing."""

from types import ModuleType

import torch

from gaussavatar.model.shading import FARTHEST, UNIT, Shading


def roma() -> ModuleType:
    """Imported when it is asked for: it brings torch's compiler along, seconds for every process that collects this."""
    import roma

    return roma


def rotations(count: int, spread: tuple[float, float, float], seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    base = roma().rotvec_to_rotmat(torch.tensor([0.2, -0.1, 0.05]))
    return roma().rotvec_to_rotmat(torch.randn(count, 3, generator=random) * torch.tensor(spread)) @ base


def test_calibration_gives_unit_turns_about_the_mean():
    R = rotations(4000, (0.05, 0.1, 0.03))
    shading = Shading(5)
    shading.calibrate(R)
    turn = roma().rotmat_to_rotvec(R @ shading.R_camera_rest.T) / shading.spread
    assert turn.mean(dim=0).abs().max() < 0.02
    assert torch.allclose(turn.std(dim=0), torch.ones(3), atol=0.01)
    assert torch.det(shading.R_camera_rest) > 0.999


def test_colours_are_linear_in_small_turns_and_bounded_far_away():
    shading = Shading(4)
    with torch.no_grad():
        shading.slopes.copy_(torch.randn(4, 9, generator=torch.Generator().manual_seed(1)))
    shading.calibrate(rotations(500, (0.05, 0.1, 0.03)))

    def at(vector: list[float]) -> torch.Tensor:
        turned = roma().rotvec_to_rotmat(torch.tensor(vector) * shading.spread) @ shading.R_camera_rest
        return shading(turned[None])[0]

    one = at([0.0, 1.0, 0.0])
    expected = UNIT * shading.slopes.view(4, 3, 3)[:, 1]
    assert torch.allclose(one, expected, atol=1e-4)
    assert torch.allclose(at([0.0, -1.0, 0.0]), -one, atol=1e-4)
    assert torch.allclose(at([0.0, 10.0, 0.0]), FARTHEST * one, atol=1e-3)
    assert at([0.0, 0.0, 0.0]).abs().max() < 1e-5


def test_a_head_that_never_turns_gives_finite_colours():
    shading = Shading(3)
    shading.calibrate(torch.eye(3).expand(20, 3, 3))
    with torch.no_grad():
        shading.slopes.fill_(1.0)
    assert torch.isfinite(shading(rotations(5, (0.3, 0.3, 0.3)))).all()
