"""Capturing real clips, and refusing what cannot be used; clips are cut from the shared ones on the spot."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.capture import video as capture_module
from gaussavatar.capture.store import load_capture
from gaussavatar.capture.video import CaptureConfig, capture_video, shift_sound, source_notes
from gaussavatar.errors import UserError
from gaussavatar.media.colour import Colour
from gaussavatar.media.probe import MediaInfo
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import QuietProgress

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"
needs_clips = pytest.mark.skipif(not CLIPS.is_dir(), reason=f"the real clips at {CLIPS} are absent")
SMALL = CaptureConfig(size=128)


def run_ffmpeg(*arguments: str | Path) -> None:
    done = subprocess.run(
        [find_ffmpeg(), "-loglevel", "error", "-nostdin", "-y", *map(str, arguments[:-1]), "-preset", "ultrafast",
         str(arguments[-1])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def capture(video: Path, folder: Path, config: CaptureConfig = SMALL):
    return capture_video(video, folder, config, QuietProgress())


@needs_clips
def test_a_real_clip_becomes_frames_and_sound(tmp_path: Path) -> None:
    result = capture(CLIPS / "woman_8s.mp4", tmp_path / "capture")
    assert result.n_frames == 200 and len(result.frames()) == 200
    assert result.frames().read(100).shape == (128, 128, 3)
    assert result.audio is not None and read_audio(result.audio).seconds == 200 / 25
    again = load_capture(tmp_path / "capture")
    assert again == result
    assert again.focal_px() == pytest.approx(1.2 * 512 * 128 / again.crop[2])


@needs_clips
def test_a_portrait_without_sound_is_cropped_to_the_head(tmp_path: Path) -> None:
    source = tmp_path / "portrait.mp4"
    run_ffmpeg("-t", "5.2", "-i", CLIPS / "portrait_1080x1920_20s.mp4", "-an", "-vf", "scale=540:960", source)
    result = capture(source, tmp_path / "capture")
    x, y, side = result.crop
    assert result.audio is None and not (tmp_path / "capture" / "audio.wav").exists()
    assert 0 <= x and 0 <= y and x + side <= 540 and y + side <= 960
    assert result.source["face_px"] / side == pytest.approx(0.42, abs=0.06)


@needs_clips
@pytest.mark.parametrize("name", ["raw.h264", "stream.ts", "old.avi", "moving.gif"])
def test_containers_without_length_or_seeking(tmp_path: Path, name: str) -> None:
    run_ffmpeg("-i", CLIPS / "woman_8s.mp4", "-an", "-t", "6", "-vf", "scale=256:256", tmp_path / name)
    assert capture(tmp_path / name, tmp_path / "capture", CaptureConfig(size=64)).n_frames == pytest.approx(150, abs=1)


def test_no_face_is_said(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=size=320x240:duration=6", tmp_path / "bars.mp4")
    with pytest.raises(UserError, match="no face"):
        capture(tmp_path / "bars.mp4", tmp_path / "capture")


def test_short_clips_are_said_before_any_work(tmp_path: Path) -> None:
    run_ffmpeg("-f", "lavfi", "-i", "testsrc=size=320x240:duration=3", tmp_path / "short.mp4")
    with pytest.raises(UserError, match=r"at least 5 s, got 3.0 s"):
        capture(tmp_path / "short.mp4", tmp_path / "capture")
    with pytest.raises(UserError, match="no such file"):
        capture(tmp_path / "none.mp4", tmp_path / "capture")


def test_a_picture_track_shorter_than_announced_is_said(tmp_path: Path) -> None:
    """The sound lasts 8 s, the picture 2 s: the header promises enough, the frames do not come."""
    run_ffmpeg(
        "-f", "lavfi", "-i", "testsrc=size=320x240:duration=2", "-f", "lavfi", "-i", "sine=duration=8",
        tmp_path / "odd.mp4",
    )  # fmt: skip
    with pytest.raises(UserError):
        capture(tmp_path / "odd.mp4", tmp_path / "capture")


@needs_clips
def test_two_faces_of_like_size_are_said(tmp_path: Path) -> None:
    both = tmp_path / "both.mp4"
    run_ffmpeg(
        "-i",
        CLIPS / "woman_8s.mp4",
        "-i",
        CLIPS / "senator_8s.mp4",
        "-an",
        "-t",
        "6",
        "-filter_complex",
        "hstack",
        both,
    )
    with pytest.raises(UserError, match="two of like size"):
        capture(both, tmp_path / "capture")


@needs_clips
def test_a_small_second_face_is_allowed(tmp_path: Path) -> None:
    both = tmp_path / "both.mp4"
    graph = "[1]scale=200:200[small];[0][small]overlay=0:0"
    run_ffmpeg(
        "-i", CLIPS / "woman_8s.mp4", "-i", CLIPS / "senator_8s.mp4", "-an", "-t", "5.2", "-filter_complex", graph, both
    )
    result = capture(both, tmp_path / "capture")
    assert result.n_frames == 130 and result.source["crowd_share"] > 0.5


@needs_clips
def test_a_small_face_is_said(tmp_path: Path) -> None:
    far = tmp_path / "far.mp4"
    run_ffmpeg("-i", CLIPS / "woman_8s.mp4", "-an", "-t", "6", "-vf", "scale=144:144,pad=640:480:200:200", far)
    with pytest.raises(UserError, match="at least 100 pixels"):
        capture(far, tmp_path / "capture")


@needs_clips
@pytest.mark.parametrize("key_frames", ["at cuts", "rare"])
def test_a_cut_to_another_person_is_said_with_its_time(tmp_path: Path, key_frames: str) -> None:
    joined = tmp_path / "joined.mp4"
    graph = "[0]trim=0:5,setpts=PTS-STARTPTS[a];[1]trim=0:3,setpts=PTS-STARTPTS[b];[a][b]concat=n=2"
    options = () if key_frames == "at cuts" else ("-g", "1000", "-sc_threshold", "0")
    run_ffmpeg(
        "-i", CLIPS / "senator_8s.mp4", "-i", CLIPS / "woman_8s.mp4", "-an", "-filter_complex", graph, *options, joined
    )
    with pytest.raises(UserError, match="a cut to another") as caught:
        capture(joined, tmp_path / "capture")
    moment = float(caught.value.came.split("about ")[1].split(" s")[0])
    assert moment == pytest.approx(5.0, abs=0.6)


@needs_clips
@pytest.mark.parametrize("name", ["head_turns_16s_silent.mp4", "statement_1080p_10s_silent.mp4", "senator_8s.mp4"])
def test_one_person_is_never_taken_for_two(tmp_path: Path, name: str) -> None:
    run_ffmpeg("-i", CLIPS / name, "-an", "-vf", "scale=-2:480", tmp_path / "clip.mp4")
    assert capture(tmp_path / "clip.mp4", tmp_path / "capture", CaptureConfig(size=64)).n_frames >= 200


@pytest.mark.parametrize("late_ms", [-240.0, 0.0, 120.0])
def test_late_sound_is_moved_earlier(late_ms: float) -> None:
    sound = np.zeros(16000, np.float32)
    sound[8000] = 1.0
    moved = shift_sound(sound, late_ms)
    assert len(moved) == len(sound) and moved.dtype == np.float32
    assert moved.argmax() == 8000 - late_ms * 16 and moved.sum() == 1.0


def test_sound_moved_by_more_than_its_length_is_silence() -> None:
    for late_ms in (-1500.0, 1500.0):
        assert not shift_sound(np.ones(16000, np.float32), late_ms).any()


@needs_clips
def test_the_offset_is_corrected_in_the_captured_sound(tmp_path: Path) -> None:
    plain = capture(CLIPS / "woman_8s.mp4", tmp_path / "plain")
    moved = capture_video(CLIPS / "woman_8s.mp4", tmp_path / "moved", SMALL, QuietProgress(), av_offset_ms=80.0)
    assert plain.source["av_offset_ms"] == 0.0 and moved.source["av_offset_ms"] == 80.0
    assert plain.audio is not None and moved.audio is not None
    before, after = read_audio(plain.audio).samples, read_audio(moved.audio).samples
    assert len(before) == len(after) == 8 * 16000
    np.testing.assert_array_equal(after[:-1280], before[1280:])


@pytest.mark.parametrize("offset", [float("nan"), -2001.0, 1e9])
def test_an_offset_out_of_reason_is_said_before_the_video_is_opened(tmp_path: Path, offset: float) -> None:
    with pytest.raises(UserError, match="offset within 2000 ms"):
        capture_video(tmp_path / "none.mp4", tmp_path, SMALL, QuietProgress(), av_offset_ms=offset)


@needs_clips
def test_unusual_video_is_converted_and_noted(tmp_path: Path) -> None:
    """Interlaced, at uneven times and turned: a phone's or camcorder's file."""
    run_ffmpeg(
        "-i", CLIPS / "woman_8s.mp4", "-an", "-vf", "scale=256:256,fps=50,interlace=scan=tff", "-c:v", "libx264",
        "-flags", "+ilme+ildct", "-x264opts", "tff=1", tmp_path / "inter.mp4",
    )  # fmt: skip
    run_ffmpeg(
        "-i", CLIPS / "woman_8s.mp4", "-an", "-vf", "scale=256:256,select='gt(mod(n,5),0)'", "-fps_mode", "vfr",
        tmp_path / "vfr.mp4",
    )  # fmt: skip
    for name, word in (("inter", "interlaced"), ("vfr", "uneven")):
        result = capture(tmp_path / f"{name}.mp4", tmp_path / name, CaptureConfig(size=64))
        assert result.n_frames == pytest.approx(200, abs=2)
        assert any(word in note for note in result.source["notes"])


def test_hdr_without_the_filters_is_said_and_captured_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    info = MediaInfo(Path("x.mp4"), 9.0, 640, 480, 25.0, 0, True, False, "hevc", colour=Colour(transfer=18))
    assert "mapped" in source_notes(info)[0]
    monkeypatch.setattr(capture_module, "can_map_tones", lambda binary: False)
    assert "switch HDR off" in source_notes(info)[0]


class Interrupting(QuietProgress):
    """Interrupts the decoding stage after ten frames, as Ctrl-C would."""

    def stage(self, name: str, total: int, done: int = 0):
        real = super().stage(name, total, done)
        if name != "decoding":
            return real
        return InterruptingStage()


class InterruptingStage:
    """Counts to ten."""

    def __enter__(self):
        self.count = 0
        return self.advance

    def __exit__(self, *exception: object) -> None:
        return None

    def advance(self, steps: int) -> None:
        self.count += steps
        if self.count >= 10:
            raise KeyboardInterrupt


@needs_clips
def test_an_interrupted_capture_is_unfinished_and_runs_again(tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    capture(CLIPS / "woman_8s.mp4", folder)
    with pytest.raises(KeyboardInterrupt):
        capture_video(CLIPS / "senator_8s.mp4", folder, SMALL, Interrupting())
    with pytest.raises(UserError, match="no such file"):
        load_capture(folder)
    (folder / ".frames.99.unfinished.u8").write_bytes(b"left by a kill")
    capture(CLIPS / "senator_8s.mp4", folder)
    assert load_capture(folder).source["name"] == "senator_8s.mp4"
    assert not list(folder.glob(".*"))


@needs_clips
def test_a_full_disk_is_said_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(capture_module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UserError, match="free disk space"):
        capture(CLIPS / "woman_8s.mp4", tmp_path / "capture")


@needs_clips
def test_a_damaged_capture_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "capture"
    capture(CLIPS / "woman_8s.mp4", folder)
    record = folder / "capture.json"
    text = record.read_text()
    for damaged, message in (
        (text.replace('"version": 1', '"version": 99'), "version 99"),
        (text.replace('"crop"', '"crap"'), "damaged"),
        (text[:20], "damaged"),
        (text.replace('"n_frames": 200', '"n_frames": 199'), "199 frames"),
    ):
        record.write_text(damaged)
        with pytest.raises(UserError, match=message):
            load_capture(folder)
    record.write_text(text)
    (folder / "audio.wav").unlink()
    with pytest.raises(UserError, match=r"audio\.wav"):
        load_capture(folder)
    frames = np.fromfile(folder / "frames.u8", np.uint8)
    frames[:-1].tofile(folder / "frames.u8")
    with pytest.raises(UserError):
        load_capture(folder)
