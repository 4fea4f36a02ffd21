"""The viewer's server against a page that speaks viser's protocol as far as the test needs: its own controls."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import viser

from gaussavatar.avatar.load import load_avatar
from gaussavatar.serving.address import free_port
from gaussavatar.view import panels, server
from gaussavatar.view.frames import PUSHED
from gaussavatar.view.panels.playback import EPOCH_KEY, audio_element, heard_epoch
from gaussavatar.view.server import Viewer

from .seen import filmed, orbit


@pytest.fixture
def viewer(toy_avatar: Path):
    opened = Viewer(load_avatar(toy_avatar), None, "127.0.0.1", free_port("127.0.0.1", 8190))
    yield opened
    opened.stop()


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_image_shows_the_head_in_the_middle_before_the_backdrop(viewer: Viewer) -> None:
    image = orbit(viewer)
    assert image.shape == (80, 120, 3)
    corners = image[[0, 0, -1, -1], [0, -1, 0, -1]].astype(int)
    assert np.ptp(corners, axis=1).max() <= 1, "the backdrop is grey"
    red, _, blue = image[40, 60].astype(int)
    assert red > blue + 15, "the head is skin-coloured"


def test_controls_change_the_picture(viewer: Viewer) -> None:
    still = orbit(viewer)
    assert np.array_equal(still, orbit(viewer))
    viewer.panels["face"].sliders["blink"].value = 1.5
    assert difference(orbit(viewer), still) > 0.05
    viewer.panels["face"].put_back()
    assert np.array_equal(orbit(viewer), still)
    viewer.panels["face"].opening.value = 1.0
    assert difference(orbit(viewer), still) > 0.05


def test_wishes_change_the_motion_and_are_put_back(viewer: Viewer) -> None:
    spoken = orbit(viewer, 0.4)
    viewer.panels["mouth"].gain.value = 0.0
    viewer.panels["head"].head.value = "still"
    viewer.step()
    assert difference(orbit(viewer, 0.4), spoken) > 0.05

    viewer.panels["face"].put_back()
    viewer.step()
    assert np.array_equal(orbit(viewer, 0.4), spoken)


def test_playing_moves_the_face_and_the_head(viewer: Viewer) -> None:
    early, late = orbit(viewer), orbit(viewer, 0.4)
    assert difference(early, late) > 0.5
    viewer.panels["face"].driven.value = False
    assert np.array_equal(orbit(viewer), orbit(viewer, 0.4))


def test_play_button_starts_and_stops_the_clock(viewer: Viewer) -> None:
    assert not viewer.clock.playing and viewer.panels["playback"].play.label == "Play"
    viewer.panels["playback"].toggle()
    assert viewer.clock.playing and viewer.panels["playback"].play.label == "Pause"
    viewer.panels["playback"].toggle()
    assert not viewer.clock.playing and viewer.panels["playback"].play.label == "Play"


def test_splats_are_sent_and_taken_away_again(viewer: Viewer) -> None:
    viewer.panels["look"].drawing.value = "splats"
    assert viewer.step() and viewer.splats.shown
    assert not viewer.step(), "nothing moved, so nothing is sent"
    viewer.panels["playback"].toggle()
    time.sleep(0.1)
    assert viewer.step()
    viewer.panels["look"].drawing.value = "stream"
    viewer.step()
    assert not viewer.splats.shown


class Client(viser.ClientHandle):
    """A page that has told its camera; what is drawn for it alone is drawn for all here."""

    def __init__(self, viewer: Viewer, moment: float) -> None:
        self.scene = viewer.server.scene
        self.camera = SimpleNamespace(
            position=np.array([0.0, 0.0, -0.7]), update_timestamp=moment, wxyz=(1.0, 0.0, 0.0, 0.0), fov=0.4,
            aspect=1.5, image_height=80,
        )  # fmt: skip

    def atomic(self) -> contextlib.nullcontext:
        return contextlib.nullcontext()


def test_the_mouth_of_splats_stays_behind_the_face_for_each_page(
    viewer: Viewer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = {3: Client(viewer, 0.0)}
    monkeypatch.setattr(viewer.server, "get_clients", lambda: clients)
    viewer.panels["look"].drawing.value = "splats"
    viewer.step()
    assert not viewer.splats._mouths, "a page that has not told where it looks from"
    clients[3].camera.update_timestamp = 1.0
    assert viewer.step() and not viewer.step()
    handle = viewer.splats._mouths[3]
    assert handle.scale == PUSHED and np.allclose(handle.position, [0, 0, 0.35], atol=1e-6)
    clients[3].camera.position = np.array([0.2, 0.0, -0.7])
    assert viewer.step() and np.allclose(handle.position, [-0.1, 0, 0.35], atol=1e-6)
    assert len(viewer.splats._mouth.means) == 60 and viewer.splats._counts == (400, 60)
    clients.clear()
    viewer.panels["playback"].toggle()
    time.sleep(0.1)
    assert viewer.step() and not viewer.splats._mouths, "a page that is gone"


def test_the_first_picture_of_a_page_is_from_where_it_was_sent(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    page, pictures = Client(viewer, 1.0), []
    page.scene = SimpleNamespace(set_background_image=lambda image, *_, **__: pictures.append(image))
    monkeypatch.setattr(viewer.server, "get_clients", lambda: {3: page})
    page.camera.position = np.array([3.0, 0.0, 0.0])
    assert not viewer.step() and not pictures, "viser's own camera, before the page was told of ours"
    page.camera.position = np.array(viewer._start.position)
    assert viewer.step() and len(pictures) == 1
    page.camera.position = np.array([3.0, 0.0, 0.0])
    assert viewer.step(), "later it is where somebody went"


def test_a_page_that_stays_elsewhere_is_shown_that(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    page, pictures = Client(viewer, 1.0), []
    page.scene = SimpleNamespace(set_background_image=lambda image, *_, **__: pictures.append(image))
    page.camera.position = np.array([0.3, 0.0, -0.7])
    monkeypatch.setattr(viewer.server, "get_clients", lambda: {3: page})
    monkeypatch.setattr(server, "ARRIVING", 0.05)
    assert not viewer.step()
    time.sleep(0.1)
    assert viewer.step() and len(pictures) == 1


def test_splats_stand_before_the_grey_and_not_as_filmed(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    monkeypatch.setattr(
        type(viewer.server.scene), "set_background_image", lambda _, image, *__, **___: pictures.append(image)
    )
    monkeypatch.setattr(viewer.server, "get_clients", lambda: {3: Client(viewer, 1.0)})
    viewer.panels["look"].drawing.value = "splats"
    viewer.step()
    assert viewer.splats.shown and pictures[-1] is not None and pictures[-1].mean() == pytest.approx(210, abs=5)
    viewer.panels["look"].camera.value = "as filmed"
    viewer.step()
    assert not viewer.splats.shown and pictures[-1].shape == (96, 144, 3), "the filmed picture is sent"


def test_as_filmed_is_the_whole_picture_in_the_middle(viewer: Viewer) -> None:
    image = filmed(viewer, 2.0)
    assert image.shape == (96, 192, 3)
    assert (image[:, :40] == 40).all(), "grey beside the picture"
    assert difference(image[:10, 60:130], np.full((10, 70, 3), 120)) < 4, "the torso video behind the head"


def test_audio_element_starts_where_the_clock_is_and_reports() -> None:
    element = audio_element("data:audio/flac;base64,AAAA", 1.5)
    assert element.startswith("<audio autoplay loop") and "currentTime = 1.500" in element
    assert "ontimeupdate" in element and "viser-user:gaussavatar-epoch" in element


class PageThatAnswers:
    """A page whose storage answers as it is told to, or with an error."""

    def __init__(self, answer: str | Exception | None) -> None:
        self.answer = answer

    def get_item(self, key: str, *, timeout: float | None) -> str | None:
        assert key == EPOCH_KEY and timeout
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("answer", "epoch"),
    [("1000.25", 1000.25), (None, None), ("noon", None), (TimeoutError(), None), (RuntimeError("closed"), None)],
)
def test_what_a_page_says_of_its_sound(answer: str | Exception | None, epoch: float | None) -> None:
    assert heard_epoch(PageThatAnswers(answer)) == epoch


def test_a_panel_that_is_one_more_file_is_on_the_page(
    toy_avatar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yawning.py").write_text(
        "from dataclasses import replace\n"
        "from gaussavatar.view.page import Panel\n"
        "PLACE = 35\n"
        "class Yawning(Panel):\n"
        "    def put(self, controls):\n"
        "        return replace(controls, opening=controls.opening + 0.5)\n"
        "def build(gui, page):\n"
        "    return Yawning()\n"
    )
    monkeypatch.setattr(panels, "__path__", [*panels.__path__, str(tmp_path)])
    opened = Viewer(load_avatar(toy_avatar), None, "127.0.0.1", free_port("127.0.0.1", 8320))
    try:
        assert list(opened.panels) == [*("playback", "look", "face", "mouth", "eyes", "yawning", "head", "readout")], (
            "by place, without empty ones"
        )
        opened.panels["face"].opening.value = 0.25
        assert opened.controls().opening == 0.75
    finally:
        opened.stop()
