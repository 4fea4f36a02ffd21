"""Every file in examples/ runs as its docstring says, on an avatar that it did not make.

``01_fit_a_clip.py`` fits in ``tests/e2e/test_fit_synthetic.py``, where its avatar is compared with another fit's.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.media.images import read_image
from gaussavatar.media.probe import probe
from gaussavatar.media.sound_file import read_audio
from gaussavatar.motion.arkit import ArkitCurves
from gaussavatar.motion.files import read_motion
from gaussavatar.motion.track import MotionTrack
from gaussavatar.serving.address import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "hello.wav"
    time = np.arange(32_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2000 * time) * (np.sin(9 * time) > 0), 16_000)
    return path


def run(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_example_says_how_to_run_it_and_is_tested() -> None:
    names = [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    assert len(names) == 9
    for name in names:
        text = (EXAMPLES / name).read_text()
        assert f"python examples/{name} " in text.split('"""')[1]
        assert f'"{name}"' in Path(__file__).read_text()
        assert not re.search(r"(from|import) gaussavatar\.(?!live\.frameworks\.)", text), "only public names"


def test_speaking_gives_pictures_and_a_video(toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    done = run("02_speak_frames.py", toy_avatar, sound, tmp_path / "frames")
    assert done.returncode == 0, done.stderr
    assert "50 pictures of 96 x 96" in done.stdout
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == ["00001.png", "00026.png", "spoken.mp4"]
    assert probe(tmp_path / "frames" / "spoken.mp4").seconds == pytest.approx(2.0, abs=0.05)


def test_the_mouth_follows_an_array(toy_avatar: Path, tmp_path: Path) -> None:
    done = run("03_drive_the_mouth.py", toy_avatar, tmp_path)
    assert done.returncode == 0, done.stderr
    shut, wide = (read_image(tmp_path / f"opening_{value}.png").astype(int) for value in ("0.00", "0.45"))
    assert np.abs(wide - shut).max() > 10


def test_an_edited_motion_is_kept_and_spoken(toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    done = run("04_edit_a_motion.py", toy_avatar, sound, tmp_path / "edited.mp4")
    assert done.returncode == 0, done.stderr
    track = MotionTrack.load(tmp_path / "edited.motion.safetensors")
    blink = track.upper[:, track.upper_names.index("blink_left")]
    assert len(track) == 50 and (blink[12:20] == 1).all()
    assert read_audio(tmp_path / "edited.mp4").seconds == pytest.approx(2.0, abs=0.05)


def test_a_motion_is_edited_as_data(toy_avatar: Path, sound: Path, tmp_path: Path) -> None:
    done = run("06_edit_motion.py", toy_avatar, sound, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "50 rows" in done.stdout and "4.00 s, 200 frames at 50 per second" in done.stdout
    table = read_motion(tmp_path / "motion.csv")
    assert isinstance(table, MotionTrack)
    blink = table.upper[:, table.upper_names.index("blink_left")]
    assert (blink[10:16] > 0.999).all() and blink[5] < 0.9
    assert isinstance(read_motion(tmp_path / "curves.csv"), ArkitCurves)
    shut, spoken = (read_image(tmp_path / f"at_{moment}.png").astype(int) for moment in ("1.5", "2.5"))
    assert np.abs(shut - spoken).max() > 5


def test_the_head_is_seen_from_five_sides(toy_avatar: Path, tmp_path: Path) -> None:
    done = run("05_new_viewpoint.py", toy_avatar, tmp_path / "around.png")
    assert done.returncode == 0, done.stderr
    views = np.split(read_image(tmp_path / "around.png").astype(int), 5, axis=1)
    assert views[0].shape == (256, 256, 3)
    assert all(np.abs(a - b).mean() > 0.5 for a, b in zip(views[:-1], views[1:], strict=True))


@pytest.mark.parametrize("name", ["01_fit_a_clip.py", "04_edit_a_motion.py", "07_feed_a_live_page.py"])
def test_without_its_words_an_example_says_what_they_are(name: str) -> None:
    done = run(name)
    assert done.returncode == 1 and f"python examples/{name} " in done.stderr and "Traceback" not in done.stderr


def test_a_mistake_ends_in_one_line(tmp_path: Path) -> None:
    done = run("05_new_viewpoint.py", tmp_path / "nobody", tmp_path / "around.png")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: expected an avatar folder") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(("name", "framework"), [("08_livekit_agent.py", "livekit"), ("09_pipecat_bot.py", "pipecat")])
def test_without_its_framework_an_adapter_says_what_to_install(name: str, framework: str) -> None:
    """The examples themselves run in environments of their own: python -m tests.frameworks.run."""
    line = f"from gaussavatar.live.frameworks.{framework} import "
    assert line in (EXAMPLES / name).read_text()
    words = [sys.executable, "-c", f"import sys; sys.modules[{framework!r}] = None; {line}*"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f'pip install "gaussavatar-play[{framework}]"' in done.stderr


def test_a_program_feeds_a_live_page(toy_avatar: Path, sound: Path) -> None:
    pytest.importorskip("aiortc", reason="the extra stream is not installed")
    port = free_port("127.0.0.1", 8190)
    words = ["-m", "gaussavatar.cli", "live", str(toy_avatar), "--port", str(port), "--no-open-browser"]
    # A shell that runs the tests in the background ignores SIGINT, and its children would inherit that.
    server = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert server.stdout is not None and f"http://localhost:{port}" in server.stdout.readline()
        done = run("07_feed_a_live_page.py", sound, f"ws://localhost:{port}/feed?session=demo")
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n")[0].strip() == "welcome" and "finished 2.0" in done.stdout
        again = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        assert again.returncode != 0 and f"port {port}" in again.stderr and "Traceback" not in again.stderr
        server.send_signal(signal.SIGINT)
        assert "live closed" in server.communicate(timeout=20)[0]
    finally:
        server.kill()
