"""Gaussians from a file in the viewer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.cli.main import run
from gaussavatar.export.registry import export_avatar
from gaussavatar.media.gaussians import read_gaussians
from gaussavatar.render.api import get_rasterizer
from gaussavatar.serving.address import free_port
from gaussavatar.types import Activated, Cameras
from gaussavatar.view import cloud
from gaussavatar.view.cloud import CloudPage, first_view, splats_of
from gaussavatar.view.orbit import intrinsics


def test_a_file_is_shown_from_the_front(toy_avatar: Path, tmp_path: Path) -> None:
    path, count = export_avatar(toy_avatar, "ply", tmp_path / "toy.ply")
    gaussians = read_gaussians(path).activated()
    page = CloudPage(gaussians, path.name, "127.0.0.1", free_port("127.0.0.1", 8290))
    try:
        handle = page._layer._handle
        assert handle is not None and len(splats_of(gaussians).means) == count
        np.testing.assert_allclose(page.server.initial_camera.look_at, first_view(gaussians).look_at)
    finally:
        page.stop()
    view = first_view(gaussians)
    T = np.eye(4, dtype=np.float32)
    T[:3, 3] = -view.position
    camera = Cameras(torch.from_numpy(T)[None], torch.from_numpy(intrinsics(view.fov, 64, 64))[None].float(), 64, 64)
    drawn = get_rasterizer("cpu")(Activated(*(each[None] for each in vars(gaussians).values())), camera)
    inside = drawn.alpha[0].numpy() > 0.5
    assert inside[32, 32] and not inside[[0, -1]].any() and not inside[:, [0, -1]].any() and inside.mean() > 0.1


def test_strays_do_not_push_the_view_away() -> None:
    random = np.random.default_rng(0)
    means = random.normal(size=(200, 3)).astype(np.float32) * 0.1
    means[:5] = 1000
    ones = torch.ones(200)
    view = first_view(
        Activated(torch.from_numpy(means), torch.ones(200, 4), torch.ones(200, 3), ones, torch.ones(200, 3))
    )
    assert np.abs(view.look_at).max() < 0.05 and -2 < view.position[2] < -0.3


def test_the_verb_takes_a_file_and_refuses_what_does_not_go_with_it(
    toy_avatar: Path,
    tmp_path: Path,
    capsys,  # noqa: ANN001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, _ = export_avatar(toy_avatar, "ply", tmp_path / "toy.ply")
    shown = []
    monkeypatch.setattr(cloud, "serve_cloud", lambda *asked: shown.append(asked))
    assert run(["view", str(path), "--no-open-browser"]) == 0
    assert shown == [(path, "127.0.0.1", 8080, False)]
    folder = tmp_path / "bound"
    folder.mkdir()
    (folder / "point_cloud.ply").write_bytes(path.read_bytes())
    assert run(["view", str(folder), "--no-open-browser"]) == 0 and shown[-1][0] == folder
    assert run(["view", str(path), str(path)]) == 2
    assert "one cloud of Gaussians alone" in capsys.readouterr().err
    monkeypatch.undo()
    bound = path.read_bytes().replace(b"property float nx", b"property float binding_0")
    (tmp_path / "bound.ply").write_bytes(bound)
    assert run(["view", str(tmp_path / "bound.ply")]) == 2
    assert "flame_param.npz" in capsys.readouterr().err
    path.write_bytes(b"ply\n")
    assert run(["view", str(path)]) == 2
    told = capsys.readouterr().err
    assert "another kind of file" in told and len(told.splitlines()) == 1
