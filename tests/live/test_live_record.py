"""Recordings of sessions: whole under their names, or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from gaussavatar.avatar.live.records import LiveFrame, LiveMotion
from gaussavatar.errors import UserError
from gaussavatar.live import record
from gaussavatar.live.record import Recorder, Recordings
from gaussavatar.media.probe import probe
from gaussavatar.storage import locked_new

STILL = LiveMotion(np.zeros(1, np.float32), np.zeros(1, np.float32), np.eye(3, 4, dtype=np.float32), 0)
KILLED = """
import os, signal, sys, time
from pathlib import Path
from gaussavatar.live.record import Recordings
from tests.live.test_live_record import frame
recorder = Recordings(Path(sys.argv[1]), {"comment": "synthetic"}, print).begin()
for k in range(200):
    while recorder.queued > 20:
        time.sleep(0.001)
    recorder.put(frame(k))
os.kill(os.getpid(), signal.SIGKILL)
"""


def frame(index: int) -> LiveFrame:
    image = np.full((64, 66, 3), index % 256, np.uint8)
    return LiveFrame(index, index / 25, np.full(1920, 100, np.int16), STILL, image, True, ())


def test_two_sessions_are_two_videos_and_closing_waits_for_both(tmp_path: Path) -> None:
    said: list[str] = []
    recordings = Recordings(tmp_path / "in" / "given.mp4", {"comment": "synthetic"}, said.append)
    recorders = [recordings.begin(), recordings.begin()]
    for k in range(100):
        for recorder in recorders:
            recorder.put(frame(1000 + k))
    recorders[0].end()
    recordings.close()
    paths = [tmp_path / "in" / name for name in ("given-2.mp4", "given.mp4")]
    assert sorted((tmp_path / "in").iterdir()) == paths
    assert [probe(path).seconds for path in paths] == pytest.approx([4.0, 4.0], abs=0.1)
    assert sorted(line.partition(".mp4")[0] + ".mp4" for line in said) == [f"recorded: {path}" for path in paths]


def killed_while_recording(path: Path) -> Path:
    """What a process leaves that is killed when it has written most of eight seconds."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[2])
    left = list(path.parent.iterdir())
    assert done.returncode == -signal.SIGKILL and len(left) == 1 and left[0].name.startswith(".given.")
    return left[0]


def decoded(path: Path) -> tuple[list[float], float]:
    """The brightness of each picture, and the seconds of sound."""
    with av.open(str(path)) as file:
        pictures = [float(picture.to_ndarray(format="gray").mean()) for picture in file.decode(video=0)]
    with av.open(str(path)) as file:
        return pictures, sum(sound.samples for sound in file.decode(audio=0)) / 48_000


def test_what_a_killed_process_recorded_gets_a_name_from_the_next(tmp_path: Path) -> None:
    left = killed_while_recording(tmp_path / "given.mp4")
    (tmp_path / "given-recovered.mp4").write_bytes(b"of an earlier one")
    said: list[str] = []
    Recordings(tmp_path / "given.mp4", {}, said.append)
    saved = tmp_path / "given-recovered-2.mp4"
    assert not left.exists() and not (tmp_path / "given.mp4").exists()
    assert len(said) == 1 and said[0].startswith(f"recovered: {saved}, ")
    pictures, seconds = decoded(saved)
    assert 3.5 < len(pictures) / 25 < 8 and seconds == pytest.approx(len(pictures) / 25, abs=0.1)
    assert np.abs(np.diff(pictures)).max() < 3, "a picture is missing, or broken"
    assert "synthetic" in probe_comment(saved)


def probe_comment(path: Path) -> str:
    with av.open(str(path)) as file:
        return file.metadata["comment"]


def test_wherever_a_take_breaks_off_what_is_before_is_saved(tmp_path: Path) -> None:
    whole = killed_while_recording(tmp_path / "given.mp4").read_bytes()
    shares = (0, 2, 30, 40, 50, 55, 60, 70, 80, 97)
    for share in shares:
        (tmp_path / f".cut{share:02}.1.recording.mp4").write_bytes(whole[: share * len(whole) // 100])
    said: list[str] = []
    Recordings(tmp_path / "other.mp4", {}, said.append)
    saved = sorted(tmp_path.glob("cut*-recovered.mp4"))
    lengths = [len(decoded(path)[0]) for path in saved]
    assert len(said) == len(shares) + 1 and [path.name[3:5] for path in saved] == [f"{k}" for k in shares[2:]]
    assert lengths == sorted(lengths) and lengths[-1] > 75
    assert [line[:14] for line in said if "cut0" in line] == ["not recorded: "] * 2


def test_what_another_process_is_recording_stays(tmp_path: Path) -> None:
    with locked_new(tmp_path / ".given.1.recording.mp4"):
        Recordings(tmp_path / "given.mp4", {}, print)
        assert [path.name for path in tmp_path.iterdir()] == [".given.1.recording.mp4"]


def test_a_session_without_a_frame_leaves_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    recordings = Recordings(tmp_path / "given.mp4", {}, said.append)
    recordings.begin()
    recordings.close()
    assert not list(tmp_path.iterdir()) and "not recorded" in said[0] and "a frame to record" in said[0]


def test_what_an_encoder_cannot_follow_ends_there_and_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "MOST_FRAMES", 30)
    ended: list[Recorder] = []
    recorder = Recorder(tmp_path / "given.mp4", {}, ended.append)
    for k in range(40):
        recorder.put(frame(k))
    recorder.start()
    recorder.close()
    assert probe(tmp_path / "given.mp4").seconds == pytest.approx(30 / 25, abs=0.1)
    assert "a minute behind" in ended[0].outcome


@pytest.mark.parametrize(("name", "said"), [("given.webm", "ends in .mp4"), ("file/given.mp4", "can be written")])
def test_what_cannot_be_written_is_said_before_anybody_comes(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=said):
        Recordings(tmp_path / name, {}, print)
