"""Controls reach the video from the command line and from Python, and curves of ARKit drive it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gaussavatar
from gaussavatar.avatar.avatar import Avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.cli.main import run
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS, ArkitCurves, write_curves
from gaussavatar.motion.controls import Controls
from gaussavatar.motion.files import read_motion
from gaussavatar.motion.track import MotionTrack
from gaussavatar.progress import QuietProgress
from gaussavatar.speak.offline import speak


def shown(toy_avatar: Path, sound: Path, folder: Path, *words: str) -> MotionTrack:
    """The motion of a video that the command line writes."""
    out = ["--out", str(folder / "a.mp4"), "--save-motion", str(folder / "m.csv")]
    assert run(["speak", "--audio", str(sound), "--avatar", str(toy_avatar), *out, *words]) == 0
    return MotionTrack.load(folder / "m.csv")


def test_every_flag_does_something(toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    plain = shown(toy_avatar, sound, tmp_path)
    still = shown(toy_avatar, sound, tmp_path, "--head", "still")
    assert np.ptp(still.T_camera_world, axis=0).max() == 0 < np.ptp(plain.T_camera_world, axis=0).max()
    assert np.allclose(shown(toy_avatar, sound, tmp_path, "--mouth-gain", "0").mouth_codes, 0, atol=1e-6)
    smooth = shown(toy_avatar, sound, tmp_path, "--smoothing", "0.3")
    assert np.abs(np.diff(smooth.mouth_codes, axis=0)).mean() < 0.6 * np.abs(np.diff(plain.mouth_codes, axis=0)).mean()
    awake = shown(toy_avatar, sound, tmp_path, "--blink", "none")
    assert awake.upper[:, :2].max() < 0.3 < plain.upper[:, :2].max()
    raised = shown(toy_avatar, sound, tmp_path, "--brow-offset", "0.5", "--expression", "blink_left=0.25")
    np.testing.assert_allclose(raised.upper - plain.upper, np.tile([0.25, 0, 0.5], (50, 1)), atol=1e-5)
    swaying = [shown(toy_avatar, sound, tmp_path, "--head", "generated", "--seed", seed) for seed in ("1", "1", "2")]
    assert np.array_equal(swaying[0].T_camera_world, swaying[1].T_camera_world)
    assert not np.array_equal(swaying[0].T_camera_world, swaying[2].T_camera_world)
    part = shown(toy_avatar, sound, tmp_path, "--style-part", "0.4:0.8")
    assert 9 <= part.places.min() and part.places.max() <= 20
    calm = shown(toy_avatar, sound, tmp_path, "--style-strength", "0")
    assert np.ptp(calm.mouth_codes, axis=0).max() < 1e-5


def test_python_and_the_command_line_agree(loaded: LoadedAvatar, toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    by_words = shown(toy_avatar, sound, tmp_path, "--mouth-gain", "1.5")
    video = gaussavatar.save_video(Avatar(loaded), sound, tmp_path / "b.mp4", controls=Controls(mouth_gain=1.5))
    assert video.read_bytes() == (tmp_path / "a.mp4").read_bytes()
    avatar = Avatar(loaded)
    wanted = avatar.controlled(avatar.motion_for(sound), Controls(mouth_gain=1.5))
    np.testing.assert_allclose(by_words.mouth_codes, wanted.mouth_codes, atol=1e-5)


def test_curves_of_arkit_drive_the_video(loaded: LoadedAvatar, tmp_path: Path, pictures) -> None:  # noqa: ANN001
    values = np.zeros((20, 52), np.float32)
    values[10:, ARKIT_EXPRESSIONS.index("jawOpen")] = 0.8
    write_curves(tmp_path / "curves.csv", ArkitCurves(values, 60.0))
    video = speak(None, loaded, tmp_path / "a.mp4", QuietProgress(), motion=tmp_path / "curves.csv",
                  save_motion=tmp_path / "m.safetensors")  # fmt: skip
    track = MotionTrack.load(tmp_path / "m.safetensors")
    opened = track.mouth_codes @ loaded.mouth_open_direction
    assert track.fps == 60 and opened[12:].min() > opened[:8].max()
    assert len(pictures(video)) == len(track) == 20


def test_a_video_brings_its_curves_and_says_what_they_lack(
    toy_avatar: Path, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown(toy_avatar, sound, tmp_path, "--save-curves", str(tmp_path / "c.csv"))
    written = read_motion(tmp_path / "c.csv")
    assert isinstance(written, ArkitCurves) and (len(written), written.fps) == (50, 25)
    text = (tmp_path / "c.csv").read_text().replace("TongueOut", "Note")
    (tmp_path / "c.csv").write_text(text)
    words = ["--avatar", str(toy_avatar), "--out", str(tmp_path / "b.mp4")]
    assert run(["speak", "--motion", str(tmp_path / "c.csv"), *words]) == 0
    told = capsys.readouterr()
    assert "1 of 52 curves are missing and stay at rest: tongueOut" in told.err + told.out
    assert "fit the avatar again" in told.err + told.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mouth-gain", "9"], "mouth_gain from 0 to 4"),
        (["--ood", "2"], "an ood of 0 to 1"),
        (["--gaze", "up"], "X,Y"),
        (["--gaze", "0.2,0"], "gaze channels"),
        (["--style-part", "3-4"], "FROM:TO"),
        (["--style-part", "90:95"], "style_part within"),
        (["--expression", "squint"], "NAME=NUMBER"),
        (["--expression", "blink_lift=1"], "did you mean blink_left"),
        (["--emotion", "mouthSmileLeft=1"], "binding = head"),
        (["--head", "gone.csv"], "no such file"),
        (["--brows", "nan"], "brow_gain"),
    ],
)
def test_wishes_that_cannot_be_met(
    toy_avatar: Path, sound: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    out = tmp_path / "a.mp4"
    assert run(["speak", "--audio", str(sound), "--avatar", str(toy_avatar), "--out", str(out), *words]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith("error: ")]) == 1 and said in lines[-1] and not out.exists()
