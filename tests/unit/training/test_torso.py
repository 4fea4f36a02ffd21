"""The torso branch: it follows slow head motion, is fitted to the torso frames alone, and is drawn where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.model.torso import TorsoConfig, blank_torso, slow_motion
from gaussavatar.progress import QuietProgress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.storage import FrameStore
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.training import torso as training
from gaussavatar.training.data import Clip, cameras_of
from gaussavatar.types import Cameras

COUNT, SIZE = 44, 64
PLACE = np.array([90, 90, 90], np.uint8)


class Frames(FrameStore):
    """A frame store in memory."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def read(self, index: int) -> np.ndarray:
        return self.images[index]

    def __len__(self) -> int:
        return len(self.images)


def shifts() -> np.ndarray:
    """Slow sideways motion of the head in metres, 3 pixels to either side."""
    return 0.0125 * np.sin(np.arange(COUNT) * 2 * np.pi / COUNT)


@pytest.fixture(scope="module")
def clip(tiny_clip: Clip) -> Clip:
    """A striped torso that moves with the head, whose slow motion it is."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    under, masks = [], []
    for shift in shifts():
        x = columns - 120 * shift / 0.5
        share = np.clip((rows - 42) / 2, 0, 1) * np.clip((24 - np.abs(x - 32)) / 2, 0, 1)
        cloth = np.where((np.abs(x - 32) < 6)[..., None], (210.0, 60, 60), (30.0, 30, 60))
        under.append((PLACE + share[..., None] * (cloth - PLACE)).round().astype(np.uint8))
        masks.append(np.stack([share * 0, share * 0, share * 0, share * 255], axis=-1).round().astype(np.uint8))
    t = tiny_clip.tracking.t_camera_head.copy()
    t[:, 0] = shifts()
    tracking = replace(tiny_clip.tracking, t_camera_head=t)
    frames = Frames(np.stack(under))
    return replace(tiny_clip, frames=frames, under=frames, masks=Frames(np.stack(masks)), tracking=tracking)


@pytest.fixture(scope="module")
def fitted(clip: Clip, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        # The depth comes from a tracked head, which a disc of skin has none of.
        patch.setattr(training, "shoulder_depth", lambda *_: np.full((SIZE, SIZE), 0.5, np.float32))
        path = tmp_path_factory.mktemp("torso") / "torso.safetensors"
        return fit(clip, path, "one", 250), path


def fit(clip: Clip, path: Path, key: str, iterations: int):
    plate = np.broadcast_to(PLACE, (SIZE, SIZE, 3))
    config = TorsoConfig(True, 500, iterations)
    nobody = object.__new__(HeadTrack)
    return training.fit_torso(clip, plate, nobody, config, get_rasterizer("cpu"), 0, path, key, QuietProgress())


def errors(clip: Clip, torso, still: bool) -> float:
    """Mean absolute difference from the torso frames, 0..255."""
    motion = slow_motion(clip.tracking.R_camera_head, clip.tracking.t_camera_head, torso.T_base.numpy())
    indices = np.arange(0, COUNT, 5)
    poses = torso.poses(torch.from_numpy(motion[indices] * (0 if still else 1)))
    cameras = Cameras(poses, cameras_of(clip.tracking, indices, SIZE).K, SIZE, SIZE)
    background = torch.full((len(indices), SIZE, SIZE, 3), 90 / 255)
    image = LoadedTorso(torso, poses.numpy()).draw_over(get_rasterizer("cpu"), cameras, background)
    return float(np.abs(image.numpy() * 255 - np.stack([clip.under.read(i) for i in indices])).mean())


def test_the_fitted_torso_shows_the_frames_and_moves_with_the_slow_head(clip: Clip, fitted) -> None:
    torso, _ = fitted
    moving, still = errors(clip, torso, False), errors(clip, torso, True)
    assert moving < 4.0, "the frames are reproduced"
    assert moving < 0.75 * still, "because it moves"


def test_no_background_is_learnt(clip: Clip, fitted) -> None:
    torso, _ = fitted
    pose = torso.T_base[None]
    K = cameras_of(clip.tracking, np.arange(1), SIZE).K
    drawn = LoadedTorso(torso, pose.numpy()).draw(get_rasterizer("cpu"), Cameras(pose, K, SIZE, SIZE))
    assert drawn.alpha[0, :34].max() < 0.05 and drawn.alpha[0, 54:, 16:48].min() > 0.9


def test_a_fitted_torso_is_not_fitted_again_but_for_another_key(clip: Clip, fitted, monkeypatch) -> None:
    torso, path = fitted
    monkeypatch.setattr(training, "shoulder_depth", lambda *_: np.full((SIZE, SIZE), 0.5, np.float32))
    again = fit(clip, path, "one", 10**9)
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), torso.state_dict().values(), strict=True))
    copy = path.with_name("other.safetensors")
    copy.write_bytes(path.read_bytes())
    other = fit(clip, copy, "two", 1)
    assert not torch.equal(other.gaussians.colors, torso.gaussians.colors)


def test_fast_motion_of_the_head_is_left_out_of_the_slow_part() -> None:
    frames = np.arange(500)
    t = np.zeros((500, 3))
    t[:, 0], t[:, 1] = np.sin(2 * np.pi * 2.0 * frames / 25), np.sin(2 * np.pi * 0.05 * frames / 25)
    motion = slow_motion(np.tile(np.eye(3), (500, 1, 1)), t, np.eye(4, dtype=np.float32))
    assert np.abs(motion[50:-50, 3]).max() < 0.01, "2 Hz"
    assert np.abs(motion[50:-50, 4]).max() > 0.95, "0.05 Hz"
    assert np.allclose(motion[:, 9:], t, atol=1e-6)


def test_a_torso_at_rest_is_at_its_base_and_can_be_placed_anywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    torso = blank_torso(40)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.randn(40, 3, generator=generator) * 0.05)
        torso.gaussians.quats.copy_(torch.randn(40, 4, generator=generator))
        torso.gaussians.log_scales.copy_(-4 + torch.randn(40, 3, generator=generator))
        torso.gaussians.colors.copy_(torch.rand(40, 3, generator=generator))
    assert torch.allclose(torso.poses(torch.zeros(2, 12)), torch.eye(4).expand(2, 4, 4))
    loaded = LoadedTorso(torso, np.eye(4, dtype=np.float32)[None])
    turn = torch.tensor([[0.8, 0, 0.6], [0, 1, 0], [-0.6, 0, 0.8]])
    T = torch.eye(4)
    T[:3, :3], T[:3, 3] = turn, torch.tensor([0.02, -0.03, 0.6])
    K = torch.tensor([[[60.0, 0, 16], [0, 60, 16], [0, 0, 1]]])
    direct = loaded.draw(get_rasterizer("cpu"), Cameras(T[None], K, 32, 32))
    moved = loaded.placed(T.numpy())
    batched = type(moved)(*(value[None] for value in vars(moved).values()))
    placed = get_rasterizer("cpu")(batched, Cameras(torch.eye(4)[None], K, 32, 32))
    assert direct.alpha.max() > 0.3 and (direct.rgb - placed.rgb).abs().max() < 1e-4


def test_the_skull_and_what_hangs_on_it_lend_the_torso_no_depth() -> None:
    # torso, neck, head, jaw, eye: the last three are the skull's.
    below = training.carried_below(np.array([0, 1, 2, 3, 4, 1]), (-1, 0, 1, 2, 2), skull=2)
    assert below.tolist() == [True, True, False, False, False, True]
