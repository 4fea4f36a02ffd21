"""The exported page as text: what is in it, what cannot get out of it, and what is refused."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.cli.main import run
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.read import GsaAvatar, parsed, read_gsa
from gaussavatar.export.registry import export_avatar
from gaussavatar.export.web.page import page, sources
from gaussavatar.export.web.write import FILES
from gaussavatar.media.sound_file import read_audio

NODE = shutil.which("node")
META = {"subject": "Ann & <b>Bo</b> {{player}}", "consent": '"yes"</dd>', "source": "", "program": "1", "recipe": ""}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "a tone.wav"
    soundfile.write(path, 0.3 * np.sin(np.arange(48_000) * 0.06).astype(np.float32), 48_000)
    return path


def inside(text: str) -> GsaAvatar:
    found = re.search(r'<script type="text/plain" id="avatar-file">([\w+/=]+)</script>', text)
    assert found
    return parsed(base64.b64decode(found[1]), Path("inside.gsa"))


def test_one_file_has_everything_and_asks_for_nothing(
    toy_avatar: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "toy.html"
    words = ["export", str(toy_avatar), "--format", "web", "--quality", "small", "--audio", str(sound)]
    assert run([*words, "--out", str(out)]) == 0
    told = capsys.readouterr().out
    assert "dB against the avatar's own pictures (small)" in told and f"{out.stat().st_size / 1e6:.2f} MB" in told
    text = out.read_text("utf-8")
    avatar = inside(text)
    assert (avatar.subject, avatar.meta["audio"]) == ("nobody", {"name": "a tone", "type": "audio/mpeg"})
    heard = tmp_path / "heard.mp3"
    heard.write_bytes(avatar.sections["audio.file"].tobytes())
    assert abs(read_audio(heard).seconds - 1) < 0.1 and len(heard.read_bytes()) < 20_000
    assert "default-src 'none'" in text and "nobody" in text and "synthetic" in text and "<dd>toy</dd>" in text
    # Addresses of names of a format are no requests.
    without = text.replace("http://www.w3.org/", "")
    assert not re.search(r"https?://", without) and not re.search(r"<(link|img|iframe)\b|\bsrc=", without.lower())


def test_what_a_person_is_called_is_text(tmp_path: Path) -> None:
    text = page(sources(), META, b"avatar")
    assert "Ann &amp; &lt;b&gt;Bo&lt;/b&gt; {{player}}</h1>" in text and "&quot;yes&quot;&lt;/dd&gt;" in text
    assert text.count("</script>") == text.count("<script") == 3


@pytest.mark.skipif(NODE is None, reason="no node on this machine")
def test_every_script_of_the_page_is_one(tmp_path: Path) -> None:
    scripts = re.findall(r"<script>\n(.*?)</script>", page(sources(), META, b"avatar"), re.S)
    assert len(scripts) == 2
    for script in scripts:
        (tmp_path / "x.cjs").write_text(script)
        done = subprocess.run([NODE, "--check", str(tmp_path / "x.cjs")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_folder_has_page_player_and_avatar(toy_avatar: Path, tmp_path: Path) -> None:
    options = {"quality": "small", "split": True}
    path, count = export_avatar(toy_avatar, "web", tmp_path / "site", options=options)
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES) and count == 460
    assert read_gsa(path / "avatar.gsa").subject == "nobody"
    text = (path / "index.html").read_text()
    assert '<script src="player.js"></script>' in text and 'avatar-file">' not in text
    assert "export const { GaussAvatar" in (path / "player.mjs").read_text()
    export_avatar(toy_avatar, "web", path, options=options)
    (path / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="thesis.tex"):
        export_avatar(toy_avatar, "web", path, options=options)


def test_a_sound_that_is_too_long_is_refused(
    toy_avatar: Path, sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gaussavatar.export.web.write.MOST_SOUND", 1000)
    with pytest.raises(UserError, match="shorter"):
        export_avatar(toy_avatar, "web", tmp_path / "x.html", options={"audio": sound})


def test_what_cannot_be_written_or_heard_is_refused(toy_avatar: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out, options, part in (
        (tmp_path / "file", {"split": True}, "a folder for --out"),
        (tmp_path, {}, "a file name for --out"),
        (tmp_path / "file" / "x.html", {"quality": "small"}, "writable"),
        (tmp_path / "x.html", {"audio": tmp_path / "file"}, "sound"),
        (tmp_path / "x.html", {"audio": tmp_path / "none.wav"}, "no such file"),
        (tmp_path / "x.html", {"quality": "best"}, "one of small"),
    ):
        with pytest.raises(UserError, match=part):
            export_avatar(toy_avatar, "web", out, options=options)
    assert not (tmp_path / "x.html").exists()
