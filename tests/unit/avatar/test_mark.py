"""Whose face it is and on what consent reaches every output that has room for it."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.mark import mark_of
from gaussavatar.cli.main import run
from gaussavatar.export.gsa.read import read_gsa
from gaussavatar.export.registry import export_avatar
from gaussavatar.export.spz import with_comment
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.motion.track import MotionTrack

SUBJECT, CONSENT = "Zoë of the test", "written, on 3 May"


@pytest.fixture(scope="module")
def avatar(toy_avatar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy avatar of somebody who said yes."""
    folder = tmp_path_factory.mktemp("said") / "toy"
    shutil.copytree(toy_avatar, folder)
    header = json.loads((folder / "avatar.json").read_text())
    (folder / "avatar.json").write_text(json.dumps({**header, "subject": SUBJECT, "consent": CONSENT}))
    return folder


@pytest.fixture(scope="module")
def hum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of a voice's pitch."""
    path = tmp_path_factory.mktemp("sound") / "hum.wav"
    soundfile.write(path, 0.2 * np.sin(2 * np.pi * 140 * np.arange(8000) / 16_000), 16_000)
    return path


def comment(path: Path) -> str:
    """All metadata of a video, as ffmpeg writes it out."""
    command = [str(find_ffmpeg()), "-v", "error", "-i", str(path), "-f", "ffmetadata", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace("\\", "")


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv", ".avi", ".gif", ".png"])
def test_every_video_and_picture_says_it(suffix: str, avatar: Path, hum: Path, tmp_path: Path) -> None:
    out = tmp_path / f"said{suffix}"
    words = ["speak", "--audio", hum, "--to", "0.2", "--avatar", avatar, "--out", out]
    assert run([str(word) for word in words]) == 0
    if suffix == ".gif":
        said = Image.open(out).info["comment"].decode()
    elif suffix == ".png":
        said = Image.open(tmp_path / "said_000000.png").info["Comment"]
    else:
        said = comment(out)
    assert "AI-generated" in said and SUBJECT in said and CONSENT in said, said


def test_exported_gaussians_say_it(avatar: Path, tmp_path: Path) -> None:
    def made(kind: str) -> Path:
        return export_avatar(avatar, kind, tmp_path / f"x.{kind}")[0]

    ply = made("ply").read_bytes().partition(b"end_header")[0].decode("ascii")
    assert "comment Zo\\xeb of the test (consent: written, on 3 May)" in ply.splitlines()
    glb = made("glb").read_bytes()
    length = struct.unpack_from("<I", glb, 12)[0]
    extras = json.loads(glb[20 : 20 + length])["asset"]["extras"]
    with zipfile.ZipFile(made("sog")) as archive:
        asset = json.loads(archive.read("meta.json"))["asset"]
    for said in (extras, asset):
        assert (said["synthetic"], said["subject"], said["consent"]) == (True, SUBJECT, CONSENT)
    spz = made("spz").read_bytes()
    assert spz[10:].partition(b"\0")[0].decode("latin-1") == f"{SUBJECT} (consent: {CONSENT})"
    assert gzip.decompress(spz)[:4] == struct.pack("<I", 0x5053474E)


def test_the_avatar_file_and_the_page_say_it(avatar: Path, tmp_path: Path) -> None:
    kept = read_gsa(export_avatar(avatar, "avatar", tmp_path / "x.gsa", options={"force": True})[0])
    assert (kept.subject, kept.consent) == (SUBJECT, CONSENT)
    page = export_avatar(avatar, "web", tmp_path / "x.html", options={"force": True})[0].read_text("utf-8")
    assert f"<dd>{CONSENT}</dd>" in page and SUBJECT in page


@pytest.mark.parametrize("suffix", [".csv", ".safetensors"])
def test_motion_says_it_and_keeps_it_through_changes(suffix: str, avatar: Path, tmp_path: Path) -> None:
    loaded = load_avatar(avatar)
    about = mark_of(loaded.record).about
    track = loaded.filmed.between(0.0, 0.4)
    assert track.about == about == f"{SUBJECT} (consent: {CONSENT})"
    path = tmp_path / f"motion{suffix}"
    MotionTrack.joined([track.at_fps(50), track.at_fps(50)]).save(path)
    assert MotionTrack.load(path).about == about
    assert about in path.read_bytes().decode("utf-8", "replace")


def test_motion_without_a_known_face_is_as_it_was(avatar: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    path = tmp_path / "motion.csv"
    replace(load_avatar(avatar).filmed.between(0.0, 0.2), about="").save(path)
    assert "about" not in path.read_text().splitlines()[0] and MotionTrack.load(path).about == ""


def test_a_zero_in_a_name_ends_no_comment_of_gzip() -> None:
    data = with_comment(gzip.compress(b"body"), "An\0na")
    assert gzip.decompress(data) == b"body" and b"An?na\0" in data
