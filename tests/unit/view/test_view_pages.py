"""The viewer whose pages draw themselves, spoken to as a page speaks to it."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import struct
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect

from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.driving import over_filmed
from gaussavatar.avatar.load import load_avatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.beside import PACKED, packed_path
from gaussavatar.export.gsa.read import read_gsa
from gaussavatar.media.probe import probe
from gaussavatar.motion.controls import Controls as Wishes
from gaussavatar.serving.address import free_port
from gaussavatar.serving.player import web_file
from gaussavatar.view.pages import Asked, PageServer
from gaussavatar.view.presets import command_line, load_presets, save_preset
from gaussavatar.view.state import Controls

PATIENCE = 30.0


@pytest.fixture(scope="module")
def server(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("viewed") / "anna"
    shutil.copytree(toy_avatar, folder)
    opened = PageServer(Asked((folder,), port=free_port("127.0.0.1", 8420)))
    opened.open()
    threading.Thread(target=opened.run, daemon=True).start()
    yield opened
    opened.close()


class Page:
    """A page: what it was told, by kind."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def hears(self, kind: str, **wanted: Any) -> dict[str, Any]:
        """The next message of a kind with these values."""
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            assert kind == "problem" or message["kind"] != "problem", message
            if message["kind"] == kind and wanted.items() <= message.items():
                return message

    def says(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))


@pytest.fixture
def page(server: PageServer) -> Iterator[Page]:
    with connect(f"ws://127.0.0.1:{server.asked.port}/", max_size=None) as socket:
        yield Page(socket)


def fetched(server: PageServer, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.asked.port}{path}", timeout=PATIENCE) as answer:
        return answer.read()


def motion(server: PageServer, message: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Codes and channels of the motion that a message names."""
    data = fetched(server, message["url"])
    magic, version, frames, codes, upper, fps = struct.unpack_from("<4sIIIIf", data)
    assert (magic, version, fps) == (b"GSAM", 1, 25.0)
    assert len(data) == 24 + 4 * frames * (codes + upper + 13)
    numbers = np.frombuffer(data, "<f4", offset=24)
    return numbers[: frames * codes].reshape(frames, -1), numbers[frames * codes :][: frames * upper].reshape(
        frames, -1
    )


def own(server: PageServer) -> Avatar:
    return Avatar(load_avatar(server.asked.folders[0]))


def panels(server: PageServer, message: dict[str, Any]) -> dict[str, Any]:
    """The panels that a page was told of."""
    session = server.sessions[int(message["url"].split("/")[2])]
    end = time.monotonic() + PATIENCE
    while not session.panels and time.monotonic() < end:
        time.sleep(0.01)
    return dict(session.panels)


def test_a_page_gets_the_avatar_its_panels_and_the_clips_own_motion(server: PageServer, page: Page) -> None:
    assert b"<script" in fetched(server, "/") and b"WebSocket" in fetched(server, "/web/viewer/viewer.js")
    told = page.hears("panels")
    message = page.hears("motion", avatar=0, filmed=True)
    codes, _ = motion(server, message)
    wanted = over_filmed(own(server).loaded, own(server).filmed.mouth_codes)
    assert np.array_equal(codes, wanted.mouth_codes) and message["seconds"] == pytest.approx(wanted.seconds)
    assert b"<html" in fetched(server, told["url"]).lower()


def test_the_avatars_file_is_made_once_and_kept_beside_it(server: PageServer, page: Page, tmp_path: Path) -> None:
    listed = page.hears("avatars")
    while listed["list"][0]["url"] is None:
        listed = page.hears("avatars")
    path = tmp_path / "x.gsa"
    path.write_bytes(fetched(server, listed["list"][0]["url"]))
    assert read_gsa(path).meta["subject"] == "nobody" and listed["list"][0]["name"] == "anna"
    folder = server.asked.folders[0]
    assert packed_path(folder) == folder / PACKED and (folder / PACKED).read_bytes() == path.read_bytes()
    (folder / "avatar.json").touch()
    assert packed_path(folder) is None, "an avatar that was fitted again is packed again"


def test_sliders_are_told_as_what_they_add(server: PageServer, page: Page) -> None:
    built = panels(server, page.hears("panels"))
    page.hears("face")
    built["face"].opening.value = 0.5
    message = page.hears("face")
    assert message["opening"] == 0.5 and message["wide"] == pytest.approx(own(server).loaded.wide_open)
    built["face"].sliders["blink"].value = 0.75
    assert page.hears("face")["upper"][:2] == [0.75, 0.75]
    built["face"].driven.value = False
    assert page.hears("face")["driven"] is False


def test_wishes_change_this_pages_motion_only(server: PageServer, page: Page) -> None:
    with connect(f"ws://127.0.0.1:{server.asked.port}/", max_size=None) as socket:
        other = Page(socket)
        built = panels(server, page.hears("panels"))
        page.hears("motion")
        other.hears("motion")
        built["mouth"].gain.value = 0.0
        codes, _ = motion(server, page.hears("motion"))
        assert np.allclose(codes, own(server).rest.mouth_codes, atol=1e-6)
        other.says(kind="command")
        heard = []
        while not heard or heard[-1] != "command":
            heard.append(json.loads(other.socket.recv(timeout=PATIENCE))["kind"])
        assert "motion" not in heard


def test_a_dropped_sound_is_spoken_and_nonsense_is_said(server: PageServer, page: Page) -> None:
    page.hears("motion")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(16_000) / 3).astype(np.float32), 16_000, format="WAV")
    page.socket.send(buffer.getvalue())
    message = page.hears("motion", filmed=False)
    assert message["seconds"] == pytest.approx(1.0, abs=0.05) and fetched(server, message["sound"]) == buffer.getvalue()
    page.socket.send(b"no sound at all")
    problem = page.hears("problem")["text"]
    assert "what was dropped" in problem and "/tmp" not in problem
    page.says(kind="own motion")
    page.hears("motion", filmed=True)


def test_presets_are_kept_beside_the_avatar(server: PageServer, page: Page) -> None:
    built = panels(server, page.hears("panels"))
    built["mouth"].gain.value, built["eyes"].blinks.value, built["face"].opening.value = 1.5, "none", 0.25
    page.says(kind="save preset", name=" loud  ")
    assert page.hears("presets", names=["loud"])
    built["face"].put_back()
    assert built["mouth"].gain.value == 1.0
    page.says(kind="recall preset", name="loud")
    page.says(kind="recall preset", name="quiet")
    assert "loud" in page.hears("problem")["text"]
    assert (built["mouth"].gain.value, built["eyes"].blinks.value, built["face"].opening.value) == (1.5, "none", 0.25)


def in_scene(session: Any) -> set[str]:
    """What a page's viser has in its scene besides its root and axes."""
    return {name for name in session.server.scene._handle_from_node_name if name.startswith(("/inside/", "/avatar"))}


def comes(scene: Any, wanted: set[str]) -> None:
    end = time.monotonic() + PATIENCE
    while in_scene(scene) != wanted and time.monotonic() < end:
        time.sleep(0.01)
    assert in_scene(scene) == wanted


def test_the_inside_is_in_the_scene_only_while_a_page_looks(server: PageServer, page: Page) -> None:
    told = page.hears("panels")
    built = panels(server, told)["inside"]
    session = server.sessions[int(told["url"].split("/")[2])]
    page.hears("motion")
    built.cameras.value = True
    assert not session.inside.shown and not in_scene(session)
    page.says(kind="inside", on=True, seconds=0.4)
    comes(session, {"/inside/points", "/inside/cameras"})
    points = session.inside._handles["points"].points
    wanted = own(server).loaded.gaussians(over_filmed(own(server).loaded, own(server).filmed.mouth_codes).at(0.4))
    assert np.allclose(points, wanted.means, atol=1e-6)
    page.says(kind="inside", on=True, seconds=0.8)
    end = time.monotonic() + PATIENCE
    while np.array_equal(session.inside._handles["points"].points, points) and time.monotonic() < end:
        time.sleep(0.01)
    assert not np.array_equal(session.inside._handles["points"].points, points), "it follows the place"
    built.shape.value, built.branches.value, built.colours.value = "ellipsoids", "mouth", "movement"
    built.cameras.value, built.mesh.value = False, True
    comes(session, {"/avatar"})
    while "0 mm" not in built._note.content and time.monotonic() < end:
        time.sleep(0.01)
    assert "60 Gaussians" in built._note.content and "no head mesh: the capture" in built._note.content
    page.says(kind="inside", on=False)
    comes(session, set())
    page.says(kind="inside", on=True, seconds="nonsense")
    comes(session, {"/avatar"})


def test_what_is_shown_is_recorded(server: PageServer, page: Page, tmp_path: Path) -> None:
    page.hears("motion")
    page.says(kind="record", background="plate")
    message = page.hears("recorded")
    path = tmp_path / message["name"]
    path.write_bytes(fetched(server, message["url"]))
    wanted = over_filmed(own(server).loaded, own(server).filmed.mouth_codes)
    assert probe(path).seconds == pytest.approx(wanted.seconds, abs=0.05)


def test_a_page_that_is_gone_frees_what_it_held(server: PageServer) -> None:
    with connect(f"ws://127.0.0.1:{server.asked.port}/", max_size=None) as socket:
        told, message = Page(socket).hears("panels"), Page(socket).hears("motion")
        number = int(told["url"].split("/")[2])
        assert number in server.sessions
    end = time.monotonic() + PATIENCE
    while number in server.sessions and time.monotonic() < end:
        time.sleep(0.02)
    assert number not in server.sessions
    for path in (message["url"], told["url"]):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetched(server, path)


def test_a_page_that_goes_before_its_panels_are_there_leaves_none(server: PageServer) -> None:
    before = set(server.sessions)
    with connect(f"ws://127.0.0.1:{server.asked.port}/", max_size=None) as socket:
        Page(socket).hears("avatars")
    time.sleep(1.0)
    assert set(server.sessions) <= before


def test_only_the_players_own_files_are_served() -> None:
    assert web_file("gsa.js") is not None
    for path in ("../viseme.safetensors", "/etc/passwd", "viewer", "", "..\\x.js", "viewer/none.js"):
        assert web_file(path) is None


def test_the_command_line_does_the_same() -> None:
    wishes = Wishes(mouth_gain=1.25, blink="generated", gaze=(0.2, 0.0), head="still")
    asked = Controls(sliders={"blink": 0.5, "brow": 0.0}, wishes=wishes, seed=3)
    line = command_line(Path("my avatars/anna"), "a b.wav", None, asked, ("blink_left", "blink_right", "brow"))
    assert shlex.split(line) == [
        *("gaussavatar", "speak", "--avatar", "my avatars/anna", "--audio", "a b.wav", "--mouth-gain", "1.25"),
        *("--blink", "generated", "--gaze", "0.2,0", "--head", "still", "--seed", "3"),
        *("--expression", "blink_left=0.5", "blink_right=0.5"),
    ]


def test_a_preset_wants_a_name_and_survives_a_broken_file(tmp_path: Path) -> None:
    for name in ("", "  ", "x" * 61, "a\x00b"):
        with pytest.raises(UserError, match="a name"):
            save_preset(tmp_path, name, {})
    (tmp_path / "presets.json").write_text('{"loud": {"a.b": 1}, "odd": 3}')
    assert load_presets(tmp_path) == {"loud": {"a.b": 1}}
    (tmp_path / "presets.json").write_text("{")
    assert load_presets(tmp_path) == {}
