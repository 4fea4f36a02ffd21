"""View states and their pictures, without a page: nothing here opens a port."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.behind import torso_as_filmed, torso_elsewhere
from gaussavatar.avatar.driving import layers, layers_from, over_filmed
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.model.torso import blank_torso
from gaussavatar.types import Activated, Cameras, Rendered
from gaussavatar.view.frames import (
    PUSHED,
    Painter,
    centred,
    orbit_picture,
    parted,
    pushed_place,
    quaternion,
    state_splats,
)
from gaussavatar.view.orbit import LARGEST, BrowserCamera
from gaussavatar.view.pace import STILL_AFTER, Pace, Rate
from gaussavatar.view.state import Controls, ViewState, view_state

FRONT = BrowserCamera((1.0, 0.0, 0.0, 0.0), (0.0, 0.0, -0.7), 0.4, 1.5)
SIDE = BrowserCamera((0.966, 0.0, 0.259, 0.0), (-0.35, 0.0, -0.6), 0.4, 1.5)


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path) -> LoadedAvatar:
    return load_avatar(toy_avatar)


@pytest.fixture(scope="module")
def dressed(avatar: LoadedAvatar) -> LoadedAvatar:
    """The toy avatar with black shoulders that move half as far as its head."""
    torso = blank_torso(30)
    spread = 0.02 * torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.tensor([0.0, 0.17, 0.03]) + spread)
        torso.gaussians.quats[:, 0] = 1
        torso.gaussians.log_scales.fill_(-4)
        torso.gaussians.logit_opacities.fill_(3.0)
    poses = avatar.filmed.T_camera_world.copy()
    poses[:, 0, 3] *= 0.5
    return replace(avatar, torso=LoadedTorso(torso.requires_grad_(False), poses))


def state(avatar: LoadedAvatar, seconds: float = 0.0, camera: BrowserCamera = FRONT, **controls: object) -> ViewState:
    motion = over_filmed(avatar, avatar.filmed.mouth_codes)
    return view_state(avatar, motion, Controls(**controls), seconds, camera.camera(80))  # type: ignore[arg-type]


def test_pictures_need_no_viser() -> None:
    code = (
        "import sys\nimport gaussavatar.view.frames, gaussavatar.view.state, gaussavatar.view.pace\n"
        "print([name for name in ('viser', 'gaussavatar.training') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_state_is_equal_exactly_to_what_gives_the_same_picture(avatar: LoadedAvatar) -> None:
    first = state(avatar, 0.8)
    assert first == state(avatar, 0.8) and hash(first) == hash(state(avatar, 0.8))
    others = [
        state(avatar, 0.9),
        state(avatar, 0.8, SIDE),
        state(avatar, 0.8, opening=0.1),
        state(avatar, 0.8, sliders={"blink": 0.1}),
        state(avatar, 0.8, driven=False),
        state(avatar, 0.8, head_moves=False),
        state(avatar, 0.8, seen="as filmed"),
        state(avatar, 0.8, drawn="splats"),
    ]
    assert all(first != other for other in others) and len({first, *others}) == len(others) + 1
    assert first != "another thing"


def test_the_controls_reach_the_state(avatar: LoadedAvatar) -> None:
    track = over_filmed(avatar, avatar.filmed.mouth_codes)
    moving, frame = state(avatar, 0.8), track.frame_at(0.8)
    assert np.array_equal(moving.T_camera_head, track.T_camera_world[frame]) and moving.place == track.places[frame] > 0
    for still in (state(avatar, 0.8, head_moves=False), state(avatar, 0.8, driven=False)):
        assert np.array_equal(still.T_camera_head, avatar.filmed.T_camera_world[0]) and still.place == 0
    assert state(avatar, 0.8, head_moves=False, seen="as filmed").place == moving.place, "the torso's place"
    resting = state(avatar, 0.8, driven=False).face
    assert np.array_equal(resting.mouth_codes, avatar.closed.numpy())
    blinking = state(avatar, 0.8, driven=False, sliders={"blink": 0.5}).face
    assert (blinking.upper - resting.upper).tolist() == [0.5, 0.5, 0.0]


def test_a_state_gives_one_picture_of_its_camera_s_size(avatar: LoadedAvatar) -> None:
    first = orbit_picture(avatar, state(avatar, 0.2))
    assert first.shape == (80, 120, 3) and np.array_equal(first, orbit_picture(avatar, state(avatar, 0.2)))
    later = orbit_picture(avatar, state(avatar, 0.9))
    assert np.abs(first.astype(int) - later).max() > 20 and np.array_equal(first[0], later[0])


def test_another_avatar_s_filmed_torso_is_not_kept(avatar: LoadedAvatar, tmp_path: Path) -> None:
    painter = Painter(avatar, tmp_path)
    as_filmed = state(avatar, seen="as filmed")
    assert painter.picture(as_filmed).shape == (96, 144, 3)
    kept = painter._under
    painter.show(replace(avatar))
    painter.picture(as_filmed)
    assert painter._under is kept, "the same avatar, further trained"
    painter.show(replace(avatar, path=tmp_path))
    assert painter._under is None


def test_a_torso_branch_is_seen_from_any_side(avatar: LoadedAvatar, dressed: LoadedAvatar) -> None:
    for camera in (FRONT, SIDE):
        whole = orbit_picture(dressed, state(dressed, camera=camera))
        assert whole[60:].astype(int).min() < 40, "black shoulders below the head"
    bare = orbit_picture(avatar, state(avatar))
    assert np.array_equal(orbit_picture(dressed, state(dressed))[:20], bare[:20])


def test_splats_are_where_the_stream_draws_them(avatar: LoadedAvatar, dressed: LoadedAvatar) -> None:
    moment = state(dressed, 0.9, drawn="splats")
    bare, whole = state_splats(avatar, moment), state_splats(dressed, moment)
    assert len(whole.means) == len(bare.means) + 30
    np.testing.assert_array_equal(whole.means[:-30], bare.means)
    # The shoulders sway half as far as the head: in the world, they are where their own poses have them.
    shoulders = dressed.torso
    assert shoulders is not None
    first, then = dressed.filmed.T_camera_world[0], shoulders.T_camera_torso[moment.place]
    T = np.linalg.inv(first) @ then
    wanted = shoulders.torso.gaussians.means.numpy() @ T[:3, :3].T + T[:3, 3]
    moved = whole.means[-30:] @ whole.T_world_head[:3, :3].T + whole.T_world_head[:3, 3]
    np.testing.assert_allclose(moved, wanted, atol=1e-6)
    assert np.abs(whole.T_world_head[:3, 3]).max() > 5e-3, "the head has swayed"
    np.testing.assert_allclose(whole.covariances, whole.covariances.transpose(0, 2, 1), atol=1e-9)
    assert np.linalg.eigvalsh(whole.covariances).min() > 0


def test_a_pushed_mouth_looks_alike_and_is_behind_the_face(avatar: LoadedAvatar) -> None:
    splats = state_splats(avatar, state(avatar, 0.9, drawn="splats"))
    face, mouth = parted(splats, slice(400, 460))
    assert len(face.means) == 400 and np.array_equal(mouth.means, splats.means[400:])
    eye, T = np.array([0.1, -0.05, -0.6]), splats.T_world_head.astype(float)
    place = pushed_place(T[:3, 3], eye)
    true = mouth.means @ T[:3, :3].T + T[:3, 3] - eye
    pushed = PUSHED * mouth.means @ T[:3, :3].T + place - eye
    assert np.allclose(pushed, PUSHED * true, atol=1e-6), "the same directions, and as much larger"
    nearer = np.linalg.norm(face.means @ T[:3, :3].T + T[:3, 3] - eye, axis=1)
    assert np.linalg.norm(pushed, axis=1).min() > nearer.max() > np.linalg.norm(true, axis=1).min()


class Elsewhere:
    """A rasterizer of a device without storage: torch refuses to mix it with tensors of the CPU."""

    name = "elsewhere"

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        for tensor in (*vars(gaussians).values(), cameras.T_camera_world, cameras.K):
            assert tensor.device.type == "meta"
        shape = (len(cameras.K), cameras.height, cameras.width)
        return Rendered(torch.zeros(*shape, 3, device="meta"), torch.zeros(shape, device="meta"))


def test_everything_is_made_where_the_avatar_is(dressed: LoadedAvatar, tmp_path: Path) -> None:
    torso = dressed.torso
    assert torso is not None
    # Copies, for a module goes to a device in place.
    far_torso = blank_torso(30).to("meta")
    far = load_avatar(dressed.path)
    far.model.to("meta")
    far = replace(far, rasterizer=Elsewhere(), torso=LoadedTorso(far_torso, torso.T_camera_torso))
    moment = state(far, 0.3)
    assert far.device.type == "meta"
    backdrop = np.full((80, 120, 3), 0.5, np.float32)
    behind = torso_elsewhere(far, backdrop, moment.camera)
    for drawn in (
        next(layers_from(far, moment.track, moment.camera, behind)),
        next(layers(far, moment.track, torso_as_filmed(far.under_frames(tmp_path)))),
    ):
        assert drawn.rgb.device.type == "meta" and drawn.alpha.device.type == "meta"
    assert far.gaussians(moment.face).means.device.type == "meta"


@pytest.mark.parametrize(("aspect", "shape"), [(2.0, (10, 20, 3)), (0.5, (20, 10, 3)), (1.0, (10, 10, 3))])
def test_centred(aspect: float, shape: tuple) -> None:
    canvas = centred(np.full((10, 10, 3), 200, np.uint8), aspect)
    assert canvas.shape == shape and (canvas == 200).sum() == 300


def test_quaternion_of_a_quarter_turn() -> None:
    R = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    assert quaternion(R) == pytest.approx((2**-0.5, 0, 0, 2**-0.5), abs=1e-6)


def test_a_page_gets_small_pictures_while_something_moves_and_a_whole_one_after(avatar: LoadedAvatar) -> None:
    pace, first, second = Pace(), state(avatar, 0.2), state(avatar, 0.3)
    assert pace.due(first, 10.0) == (True, True)
    assert pace.rows(True, 1.5) < LARGEST == pace.rows(False, 1.5)
    pace.sent(first, True, (120, 80), 0.01)
    assert pace.due(first, 10.1) == (False, True)
    assert pace.due(first, 10.0 + STILL_AFTER) == (True, False)
    pace.sent(first, False, (1152, 768), 0.01)
    assert pace.due(first, 20.0) == (False, False)
    assert pace.due(second, 20.0) == (True, True)


def test_pictures_that_take_long_become_smaller(avatar: LoadedAvatar) -> None:
    pace = Pace()
    before = pace.rows(True, 1.5)
    for _ in range(10):
        pace.sent(state(avatar), True, (120, 80), 0.1)
    assert pace.rows(True, 1.5) < before


def test_the_rate_is_that_of_the_last_second() -> None:
    rate = Rate()
    told = [rate.tell(5 + number / 20, 0.01, (120, 80)) for number in range(100)]
    assert told[0].startswith("**0**") and told[-1] == "**20** frames per second, 10 ms each, 120 x 80 px"
    assert rate.tell(30.0, 0.02) == "**0** frames per second, 20 ms each"


def test_the_size_of_pictures_does_not_jump(avatar: LoadedAvatar) -> None:
    pace, random, seen, moment = Pace(), np.random.default_rng(0), [], state(avatar)
    for turn in range(200):
        rows = pace.rows(True, 1.0)
        seen.append(rows)
        # A picture has a cost of its own besides its pixels', and a busy machine makes any picture slow.
        pace.sent(moment, True, (rows, rows), (0.008 + 1.2e-7 * rows**2) * random.uniform(0.6, 1.6))
        if turn % 10 == 0:
            pace.sent(moment, False, (LARGEST, LARGEST), 0.008 + 1.2e-7 * LARGEST**2)
    steps = np.array(seen[1:]) / seen[:-1]
    assert steps.max() < 1.4 and steps.min() > 0.7, "one step at a time"
    assert np.mean(steps != 1) < 0.05, "and hardly ever"
    assert np.sqrt(0.024 / 1.2e-7) == pytest.approx(np.median(seen), rel=0.3), "as large as the budget allows"
