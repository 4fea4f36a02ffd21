"""What a user reads when an avatar folder cannot be used, or a place cannot be written."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar.audio.encoder import EncoderConfig
from gaussavatar.avatar.folder import FILES, write_record
from gaussavatar.avatar.record import VERSION, AvatarRecord
from gaussavatar.cli.common import run_verb
from gaussavatar.model.config import ModelConfig
from gaussavatar.storage import atomic_path


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    """A folder whose header vouches for its files."""
    folder = tmp_path / "someone"
    folder.mkdir()
    for name in FILES:
        (folder / name).write_bytes(name.encode() * 10)
    write_record(folder, AvatarRecord(96, ModelConfig(), {}, EncoderConfig(2), ("blink",)))
    return folder


def test_no_avatar_below_the_working_directory(message, media: Path) -> None:
    assert "gaussavatar fit VIDEO" in message("speak", "--audio", media / "tone.wav")


def test_no_such_avatar(message, media: Path, tmp_path: Path) -> None:
    assert "no such folder" in message("evaluate", tmp_path / "nobody")


def test_folder_that_is_no_avatar(message, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert "no avatar.json" in message("evaluate", tmp_path / "photos")


def test_unfinished_fit(message, tmp_path: Path) -> None:
    (tmp_path / "half" / "capture").mkdir(parents=True)
    line = message("evaluate", tmp_path / "half")
    assert "unfinished" in line and "continues where it stopped" in line


def test_newer_version(message, media: Path, avatar: Path) -> None:
    header = json.loads((avatar / "avatar.json").read_text())
    (avatar / "avatar.json").write_text(json.dumps(header | {"version": VERSION + 1}))
    line = message("speak", "--audio", media / "tone.wav", "--avatar", avatar)
    assert f"version {VERSION + 1}" in line and "update gaussavatar" in line


@pytest.mark.parametrize("name", FILES)
def test_missing_file(message, avatar: Path, name: str) -> None:
    (avatar / name).unlink()
    assert name in message("evaluate", avatar)


@pytest.mark.parametrize("name", FILES)
def test_damaged_file(message, avatar: Path, name: str) -> None:
    data = bytearray((avatar / name).read_bytes())
    data[len(data) // 2] ^= 1
    (avatar / name).write_bytes(data)
    line = message("evaluate", avatar)
    assert name in line and "damaged" in line


def test_damaged_header(message, avatar: Path) -> None:
    (avatar / "avatar.json").write_text('{"format": "gaussav')
    line = message("evaluate", avatar)
    assert "damaged" in line and "avatar.json" in line


def test_header_of_another_program(message, avatar: Path) -> None:
    (avatar / "avatar.json").write_text("[1, 2]")
    assert "gaussavatar header" in message("evaluate", avatar)


def test_unknown_recipe(message, media: Path) -> None:
    line = message("fit", media / "faceless.mp4", "--recipe", "turbo")
    assert "'turbo'" in line and "preview" in line and "default" in line


def test_unknown_recipe_key(message, media: Path) -> None:
    line = message("fit", media / "faceless.mp4", "--recipe", "preview", "--set", "progress.checkpoint_evry=3")
    assert "did you mean progress.checkpoint_every?" in line


def test_recipe_value_of_the_wrong_type(message, media: Path) -> None:
    assert "image_size" in message("fit", media / "faceless.mp4", "--set", "image_size=large")


def test_output_below_a_file(message, media: Path, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("keep me")
    line = message("fit", media / "faceless.mp4", "--out", tmp_path / "note.txt" / "avatar")
    assert "writable" in line and "--out" in line
    assert (tmp_path / "note.txt").read_text() == "keep me"


def test_speak_into_a_folder(message, media: Path, avatar: Path, tmp_path: Path) -> None:
    assert "file name" in message("speak", "--audio", media / "tone.wav", "--avatar", avatar, "--out", tmp_path)


def test_unknown_export_format(message, avatar: Path) -> None:
    line = message("export", avatar, "--format", "obj")
    assert "'obj'" in line and "ply" in line


def test_unknown_export_option(message, avatar: Path) -> None:
    line = message("export", avatar, "--set", "faintness=0.1")
    assert "'faintness'" in line and "faintest" in line


def test_export_option_that_is_no_number(message, avatar: Path) -> None:
    assert "'faintest=none'" in message("export", avatar, "--set", "faintest=none")


def test_export_option_out_of_its_range(message, avatar: Path) -> None:
    for value in ("2", "-1", "nan"):
        assert "within 0 to 1" in message("export", avatar, "--set", f"faintest={value}")


def test_export_that_leaves_nothing(message, toy_avatar: Path) -> None:
    assert "smaller faintest" in message("export", toy_avatar, "--set", "faintest=1")


def test_unknown_expression(message) -> None:
    assert "did you mean jawOpen?" in message("head", "show", "--expression", "jawopen=1")


def test_weight_that_is_no_number(message) -> None:
    assert "jawOpen=" in message("head", "show", "--expression", "jawOpen=wide")


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="a small disk needs mount as root")
def test_full_disk(message, media: Path, toy_avatar: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"mount is not allowed here: {mounted.stderr.decode().strip()}")
    try:
        with (small / "filler").open("wb") as file:
            try:
                file.write(bytes(1 << 20))
            except OSError as error:
                assert error.errno == errno.ENOSPC
        line = message("speak", "--audio", media / "tone.wav", "--avatar", toy_avatar, "--out", small / "talk.mp4")
        assert "full disk" in line and "talk.mp4" in line
        assert "full disk" in message("head", "show", "--out", small / "head.png")
        assert [path.name for path in small.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_write_error_leaves_the_old_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")

    def work() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("new")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run_verb(work) == 2
    line = capsys.readouterr().err.strip()
    assert line == f"error: expected free disk space, got a full disk while writing {target}; " \
                   "free some space and run again"  # fmt: skip
    assert target.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_interrupt_says_that_the_same_command_continues(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    assert run_verb(work) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback() -> None:
    def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_verb(work)


def test_exit_code_of_the_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gaussavatar.cli", "fit", "absent.mp4"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a video at absent.mp4, got no such file; ")
    assert done.stderr.count("\n") == 1 and done.stdout == ""
