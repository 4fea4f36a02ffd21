"""What an avatar is made of, as arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.model.torso import blank_torso
from gaussavatar.view.frames import Splats
from gaussavatar.view.inside import (
    APART,
    MOST_CAMERAS,
    branch_slices,
    clip_movement,
    colour_map,
    frusta,
    movement,
    movement_colours,
    selected,
    spread_out,
    track_frusta,
)


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> LoadedAvatar:
    return load_avatar(toy_avatar)


def splats(n: int) -> Splats:
    rows = np.arange(n, dtype=np.float32)
    means, colors = np.repeat(rows[:, None], 3, 1), np.repeat(rows[:, None] / n, 3, 1)
    covariances = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
    return Splats(means, covariances, colors, np.ones((n, 1), np.float32), np.eye(4, dtype=np.float32))


def test_branches_are_where_the_state_has_them(avatar: LoadedAvatar) -> None:
    assert branch_slices(avatar) == {"face": slice(0, 400), "mouth": slice(400, 460)}
    torso = LoadedTorso(blank_torso(30).requires_grad_(False), avatar.filmed.T_camera_world)
    assert branch_slices(replace(avatar, torso=torso))["torso"] == slice(460, 490)
    moved = clip_movement(replace(avatar, torso=torso))
    assert len(moved) == 490 and np.all(moved[460:] == 0) and moved[:200].min() > 0 and np.allclose(moved[200:400], 0)


def test_a_branch_alone_and_the_mouth_before_the_face() -> None:
    branches, all_of_it = {"face": slice(0, 3), "mouth": slice(3, 5)}, splats(5)
    assert selected(all_of_it, branches, "mouth").means[:, 0].tolist() == [3, 4]
    assert len(selected(all_of_it, branches, "face").covariances) == 3
    assert selected(all_of_it, branches, "all") is all_of_it
    apart = selected(all_of_it, branches, "apart").means - all_of_it.means
    assert np.all(apart[:3] == 0) and np.allclose(apart[3:], [0, 0, -APART], atol=1e-6)


def test_movement_is_the_standard_deviation_in_millimetres() -> None:
    random = np.random.default_rng(0)
    # Far from the origin: single precision of the sums themselves would be lost.
    states = 50 + 0.002 * random.standard_normal((40, 7, 3))
    wanted = 1000 * np.sqrt(states.var(0).sum(-1))
    still = np.repeat(states[:, :1], 1, 1) * 0 + 3
    found = movement(np.concatenate([states, still], 1).astype(np.float32))
    assert np.allclose(found[:7], wanted, rtol=2e-3) and found[7] == 0
    assert np.array_equal(movement(states[:1].astype(np.float32)), np.zeros(7, np.float32))


def test_every_nth_frame_at_most_so_many() -> None:
    assert spread_out(5, 60).tolist() == [0, 1, 2, 3, 4]
    for count in (60, 61, 119, 121, 1779):
        chosen = spread_out(count, 60)
        assert 30 <= len(chosen) <= 60 and chosen[0] == 0 and len(set(np.diff(chosen))) == 1 and chosen[-1] < count


def test_colours_get_evenly_lighter() -> None:
    colors = colour_map(np.linspace(0, 1, 33))
    assert colors.min() >= 0 and colors.max() <= 1
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])
    steps = np.diff(lightness)
    assert steps.min() > 0.3 * steps.max()
    assert colors[0, 2] > colors[0, 0] and colors[-1, 2] < colors[-1, 0], "from blue to yellow"
    drawn, longest = movement_colours(np.arange(101, dtype=np.float32))
    assert (
        longest == pytest.approx(98)
        and np.array_equal(drawn[99], drawn[100])
        and not np.array_equal(drawn[97], drawn[98])
    )
    assert movement_colours(np.zeros(4, np.float32))[1] == 0


def test_a_drawn_camera_projects_into_its_own_corners() -> None:
    K = np.array([[300, 0, 120], [0, 310, 130], [0, 0, 1]], np.float32)
    T = np.eye(4, dtype=np.float32)
    T[:3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]
    T[:3, 3] = 0.1, 0.2, 0.7
    lines = frusta(T[None], K, 256, 0.03)
    assert lines.shape == (8, 2, 3)
    seen = lines @ T[:3, :3].T + T[:3, 3]
    assert np.allclose(seen[:4, 0], 0, atol=1e-6), "four lines begin at the eye"
    pixels = seen[:4, 1] @ K.T
    assert np.allclose(pixels[:, 2], 0.03, atol=1e-6)
    assert np.allclose(pixels[:, :2] / pixels[:, 2:], [[0, 0], [256, 0], [256, 256], [0, 256]], atol=1e-2)


def test_a_clip_has_not_too_many_cameras(avatar: LoadedAvatar) -> None:
    lines = track_frusta(avatar.filmed, avatar.K, avatar.size)
    assert 0 < len(lines) <= 8 * MOST_CAMERAS and len(lines) % 8 == 0
