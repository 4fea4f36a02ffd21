"""What a user reads when something is wrong with what shall be spoken: through the whole command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.cli.main import run
from gaussavatar.media.probe import probe


def test_nothing_to_say(message, toy_avatar: Path) -> None:
    assert "--audio" in message("speak", "--avatar", toy_avatar)


def test_a_missing_file_is_said_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    for option in ("--audio", "--motion", "--video", "--head"):
        words = ["speak", option, "gone.wav", *(["--text", "a"] if option == "--head" else [])]
        code = (
            f"import sys\nfrom gaussavatar.cli.main import run\ncode = run({words})\n"
            "print(code, [name for name in ('torch', 'numpy') if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.strip() == "2 []", done.stdout + done.stderr
        assert f"expected a file for {option} at gone.wav, got no such file" in done.stderr


def test_several_sounds_and_one_motion(message, media: Path, toy_avatar: Path) -> None:
    line = message("speak", "--audio", media / "tone.wav", media / "tone.wav", "--motion", media / "tone.wav")
    assert "one sound for --motion" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "9"], "within the 7.00 s"),
        (["--from", "3", "--to", "2"], "before it ends"),
        (["--fps", "0"], "1 to 240"),
        (["--size", "100000"], "16 to 4096"),
        (["--crop", "nose"], "four whole numbers"),
        (["--crop", "0,0,500,500"], "lies within"),
    ],
)
def test_wishes_that_cannot_be_met(message, media: Path, toy_avatar: Path, words: list[str], said: str) -> None:
    assert said in message("speak", "--audio", media / "tone.wav", "--avatar", toy_avatar, *words)


def test_a_motion_that_is_none(message, media: Path, toy_avatar: Path) -> None:
    assert "a motion track or ARKit curves" in message(
        "speak", "--motion", media / "letter.mp4", "--avatar", toy_avatar
    )


def test_output_over_the_sound(message, media: Path, toy_avatar: Path) -> None:
    tone = media / "tone.wav"
    before = tone.read_bytes()
    assert "than one that is read" in message("speak", "--audio", tone, "--avatar", toy_avatar, "--out", tone)
    assert tone.read_bytes() == before


def sounds() -> dict[str, tuple[np.ndarray, int]]:
    rng = np.random.default_rng(0)
    time = np.arange(48_000) / 48_000
    loud = np.clip(8 * np.sin(2 * np.pi * 200 * time), -1, 1)
    return {
        "silence": (np.zeros(16_000), 16_000),
        "clipped": (loud, 48_000),
        "8 kHz": (0.3 * rng.standard_normal(8_000), 8_000),
        "music of 5.1": (0.2 * np.sin(np.outer(time, 2 * np.pi * np.array([220, 277, 330, 440, 554, 660]))), 48_000),
    }


@pytest.mark.parametrize("kind", list(sounds()))
def test_odd_sounds_are_spoken(toy_avatar: Path, tmp_path: Path, kind: str) -> None:
    samples, rate = sounds()[kind]
    soundfile.write(tmp_path / "a.wav", samples.astype(np.float32), rate, subtype="FLOAT")
    out = tmp_path / "a.mp4"
    assert run(["speak", "--audio", str(tmp_path / "a.wav"), "--avatar", str(toy_avatar), "--out", str(out)]) == 0
    assert probe(out).seconds == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "said"), [("one", "empty audio"), ("NaN", "1 that are NaN"), ("inf", "the first at 0.17 s")]
)
def test_sounds_that_are_none(message, toy_avatar: Path, tmp_path: Path, kind: str, said: str) -> None:
    samples = np.zeros(1) if kind == "one" else np.where(np.arange(48_000) == 8_000, float(kind), 0)
    soundfile.write(tmp_path / "a.wav", samples.astype(np.float32), 48_000, subtype="FLOAT")
    assert said in message("speak", "--audio", tmp_path / "a.wav", "--avatar", toy_avatar)


def test_a_video_to_re_enact_without_a_face(message, media: Path, toy_avatar: Path) -> None:
    line = message("speak", "--video", media / "faceless.mp4", "--avatar", toy_avatar)
    assert "face" in line
    assert "a video" in message("speak", "--video", media / "tone.wav", "--avatar", toy_avatar)
    assert "both --motion and --video" in message("speak", "--video", "a.mp4", "--motion", "b.csv")
    own = media / "faceless.mp4"
    assert "than the video" in message("speak", "--video", own, "--avatar", toy_avatar, "--out", own)
