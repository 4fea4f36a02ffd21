"""Files are whole or absent, and what the user can mend is said in one line."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.storage import (
    FrameStore,
    atomic_path,
    content_key,
    explain_os_error,
    frame_writer,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)


def test_an_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR])
def test_write_errors_are_explained(code: int, tmp_path: Path) -> None:
    explained = explain_os_error(OSError(code, "x"), tmp_path)
    assert isinstance(explained, UserError)
    assert str(tmp_path) in str(explained)


def test_a_folder_in_the_file_s_place_and_a_file_in_the_folder_s_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "folder", tmp_path / "file" / "below.json"):
        with pytest.raises(UserError, match="writable"):
            write_json(path, {})


def test_frames_come_back_and_a_cut_store_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.u8"
    images = np.random.default_rng(0).integers(0, 255, (5, 4, 6, 3), np.uint8)
    with frame_writer(path, (4, 6, 3)) as writer:
        for image in images:
            writer.append(image)
        with pytest.raises(ValueError, match="expected uint8"):
            writer.append(images[0, :2])
    store = FrameStore(path)
    assert len(store) == 5
    np.testing.assert_array_equal(store.read_batch([4, 0]), images[[4, 0]])
    with pytest.raises(IndexError):
        store.read(5)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="5 frames"):
        FrameStore(path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_arrays(path, {"x": np.arange(3)}, {"key": "k"})
    arrays, metadata = read_arrays(path)
    assert arrays["x"].tolist() == [0, 1, 2] and metadata == {"key": "k"}
    path.write_bytes(path.read_bytes()[:20])
    (tmp_path / "b.json").write_text("{")
    for read in (lambda: read_arrays(path), lambda: read_json(tmp_path / "b.json"), lambda: read_json(tmp_path / "no")):
        with pytest.raises(UserError):
            read()


def test_a_key_names_plain_data() -> None:
    assert content_key("a", {"x": 1, "y": 2}) == content_key("a", {"y": 2, "x": 1})
    assert content_key("a", {"x": 1}) != content_key("a", {"x": 2})
