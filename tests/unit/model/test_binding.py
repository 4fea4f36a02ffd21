"""Gaussians on the head model: they follow its surface, its jaw and its named movements, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import blank_model, model_shapes
from gaussavatar.head.model import REGIONS, HeadModel
from gaussavatar.mesh.surface import closest_points
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.binding import (
    Binding,
    BoundStart,
    HeadRig,
    rig_shapes,
    small_quaternions,
    surface_frames,
)
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.model.gaussians import InitialBranch, RawGaussians
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.tracking.head.track import HeadTrack, head_vertices
from gaussavatar.training.start.binding import bind, echo_of_channels, echo_of_states, regress
from gaussavatar.types import Activated, Cameras, FaceMotion

FRAMES, COLUMNS, ROWS, LIP = 40, 21, 25, 0.045
SHAPES = ("jawOpen", "mouthSmileLeft", "mouthSmileRight")


def patch(y: tuple[float, float], x: float, depth: float, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A curved grid of vertices and its triangles."""
    rows, columns = shape
    ys, xs = np.meshgrid(np.linspace(*y, rows), np.linspace(-x, x, columns), indexing="ij")
    points = np.stack([xs, ys, depth + 8 * xs**2], -1).reshape(-1, 3)
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    return points, np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


def make_head(hinged: bool) -> HeadModel:
    """A face with lips and two rows of teeth; the jaw is an expression, or a joint with pose correctives."""
    parts = [
        (*patch((-0.1, 0.1), 0.07, -0.09, (ROWS, COLUMNS)), "face"),
        (*patch((LIP - 0.012, LIP - 0.002), 0.02, -0.08, (4, 8)), "teeth_upper"),
        (*patch((LIP + 0.002, LIP + 0.012), 0.02, -0.08, (4, 8)), "teeth_lower"),
    ]
    points, triangles, regions, start = [], [], [], 0
    for place, faces, name in parts:
        region = np.full(len(place), REGIONS.index(name), np.uint8)
        if name == "face":
            region[(np.abs(place[:, 1] - LIP) < 0.012) & (np.abs(place[:, 0]) < 0.03)] = REGIONS.index("lips")
        points.append(place)
        triangles.append(faces + start)
        regions.append(region)
        start += len(place)
    template = np.concatenate(points).astype(np.float32)
    below = np.clip((template[:, 1] - LIP) / 0.02, 0, 1)
    below[np.concatenate(regions) == REGIONS.index("teeth_lower")] = 1
    smile = np.exp(-((template[:, 1] - LIP) ** 2) / 0.02**2)
    side = np.clip(template[:, 0] / 0.03, -1, 1)
    down, up = np.array([0, 0.015, 0.004]), np.array([0, -0.006, 0])
    expression = np.stack(
        [below[:, None] * down, (smile * side.clip(0))[:, None] * up, (smile * (-side).clip(0))[:, None] * up]
    ).astype(np.float32)
    random = np.random.default_rng(0)
    weights = np.stack([1 - below, below], 1).astype(np.float32) if hinged else np.eye(2)[np.zeros(len(template), int)]
    names = SHAPES[1:] if hinged else SHAPES
    return HeadModel(
        name="toy",
        template=template,
        triangles=np.concatenate(triangles).astype(np.int32),
        identity=np.zeros((0, len(template), 3), np.float32),
        identity_names=(),
        expression=expression[1:] if hinged else expression,
        expression_names=names,
        joint_names=("head", "jaw"),
        joint_parents=(-1, 0),
        joint_positions=np.array([[0, 0, 0], [0, 0.01, 0.02]], np.float32),
        joint_identity=np.zeros((0, 2, 3), np.float32),
        skin_weights=weights.astype(np.float32),
        regions=np.concatenate(regions),
        joint_expression=random.normal(0, 1e-3, (2, 2, 3)).astype(np.float32) if hinged else None,
        pose_correctives=(below[:, None] * random.normal(0, 1e-3, (9, len(template), 3))).astype(np.float32)
        if hinged
        else None,
    )


def make_track(hinged: bool) -> tuple[HeadTrack, FaceMotion]:
    """A head whose state is linear in two mouth codes and one upper-face channel."""
    random = np.random.default_rng(1)
    head = make_head(hinged)
    codes = random.normal(0, 1, (FRAMES, 2)).astype(np.float32)
    upper = random.uniform(0, 1, (FRAMES, 1)).astype(np.float32)
    both = np.concatenate([codes, upper], 1)
    expression = (0.1 + both @ random.normal(0, 0.2, (3, len(head.expression_names)))).astype(np.float32)
    turns = np.zeros((FRAMES, 2, 3), np.float32)
    if hinged:
        turns[:, 1] = 0.01 + both @ random.normal(0, 0.05, (3, 3))
    track = HeadTrack(head, "toy", np.zeros(0, np.float32), expression, turns, np.zeros(FRAMES, np.float32))
    zeros, one = np.zeros((1, 478, 3), np.float32), np.zeros(FRAMES, np.float32)
    return track, FaceMotion(codes, np.zeros((2, 478, 3), np.float32), upper, zeros, ("blink",), one, one)


def branch(points: np.ndarray, n_moving: int, n_codes: int) -> InitialBranch:
    count = len(points)
    random = torch.Generator().manual_seed(2)
    quats = torch.nn.functional.normalize(torch.randn(count, 4, generator=random), dim=-1)
    scales = torch.randn(count, 3, generator=random) * 0.2 - 5
    raw = RawGaussians(torch.from_numpy(points).float(), quats, scales, torch.full((count,), 2.0), torch.rand(count, 3))
    return InitialBranch(raw, n_moving, torch.zeros(n_codes, n_moving, 3))


def make_model(hinged: bool) -> tuple[AvatarModel, HeadTrack, FaceMotion, BoundStart]:
    """Face Gaussians within a few millimetres of the surface, three far off, ten that do not move."""
    track, motion = make_track(hinged)
    random = np.random.default_rng(3)
    skin = np.flatnonzero(track.head.region("face", "lips"))
    near = track.head.template[random.choice(skin, 150)] + random.normal(0, 1e-3, (150, 3))
    far = track.head.template[skin[:3]] + [0, 0, -0.05]
    fixed = track.head.template[skin[:10]] + [0, 0, 0.05]
    teeth = np.flatnonzero(track.head.region("teeth_upper", "teeth_lower"))
    inside = track.head.template[teeth] + random.normal(0, 1e-3, (len(teeth), 3))
    face = branch(np.concatenate([near, far, fixed]), 153, 3)
    bound, face, mouth = bind(track, motion, np.ones(FRAMES, bool), face, branch(inside, len(inside), 2))
    config = ModelConfig(face=BranchConfig(163, n_free=0), mouth=BranchConfig(len(inside), n_free=0), binding="head")
    model = AvatarModel(config, 2, 1, face, mouth, bound)
    with torch.no_grad():
        for part in (model.face, model.mouth):
            part.motion.basis.zero_()  # type: ignore[union-attr]
    return model.requires_grad_(False), track, motion, bound


def codes_of(motion: FaceMotion, count: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(motion.mouth_codes[:count]), torch.from_numpy(motion.upper[:count])


@pytest.mark.parametrize("hinged", [False, True])
def test_the_codes_move_the_rig_as_the_head_was_tracked(hinged: bool) -> None:
    model, track, motion, _ = make_model(hinged)
    assert model.rig is not None
    vertices = model.rig.vertices(model.rig.state(torch.cat(codes_of(motion), -1))).numpy()
    tracked = head_vertices(track, np.arange(FRAMES))
    used = np.array([np.abs(track.head.template - vertex).sum(1).argmin() for vertex in model.rig.rest.numpy()])
    moved = np.abs(tracked - track.head.template).max()
    np.testing.assert_allclose(vertices, tracked[:, used], atol=0.01 * moved)


@pytest.mark.parametrize("hinged", [False, True])
def test_without_residual_motion_the_gaussians_stay_on_the_posed_surface(hinged: bool) -> None:
    model, track, motion, bound = make_model(hinged)
    assert model.rig is not None
    codes, upper = codes_of(motion, 6)
    means = model.activate(codes, upper)[0].means[:, :150].double().numpy()
    vertices = model.rig.vertices(model.rig.state(torch.cat([codes, upper], -1))).double().numpy()
    corners, weights = bound.face.corners[:150].long().numpy(), bound.face.weights[:150].double().numpy()
    expected = (weights[None, ..., None] * vertices[:, corners]).sum(2)
    np.testing.assert_allclose(means, expected, atol=2e-7)
    assert np.abs(means - means[:1]).max() > 1e-3
    first = head_vertices(track, np.arange(1))[0]
    distance = closest_points(means[0], first, track.head.triangles).distance
    assert distance.max() < 3e-4


def test_at_rest_and_in_still_pictures_nothing_moves() -> None:
    model, _, motion, _ = make_model(True)
    zero = torch.zeros(1, 2), torch.zeros(1, 1)
    for face in (model.activate(*zero)[0], model.activate(*codes_of(motion, 1), still=True)[0]):
        torch.testing.assert_close(face.means[0], model.face.gaussians.means, atol=1e-7, rtol=0)
        torch.testing.assert_close(face.quats[0], model.face.gaussians.quats, atol=1e-5, rtol=0)
        torch.testing.assert_close(face.scales[0], model.face.gaussians.log_scales.exp(), atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("hinged", [False, True])
def test_the_jaw_opens_by_name_and_the_forehead_stays(hinged: bool) -> None:
    model, _, _, _ = make_model(hinged)
    assert "jawOpen" in model.expression_names
    row = torch.zeros(1, len(model.expression_names))
    row[0, model.expression_names.index("jawOpen")] = 1
    zero = torch.zeros(1, 2), torch.zeros(1, 1)
    rest, opened = (model.activate(*zero, expression=e) for e in (torch.zeros_like(row), row))
    shift = opened[0].means[0] - rest[0].means[0]
    y = rest[0].means[0, :150, 1]
    assert float(shift[:150][y > LIP + 0.015, 1].min()) > 0.005
    assert float(shift[:150][y < LIP - 0.015].abs().max()) < 1e-6
    assert float(shift[150:].abs().max()) == 0.0
    inside, teeth = opened[1].means[0] - rest[1].means[0], rest[1].means[0, :, 1]
    assert float(inside[teeth > LIP + 0.004, 1].min()) > 0.005
    assert float(inside[teeth < LIP - 0.004].abs().max()) < 1e-5


def test_smiling_on_one_side_moves_that_side() -> None:
    model, _, _, _ = make_model(False)
    zero = torch.zeros(1, 2), torch.zeros(1, 1)
    rest = model.activate(*zero)[0].means[0, :150]
    shift = model.activate(*zero, expression=torch.tensor([[0, 1.0, 0]]))[0].means[0, :150] - rest
    assert float(shift[rest[:, 0] > 0.02].abs().max()) > 1e-3
    assert float(shift[rest[:, 0] < -0.01].abs().max()) < 1e-6


def random_binding(dtype: torch.dtype) -> tuple[Binding, Activated, torch.Tensor, BoundStart]:
    model, _, _, bound = make_model(False)
    whole = AvatarModel.activate(model, torch.zeros(1, 2), torch.zeros(1, 1), still=True)[0]
    few = Activated(
        *(getattr(whole, n)[:, 60:66].to(dtype) for n in ("means", "quats", "scales", "opacities", "colors"))
    )
    anchors = replace(
        bound.face,
        **{
            n: getattr(bound.face, n)[60:66].to(torch.int32 if n == "corners" else dtype)
            for n in ("corners", "weights", "hold", "point", "frame", "size")
        },
    )
    rig = HeadRig(bound.names, bound.rig)
    return Binding(anchors), few, rig.vertices(rig.bias[None]).to(dtype), bound


def test_a_moved_turned_and_grown_head_takes_its_gaussians_along() -> None:
    import roma

    binding, gaussians, vertices, _ = random_binding(torch.float64)
    R = roma.rotvec_to_rotmat(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64))
    shift, grown = torch.tensor([0.01, 0.02, -0.03], dtype=torch.float64), 1.3
    moved = binding(gaussians, grown * vertices @ R.T + shift)
    torch.testing.assert_close(moved.means, grown * gaussians.means @ R.T + shift, atol=1e-7, rtol=1e-5)
    torch.testing.assert_close(moved.scales, grown * gaussians.scales, atol=1e-8, rtol=1e-5)

    def rotations(quats: torch.Tensor) -> torch.Tensor:
        return roma.unitquat_to_rotmat(quats[..., [1, 2, 3, 0]])

    torch.testing.assert_close(rotations(moved.quats), R @ rotations(gaussians.quats), atol=1e-6, rtol=0)


def test_gradients_reach_places_turns_and_sizes() -> None:
    binding, gaussians, vertices, _ = random_binding(torch.float64)
    generator = torch.Generator().manual_seed(0)
    vertices = vertices + 1e-3 * torch.randn(vertices.shape, generator=generator, dtype=torch.float64)
    inputs = [t.clone().requires_grad_(True) for t in (gaussians.means, gaussians.quats, gaussians.scales, vertices)]

    def carried(means: torch.Tensor, quats: torch.Tensor, scales: torch.Tensor, points: torch.Tensor) -> tuple:
        out = binding(replace(gaussians, means=means, quats=quats, scales=scales), points)
        return out.means, out.quats, out.scales

    assert torch.autograd.gradcheck(carried, inputs, eps=1e-7, atol=1e-3, rtol=1e-3)


def test_frames_are_rotations_and_quaternions_agree() -> None:
    import roma

    points = torch.randn(1, 9, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    corners = torch.arange(9, dtype=torch.int32).view(3, 3)
    point, frame, size = surface_frames(points, corners, torch.full((3, 3), 1 / 3, dtype=torch.float64))
    torch.testing.assert_close(frame @ frame.transpose(-1, -2), torch.eye(3, dtype=torch.float64).expand(1, 3, 3, 3))
    torch.testing.assert_close(torch.linalg.det(frame), torch.ones(1, 3, dtype=torch.float64))
    torch.testing.assert_close(point[0], points[0].view(3, 3, 3).mean(1))
    assert float(size.min()) > 0
    R = roma.rotvec_to_rotmat(torch.tensor([[0.4, 0.1, -0.9]], dtype=torch.float64))
    expected = roma.rotmat_to_unitquat(R)[:, [3, 0, 1, 2]]
    torch.testing.assert_close(small_quaternions(R), expected * expected[:, :1].sign())


def test_regression_finds_the_movement() -> None:
    track, motion = make_track(False)
    codes = np.concatenate([motion.mouth_codes, motion.upper], 1).astype(float)
    weights, bias = regress(codes, track.expression.astype(float))
    np.testing.assert_allclose(codes @ weights + bias, track.expression, atol=0.02)


def test_held_out_frames_teach_the_rig_nothing() -> None:
    track, motion = make_track(False)
    frames = np.arange(FRAMES) < 30
    spoilt = track.expression.copy()
    spoilt[30:] = 9
    points = track.head.template.astype(float)
    rigs = [
        bind(t, motion, frames, branch(points[:40], 40, 3), branch(points[-9:], 9, 2))[0].rig
        for t in (track, replace(track, expression=spoilt))
    ]
    for name in ("weights", "bias", "echo"):
        assert torch.equal(getattr(rigs[0], name), getattr(rigs[1], name))


def test_a_named_movement_brings_the_codes_that_go_with_it() -> None:
    random = np.random.default_rng(0)
    codes, mixing = random.normal(0, 1, (500, 3)), random.normal(0, 1, (3, 3))
    found = mixing @ echo_of_states(codes, codes @ mixing)
    shrunk = np.diagonal(found)
    assert (shrunk > 0.5).all() and (shrunk < 1.05).all()
    assert np.abs(found - np.diag(shrunk)).max() < 0.35

    rare = codes.copy()
    rare[:, 0] *= 0.01
    echo = echo_of_channels(np.eye(3), codes, rare)
    assert np.abs(echo[0, 0]) < 0.1 * np.abs(echo[1, 1]), "what the clip hardly shows brings little"
    assert (np.abs(echo_of_channels(50 * np.eye(3), codes, 50 * codes)) <= np.abs(codes).max(0)).all()

    model, _, _, _ = make_model(False)
    row = torch.tensor([[1.0, 0, 0]])
    assert model.rig is not None
    with torch.no_grad():
        # The position's channel y of every Gaussian moves by a millimetre per unit of each code.
        model.face.motion.basis.view(3, 153, -1)[:, :, 1] = 1 / 3  # type: ignore[operator]
    quiet = torch.zeros(1, 2), torch.zeros(1, 1)
    learnt = model.activate(*quiet, expression=row)[2][0]
    assert learnt is not None
    torch.testing.assert_close(learnt[0, :, 1], (model.rig.echo[0].sum() / 3).expand(153))


def test_residual_starts_at_what_the_head_leaves_of_the_landmarks_motion() -> None:
    track, motion = make_track(False)
    face = branch(track.head.template[:40].astype(float), 40, 3)
    wanted = torch.randn(3, 40, 3, generator=torch.Generator().manual_seed(0))
    bound, face, mouth = bind(
        track, motion, np.ones(FRAMES, bool), replace(face, position=wanted), branch(track.head.template[-9:], 9, 2)
    )
    config = ModelConfig(face=BranchConfig(40, n_free=0), mouth=BranchConfig(9, n_free=0), binding="head")
    model = AvatarModel(config, 2, 1, face, mouth, bound)
    code = torch.tensor([[1.0, 0, 0]])
    moved = model.activate(code[:, :2], code[:, 2:])[0].means[0] - model.face.gaussians.means
    torch.testing.assert_close(moved.detach(), wanted[0] * 3e-3, atol=6e-4, rtol=0)


def test_what_is_saved_draws_the_same_picture(tmp_path: Path) -> None:
    model, _, motion, _ = make_model(True)
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    write_arrays(tmp_path / "m.safetensors", arrays)
    again = blank_model(model.config, model_shapes(model), model.expression_names)
    loaded, _ = read_arrays(tmp_path / "m.safetensors")
    again.load_state_dict({name: torch.from_numpy(array) for name, array in loaded.items()})
    assert model.rig is not None and rig_shapes(model.rig).items() <= model_shapes(again).items()
    camera = torch.eye(4)[None].repeat(2, 1, 1)
    camera[:, 2, 3] = 0.6
    K = torch.tensor([[200.0, 0, 32], [0, 200, 32], [0, 0, 1]]).expand(2, 3, 3)
    images = [
        m.render(
            get_rasterizer("cpu"), *codes_of(motion, 2), Cameras(camera, K, 64, 64), torch.zeros(2, 64, 64, 3),
            expression=torch.tensor([[0.5, 0, 1.0]] * 2),
        ).image.detach()
        for m in (model, again)
    ]  # fmt: skip
    assert torch.equal(*images) and float(images[0].max()) > 0.1


def test_a_mouth_of_no_gaussians_is_bound_too() -> None:
    track, motion = make_track(False)
    face = branch(track.head.template[:40].astype(float), 40, 3)
    bound, face, mouth = bind(track, motion, np.ones(FRAMES, bool), face, branch(np.zeros((0, 3)), 0, 2))
    config = ModelConfig(face=BranchConfig(40), mouth=BranchConfig(0), binding="head")
    model = AvatarModel(config, 2, 1, face, mouth, bound)
    assert model.activate(*codes_of(motion, 2))[1].means.shape == (2, 0, 3)


def test_expression_needs_a_bound_avatar() -> None:
    start = branch(np.zeros((4, 3)), 4, 2)
    model = AvatarModel(
        ModelConfig(face=BranchConfig(4), mouth=BranchConfig(4)), 1, 1, start, branch(np.zeros((4, 3)), 4, 1)
    )
    assert model.expression_names == ()
    with pytest.raises(ValueError, match="not bound"):
        model.activate(torch.zeros(1, 1), torch.zeros(1, 1), expression=torch.zeros(1, 1))
