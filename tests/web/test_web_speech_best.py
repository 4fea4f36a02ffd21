"""The best network in a page: hama's conformer in JavaScript against the package, and codes against `speak`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.drive import DriveConfig, codes_for_audio
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features import hama
from gaussavatar.audio.features.hama_pack import read_pack
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.container import pack, unpack
from gaussavatar.export.gsa.file import avatar_file
from gaussavatar.export.gsa.hama import hama_sections
from gaussavatar.export.gsa.read import parsed
from gaussavatar.export.gsa.speech import best_sections, speech_sections
from gaussavatar.export.web.page import page as page_of
from gaussavatar.export.web.page import sources
from gaussavatar.synthetic.speech import babble
from gaussavatar.synthetic.voice import speak_phones
from gaussavatar.types import ANALYSIS_RATE, Waveform

from .arrays import read_floats, write_arrays
from .browser import chromium, find_chromium
from .test_web_speech import CLOSED, CODES, network

Script = Callable[..., list[dict[str, Any]]]
TOLERANCE = 1e-3
pytestmark = pytest.mark.skipif(not hama.usable_here(), reason=f"hama {hama.PACKAGE_VERSION} is not installed")
LONG = speak_phones(babble(9.0, 7), 1).samples[:140_100]
"""The demo's voice, so long that the network hears it in two pieces, and no whole number of its frames."""


def blend(share: float, **more: Any) -> Blend:
    """Two networks of chance, heard together."""
    both = Blend(network(("mel", "hama"), **more), network(), share).eval().requires_grad_(False)
    both.range.load_state_dict(network(own_range=True).range.state_dict())
    return both


@pytest.mark.parametrize("simd", [True, False])
def test_hama_hears_in_a_page_what_it_hears_here(script: Script, tmp_path: Path, simd: bool) -> None:
    meta, sections = hama_sections()
    avatar = write_arrays(tmp_path / "avatar", sections, {"hama": meta})
    sound = write_arrays(tmp_path / "sound", {"samples": LONG})
    [told] = script("hama.mjs", avatar, sound, tmp_path / "out", str(simd).lower())
    # Many looks at the clock: a page goes on in between.
    assert told["simd"] == simd and told["count"] > 300
    scores = read_floats(tmp_path / "out.scores", 191)
    posteriors = np.exp(scores - scores.max(1, keepdims=True))
    posteriors /= posteriors.sum(1, keepdims=True)
    wanted = hama.log_posteriors(LONG)
    np.testing.assert_allclose(posteriors, np.exp(wanted), atol=TOLERANCE)
    # What is unlikely counts too, where it is softened: log-mel that is not rounded is off by 5e-4.
    assert np.abs(np.log(posteriors) - wanted).mean() < 2e-4
    assert (posteriors[:, :190].max(1) > 0.5).sum() > 20
    levels = hama.HamaFeature().extract(Waveform(LONG, ANALYSIS_RATE))
    assert len(levels) > meta["piece"] and np.ptp(levels, axis=0).max() > 3
    np.testing.assert_allclose(read_floats(tmp_path / "out.levels", len(meta["mean"])), levels, atol=5 * TOLERANCE)


CASES: dict[str, tuple[Blend | AudioEncoder, np.ndarray]] = {
    "blend": (blend(0.3), LONG),
    "heard": (blend(0.4, heard=7, linear=True), LONG[:50_000]),
    "alone": (network(("mel", "hama"), own_range=True), LONG[:24_000]),
    "silence": (blend(0.3), np.zeros(24_000, np.float32)),
    "sample": (blend(0.3), np.ones(1, np.float32)),
}


@pytest.mark.parametrize("case", CASES)
def test_codes_of_the_best_network_are_those_of_the_program(
    script: Script, toy: LoadedAvatar, tmp_path: Path, case: str
) -> None:
    (encoder, samples), config = CASES[case], DriveConfig(1.1)
    light = network()
    avatar = replace(toy, encoder=encoder, record=replace(toy.record, drive=config, light=None))
    meta, sections = best_sections(avatar)
    speech, own = speech_sections(replace(avatar, encoder=encoder.second if isinstance(encoder, Blend) else light))
    path = write_arrays(tmp_path / "avatar", {**sections, **own, "drive.closed": CLOSED}, {**meta, "speech": speech})
    sound = write_arrays(tmp_path / "sound", {"samples": samples})
    script("speech.mjs", path, sound, tmp_path / "codes")
    codes = read_floats(tmp_path / "codes.whole", CODES)
    waveform = Waveform(samples, ANALYSIS_RATE)
    wanted = codes_for_audio(encoder, waveform, closed=CLOSED, config=config)
    np.testing.assert_allclose(codes, wanted, atol=TOLERANCE)
    if case == "blend":
        alone = codes_for_audio(encoder.second, waveform, closed=CLOSED, config=config)
        assert np.abs(alone - wanted).max() > 0.05


@pytest.fixture(scope="module")
def best_toy(toy: LoadedAvatar) -> LoadedAvatar:
    """The toy avatar with a best network of chance beside the light one that it has."""
    torch.manual_seed(0)
    first = AudioEncoder(replace(network(("mel", "hama")).config, n_codes=len(toy.closed), hidden=8))
    second = AudioEncoder(replace(network().config, n_codes=len(toy.closed), hidden=8))
    return replace(toy, encoder=Blend(first, second, 0.25).eval().requires_grad_(False))


@pytest.fixture(scope="module")
def best_file(best_toy: LoadedAvatar) -> bytes:
    """Its file with both networks."""
    return avatar_file(best_toy, "small", features="best").data


def test_file_says_whose_network_it_hears_with(best_toy: LoadedAvatar, best_file: bytes) -> None:
    light = avatar_file(best_toy, "small").data
    read = parsed(best_file, Path("x.gsa"))
    assert read.meta["best"]["share"] == 0.25 and "hama 1.7.0 by Seongmin Park" in read.meta["hama"]["made"]
    notice = read.sections["hama.notice"].tobytes().decode()
    assert "Copyright (c) 2025 hama contributors" in notice and "Apache License" in notice
    # The weights, and little else.
    assert 3_000_000 < len(best_file) - len(light) < 4_200_000 and "hama" not in unpack(light)[0]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda meta, s: meta.pop("hama"), "hama"),
        (lambda meta, s: meta["hama"].update(piece=10**9), "best"),
        (lambda meta, s: meta["hama"].update(temperature=0), "best"),
        (lambda meta, s: meta["best"].update(share=1.5), "best"),
        (lambda meta, s: meta["best"].update(features=["mel", "smell"]), "smell"),
        (lambda meta, s: s.pop("hama.2.conv.depth"), "hama.2.conv.depth"),
        (lambda meta, s: s.update({"hama.out": s["hama.out"][:, :-1]}), "hama.out"),
        (lambda meta, s: s.update({"best.top.bias": s["best.top.bias"].astype(np.float16)}), "best.top.bias"),
    ],
)
def test_a_best_network_that_does_not_fit_is_refused(best_file: bytes, change: Callable, part: str) -> None:
    meta, sections = unpack(best_file)
    change(meta, sections)
    with pytest.raises(UserError, match=part):
        parsed(pack(meta, sections), Path("x.gsa"))


def test_what_cannot_be_had_is_told_in_a_line(
    toy: LoadedAvatar, best_toy: LoadedAvatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="leave out --features best"):
        avatar_file(toy, "small", features="best")
    monkeypatch.setattr(hama, "version", lambda name: "1.6.0")
    with pytest.raises(UserError, match=r"got 1\.6\.0; pip install hama==1\.7\.0"):
        avatar_file(best_toy, "small", features="best")


def test_a_header_that_cannot_be_is_refused_before_there_is_room_for_it(script: Script, tmp_path: Path) -> None:
    meta, sections = hama_sections()
    sound = write_arrays(tmp_path / "sound", {"samples": LONG[:4000]})
    for change in ({"piece": 10**9}, {"temperature": 0}, {"mean": meta["mean"][1:]}, {"heads": 5}, {"blocks": 0}):
        avatar = write_arrays(tmp_path / "avatar", sections, {"hama": {**meta, **change}})
        with pytest.raises(AssertionError, match="This avatar"):
            script("hama.mjs", avatar, sound, tmp_path / "out", "true")


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium on this machine")
def test_a_page_from_disk_speaks_with_it(best_toy: LoadedAvatar, best_file: bytes, tmp_path: Path) -> None:
    path = tmp_path / "best.html"
    path.write_text(page_of(sources(), unpack(best_file)[0], best_file))
    with chromium((500, 500)) as page:
        page.open(path.as_uri())
        page.wait_for("avatar.meta?.best && avatar.drawnBy")
        # Its policy lets the player's machine code run.
        assert page.evaluate("new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])) instanceof Object")
        assert "hama 1.7.0 by Seongmin Park" in page.evaluate("document.querySelector('dl').textContent")
        page.evaluate(
            "window.told = []; for (const name of ['start', 'end', 'error'])"
            " avatar.addEventListener(name, ({ detail }) => told.push([name, detail.message]));"
            "const sound = new OfflineAudioContext(1, 16000, 16000).createBuffer(1, 8000, 16000);"
            "sound.getChannelData(0).forEach((_, k, all) => (all[k] = 0.3 * Math.sin(k * k / 9000)));"
            "avatar.speak(sound)"
        )
        page.wait_for("told.some(([name]) => name !== 'start')")
        assert page.evaluate("told.map(([name]) => name)") == ["start", "end"] and page.errors == []


@pytest.mark.parametrize("data", [b"", b"HAMAPK\x02\x00" + bytes(8), b"HAMAPK\x01\x02\x05\0\0\0\x03\0abc"])
def test_a_pack_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="pack|damaged"):
        read_pack(data)
