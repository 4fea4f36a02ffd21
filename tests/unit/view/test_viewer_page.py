"""The viewer's server against a page that speaks viser's protocol as far as the test needs: its own controls."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.torso import LoadedTorso
from gaussavatar.errors import UserError
from gaussavatar.model.torso import blank_torso
from gaussavatar.view.app import ViewerApp, centred, free_port, quaternion
from gaussavatar.view.panel import audio_element

CAMERA = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, -0.7, 0.4)


@pytest.fixture
def app(toy_avatar: Path):
    viewer = ViewerApp(load_avatar(toy_avatar), None, "127.0.0.1", free_port("127.0.0.1", 8190), "stream")
    yield viewer
    viewer.stop()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_image_shows_the_head_in_the_middle_before_the_backdrop(app: ViewerApp) -> None:
    image = app._orbit(0.0, CAMERA, 120, 80)
    assert image.shape == (80, 120, 3)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    assert np.ptp(corners, axis=1).max() <= 1, "the backdrop is grey"
    red, _, blue = image[40, 60].astype(int)
    assert red > blue + 15, "the head is skin-coloured"


def test_controls_change_the_picture(app: ViewerApp) -> None:
    still = app._orbit(0.0, CAMERA, 120, 80)
    assert np.array_equal(still, app._orbit(0.0, CAMERA, 120, 80))
    app.panel.sliders["blink"].value = 1.5
    assert difference(app._orbit(0.0, CAMERA, 120, 80), still) > 0.05
    app.panel.reset_sliders()
    assert np.array_equal(app._orbit(0.0, CAMERA, 120, 80), still)
    app.panel.opening.value = 1.0
    assert difference(app._orbit(0.0, CAMERA, 120, 80), still) > 0.05


def test_playing_moves_the_face_and_the_head(app: ViewerApp) -> None:
    early, late = app._orbit(0.0, CAMERA, 120, 80), app._orbit(0.4, CAMERA, 120, 80)
    assert difference(early, late) > 0.5
    app.panel.driven.value = False
    assert np.array_equal(app._orbit(0.0, CAMERA, 120, 80), app._orbit(0.4, CAMERA, 120, 80))


def test_play_button_starts_and_stops_the_clock(app: ViewerApp) -> None:
    assert not app._clock.playing and app.panel.play.label == "Play"
    app.panel.toggle()
    assert app._clock.playing and app.panel.play.label == "Pause"
    app.panel.toggle()
    assert not app._clock.playing and app.panel.play.label == "Play"


def test_splats_are_sent_and_taken_away_again(app: ViewerApp) -> None:
    app.panel.drawing.value = "splats"
    assert app.step() and app._splats is not None
    assert not app.step(), "nothing moved, so nothing is sent"
    app.panel.toggle()
    assert app.step()
    app.panel.drawing.value = "stream"
    app.step()
    assert app._splats is None


def test_as_filmed_is_the_whole_picture_in_the_middle(app: ViewerApp) -> None:
    image = app._filmed(0.0, 2.0)
    assert image.shape == (96, 192, 3)
    assert (image[:, :40] == 40).all(), "grey beside the picture"
    assert difference(image[:10, 60:130], np.full((10, 70, 3), 120)) < 4, "the torso video behind the head"


@pytest.mark.parametrize(("aspect", "shape"), [(2.0, (10, 20, 3)), (0.5, (20, 10, 3)), (1.0, (10, 10, 3))])
def test_centred(aspect: float, shape: tuple) -> None:
    canvas = centred(np.full((10, 10, 3), 200, np.uint8), aspect)
    assert canvas.shape == shape and (canvas == 200).sum() == 300


def test_quaternion_of_a_quarter_turn() -> None:
    R = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.float32)
    assert quaternion(R) == pytest.approx((2**-0.5, 0, 0, 2**-0.5), abs=1e-6)


def test_next_port_when_one_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert port < free_port("127.0.0.1", port) < port + 20


def test_an_impossible_address() -> None:
    with pytest.raises(UserError, match="free port"):
        free_port("127.0.0.1", 70_000)


def test_audio_element_starts_where_the_clock_is_and_reports() -> None:
    element = audio_element("data:audio/flac;base64,AAAA", 1.5)
    assert element.startswith("<audio autoplay loop") and "currentTime = 1.500" in element
    assert "ontimeupdate" in element and "viser-user:gaussavatar-epoch" in element


def test_a_torso_branch_is_seen_from_any_side(app: ViewerApp, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = app._orbit(0.0, CAMERA, 120, 80)
    torso = blank_torso(30)
    with torch.no_grad():
        torso.gaussians.means.copy_(torch.tensor([0.0, 0.17, 0.03]) + 0.02 * torch.randn(30, 3))
        torso.gaussians.quats[:, 0] = 1
        torso.gaussians.log_scales.fill_(-4)
        torso.gaussians.logit_opacities.fill_(3.0)
    track = app._avatar.filmed.T_camera_world
    monkeypatch.setattr(app, "_avatar", replace(app._avatar, torso=LoadedTorso(torso, track)))
    for camera in (CAMERA, (0.966, 0.0, 0.259, 0.0, -0.35, 0.0, -0.6, 0.4)):
        whole = app._orbit(0.0, camera, 120, 80)
        assert whole[60:].astype(int).min() < 40, "black shoulders below the head"
    assert difference(app._orbit(0.0, CAMERA, 120, 80)[:20], bare[:20]) == 0
