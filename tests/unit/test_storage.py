"""Files are whole or absent, and what the user can mend is said in one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.storage import (
    ChosenFrames,
    FrameStore,
    atomic_path,
    content_key,
    explain_os_error,
    frame_writer,
    read_arrays,
    read_json,
    scratch_folder,
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


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EFBIG", "EIO", "EACCES", "EROFS", "EISDIR", "ENOTDIR"])
def test_write_errors_are_explained(name: str, tmp_path: Path) -> None:
    explained = explain_os_error(OSError(getattr(errno, name), "x"), tmp_path)
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
    np.testing.assert_array_equal(np.stack(list(store)), images)
    some = ChosenFrames(store, np.array([3, 1]))
    assert some.shape == (2, 4, 6, 3)
    np.testing.assert_array_equal(np.stack(list(some)), images[[3, 1]])
    np.testing.assert_array_equal(some.read_channel(0, 2), images[3, ..., 2])
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


def test_a_writer_that_wrote_nothing_gives_no_empty_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "empty.txt") as temporary:
        temporary.write_text("")
    with pytest.raises(RuntimeError, match="nothing was written"), atomic_path(tmp_path / "none.txt"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["empty.txt"]


KILLED = """
import os, signal, sys
from pathlib import Path
from gaussavatar.storage import atomic_path, scratch_folder
with scratch_folder() as scratch, atomic_path(Path(sys.argv[1])) as temporary:
    (scratch / "much").write_bytes(b"much")
    temporary.write_text("half")
    print(scratch, flush=True)
    if sys.argv[2] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def write_in_another_process(path: Path, temporary: Path, end: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), end], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip


def test_what_a_killed_process_left_goes_and_what_another_one_writes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, temporary = tmp_path / "results", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    (results / ".mine.1234.part.mp4").parent.mkdir()
    (results / ".mine.1234.part.mp4").write_text("another program's")
    (temporary / "gaussavatar-of-a-user").mkdir()
    dead = write_in_another_process(results / "a.json", temporary, "dies")
    assert dead.communicate()[0].strip() and dead.returncode == -signal.SIGKILL
    assert len(list(results.iterdir())) == 2 and len(list(temporary.iterdir())) == 2
    alive = write_in_another_process(results / "b.json", temporary, "lives")
    scratch = Path(alive.stdout.readline().strip())  # type: ignore[union-attr]
    # The one that lives has removed what the dead one left, and not what is no leftover.
    assert len(list(results.iterdir())) == 2 and len(list(temporary.iterdir())) == 2
    write_json(results / "c.json", {})
    with scratch_folder() as own:
        assert sorted(temporary.iterdir()) == sorted([own, scratch, temporary / "gaussavatar-of-a-user"])
    alive.communicate("")
    assert sorted(path.name for path in results.iterdir()) == [".mine.1234.part.mp4", "b.json", "c.json"]
    assert (results / "b.json").read_text() == "half"


def test_bytes_are_on_the_disk_before_their_name_and_the_name_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    replace, fsync = os.replace, os.fsync
    monkeypatch.setattr(os, "replace", lambda old, new: (done.append(f"name {Path(new).name}"), replace(old, new)))
    monkeypatch.setattr(
        os, "fsync", lambda file: (done.append(Path(os.readlink(f"/proc/self/fd/{file}")).suffix), fsync(file))
    )
    write_arrays(tmp_path / "new" / "a.safetensors", {"x": np.arange(3)})
    with frame_writer(tmp_path / "scratch.u8", (1, 1, 1), lasting=False):
        pass
    # The new folder's name, the bytes, the file's name; nothing waits for what is only scratch.
    assert done == ["", ".safetensors", "name a.safetensors", "", "name scratch.u8.json", "name scratch.u8"]


def test_arrays_are_written_as_their_format_s_own_package_reads_them(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    rng, path = np.random.default_rng(0), tmp_path / "a.safetensors"
    arrays = {
        "flag": np.array([True, False, True]),
        "half": rng.normal(size=(2, 3)).astype(np.float16),
        "none": np.zeros((0, 4), np.float32),
        "one": np.float64(3.5).reshape(()),
        "turned": rng.integers(0, 99, (5, 3)).T,
        "\u00fc": np.arange(3, dtype=np.uint8),
    }
    write_arrays(path, arrays, {"b": "2", "a": "\u00e4"})
    found = load_file(path)
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert read_arrays(path)[1] == {"a": "\u00e4", "b": "2"}
