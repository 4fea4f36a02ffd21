"""Colours for views from aside: none as filmed, all from a little beyond on, smooth between; kept with the avatar."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gaussavatar.avatar.checked import check_record
from gaussavatar.avatar.load import blank_model, load_avatar, model_shapes
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.branch import AsideColours
from gaussavatar.model.aside import WIDTH, Aside


def turned(*degrees: tuple[float, float, float]) -> torch.Tensor:
    """Rotations by pitch, yaw and roll."""
    return torch.from_numpy(Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()).float()


def filmed_aside() -> Aside:
    aside = Aside(3)
    aside.change.copy_(torch.tensor([[0.1, 0.0, -0.2], [0.0, 0.0, 0.0], [0.3, 0.3, 0.3]]))
    aside.calibrate(turned((0, -8, 0), (0, 8, 0), (5, 0, 20), (-5, 0, -20)))
    return aside


def test_as_filmed_nothing_changes_and_far_aside_all_does() -> None:
    aside = filmed_aside()
    assert float(np.degrees(aside.reach)) == pytest.approx(8, abs=0.1)
    assert bool((aside(turned((0, 8, 0), (5, 0, 20), (0, 0, 90))) == 0).all()), "rolling shows no other side"
    far = aside(turned((0, 30, 0), (0, -30, 10), (-40, 0, 0), (0, 180, 0)))
    assert torch.equal(far, aside.change.expand(4, -1, -1))


def test_between_it_goes_over_smoothly() -> None:
    aside = filmed_aside()
    yaws = np.linspace(8, 8.1 + np.degrees(WIDTH), 200)
    share = aside.share(turned(*((0, yaw, 0) for yaw in yaws))).numpy()
    steps = np.diff(share)
    assert share[0] == pytest.approx(0, abs=1e-4) and share[-1] == 1 and (steps >= 0).all()
    assert steps.max() < 2 * steps.mean() and steps[0] < 0.1 * steps.max() and steps[-2] < 0.1 * steps.max()


def test_a_file_says_the_same_in_numpy() -> None:
    aside = filmed_aside()
    change, ahead, reach = (tensor.numpy() for tensor in aside.buffers())
    written = AsideColours(np.ascontiguousarray(change.T), ahead, float(reach))
    for R in turned((0, 5, 0), (0, 12, 0), (3, -15, 40), (-14, 4, 0), (0, 90, 0)):
        assert np.allclose(written.change(R.numpy()).T, aside(R[None])[0].numpy(), atol=1e-6)


def test_an_avatar_keeps_them(toy_avatar) -> None:
    loaded = load_avatar(toy_avatar)
    model = blank_model(loaded.record.model, loaded.record.shapes)
    assert model.face.aside is None and model_shapes(model) == loaded.record.shapes, "older avatars have none"
    model.face.aside = Aside(len(model.face.gaussians))
    model.face.aside.change.fill_(0.5)
    shapes = model_shapes(model)
    other = blank_model(loaded.record.model, shapes)
    other.load_state_dict(model.state_dict())
    assert other.face.aside is not None and float(other.face.aside.change.min()) == 0.5
    loaded.record.shapes.update(shapes)
    check_record(loaded.record, toy_avatar / "avatar.json")
    loaded.record.shapes["face_aside"] += 1
    with pytest.raises(UserError, match="shapes.face_aside"):
        check_record(loaded.record, toy_avatar / "avatar.json")
