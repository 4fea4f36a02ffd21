"""What can be wrong with a capture folder that the quality gate looks at, and with its own record."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.capture.marks import Marks, load_marks, save_marks
from gaussavatar.capture.store import Capture, save_capture
from gaussavatar.errors import UserError
from gaussavatar.progress import QuietProgress
from gaussavatar.quality.records import Quality, load_quality, save_quality
from gaussavatar.quality.stage import check_quality
from gaussavatar.storage import frame_writer, write_arrays


def captured(folder: Path) -> Path:
    """A capture of grey frames and nothing else."""
    with frame_writer(folder / "frames.u8", (16, 16, 3)) as writer:
        for _ in range(10):
            writer.append(np.full((16, 16, 3), 128, np.uint8))
    source = {"name": "grey.mp4", "width": 16, "height": 16, "seconds": 0.4}
    save_capture(Capture(folder, 16, 10, 25, (0, 0, 16), source, None))
    return folder


def said(error: UserError) -> str:
    line = str(error)
    assert "\n" not in line and error.expected and error.came and error.do
    return line


def test_a_folder_that_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_quality(tmp_path, 16, QuietProgress())
    assert "capture.json" in said(caught.value)


def test_a_capture_that_was_not_tracked(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_quality(captured(tmp_path), 16, QuietProgress())
    assert "tracking.safetensors" in said(caught.value) or "landmarks.safetensors" in said(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"verdict": "good"}', b"\xff\xfe"])
def test_a_damaged_record(tmp_path: Path, content: bytes) -> None:
    save_quality(tmp_path, Quality("good", (), {"blur": 0.5}, (), {}))
    assert load_quality(tmp_path).figures == {"blur": 0.5}
    (tmp_path / "quality.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        load_quality(tmp_path)
    assert "quality.json" in said(caught.value)


def test_damaged_marks(tmp_path: Path) -> None:
    save_marks(tmp_path, Marks(np.zeros(3, bool), np.ones(3, bool), np.zeros(3, bool)))
    assert load_marks(tmp_path).any.all()
    for spoil in (
        lambda path: path.write_bytes(path.read_bytes()[:20]),
        lambda path: write_arrays(path, {"hands": np.zeros(3, np.uint8)}),
        lambda path: path.unlink(),
    ):
        spoil(tmp_path / "marks.safetensors")
        with pytest.raises(UserError) as caught:
            load_marks(tmp_path)
        assert "marks.safetensors" in said(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError):
        save_quality(tmp_path, Quality("good", (), {}, (), {}))
