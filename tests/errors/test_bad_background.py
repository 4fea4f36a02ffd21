"""What a user reads when a background cannot be had."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest


def say(message, media: Path, avatar: Path, background: object, *more: object) -> str:
    return message("speak", "--audio", media / "tone.wav", "--avatar", avatar, "--background", background, *more)


def test_transparency_in_an_mp4(message, media: Path, toy_avatar: Path) -> None:
    line = say(message, media, toy_avatar, "none", "--out", "talk.mp4")
    assert ".mov or .webm" in line and "talk.mp4" in line


@pytest.mark.parametrize("color", ["#12345", "#gg0000", "#"])
def test_no_colour(message, media: Path, toy_avatar: Path, color: str) -> None:
    assert "six hexadecimal digits" in say(message, media, toy_avatar, color)


def test_no_such_picture(message, media: Path, toy_avatar: Path) -> None:
    line = say(message, media, toy_avatar, "beach.jpg")
    assert "beach.jpg" in line and "plate" in line


def test_a_letter_is_no_picture(message, media: Path, toy_avatar: Path) -> None:
    assert "letter.mp4" in say(message, media, toy_avatar, media / "letter.mp4")


def test_a_video_is_no_picture(message, media: Path, toy_avatar: Path) -> None:
    assert "an image" in say(message, media, toy_avatar, media / "faceless.mp4")


def png(path: Path, width: int, height: int, data: bytes) -> Path:
    """A png file whose header says any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b""))
    return path


def test_a_damaged_picture(message, media: Path, toy_avatar: Path, tmp_path: Path) -> None:
    picture = png(tmp_path / "torn.png", 64, 64, b"")
    picture.write_bytes(picture.read_bytes()[:40])
    assert "torn.png" in say(message, media, toy_avatar, picture)


def test_a_huge_picture(message, media: Path, toy_avatar: Path, tmp_path: Path) -> None:
    assert "huge.png" in say(message, media, toy_avatar, png(tmp_path / "huge.png", 30000, 20000, b"x"))


def test_an_avatar_of_before_there_were_mattes(message, media: Path, toy_avatar: Path) -> None:
    assert "matte.mp4" in say(message, media, toy_avatar, "#00ff00")


def test_a_torso_branch_that_the_avatar_lacks(message, media: Path, toy_avatar: Path) -> None:
    assert "torso.enabled=true" in say(message, media, toy_avatar, "plate", "--torso", "gaussians")
