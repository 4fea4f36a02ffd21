"""SyncNet with weights made on the spot: its shapes, its windows, its figures, and files that are something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.evaluate.speech_syncnet import (
    EMBEDDING,
    WINDOW,
    expected_shapes,
    face_crops,
    frames_sync,
    load_syncnet,
    mfcc,
    picture_embeddings,
    sound_embeddings,
    sync_figures,
)
from gaussavatar.landmarks.indices import FACE_OVAL
from gaussavatar.types import Waveform


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in expected_shapes().items():
        scale = (1.0 / max(1, int(np.prod(shape[1:])))) ** 0.5
        made[name] = torch.ones(shape) if name.endswith("var") else scale * torch.randn(shape, generator=generator)
    return made


def noise(seconds: float, seed: int = 0) -> Waveform:
    samples = 0.1 * np.random.default_rng(seed).normal(size=round(16000 * seconds))
    return Waveform(samples.astype(np.float32), 16000)


def test_embeddings_of_a_stretch_are_those_of_its_windows(state: dict[str, Tensor]) -> None:
    faces = np.random.default_rng(1).integers(0, 255, (7, 224, 224, 3), np.uint8)
    whole = picture_embeddings(state, faces)
    assert whole.shape == (3, EMBEDDING)
    for start in range(3):
        torch.testing.assert_close(
            picture_embeddings(state, faces[start : start + WINDOW])[0], whole[start], rtol=1e-3, atol=1e-3
        )
    sound = sound_embeddings(state, noise(1.0), 20)
    assert sound.shape == (20, EMBEDDING) and torch.isfinite(sound).all() and sound.std(0).mean() > 0


@pytest.mark.parametrize("k", [-4, 0, 3])
def test_sound_that_comes_before_its_picture_has_a_positive_offset(k: int) -> None:
    generator = torch.Generator().manual_seed(1)
    whole = torch.randn((120, 16), generator=generator)
    found = sync_figures(whole[20 + k : 100 + k], whole[20:100])
    assert found["offset_frames"] == k
    assert found["distance"] == pytest.approx(0.0, abs=0.4) and found["confidence"] > 3
    other = sync_figures(torch.randn((80, 16), generator=generator), whole[20:100])
    assert other["confidence"] < 0.5


def test_coefficients_know_loudness_in_the_first_one_alone() -> None:
    quiet = noise(1.0)
    loud = Waveform(quiet.samples * np.float32(3.0), 16000)
    a, b = mfcc(quiet), mfcc(loud)
    assert a.shape == (1 + int(np.ceil((16000 - 400) / 160)), 13)
    np.testing.assert_allclose(b[:, 0] - a[:, 0], 2 * np.log(3.0), atol=1e-3)
    np.testing.assert_allclose(b[:, 1:], a[:, 1:], atol=1e-3)
    assert mfcc(Waveform(np.zeros(100, np.float32), 16000)).shape == (1, 13)


def test_crops_show_the_face_and_what_is_below() -> None:
    frames = np.zeros((20, 100, 100, 3), np.uint8)
    frames[:, 40:60, 40:60] = 255
    points = np.zeros((20, 478, 3), np.float32)
    around = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    points[:, list(FACE_OVAL), 0] = 250 + 50 * np.cos(around)
    points[:, list(FACE_OVAL), 1] = 250 + 50 * np.sin(around)
    points[5] = np.nan
    crops = face_crops(frames, points, 500)
    assert crops.shape == (20, 224, 224, 3)
    np.testing.assert_array_equal(crops[5], crops[6])
    rows, columns = np.nonzero(crops[10, :, :, 0] > 128)
    assert rows.min() < 6 and 150 < rows.max() < 166  # The face is 20 of 28 pixels high, at the top,
    assert abs(columns.min() + columns.max() - 223) < 4  # and in the middle.


def test_frames_without_faces_give_no_figures(state: dict[str, Tensor]) -> None:
    frames = np.zeros((20, 64, 64, 3), np.uint8)
    nothing = np.full((20, 478, 3), np.nan, np.float32)
    assert frames_sync(state, frames, nothing, 64, noise(1.0), np.arange(20)) == {}
    face = np.random.default_rng(0).uniform(10, 50, (20, 478, 3)).astype(np.float32)
    found = frames_sync(state, frames, face, 64, noise(1.0), np.arange(20))
    assert set(found) == {"confidence", "distance", "offset_frames"} and np.isfinite(list(found.values())).all()


def test_weights_are_checked_and_read_from_both_kinds_of_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "net.safetensors")
    torch.save({**state, "netcnnaud.1.num_batches_tracked": torch.tensor(3)}, tmp_path / "syncnet_v2.model")
    for name in ("net.safetensors", "syncnet_v2.model"):
        loaded = load_syncnet(tmp_path / name)
        assert set(loaded) == set(expected_shapes())
        torch.testing.assert_close(loaded["netfcaud.3.bias"], state["netfcaud.3.bias"])
    save_file({**state, "netfclip.3.weight": torch.zeros(8, 512)}, tmp_path / "small.safetensors")
    with pytest.raises(UserError, match=r"netfclip\.3\.weight of shape \(1024, 512\)"):
        load_syncnet(tmp_path / "small.safetensors")
    save_file({**state, "netfclip.3.bias": torch.full((1024,), torch.nan)}, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match="NaN"):
        load_syncnet(tmp_path / "nan.safetensors")
    torch.save(Path("x"), tmp_path / "code.model")
    with pytest.raises(UserError):
        load_syncnet(tmp_path / "code.model")
    with pytest.raises(UserError, match="no such file"):
        load_syncnet(tmp_path / "none.model")
