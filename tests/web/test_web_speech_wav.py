from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from .arrays import read_floats


def test_samples_of_wav_files_are_those_that_were_written(script: Callable, tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(0), []
    sounds = {"PCM_16": 1, "PCM_24": 2, "PCM_32": 1, "FLOAT": 2, "PCM_U8": 1}
    for kind, channels in sounds.items():
        paths.append(tmp_path / f"{kind}.wav")
        soundfile.write(paths[-1], rng.uniform(-0.9, 0.9, (301, channels)), 22050, kind)
    paths.append(tmp_path / "extensible.wav")
    soundfile.write(paths[-1], rng.uniform(-0.9, 0.9, (100, 2)), 48000, "PCM_24", format="WAVEX")
    for path, told in zip(paths, script("wav.mjs", tmp_path / "out", *paths), strict=True):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert told == {"rate": rate, "channels": samples.shape[1]}, path.name
        found = read_floats(tmp_path / f"out.{paths.index(path)}", 1).reshape(samples.shape[1], -1)
        np.testing.assert_allclose(found, samples.T, atol=1e-6)


def test_what_is_no_wav_file_or_a_broken_one_is_left_to_the_browser(script: Callable, tmp_path: Path) -> None:
    good = tmp_path / "good.wav"
    soundfile.write(good, np.zeros(100), 16000, "PCM_16")
    data, cases = good.read_bytes(), []
    spoilt = (b"", b"RIFF", data[:40], bytes(100), data.replace(b"data", b"dato"), data[:20] + b"\x55" + data[21:])
    endless = data[:16] + b"\xff\xff\xff\xff" + data[20:]
    for number, content in enumerate((*spoilt, endless, data[:22] + b"\0\0" + data[24:])):
        cases.append(tmp_path / f"{number}.wav")
        cases[-1].write_bytes(content)
    assert script("wav.mjs", tmp_path / "out", *cases) == [None] * len(cases)
    # One that was cut short is heard as far as it goes.
    (tmp_path / "cut.wav").write_bytes(data[:100])
    assert script("wav.mjs", tmp_path / "cut", tmp_path / "cut.wav") == [{"rate": 16000, "channels": 1}]
    assert len(read_floats(tmp_path / "cut.0", 1)) == 28
