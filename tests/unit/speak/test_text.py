"""A text becomes a sound through whichever engine is there; the text itself is never more than text."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.errors import UserError
from gaussavatar.media.sound_file import read_audio
from gaussavatar.speak.text import api
from gaussavatar.speak.text.api import TextEngine, match_language
from gaussavatar.speak.text.registry import choose, engines, one_line, say_text

TRICKY = "Hello -w x.wav --voices; $(touch spoilt) `touch spoilt` \"quoted\" 'so' | > spoilt & <b>äöü</b>"

FAKE = """#!{python}
import json, sys, wave
from pathlib import Path
words = sys.argv[1:]
if "--voices" in words:
    print("Pty Language Age/Gender VoiceName File")
    print(" 5 de --/M German gmw/de\\n 5 en-gb --/M British gmw/en\\n 5 de --/F x mb/mb-de1")
    sys.exit()
if "-lv" in words:
    print("Voices available: slt rms")
    sys.exit()
text = sys.stdin.read() or Path(words[words.index("-f") + 1]).read_text()
out = next(words[words.index(name) + 1] for name in {out} if name in words)
Path({log!r}).write_text(json.dumps([words, text]))
if "fail" in text:
    sys.exit("it will not\\n")
if "nothing" not in text:
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\\x01\\x10" * 8000)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a program of a name on PATH, alone there; it writes what it was given to a file."""
    folder, log = tmp_path / "bin", tmp_path / "log.json"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("GAUSSAVATAR_PIPER_VOICE", "GAUSSAVATAR_KOKORO"):
        monkeypatch.delenv(name, raising=False)

    def put(name: str, out: tuple[str, ...]) -> Path:
        program = folder / name
        program.write_text(FAKE.format(python=sys.executable, out=out, log=str(log)))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return log

    return put


def heard(log: Path) -> tuple[list[str], str]:
    import json

    words, text = json.loads(log.read_text())
    return words, text


@pytest.mark.parametrize(
    ("name", "out"), [("espeak-ng", ("-w",)), ("flite", ("-o",)), ("piper", ("-f",))]
)  # fmt: skip
def test_text_reaches_an_engine_as_text_alone(
    fake: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, out: tuple[str, ...]
) -> None:
    log = fake(name, out)
    voice = tmp_path / "voice.onnx"
    voice.write_bytes(b"")
    (tmp_path / "voice.onnx.json").write_text('{"language": {"code": "en_GB"}}')
    monkeypatch.setenv("GAUSSAVATAR_PIPER_VOICE", str(voice))
    monkeypatch.chdir(tmp_path)
    assert say_text(TRICKY + "\n\nAnd\tmore\x00\x1b[31m.", tmp_path / "a.wav") == name
    words, text = heard(log)
    wanted = TRICKY + " And more[31m."
    assert text.strip() == (wanted.replace("ä", "a").replace("ö", "o").replace("ü", "u") if name == "flite" else wanted)
    assert not any("Hello" in word for word in words) and not (tmp_path / "spoilt").exists()
    assert read_audio(tmp_path / "a.wav").seconds == pytest.approx(0.5)


def test_no_engine_is_one_line_with_all_of_them(fake: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none on this machine") as caught:
        say_text("Hello", tmp_path / "a.wav")
    assert all(each.name in str(caught.value) for each in engines()) and "--audio" in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"language": "fr"}, "espeak-ng: de, en-gb.*'fr'"),
        ({"engine": "espeak-ng", "language": "fr"}, "espeak-ng speaks: de, en-gb"),
        ({"engine": "flite"}, "the program flite"),
        ({"engine": "festival"}, "piper, espeak-ng, flite"),
        ({"voice": "-w"}, "German"),
        ({"voice": "mb/mb-de1"}, "German"),
        ({"engine": "espeak-ng", "voice": "slt"}, "German"),
    ],
)
def test_what_an_engine_lacks_is_named_with_what_it_has(
    fake: Callable[..., Path], tmp_path: Path, wish: dict[str, str], said: str
) -> None:
    fake("espeak-ng", ("-w",))
    with pytest.raises(UserError, match=said):
        say_text("Hello", tmp_path / "a.wav", **wish)
    assert not (tmp_path / "a.wav").exists()


def test_voices_languages_and_engines_find_each_other(fake: Callable[..., Path], tmp_path: Path) -> None:
    log = fake("espeak-ng", ("-w",))
    fake("flite", ("-o",))
    assert say_text("Hello", tmp_path / "a.wav", voice="slt") == "flite"
    assert say_text("Hello", tmp_path / "a.wav", language="de_AT") == "espeak-ng"
    assert heard(log)[0][heard(log)[0].index("-v") + 1] == "de"
    assert say_text("Hello", tmp_path / "a.wav", voice="German+f3") == "espeak-ng"
    assert heard(log)[0][heard(log)[0].index("-v") + 1] == "German+f3"
    assert match_language("zh-CN", ("de", "cmn")) == "cmn" and match_language("e", ("en",)) is None


def test_a_piper_voice_may_be_named_by_its_path(fake: Callable[..., Path], tmp_path: Path) -> None:
    log = fake("piper", ("-f",))
    with pytest.raises(UserError, match="a voice in GAUSSAVATAR_PIPER_VOICE"):
        say_text("Hello", tmp_path / "a.wav", engine="piper")
    (tmp_path / "v.onnx").write_bytes(b"")
    assert say_text("Hello", tmp_path / "a.wav", voice=str(tmp_path / "v.onnx")) == "piper"
    assert heard(log)[0][:2] == ["-m", str(tmp_path / "v.onnx")]


@pytest.mark.parametrize(("text", "said"), [("please fail", "it will not"), ("nothing", "got none")])
def test_an_engine_that_fails_is_quoted(fake: Callable[..., Path], tmp_path: Path, text: str, said: str) -> None:
    fake("espeak-ng", ("-w",))
    with pytest.raises(UserError, match=said):
        say_text(text, tmp_path / "a.wav")


def test_an_engine_that_hangs_is_left(
    fake: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = fake("flite", ("-o",)).parent / "bin" / "flite"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(api, "_LEAST_SECONDS", 0.3)
    with pytest.raises(UserError, match="no answer"):
        say_text("Hi", tmp_path / "a.wav")


@pytest.mark.parametrize("text", ["", "  \n", "...?!", "\x00\x07", "--"])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(UserError, match="something to say"):
        one_line(text)


def test_scripts_keep_their_joiners_and_lose_what_cannot_be_said() -> None:
    assert one_line("क्‍ष \u200c ab\ud800c") == "क्‍ष \u200c abc"
    with pytest.raises(UserError, match="at most"):
        one_line("ab " * 400_000)


class Kokoro82:
    """What kokoro-onnx's class is called for."""

    def __init__(self, model: str, voices: str) -> None:
        assert model.endswith("kokoro-v1.0.onnx") and voices.endswith("voices-v1.0.bin")

    def get_voices(self) -> list[str]:
        return ["af_heart", "bf_emma", "jf_alpha", "xf_unknown"]

    def create(self, text: str, voice: str, speed: float = 1.0, lang: str = "en-us") -> tuple[np.ndarray, int]:
        self.asked = (text, voice, lang)
        return np.full(12_000, 0.1, np.float32), 24_000


def test_kokoro_chooses_a_voice_of_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import types

    from gaussavatar.speak.text import kokoro

    package = types.ModuleType("kokoro_onnx")
    package.Kokoro = Kokoro82  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kokoro_onnx", package)
    monkeypatch.setattr(kokoro, "find_spec", lambda name: package)
    for name in ("kokoro-v1.0.onnx", "voices-v1.0.bin"):
        (tmp_path / name).write_bytes(b"")
    engine = kokoro.Kokoro()
    monkeypatch.delenv(kokoro.VARIABLE, raising=False)
    assert kokoro.VARIABLE in (engine.missing() or "")
    monkeypatch.setenv(kokoro.VARIABLE, str(tmp_path))
    chosen, code = choose([engine], None, None, "en-gb")
    chosen.say("Hello", tmp_path / "a.wav", None, code)
    assert engine._opened.asked == ("Hello", "bf_emma", "en-gb")
    assert soundfile.info(tmp_path / "a.wav").duration == pytest.approx(0.5)
    assert engine.languages() == ("en-us", "en-gb", "ja")


def test_every_engine_keeps_to_the_protocol() -> None:
    assert all(isinstance(each, TextEngine) for each in engines())
    assert len({each.name for each in engines()}) == 5


@pytest.mark.parametrize(("name", "language"), [("espeak-ng", "en"), ("espeak-ng", "de"), ("flite", "en")])
def test_real_engines(tmp_path: Path, name: str, language: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    assert say_text("Hello -v xx. My mother, bob.", tmp_path / "a.wav", engine=name, language=language) == name
    sound = read_audio(tmp_path / "a.wav")
    assert 1 < sound.seconds < 6 and np.abs(sound.samples).max() > 0.1
