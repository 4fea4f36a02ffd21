"""Recordings of sessions: whole under their names, or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.avatar.live.records import LiveFrame, LiveMotion
from gaussavatar.errors import UserError
from gaussavatar.live import record
from gaussavatar.live.record import Recorder, Recordings
from gaussavatar.media.probe import probe

STILL = LiveMotion(np.zeros(1, np.float32), np.zeros(1, np.float32), np.eye(3, 4, dtype=np.float32), 0)
KILLED = """
import os, signal, sys
from pathlib import Path
from gaussavatar.live.record import Recordings
from tests.live.test_live_record import frame
recorder = Recordings(Path(sys.argv[1]), {}, print).begin()
for k in range(200):
    recorder.put(frame(k))
while recorder.queued > 20:
    pass
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


def test_a_process_that_is_killed_leaves_nothing_under_the_name(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "given.mp4")], cwd=Path(__file__).parents[2])
    left = list(tmp_path.iterdir())
    assert done.returncode == -signal.SIGKILL and len(left) == 1 and left[0].name.startswith(".given.")


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
