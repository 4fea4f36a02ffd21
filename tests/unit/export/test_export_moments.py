"""Which moment an export shows, and where the inside of the mouth goes in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import load_avatar
from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.export.cloud import NAMES
from gaussavatar.export.states import BEHIND, MotionWish, at_rest, pulled_back, states
from gaussavatar.export.stills import STILLS
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.track import FaceState
from gaussavatar.types import Activated, Cameras


def test_a_frame_and_a_moment_name_the_same_state(toy_avatar: Path, tmp_path: Path) -> None:
    avatar = load_avatar(toy_avatar)
    filmed = avatar.filmed
    for wish in (MotionWish(frame=12), MotionWish(at=12 / 25 + 0.01)):
        track = wish.track(avatar, moves=False)
        assert len(track) == 1
        np.testing.assert_array_equal(track.mouth_codes[0], filmed.mouth_codes[12])
        np.testing.assert_array_equal(track.T_camera_world[0], filmed.T_camera_world[12])
    part = filmed.frames(5, 15)
    part.save(tmp_path / "part.csv")
    track = MotionWish(motion=tmp_path / "part.csv", frame=7).track(avatar, moves=False)
    np.testing.assert_allclose(track.upper[0], filmed.upper[12], atol=1e-5)


def test_opening_and_expression_are_on_top_of_the_state(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    rest = MotionWish().track(avatar, moves=False)
    np.testing.assert_array_equal(rest.mouth_codes, at_rest(avatar).mouth_codes)
    wide = MotionWish(opening=1.0, controls=Controls(upper={"blink_left": 0.5})).track(avatar, moves=False)
    np.testing.assert_allclose(wide.mouth_codes[0] - rest.mouth_codes[0], avatar.wide_open, atol=1e-6)
    np.testing.assert_allclose(wide.upper[0] - rest.upper[0], [0.5, 0, 0], atol=1e-6)


def test_a_motion_can_be_cut(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    assert len(MotionWish().track(avatar, moves=True)) == len(avatar.filmed)
    assert len(MotionWish(start=0.2, stop=0.6).track(avatar, moves=True)) == 10


@pytest.mark.parametrize(
    ("wish", "moves", "part"),
    [
        (MotionWish(frame=30), False, "0 to 29"),
        (MotionWish(at=-0.1), False, "0 to 1.20"),
        (MotionWish(frame=1, at=0.1), False, "leave one"),
        (MotionWish(motion=Path("a"), audio=Path("b")), False, "leave one"),
        (MotionWish(frame=3), True, "--from and --to"),
        (MotionWish(opening=float("nan")), False, "0 is closed"),
    ],
)
def test_wishes_that_cannot_be(wish: MotionWish, moves: bool, part: str, toy_avatar: Path) -> None:
    with pytest.raises(UserError, match=part):
        wish.track(load_avatar(toy_avatar), moves)


def test_the_command_takes_a_moment(toy_avatar: Path, tmp_path: Path) -> None:
    def size(*words: str) -> bytes:
        assert run(["export", str(toy_avatar), "--out", str(tmp_path / "x.ply"), *words]) == 0
        return (tmp_path / "x.ply").read_bytes()

    assert size("--frame", "12") == size("--at", "0.49") != size("--frame", "13") != size()
    assert size("--opening", "0.5") != size() != size("--expression", "brow=0.5")


def test_a_pulled_back_mouth_looks_alike_from_the_camera_and_is_behind_the_face(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    pose = avatar.filmed.T_camera_world[12]
    plain = next(states(avatar, at_rest(avatar)))
    count = len(avatar.model.face.gaussians)
    part = slice(count, len(plain.means))
    mouth = Activated(
        *(value[part] for value in (plain.means, plain.quats, plain.scales, plain.opacities, plain.colors))
    )
    pulled = pulled_back(mouth, slice(0, None), pose, 1.1)
    T = torch.from_numpy(pose)
    depths = [(g.means @ T[:3, :3].T + T[:3, 3])[:, 2] for g in (mouth, pulled)]
    np.testing.assert_allclose(depths[1], 1.1 * depths[0], rtol=1e-5)
    camera = Cameras(T[None], torch.from_numpy(avatar.K)[None], avatar.size, avatar.size)
    seen = [avatar.rasterizer(batch(g), camera).rgb for g in (mouth, pulled)]
    assert seen[0].max() > 0.3
    np.testing.assert_allclose(seen[0], seen[1], atol=2e-3)


def test_one_order_by_depth_shows_less_of_the_mouth_when_it_is_pulled_back(toy_avatar: Path) -> None:
    avatar = load_avatar(toy_avatar)
    filmed = avatar.filmed.frames(0, 1)
    T, codes, upper = (avatar.tensor(a) for a in (filmed.T_camera_world, filmed.mouth_codes, filmed.upper))
    camera, grey = Cameras(T, avatar.tensor(avatar.K)[None], avatar.size, avatar.size), 0.5
    right = avatar.render_float(codes, upper, camera, torch.full((1, avatar.size, avatar.size, 3), grey))

    def error(behind: float) -> float:
        drawn = avatar.rasterizer(batch(next(states(avatar, filmed, behind))), camera)
        return float(((drawn.rgb + (1 - drawn.alpha[..., None]) * grey - right) ** 2).mean())

    assert error(BEHIND) < 0.1 * error(1.0)
    assert STILLS["ply"].settings["mouth"].default == BEHIND


def test_movements_of_a_motion_reach_the_gaussians(toy_avatar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    avatar, asked = load_avatar(toy_avatar), []

    def gaussians(self: object, face: FaceState, expression: dict, place: int, pose: np.ndarray) -> Activated:
        asked.append((expression, place))
        return avatar.activated(face.mouth_codes, face.upper)

    monkeypatch.setattr(type(avatar), "gaussians", gaussians)
    moved = replace(
        avatar.filmed.frames(3, 5), movements=np.array([[0.1], [0.2]], np.float32), movement_names=("jawOpen",)
    )
    list(states(avatar, moved))
    assert [place for _, place in asked] == [3, 4]
    assert [round(each["jawOpen"], 3) for each, _ in asked] == [0.1, 0.2]


def batch(gaussians: Activated) -> Activated:
    return Activated(*(getattr(gaussians, name)[None] for name in NAMES))
