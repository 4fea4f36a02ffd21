"""Other sizes and parts of the picture show what the whole picture shows there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.framing import around_head, framing_of
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.media.images import resize
from gaussavatar.media.probe import probe
from gaussavatar.progress import QuietProgress
from gaussavatar.speak.offline import speak
from gaussavatar.speak.wish import VideoWish

QUIET = QuietProgress()


@pytest.fixture(scope="module")
def whole(loaded: LoadedAvatar, pictures, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:  # noqa: ANN001
    return pictures(speak(None, loaded, tmp_path_factory.mktemp("whole") / "a.mp4", QUIET, motion=loaded.filmed))


def test_a_larger_picture_shows_the_same(loaded: LoadedAvatar, whole: np.ndarray, pictures, tmp_path: Path) -> None:  # noqa: ANN001
    large = pictures(speak(None, loaded, tmp_path / "a.mp4", QUIET, VideoWish(size=192), loaded.filmed), 192, 192)
    small = np.stack([resize(frame.astype(np.uint8), 96) for frame in large]).astype(int)
    assert np.abs(small - whole).mean() < 2.5


def test_a_part_is_that_part(loaded: LoadedAvatar, whole: np.ndarray, pictures, tmp_path: Path) -> None:  # noqa: ANN001
    video = speak(None, loaded, tmp_path / "a.mp4", QUIET, VideoWish(crop="20,10,60,40"), loaded.filmed)
    info = probe(video)
    assert (info.width, info.height) == (60, 40)
    assert np.abs(pictures(video, 60, 40) - whole[:, 10:50, 20:80]).mean() < 2


def test_the_longer_side_has_the_size(loaded: LoadedAvatar, tmp_path: Path) -> None:
    wish = VideoWish(crop="20,10,60,41", size=121, background="#20c040")
    if not loaded.record.has("matte.mp4"):
        wish = VideoWish(crop="20,10,60,41", size=121)
    info = probe(speak(None, loaded, tmp_path / "a.mp4", QUIET, wish, loaded.filmed))
    assert (info.width, info.height) == (120, 82)


def test_the_square_around_the_head_holds_it(loaded: LoadedAvatar, whole: np.ndarray) -> None:
    left, top, side, same = around_head(loaded)
    assert side == same < 96 and left >= 0 and top >= 0 and max(left, top) + side <= 96
    skin = (whole[..., 0] - whole[..., 2] > 40).any(axis=0)
    inside = np.zeros_like(skin)
    inside[top : top + side, left : left + side] = True
    assert skin.sum() > 500 and (skin & ~inside).sum() < 0.02 * skin.sum()
    assert side < 1.6 * np.ptp(np.nonzero(skin)[0])


def test_nothing_asked_is_the_old_road(loaded: LoadedAvatar) -> None:
    assert framing_of(loaded, None, None) is None and framing_of(loaded, None, 96) is None
