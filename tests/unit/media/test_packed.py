"""Packed frame stores give back the same bytes, beside raw ones, and say what is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.media.packed import PackedFrames, open_frames, packed_writer
from gaussavatar.storage import frame_writer

SHAPE = (20, 70, 3)
FRAMES = np.random.default_rng(0).integers(0, 5, (6, *SHAPE), np.uint8)


def written(folder: Path) -> Path:
    """A store of :data:`FRAMES`, and beside it one that differs from it in a corner."""
    with packed_writer(folder / "frames.u8", SHAPE) as writer:
        for frame in FRAMES:
            writer.append(frame)
    with packed_writer(folder / "under.u8", SHAPE, beside=folder / "frames.u8") as writer:
        for frame in FRAMES:
            writer.append(under(frame))
    return folder / "frames.u8"


def under(frame: np.ndarray) -> np.ndarray:
    """The frame with a grey corner."""
    changed = frame.copy()
    changed[:5, :9] = 128
    return changed


def test_frames_come_back_in_any_order(tmp_path: Path) -> None:
    store = open_frames(written(tmp_path))
    assert isinstance(store, PackedFrames) and store.shape == FRAMES.shape and len(store) == 6
    np.testing.assert_array_equal(store.read_batch([4, 0, 5]), FRAMES[[4, 0, 5]])
    np.testing.assert_array_equal(store.read_channel(3, 2), FRAMES[3, ..., 2])
    with pytest.raises(IndexError):
        store.read(6)
    assert (tmp_path / "frames.u8").stat().st_size < 0.7 * FRAMES.nbytes


def test_what_a_store_beside_has_takes_no_room(tmp_path: Path) -> None:
    written(tmp_path)
    store = open_frames(tmp_path / "under.u8")
    for index, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(store.read(index), under(frame))
        np.testing.assert_array_equal(store.read_channel(index, 1), under(frame)[..., 1])
    sizes = [(tmp_path / name).stat().st_size for name in ("under.u8", "frames.u8")]
    assert sizes[0] < 0.4 * sizes[1]


def test_a_raw_store_is_opened_too_and_may_be_the_one_beside(tmp_path: Path) -> None:
    with frame_writer(tmp_path / "frames.u8", SHAPE) as writer:
        for frame in FRAMES:
            writer.append(frame)
    with packed_writer(tmp_path / "under.u8", SHAPE, beside=tmp_path / "frames.u8") as writer:
        for frame in FRAMES:
            writer.append(under(frame))
    raw, packed = open_frames(tmp_path / "frames.u8"), open_frames(tmp_path / "under.u8")
    np.testing.assert_array_equal(raw.read_channel(1, 0), FRAMES[1, ..., 0])
    np.testing.assert_array_equal(packed.read(5), under(FRAMES[5]))


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    with packed_writer(tmp_path / "a.u8", SHAPE) as writer, pytest.raises(ValueError, match="expected uint8"):
        writer.append(FRAMES[0, :2])
    assert len(open_frames(tmp_path / "a.u8")) == 0


def test_damage_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    header, whole = tmp_path / "frames.u8.json", path.read_bytes()
    record = json.loads(header.read_text())
    for changed, message in (
        ({"packed": 2}, "version 1"),
        ({"shape": [5, *SHAPE]}, "whole frames"),
        ({"ends": record["ends"][::-1]}, "whole frames"),
        ({"ends": "all"}, "whole frames"),
        ({"beside": "../frames.u8"}, "whole frames"),
        ({"beside": "frames.u8"}, "whole frames"),
    ):
        header.write_text(json.dumps(record | changed))
        with pytest.raises(UserError, match=message):
            open_frames(path)
    header.write_text(json.dumps(record))
    path.write_bytes(whole[:-1])
    with pytest.raises(UserError, match="whole frames"):
        open_frames(path)
    path.write_bytes(b"\xff" * len(whole))
    with pytest.raises(UserError, match="frame 1 of"):
        open_frames(path).read(1)
