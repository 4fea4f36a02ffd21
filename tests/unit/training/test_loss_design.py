"""Regularisers of the designs: who pays, who does not, and what they do to the attention."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import blank_branch
from gaussavatar.landmarks.indices import LIPS_INNER, LIPS_OUTER
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.model.deform.triplane import TriPlane
from gaussavatar.training.config import LossConfig
from gaussavatar.training.loss_design import (
    HAIR_AT,
    HAIR_FROM,
    LIP_REACH,
    attention_losses,
    attention_outside,
    draws_smoothness,
    face_marks,
    gates_kept,
    regions,
    smoothness_losses,
)

WEIGHTS = LossConfig(attention=1.0, smoothness=1.0)
GROUPS = 30


def landmarks() -> np.ndarray:
    """A face 12 cm wide, with all lip landmarks below its middle."""
    random = np.random.default_rng(0)
    points = random.uniform(-0.06, 0.06, (478, 3)).astype(np.float32)
    points[:, 2] = -0.05
    points[sorted({*LIPS_INNER, *LIPS_OUTER})] = [0, 0.04, -0.05]
    return points


def make_model(**fields: object) -> AvatarModel:
    """Thirty Gaussians each on the cheek, on the lips and in the hair."""
    torch.manual_seed(0)
    face = blank_branch(3 * GROUPS, 3 * GROUPS, 5)
    config = BranchConfig(3 * GROUPS, **fields)  # type: ignore[arg-type]
    model = AvatarModel(ModelConfig(face=config, mouth=BranchConfig(4)), 3, 2, face, blank_branch(4, 4, 3))
    random = torch.Generator().manual_seed(0)
    points = landmarks()
    cheek = torch.from_numpy(points[::3][:GROUPS]) + 0.001
    lips = torch.tensor([0, 0.04, -0.05]) + 0.003 * torch.rand(GROUPS, 3, generator=random)
    hair = torch.tensor([0, -0.11, -0.02]) + 0.02 * torch.rand(GROUPS, 3, generator=random)
    model.face.gaussians.means.data = torch.cat([cheek, lips, hair])
    return model


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, set()),
        ({"deformation": "triplane"}, set()),
        ({"deformation": "triplane", "attention": True}, {"attention"}),
        ({"deformation": "vectors"}, {"smoothness"}),
        ({"deformation": "vectors", "linear": True}, {"smoothness"}),
    ],
)
def test_each_design_pays_for_its_own(fields: dict, names: set[str]) -> None:
    model, marks, generator = make_model(**fields), face_marks(landmarks()), torch.Generator()
    assert {*attention_losses(model, WEIGHTS, marks), *smoothness_losses(model, WEIGHTS, generator)} == names
    assert draws_smoothness(model, WEIGHTS) == ("smoothness" in names)
    nothing = LossConfig(attention=0, smoothness=0)
    assert attention_losses(model, nothing, marks) == smoothness_losses(model, nothing, generator) == {}
    assert not draws_smoothness(model, nothing)


def test_hair_and_lips_are_where_they_are() -> None:
    hair, lips = regions(make_model().face.gaussians.means.detach(), face_marks(landmarks()))
    assert float(hair[: 2 * GROUPS].max()) == 0 and float(hair[2 * GROUPS :].min()) == 1
    assert bool((lips[GROUPS : 2 * GROUPS] == 1).all()) and float(lips[2 * GROUPS :].max()) == 0


def test_regions_go_by_the_distance_to_the_nearest_landmark() -> None:
    generator, marks = torch.Generator().manual_seed(4), face_marks(landmarks())
    anywhere = 0.2 * torch.rand(400, 3, generator=generator) - 0.1
    means = torch.cat([anywhere, marks.lips[:1] + 0.01 * torch.randn(100, 3, generator=generator)])
    hair, lips = regions(means, marks)
    face = torch.cdist(means.double(), marks.face.double()).amin(1)
    near = torch.cdist(means.double(), marks.lips.double()).amin(1)
    wanted = ((face - HAIR_FROM) / (HAIR_AT - HAIR_FROM)).clamp(0, 1)
    torch.testing.assert_close(hair.double(), wanted, rtol=0, atol=1e-3)
    clear = (near - LIP_REACH).abs() > 1e-5
    assert torch.equal(lips[clear] == 1, (near < LIP_REACH)[clear]) and 0 < int(lips.sum()) < len(lips)


def test_gates_of_the_pass_just_made_give_the_gradients_of_their_own_lookup() -> None:
    """Kept for the loss on attention, they are the same numbers, and are forgotten afterwards."""
    model, marks = make_model(deformation="triplane", attention=True), face_marks(landmarks())
    design = model.face.motion
    assert isinstance(design, TriPlane)
    for plane in design.planes:
        torch.nn.init.normal_(plane, std=1e-2)
    codes = torch.randn(2, model.n_mouth + model.n_upper, generator=torch.Generator().manual_seed(1))

    def gradients(kept: bool) -> list[torch.Tensor]:
        model.zero_grad()
        with gates_kept(model) if kept else nullcontext():
            motion = model.face.deltas(codes)
            lookups.clear()
            heard = attention_outside(model.face, design, marks)
            assert len(lookups) == (0 if kept else 1)
        (motion.square().mean() + heard).backward()
        return [parameter.grad.clone() for parameter in design.parameters()]

    lookups: list[object] = []
    assert design.attention is not None
    design.attention.register_forward_hook(lambda *call: lookups.append(call))
    shared = gradients(kept=True)
    for one, other in zip(shared, gradients(kept=False), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)


def test_hair_counts_a_seventh_of_lips() -> None:
    model = make_model(deformation="triplane", attention=True)
    design = model.face.motion
    assert isinstance(design, TriPlane)
    marks, means = face_marks(landmarks()), model.face.gaussians.means.detach()
    to_mouth, to_upper = design.attention_of(means) or ()
    wanted = to_upper[GROUPS : 2 * GROUPS].sum() + (to_mouth + to_upper)[2 * GROUPS :].sum() / 7
    torch.testing.assert_close(attention_outside(model.face, design, marks), wanted / (3 * GROUPS))


def test_the_loss_turns_hair_deaf_and_leaves_the_face_listening() -> None:
    model = make_model(deformation="triplane", attention=True)
    design = model.face.motion
    assert isinstance(design, TriPlane)
    for plane in design.planes:
        torch.nn.init.normal_(plane, std=1e-2)
    means = model.face.gaussians.means.detach()
    before = [value.detach() for value in design.attention_of(means) or ()]
    optimizer = torch.optim.Adam(design.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        held = [value - old for value, old in zip(design.attention_of(means) or (), before, strict=True)]
        # Something must keep the cheeks listening, as the picture does in training.
        cheeks = sum(part[:GROUPS].square().mean() for part in held)
        (attention_outside(model.face, design, face_marks(landmarks())) + 100 * cheeks).backward()
        optimizer.step()
    to_mouth, to_upper = (value.detach() for value in design.attention_of(means) or ())
    assert float(to_mouth[2 * GROUPS :].mean()) < 0.5 * float(before[0][2 * GROUPS :].mean())
    assert float(to_upper[GROUPS:].mean()) < 0.5 * float(before[1][GROUPS:].mean())
    assert float(to_mouth[: 2 * GROUPS].mean()) > 0.7 * float(before[0][: 2 * GROUPS].mean())
