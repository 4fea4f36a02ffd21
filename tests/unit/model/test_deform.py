"""The deformation designs: still at the start, able to learn a motion, and what each of them promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gaussavatar.model.config import BranchConfig
from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.deform.design import Deformation, DeformationRequest, WithLinear, make_deformation
from gaussavatar.model.deform.triplane import TriPlane, level_sides
from gaussavatar.model.deform.vectors import Vectors, encode, fourier_features, neighbours
from gaussavatar.model.gaussians import InitialBranch, RawGaussians

N_CODES, N_UPPER, N_MOVING, WIDTH = 3, 1, 40, 13
CONFIGS = {
    "blendshapes": BranchConfig(N_MOVING, n_free=2),
    "triplane": BranchConfig(N_MOVING, deformation="triplane"),
    "attention": BranchConfig(N_MOVING, deformation="triplane", attention=True),
    "vectors": BranchConfig(N_MOVING, deformation="vectors"),
}
STILL = {"attention": 1e-4}
"""Motion at the start, at most, where it is that of planes next to zero and not of a last layer of zeros."""


def places() -> torch.Tensor:
    return torch.rand(N_MOVING, 3, generator=torch.Generator().manual_seed(1)) * 0.1 - 0.05


def design(config: BranchConfig, position: torch.Tensor | None = None) -> nn.Module:
    torch.manual_seed(0)
    zeros = torch.zeros(N_MOVING, 3)
    raw = RawGaussians(places(), torch.zeros(N_MOVING, 4), zeros, zeros[:, 0], zeros)
    start = InitialBranch(raw, N_MOVING, torch.zeros(N_CODES, N_MOVING, 3) if position is None else position)
    return make_deformation(DeformationRequest(config, N_CODES, N_UPPER, WIDTH, start))


@pytest.mark.parametrize("name", CONFIGS)
def test_starts_still_and_learns_a_motion(name: str) -> None:
    deformation, means = design(CONFIGS[name]), places()
    assert isinstance(deformation, Deformation)
    codes = torch.randn(16, N_CODES, generator=torch.Generator().manual_seed(2))
    assert float(deformation(codes, means).detach().abs().max()) <= STILL.get(name, 0.0)
    wanted = torch.einsum("bc,md->bmd", codes[:, :1], torch.ones(N_MOVING, WIDTH)) * (means[:, :1] > 0)
    optimizer = torch.optim.Adam(deformation.parameters(), lr=1e-2)
    loss = torch.zeros(())
    for _ in range(200):
        optimizer.zero_grad()
        loss = (deformation(codes, means) - wanted).square().mean()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.2 * float(wanted.square().mean())
    assert all(parameter.grad is not None for parameter in deformation.parameters())


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    deformation = design(CONFIGS[name]).double()
    generator = torch.Generator().manual_seed(3)
    for parameter in deformation.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    codes = torch.randn(2, N_CODES, generator=generator, dtype=torch.float64, requires_grad=True)
    few = places().double()
    weights = torch.randn(2, N_MOVING, WIDTH, generator=generator, dtype=torch.float64)

    def value() -> torch.Tensor:
        return (deformation(codes, few) * weights).sum()

    parameters = [codes, *deformation.parameters()]
    gradients = torch.autograd.grad(value(), parameters)
    step = 1e-6
    for parameter, gradient in zip(parameters, gradients, strict=True):
        flat, index = parameter.data.view(-1), int(gradient.abs().argmax())
        before = float(flat[index])
        flat[index] = before + step
        above = float(value())
        flat[index] = before - step
        below = float(value())
        flat[index] = before
        assert float(gradient.view(-1)[index]) == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_per_gaussian_are_all_named(name: str) -> None:
    """Dropping the rows of some Gaussians leaves the motion of the others as it was."""
    deformation, means = design(CONFIGS[name]), places()
    with torch.no_grad():
        for parameter in deformation.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        codes = torch.randn(2, N_CODES)
        whole = deformation(codes, means)
        kept = torch.arange(0, N_MOVING, 3)
        for module in deformation.modules():
            named = module.per_gaussian() if hasattr(module, "per_gaussian") else {}
            for path, where in named.items():
                tensor = getattr(module, path)
                columns = (kept[:, None] * where.width + torch.arange(where.width)).flatten()
                tensor.data = tensor.data.index_select(where.axis, columns)
        torch.testing.assert_close(deformation(codes, means[kept]), whole[:, kept])


@pytest.mark.parametrize("name", ["triplane", "vectors"])
def test_linear_part_starts_at_the_landmarks_motion(name: str) -> None:
    from dataclasses import replace

    position = torch.randn(N_CODES, N_MOVING, 3, generator=torch.Generator().manual_seed(2))
    deformation = design(replace(CONFIGS[name], linear=True), position)
    assert isinstance(deformation, WithLinear) and isinstance(deformation, Deformation)
    codes = torch.randn(4, N_CODES)
    motion = deformation(codes, places())
    torch.testing.assert_close(motion[..., :3], torch.einsum("bc,cmd->bmd", codes, position))
    assert float(motion[..., 3:].detach().abs().max()) == 0.0


def test_blendshapes_start_at_the_landmarks_motion_and_are_linear_in_the_codes() -> None:
    position = torch.randn(N_CODES, N_MOVING, 3, generator=torch.Generator().manual_seed(2))
    deformation = Blendshapes(N_CODES, 0, N_MOVING, WIDTH, position)
    codes = torch.randn(4, N_CODES)
    motion = deformation(codes, torch.zeros(N_MOVING, 3))
    torch.testing.assert_close(motion[..., :3], torch.einsum("bc,cmd->bmd", codes, position))
    assert float(motion[..., 3:].abs().max()) == 0.0


def test_triplane_levels_are_the_published_ones() -> None:
    assert level_sides(16, 38.4) == (16, 18, 19, 21, 22, 24, 26, 28, 31, 33, 36, 39)
    mouth = level_sides(64, 57.6)
    assert mouth[0] == 64 and mouth[-1] == 58 and sorted(mouth, reverse=True) == list(mouth)


def test_triplane_motion_depends_on_the_place_and_on_the_axes() -> None:
    means = torch.tensor([[0.05, 0.0, 0.0], [-0.05, 0.02, 0.01]])
    motions = []
    for axes in ((1.0, 1.0, 1.0), (0.2, 1.0, 0.2)):
        torch.manual_seed(0)
        deformation = lively(TriPlane(N_CODES, WIDTH, axes=axes))
        motions.append(deformation(torch.ones(1, N_CODES), means))
    assert not torch.allclose(motions[0][0, 0], motions[0][0, 1])
    torch.testing.assert_close(motions[1][..., :3], motions[0][..., :3] * torch.tensor([0.2, 1, 0.2]))
    torch.testing.assert_close(motions[1][..., 3:], motions[0][..., 3:])


def test_gates_feel_the_picture_from_the_first_step() -> None:
    """What only hears that hair and lips must be deaf, turns all deaf, and without biases for good."""
    deformation, means = design(CONFIGS["attention"]), places()
    assert isinstance(deformation, TriPlane) and deformation.attention is not None
    codes = torch.rand(4, N_CODES, generator=torch.Generator().manual_seed(2))
    (deformation(codes, means) * torch.randn(4, N_MOVING, WIDTH)).sum().backward()
    assert all(float(parameter.grad.abs().max()) > 0 for parameter in deformation.attention.parameters())


def lively(deformation: TriPlane) -> TriPlane:
    """The design with planes and layers whose effects can be told from nothing."""
    for parameter in (*deformation.planes, deformation.out.weight, deformation.codes.weight):
        nn.init.normal_(parameter)
    return deformation


def test_a_gaussian_without_attention_does_not_hear_the_codes() -> None:
    deformation = design(CONFIGS["attention"])
    assert isinstance(deformation, TriPlane) and deformation.attention is not None
    lively(deformation)
    means = places()
    listens = deformation.attention_of(means)
    assert listens is not None and float(listens[0].min()) > 0
    nn.init.zeros_(deformation.attention.mouth[-1].weight)
    mute = deformation.attention_of(means)
    assert mute is not None and float(mute[0].detach().max()) < 1e-5
    one, two = torch.zeros(1, N_CODES), torch.zeros(1, N_CODES)
    two[:, : N_CODES - N_UPPER] = 1
    torch.testing.assert_close(deformation(one, means), deformation(two, means))
    two[:, N_CODES - N_UPPER :] = 1
    assert not torch.allclose(deformation(one, means), deformation(two, means))


def test_neighbours_are_the_nearest_by_brute_force() -> None:
    means = places()
    index, nearness = neighbours(means)
    distance = torch.cdist(means.double(), means.double())
    expected, order = distance.sort(dim=1)
    torch.testing.assert_close(torch.gather(distance, 1, index.long()), expected[:, 1:21])
    torch.testing.assert_close(nearness.double(), torch.exp(-2000 * expected[:, 1:21] ** 2), rtol=1e-4, atol=1e-6)
    assert index.shape == (N_MOVING, 20) and not (index == order[:, :1]).any()


def test_smoothness_is_the_papers_mean_and_pulls_neighbours_together() -> None:
    deformation = design(CONFIGS["vectors"])
    assert isinstance(deformation, Vectors)
    generator = torch.Generator().manual_seed(0)
    index, nearness = deformation.neighbours()
    total = 0.0
    for row in range(N_MOVING):
        for column, other in enumerate(index[row].tolist()):
            gap = torch.linalg.norm(deformation.vectors[row] - deformation.vectors[other])
            total += float(nearness[row, column] * gap)
    first = deformation.smoothness(generator)
    assert float(first) == pytest.approx(total / (N_MOVING * 20), rel=1e-4)
    optimizer = torch.optim.SGD([deformation.vectors], lr=5.0)
    for _ in range(50):
        optimizer.zero_grad()
        deformation.smoothness(generator).backward()
        optimizer.step()
    assert float(deformation.smoothness(generator)) < 0.7 * float(first)


def test_neighbours_are_met_anew_when_the_gaussians_change() -> None:
    deformation = design(CONFIGS["vectors"])
    assert isinstance(deformation, Vectors)
    deformation.smoothness(torch.Generator())
    kept = torch.arange(10, 35)
    deformation.vectors.data, deformation.anchors = deformation.vectors.data[kept], places()[kept]
    assert torch.isfinite(deformation.smoothness(torch.Generator()))
    torch.testing.assert_close(deformation.neighbours()[0], neighbours(places()[kept])[0])
    other = kept.flip(0)
    deformation.anchors = places()[other]
    torch.testing.assert_close(deformation.neighbours()[0], neighbours(places()[other])[0])


def test_vectors_begin_alike_where_gaussians_are_near() -> None:
    torch.manual_seed(0)
    points = places()
    features = fourier_features(points, 4000)
    expected = torch.exp(-2000 * torch.cdist(points, points) ** 2)
    torch.testing.assert_close(features @ features.T / 4000, expected, atol=0.1, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_branch_of_no_gaussians_has_no_motion(name: str) -> None:
    none = torch.zeros(0, 3)
    raw = RawGaussians(none, torch.zeros(0, 4), none, none[:, 0], none)
    start = InitialBranch(raw, 0, torch.zeros(N_CODES, 0, 3))
    deformation = make_deformation(DeformationRequest(CONFIGS[name], N_CODES, N_UPPER, WIDTH, start))
    motion = deformation(torch.zeros(2, N_CODES), none)
    assert motion.shape == (2, 0, WIDTH)
    if isinstance(deformation, Vectors):
        assert float(deformation.smoothness(torch.Generator())) == 0.0


def test_encoding_keeps_the_values_and_is_bounded_beyond_them() -> None:
    values = torch.randn(5, 2)
    coded = encode(values)
    assert coded.shape == (5, 10) and torch.equal(coded[:, :2], values)
    assert float(coded[:, 2:].abs().max()) <= 1
