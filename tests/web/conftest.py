from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import blank_model, load_avatar, model_shapes
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.model.aside import Aside

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node, which runs the page's JavaScript without a page."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("no node on this machine")
    return path


@pytest.fixture(scope="session")
def script(node: str) -> Callable[..., list[Any]]:
    """Runs a script of this folder; returns the lines that it prints, each of them JSON."""

    def run(name: str, *arguments: str | Path) -> list[Any]:
        command = [node, str(HERE / name), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.fixture(scope="session")
def toy(toy_avatar: Path) -> LoadedAvatar:
    """The toy avatar, loaded."""
    return load_avatar(toy_avatar)


@pytest.fixture(scope="session")
def odd_avatar(toy_avatar: Path) -> LoadedAvatar:
    """The toy avatar with flat, turned Gaussians, light that depends on the head's turn, and a head that turns farther
    than it is said to have been filmed, where it has other colours."""
    avatar = load_avatar(toy_avatar)
    config = replace(avatar.record.model, shading=True)
    model = blank_model(config, avatar.record.shapes)
    model.load_state_dict(avatar.model.state_dict(), strict=False)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for branch in (model.face, model.mouth):
            gaussians, count = branch.gaussians, len(branch.gaussians)
            gaussians.quats.copy_(torch.randn(count, 4, generator=generator))
            gaussians.log_scales.add_(0.6 * torch.randn(count, 3, generator=generator) - 0.4)
            branch.shading.slopes.copy_(0.4 * torch.randn(count, 9, generator=generator))
        # Hair-thin, nearly opaque and nearly clear ones are where a rasterizer goes wrong.
        model.face.gaussians.log_scales[:40, 0] = -12
        model.face.gaussians.logit_opacities[40:80] = 12
        model.face.gaussians.logit_opacities[80:120] = -5
    aside = model.face.aside = Aside(len(model.face.gaussians))
    aside.change.copy_(-0.3 * torch.rand(aside.change.shape, generator=generator))
    aside.reach.fill_(0.1)
    poses = avatar.filmed.T_camera_world.copy()
    angle = np.linspace(-0.4, 0.4, len(poses))
    poses[:, 0, 0] = poses[:, 2, 2] = np.cos(angle)
    poses[:, 0, 2], poses[:, 2, 0] = np.sin(angle), -np.sin(angle)
    model.eval().requires_grad_(False)
    record = replace(avatar.record, model=config, shapes=model_shapes(model))
    return replace(avatar, model=model, record=record, filmed=replace(avatar.filmed, T_camera_world=poses))


@pytest.fixture(scope="session")
def odd_gsa(odd_avatar: LoadedAvatar, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its file."""
    path = tmp_path_factory.mktemp("gsa") / "odd.gsa"
    path.write_bytes(avatar_file(odd_avatar, "full").data)
    return path


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal to noise of 8-bit pictures, dB."""
    return float(10 * np.log10(255**2 / max(np.mean((first.astype(float) - second) ** 2), 1e-9)))


def frame_job(avatar: LoadedAvatar, index: int, side: int, color: Sequence[float]) -> dict[str, Any]:
    """A frame of the filmed track as the scripts take it."""
    filmed = avatar.filmed
    rows = {"codes": filmed.mouth_codes[index], "upper": filmed.upper[index], "pose": filmed.T_camera_world[index, :3]}
    return {name: row.ravel().tolist() for name, row in rows.items()} | {"side": side, "color": list(color)}
