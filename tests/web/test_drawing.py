"""The page's pictures, drawn by node, against our own of the same numbers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.player import LoadedAvatar, to_bytes
from gaussavatar.export.gsa.read import GsaAvatar, read_gsa
from gaussavatar.motion.track import FaceState
from gaussavatar.motion.viewpoint import head_motion, orbited
from gaussavatar.render.composite import composite
from gaussavatar.types import Activated, Camera, Cameras
from tests.web.conftest import frame_job, psnr

Script = Callable[..., list]
FRAMES = (0, 11, 29)
GREY = (217 / 255, 102 / 255, 26 / 255)
BRANCHES = ("face", "mouth")


def drawn_by_us(
    avatar: LoadedAvatar, file: GsaAvatar, index: int, side: int, seen: np.ndarray | None = None
) -> np.ndarray:
    """Our renderer's picture of the file's Gaussians; ``seen`` is another camera's pose."""
    filmed, K = avatar.filmed, file.K * (side / file.size)
    K[2, 2] = 1
    pose = filmed.T_camera_world[index]
    view = torch.from_numpy(pose if seen is None else seen)[None]
    cameras = Cameras(view, torch.from_numpy(K)[None], side, side)
    found = file.gaussians(
        FaceState(filmed.mouth_codes[index], filmed.upper[index]), pose[:3, :3], view[0, :3, :3].numpy()
    )
    layers = []
    for name in BRANCHES:
        parts = (getattr(found[name], part)[None] for part in ("means", "quats", "scales", "opacities", "colors"))
        layers.append(avatar.rasterizer(Activated(*parts), cameras))
    under = torch.tensor(GREY).expand(1, side, side, 3).contiguous()
    return to_bytes(composite(*layers, under).clamp(0, 1))[0]


def drawn_by_node(script: Script, gsa: Path, folder: Path, jobs: list[dict], how: str = "kernels") -> list[np.ndarray]:
    for number, job in enumerate(jobs):
        job["out"] = str(folder / f"{number}.rgba")
    (folder / "jobs.json").write_text(json.dumps(jobs))
    told = script("draw.mjs", gsa, folder / "jobs.json", *(["plain"] if how == "plain" else []))
    assert told == [{"kernels": how == "kernels"}] * len(jobs)
    return [np.fromfile(job["out"], np.uint8).reshape(job["side"], job["side"], 4) for job in jobs]


@pytest.mark.parametrize("how", ["kernels", "plain"])
@pytest.mark.parametrize("side", [256, 512, 99])
def test_node_draws_what_we_draw(
    script: Script, odd_avatar: LoadedAvatar, odd_gsa: Path, tmp_path: Path, side: int, how: str
) -> None:
    jobs = [frame_job(odd_avatar, index, side, GREY) for index in FRAMES]
    pictures, file = drawn_by_node(script, odd_gsa, tmp_path, jobs, how), read_gsa(odd_gsa)
    ours = [drawn_by_us(odd_avatar, file, index, side) for index in FRAMES]
    assert [psnr(a[..., :3], b) >= 60 for a, b in zip(pictures, ours, strict=True)] == [True] * 3
    assert psnr(ours[0], ours[1]) < 35, "the frames differ, and so a picture of another one would be seen"
    assert all((picture[..., 3] == 255).all() for picture in pictures)


def test_node_draws_from_elsewhere_under_the_same_light(
    script: Script, odd_avatar: LoadedAvatar, odd_gsa: Path, tmp_path: Path
) -> None:
    file, filmed = read_gsa(odd_gsa), odd_avatar.filmed
    camera = Camera(filmed.T_camera_world[0], file.K, file.size, file.size)
    turned = orbited(camera, np.array([0, 0, 0.03]), 0.5, -0.2).T_camera_world
    seen = turned @ head_motion(filmed.T_camera_world[11], filmed.T_camera_world[0])
    job = frame_job(odd_avatar, 11, 256, GREY) | {"view": seen[:3].ravel().tolist()}
    (picture,) = drawn_by_node(script, odd_gsa, tmp_path, [job])
    assert psnr(picture[..., :3], drawn_by_us(odd_avatar, file, 11, 256, seen)) >= 60
    assert psnr(picture[..., :3], drawn_by_us(odd_avatar, file, 11, 256)) < 30


def test_from_aside_node_adds_the_colours_of_aside(
    script: Script, odd_avatar: LoadedAvatar, odd_gsa: Path, tmp_path: Path
) -> None:
    """Frame 15 is seen as filmed, frame 29 from beyond; without the colours of aside one of them is another picture."""
    file = read_gsa(odd_gsa)
    assert file.branches["face"].aside is not None and file.branches["mouth"].aside is None
    plain = {name: replace(branch, aside=None) for name, branch in file.branches.items()}
    jobs = [frame_job(odd_avatar, index, 256, GREY) for index in (15, 29)]
    pictures = drawn_by_node(script, odd_gsa, tmp_path, jobs)
    without = [drawn_by_us(odd_avatar, replace(file, branches=plain), index, 256) for index in (15, 29)]
    assert psnr(pictures[0][..., :3], without[0]) >= 60 and psnr(pictures[1][..., :3], without[1]) < 40


@pytest.mark.parametrize("how", ["kernels", "plain"])
def test_alone_before_nothing_the_head_is_straight_rgba(
    script: Script, odd_avatar: LoadedAvatar, odd_gsa: Path, tmp_path: Path, how: str
) -> None:
    clear, white = (frame_job(odd_avatar, 0, 256, (1, 1, 1)) for _ in range(2))
    clear["color"] = None
    first, second = (picture.astype(float) for picture in drawn_by_node(script, odd_gsa, tmp_path, [clear, white], how))
    alpha = first[..., 3:] / 255
    assert alpha.min() == 0 and alpha.max() > 0.99 and ((alpha > 0.2) & (alpha < 0.8)).sum() > 200
    assert np.abs(alpha * first[..., :3] + (1 - alpha) * 255 - second[..., :3]).max() <= 2


def test_kernels_lay_cards_as_plain_javascript_does(script: Script, odd_gsa: Path) -> None:
    for told in script("cards.mjs", odd_gsa):
        assert told["kernels"] and told["psnr"] > 55 and told["most"] <= 2, told
        assert told["spread"] > 20, "there is something to be seen"


def test_what_did_not_change_is_not_done_again(script: Script, odd_gsa: Path) -> None:
    (facts,) = script("blend.mjs", odd_gsa)
    assert facts["same"] == [True, False], "the first frame is new, the second one is the first"
    assert facts["light"] and facts["lightLeftMeans"], "another pose changes colours, and nothing else"
    assert facts["mouthOfCodes"], "other codes move the mouth"


def test_order_is_by_depth_and_stable(script: Script, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    depths = np.float32(10) ** rng.uniform(-2, 3, 5000).astype(np.float32)
    depths[100:200] = depths[300]
    (tmp_path / "depths").write_bytes(depths.tobytes())
    (order,) = script("sort.mjs", tmp_path / "depths", "17", "4990")
    assert order == (17 + np.argsort(depths[17:4990], kind="stable")).tolist()
