"""Other backgrounds: the torso is cut out without its old background, and transparency survives the codec."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.background import cover, parse_background
from gaussavatar.avatar.behind import straight
from gaussavatar.avatar.folder import MATTE, PLATE, TRACK, UNDER, write_record
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.record import record_from_plain
from gaussavatar.avatar.torso import write_torso
from gaussavatar.image.cutout import cut_out, torso_matte
from gaussavatar.media.frames import read_frames
from gaussavatar.media.images import write_image
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.writing import write_video
from gaussavatar.model.torso import blank_torso
from gaussavatar.motion.track import FaceState
from gaussavatar.progress import QuietProgress
from gaussavatar.speak.offline import speak
from gaussavatar.speak.wish import VideoWish
from gaussavatar.storage import read_arrays, read_json
from gaussavatar.types import Rendered

SIZE, N_FRAMES = 96, 30
GREY, SUIT = np.array([120, 150, 200], np.float32), np.array([40, 20, 30], np.float32)


def torso(size: int = SIZE) -> np.ndarray:
    """Soft share of a torso in the lower third, 0..1."""
    rows, columns = np.mgrid[0:size, 0:size] + 0.5
    return np.clip((rows - 0.7 * size) / 4, 0, 1) * np.clip((0.42 * size - np.abs(columns - size / 2)) / 4, 0, 1)


@pytest.fixture(scope="module")
def dressed(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy avatar with a torso before a bluish place."""
    folder = tmp_path_factory.mktemp("dressed") / "toy"
    shutil.copytree(toy_avatar, folder)
    share = torso()[..., None]
    under = (GREY + share * (SUIT - GREY)).round().astype(np.uint8)
    matte = np.repeat((share * 255).round().astype(np.uint8), 3, axis=2)
    write_video(folder / UNDER, [under] * N_FRAMES, 25, (SIZE, SIZE), crf=4)
    write_video(folder / MATTE, [matte] * N_FRAMES, 25, (SIZE, SIZE), crf=4)
    write_image(folder / PLATE, np.broadcast_to(GREY.astype(np.uint8), (SIZE, SIZE, 3)).copy())
    write_record(folder, record_from_plain(read_json(folder / "avatar.json"), folder))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    arguments = ("-f", "lavfi", "-i", "sine=frequency=300:duration=0.4")
    subprocess.run([find_ffmpeg(), "-v", "error", *arguments, str(path)], check=True)
    return path


def decoded(path: Path) -> np.ndarray:
    """RGBA frames with straight alpha."""
    decoder = ("-c:v", "libvpx-vp9") if path.suffix == ".webm" else ()
    to_rgb = ("-vf", "scale=in_color_matrix=bt709:in_range=tv", "-f", "rawvideo", "-pix_fmt", "rgba", "-")
    done = subprocess.run([find_ffmpeg(), "-v", "error", *decoder, "-i", str(path), *to_rgb], capture_output=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, SIZE, SIZE, 4)


@pytest.fixture(scope="module")
def filmed(dressed: Path, sound: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    video = speak(sound, dressed, tmp_path_factory.mktemp("plate") / "talk.mp4", QuietProgress())
    return np.stack(list(read_frames(video, width=SIZE, height=SIZE, fps=None))).astype(float)


@pytest.mark.parametrize("suffix", [".mov", ".webm"])
def test_transparent_video_over_the_plate_is_the_plate_video(
    dressed: Path, sound: Path, filmed: np.ndarray, tmp_path: Path, suffix: str
) -> None:
    images = decoded(speak(sound, dressed, tmp_path / f"talk{suffix}", QuietProgress(), VideoWish("none")))
    alpha = images[..., 3:] / 255.0
    assert len(images) == len(filmed) == 10
    assert alpha[:, :4].max() < 0.01 and alpha[:, -4:, 40:56].min() > 0.99
    assert ((alpha > 0.1) & (alpha < 0.9)).mean() > 0.01, "edges stay soft"
    over = images[..., :3] * alpha + GREY * (1 - alpha)
    assert np.abs(over - filmed).mean() < 2.5 and np.quantile(np.abs(over - filmed), 0.99) < 16


def test_edges_before_white_are_nowhere_too_dark(dressed: Path, sound: Path, tmp_path: Path) -> None:
    images = decoded(speak(sound, dressed, tmp_path / "talk.mov", QuietProgress(), VideoWish("none"))).astype(float)
    alpha = images[..., 3:] / 255
    over = (images[..., :3] * alpha + 255 * (1 - alpha))[0]
    share = torso()[..., None]
    ideal = SUIT * share + 255 * (1 - share)
    left = (slice(78, 96), slice(0, 22))
    assert np.abs(over[left] - ideal[left]).max() < 14


def test_a_colour_is_put_where_the_person_is_not(
    dressed: Path, sound: Path, filmed: np.ndarray, tmp_path: Path
) -> None:
    video = speak(sound, dressed, tmp_path / "talk.mp4", QuietProgress(), VideoWish("#20c040"))
    images = np.stack(list(read_frames(video, width=SIZE, height=SIZE, fps=None))).astype(float)
    assert np.abs(images[:, :12, :12] - [0x20, 0xC0, 0x40]).max() < 8
    body = torso() > 0.99
    body[:75] = False
    assert np.abs(images[:, body] - filmed[:, body]).mean() < 3


def test_a_picture_covers_the_frame(dressed: Path, sound: Path, tmp_path: Path) -> None:
    picture = np.zeros((30, 80, 3), np.uint8)
    picture[:, :25], picture[:, 25:40], picture[:, 40:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    write_image(tmp_path / "wide.png", picture)
    video = speak(sound, dressed, tmp_path / "talk.mp4", QuietProgress(), VideoWish(str(tmp_path / "wide.png")))
    first = next(iter(read_frames(video, width=SIZE, height=SIZE, fps=None))).astype(int)
    assert first[5, 5, 1] > 200 and first[5, -5, 2] > 200 and first[5, :, 0].max() < 60
    assert cover(picture, 60).shape == (60, 60, 3)


def test_cutting_out_takes_the_old_background_from_mixed_pixels() -> None:
    share = torso()
    under = (GREY + share[..., None] * (SUIT - GREY)).round().astype(np.uint8)
    plate = np.broadcast_to(GREY.astype(np.uint8), under.shape)
    cut = cut_out(under, (6 + share * 243).round().astype(np.uint8), plate)
    assert np.abs(cut.rgb - share[..., None] * SUIT / 255).max() < 0.012
    assert np.abs(cut.over(np.float32(plate) / 255) * 255 - under).max() < 2


def test_the_matte_of_a_completed_frame_holds_the_torso_and_not_the_head() -> None:
    share = torso()
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    head = ((columns - 48) / 20) ** 2 + ((rows - 42) / 30) ** 2 < 1
    under = (GREY + share[..., None] * (SUIT - GREY)).round().astype(np.uint8)
    frame = under.copy()
    frame[head] = (220, 170, 140)
    person = (np.maximum(share, head) * 255).astype(np.uint8)
    person[60:63, 2:5] = 255
    masks = np.stack([head * np.uint8(255), head * np.uint8(0), head * np.uint8(255), person], axis=-1)
    matte = torso_matte(frame, under, masks, np.broadcast_to(GREY.astype(np.uint8), frame.shape)) / 255
    assert np.abs(matte - share).mean() < 0.01
    assert matte[:60].max() < 0.05 and matte[80:, 20:76].min() > 0.95


def test_straight_colours_go_on_behind_the_edge() -> None:
    alpha = torch.zeros(1, 16, 16)
    alpha[:, :, 8:] = 1
    rgb = alpha[..., None] * torch.tensor([0.8, 0.4, 0.2])
    image = straight(Rendered(rgb, alpha))[0]
    assert image[:, :8, 3].max() == 0
    assert np.abs(image[:, 5:8, :3].astype(int) - [204, 102, 51]).max() < 12


def test_backdrops() -> None:
    assert parse_background("plate").filmed and parse_background("none").clear
    assert parse_background("#0a0B0c").color == (10, 11, 12)
    assert cv2.norm(np.asarray(parse_background("#ff0000").image(4, 4))[0, 0] - np.float32([1, 0, 0])) == 0


@pytest.fixture(scope="module")
def gaussian_torso(dressed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy avatar with a green slab of Gaussians for a torso."""
    folder = tmp_path_factory.mktemp("torso") / "toy"
    shutil.copytree(dressed, folder)
    poses = read_arrays(folder / TRACK)[0]["T_camera_world"]
    torso = blank_torso(400)
    random = np.random.default_rng(0)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.from_numpy(random.uniform((-0.1, 0.13, 0.0), (0.1, 0.2, 0.01), (400, 3))))
        torso.gaussians.quats[:, 0] = 1
        torso.gaussians.log_scales.fill_(-5)
        torso.gaussians.logit_opacities.fill_(3.0)
        torso.gaussians.colors.copy_(torch.tensor([0.1, 0.6, 0.1]))
    write_torso(folder, torso, poses)
    write_record(folder, record_from_plain(read_json(folder / "avatar.json"), folder))
    return folder


def test_the_torso_branch_is_drawn_under_the_head(gaussian_torso: Path, sound: Path, tmp_path: Path) -> None:
    whole = speak(sound, gaussian_torso, tmp_path / "talk.mp4", QuietProgress(), VideoWish(torso="gaussians"))
    first = next(iter(read_frames(whole, width=SIZE, height=SIZE, fps=None))).astype(int)
    assert first[90, 48, 1] > first[90, 48, 0] + 60, "green slab"
    assert np.abs(first[5, 5] - GREY).max() < 8, "the plate"
    clear = decoded(
        speak(sound, gaussian_torso, tmp_path / "talk.mov", QuietProgress(), VideoWish("none", "gaussians"))
    )
    assert clear[0, 90, 48, 3] > 240 and clear[0, 5, 5, 3] == 0


def test_all_gaussians_of_a_state_are_those_of_the_torso_too(gaussian_torso: Path, dressed: Path) -> None:
    bare, whole = load_avatar(dressed), load_avatar(gaussian_torso)
    face = FaceState(bare.closed.numpy(), np.zeros(len(bare.upper_names), np.float32))
    head, both = bare.gaussians(face), whole.gaussians(face)
    assert len(both.means) == len(head.means) + 400 and torch.equal(both.means[:-400], head.means)
    assert np.allclose(both.colors[-1], [0.1, 0.6, 0.1]) and both.means[-400:, 1].min() > 0.12
    # The toy's torso moves as its head does: under a head of its place's pose it is where it is at rest.
    assert torch.allclose(whole.gaussians(face, place=7).means, both.means, atol=1e-6)
    turned = whole.gaussians(face, place=7, T_camera_head=whole.filmed.T_camera_world[0]).means[-400:]
    sway = whole.filmed.T_camera_world[7, 0, 3] - whole.filmed.T_camera_world[0, 0, 3]
    assert np.allclose(turned - both.means[-400:], [sway, 0, 0], atol=1e-6) and sway > 5e-3


def test_a_torso_of_gaussians_is_seen_from_elsewhere_and_changes_nothing_that_was_filmed(
    gaussian_torso: Path, dressed: Path
) -> None:
    bare, whole = Avatar(load_avatar(dressed)), Avatar(load_avatar(gaussian_torso))
    assert np.array_equal(bare.picture(), whole.picture())
    camera = whole.camera(yaw=25)
    lower = [avatar.picture(camera=camera, background="none")[80:, :, 3] for avatar in (bare, whole)]
    assert (lower[0] > 200).mean() < 0.05 and (lower[1] > 200).mean() > 0.3
