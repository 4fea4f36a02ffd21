"""The head model's sliders: there for bound avatars only, and they move the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gaussavatar.avatar.load import blank_model, load_avatar, model_shapes
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.model.binding import rig_shapes, surface_frames
from gaussavatar.motion.track import FaceState
from gaussavatar.serving.address import free_port
from gaussavatar.view.server import Viewer

from .seen import orbit, state_of


def bound(path: Path) -> LoadedAvatar:
    """The toy avatar on one triangle that ``noddingLeft`` and ``noddingRight`` each pull down by 2 cm."""
    avatar = load_avatar(path)
    shapes = model_shapes(avatar.model) | {
        "rig_vertices": 3, "rig_expressions": 2, "rig_joints": 0, "rig_correctives": 0,
    }  # fmt: skip
    model = blank_model(replace(avatar.model.config, binding="head"), shapes, ("noddingLeft", "noddingRight"))
    model.load_state_dict(avatar.model.state_dict(), strict=False)
    rig = model.rig
    assert rig is not None and rig_shapes(rig).items() <= shapes.items()
    rig.rest.copy_(torch.tensor([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]]))
    rig.basis.copy_(torch.tensor([0, 0.02, 0]).repeat(2, 3))
    rig.channels.copy_(torch.eye(2))
    for branch in (model.face, model.mouth):
        binding = branch.binding
        assert binding is not None
        binding.corners.copy_(torch.arange(3, dtype=torch.int32).expand_as(binding.corners))
        binding.weights.fill_(1 / 3)
        binding.hold.fill_(1)
        point, frame, size = surface_frames(rig.rest[None], binding.corners, binding.weights)
        binding.point.copy_(point[0])
        binding.frame.copy_(frame[0])
        binding.size.copy_(size[0])
    return replace(avatar, model=model.eval().requires_grad_(False))


def test_head_sliders_move_a_bound_avatar(toy_avatar: Path) -> None:
    avatar = bound(toy_avatar)
    viewer = Viewer(avatar, None, "127.0.0.1", free_port("127.0.0.1", 8230))
    try:
        movements = viewer.panels["head_model"].movements
        assert set(movements) == {"nodding"}
        still = orbit(viewer).astype(float)
        movements["nodding"].value = 1.0
        moved = orbit(viewer)
        assert np.abs(moved - still).mean() > 0.5
        assert state_of(viewer).expression == {"noddingLeft": 1.0, "noddingRight": 1.0}
        viewer.panels["face"].put_back()
        assert np.array_equal(orbit(viewer), still)
    finally:
        viewer.stop()


def test_an_avatar_without_a_head_has_no_such_sliders(toy_avatar: Path) -> None:
    viewer = Viewer(load_avatar(toy_avatar), None, "127.0.0.1", free_port("127.0.0.1", 8260))
    try:
        assert "head_model" not in viewer.panels
    finally:
        viewer.stop()


def test_splats_move_by_name_and_wrong_names_are_told_the_right_one(toy_avatar: Path) -> None:
    avatar = bound(toy_avatar)
    codes, upper = avatar.closed.numpy(), np.zeros(3, np.float32)
    moving = avatar.model.face.gaussians.n_moving
    face = FaceState(codes, upper)
    shift = avatar.gaussians(face, {"noddingLeft": 0.5}).means - avatar.gaussians(face).means
    np.testing.assert_allclose(shift[:moving], np.tile([0, 0.01, 0], (moving, 1)), atol=1e-6)
    try:
        avatar.activated(codes, upper, {"noddingleft": 1.0})
    except UserError as error:
        assert "did you mean noddingLeft?" in str(error)
    else:
        raise AssertionError("a wrong name was taken")
