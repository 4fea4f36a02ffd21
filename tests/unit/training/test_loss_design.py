"""Regularisers of the designs: who pays, who does not, and what they do to the attention."""

from __future__ import annotations

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
    attention_losses,
    attention_outside,
    draws_smoothness,
    face_marks,
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
