"""Reading: any rate, turn, shape and sound comes out upright, square-pixelled, at 25 fps and mono."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from gaussavatar.errors import UserError
from gaussavatar.media import frames, process
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.media.writing import write_video

TEST_PICTURE = "testsrc=size=160x120:rate={rate}:duration={seconds}"
RAMP = "color=black:size=64x64:rate={rate}:duration=2,geq=lum='16+80*T':cb=128:cr=128"
"""A picture whose brightness tells the time."""


PART, GAP, RATE = 1.0, 0.04, 16_000


def write_joined_sound(path: Path) -> Path:
    """Six parts of a second, each with a click at its start and no sound in its last 40 ms, as joined films have."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for part in range(6):
            samples = np.zeros(int((PART - GAP) * RATE), np.int16)
            samples[:80] = 20_000
            for at in range(0, len(samples), 480):
                frame = av.AudioFrame.from_ndarray(samples[None, at : at + 480], "s16", "mono")
                frame.sample_rate, frame.pts = RATE, int(part * PART * RATE) + at
                container.mux(stream.encode(frame))
    return path


def clicks(path: Path) -> np.ndarray:
    """When a sound's clicks begin, seconds."""
    loud = np.abs(read_audio(path).samples) > 0.25
    return np.flatnonzero(loud & ~np.roll(loud, 1)) / RATE


def test_parts_with_less_sound_than_picture_stay_in_step(tmp_path: Path) -> None:
    """What is heard, and what a written video has, lies where the file's clock has it; lags do not come together."""
    sound = write_joined_sound(tmp_path / "joined.mkv")
    assert clicks(sound) == pytest.approx(np.arange(6) * PART, abs=0.021)
    black = np.zeros((32, 32, 3), np.uint8)
    write_video(tmp_path / "x.mov", [black] * 150, 25, (32, 32), audio=sound)
    assert clicks(tmp_path / "x.mov") == pytest.approx(np.arange(6) * PART, abs=0.021)


@pytest.mark.parametrize("rate", [10, 24, 30, 60])
def test_any_rate_becomes_25_and_keeps_its_time(make_clip, rate: int) -> None:
    clip = make_clip("ramp.mp4", RAMP.format(rate=rate), None, "-pix_fmt", "yuv420p")
    levels = np.array([image.mean() for image in read_frames(clip, width=64, height=64)])
    assert abs(len(levels) - 50) <= 1
    slope, start = np.polyfit(np.arange(len(levels)) / 25, levels, 1)
    # 80 steps of video range (219) a second are 93 of full range (255).
    assert slope == pytest.approx(80 * 255 / 219, rel=0.05)
    assert start == pytest.approx(0, abs=80 * 1.2 / rate + 3)


def test_variable_rate_keeps_its_time(make_clip) -> None:
    source = RAMP.format(rate=50) + ",select='lt(t,1)*not(mod(n,5))+gte(t,1)'"
    clip = make_clip("vfr.mkv", source, None, "-fps_mode", "vfr", "-pix_fmt", "yuv420p")
    levels = np.array([image.mean() for image in read_frames(clip, width=64, height=64)])
    assert abs(len(levels) - 50) <= 1
    wanted = 80 * 255 / 219 * np.arange(len(levels)) / 25
    assert np.abs(levels - wanted)[30:].max() < 8
    assert np.abs(levels - wanted)[:25].max() < 80 * 255 / 219 * 0.1 + 6


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_rotation_flags_are_applied(make_clip, turn: int, tmp_path: Path) -> None:
    upright = make_clip("flat.mp4", "color=black:size=96x64:duration=0.4,drawbox=x=0:y=0:w=24:h=64:c=white:t=fill")
    turned = tmp_path / "turned.mp4"
    subprocess.run(
        [find_ffmpeg(), "-v", "error", "-display_rotation", str(turn), "-i", upright, "-c", "copy", turned], check=True
    )
    info = probe(turned)
    assert (info.width, info.height) == ((96, 64) if turn == 180 else (64, 96))
    assert info.rotation == -turn % 360
    image = next(read_frames(turned, width=info.width, height=info.height)).mean(-1)
    # The flag turns the picture anticlockwise: what was left comes to the bottom, the right, the top.
    bar = {90: image[-24:], 180: image[:, -24:], 270: image[:24]}[turn]
    assert bar[2:-2, 2:-2].mean() > 230
    assert image.mean() < 100


def test_non_square_pixels_are_made_square(make_clip) -> None:
    clip = make_clip("wide.mkv", "testsrc=size=100x100:duration=0.4,setsar=2/1", None, "-pix_fmt", "yuv420p")
    info = probe(clip)
    assert (info.width, info.height, info.square_pixels) == (200, 100, False)
    assert next(read_frames(clip, width=200, height=100)).shape == (100, 200, 3)


def test_crop_takes_the_square_and_repeats_the_border_outside(make_clip) -> None:
    picture = "color=red:size=120x80:duration=0.4,drawbox=x=0:y=0:w=60:h=80:c=blue:t=fill"
    clip = make_clip("halves.mkv", picture, None, "-c:v", "ffv1")
    inside = next(read_frames(clip, width=40, height=40, crop=(40, 20, 40)))
    assert inside[:, 4:16].mean((0, 1)).argmax() == 2
    assert inside[:, 24:36].mean((0, 1)).argmax() == 0
    outside = next(read_frames(clip, width=60, height=60, crop=(90, -10, 60)))
    assert outside.shape == (60, 60, 3)
    assert (outside[..., 0] > 200).all() and (outside[..., 2] < 60).all()


def test_start_and_length_select_a_stretch(make_clip) -> None:
    clip = make_clip("ramp.mp4", RAMP.format(rate=25), None, "-pix_fmt", "yuv420p")
    stretch = list(read_frames(clip, width=64, height=64, start=1.0, seconds=0.4))
    assert len(stretch) == 10
    assert stretch[0].mean() == pytest.approx(80 * 255 / 219, abs=4)


def test_key_frames_alone_come_at_their_times(make_clip) -> None:
    clip = make_clip("keys.mp4", RAMP.format(rate=25), None, "-g", "25", "-sc_threshold", "0", "-pix_fmt", "yuv420p")
    levels = [image.mean() for image in read_frames(clip, width=64, height=64, fps=10, keyframes_only=True)]
    assert len(levels) >= 11 and np.ptp(levels[:10]) < 1 and levels[10] - levels[9] > 60


@pytest.mark.parametrize(("suffix", "options"), [("mp4", ()), ("wav", ()), ("mp3", ()), ("ogg", ())])
def test_sound_of_any_kind_becomes_mono(make_clip, suffix: str, options: tuple[str, ...]) -> None:
    sound = "aevalsrc=0.5*sin(880*PI*t)|0.25*sin(880*PI*t):s=44100:d=1.5"
    clip = make_clip(f"tone.{suffix}", None, sound, *options)
    waveform = read_audio(clip)
    assert waveform.rate == 16000
    assert waveform.seconds == pytest.approx(1.5, abs=0.08)
    spectrum = np.abs(np.fft.rfft(waveform.samples[:16000]))
    assert spectrum.argmax() == pytest.approx(440, abs=2)
    middle = waveform.samples[4000:20000]
    assert np.sqrt(2 * (middle**2).mean()) == pytest.approx(0.375, rel=0.06)


def test_sound_that_starts_late_is_in_step(make_clip) -> None:
    clip = make_clip(
        "late.mkv", "testsrc=duration=2", "sine=frequency=500:duration=1", "-filter:a", "asetpts=PTS+0.5/TB"
    )
    samples = read_audio(clip).samples
    assert np.abs(samples[:7500]).max() < 0.01
    assert np.abs(samples[9000:20000]).max() > 0.05


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("nothing.mp4", None, "no such file"),
        ("notes.mp4", b"Dear diary, " * 500, "cannot read"),
        ("notes.txt", b"Dear diary, " * 500, "cannot read"),
        ("empty.mp4", b"", "an empty file"),
    ],
)
def test_what_is_no_media_is_refused(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        probe(path)
    with pytest.raises(UserError, match=message):
        read_audio(path)


def test_a_folder_and_a_sound_file_are_no_videos(tmp_path: Path, make_clip) -> None:
    with pytest.raises(UserError, match="a folder"):
        probe(tmp_path)
    tone = make_clip("tone.wav", None, "sine=duration=1")
    assert not probe(tone).has_video
    with pytest.raises(UserError, match="a sound file"):
        next(read_frames(tone, width=8, height=8))


def test_missing_and_empty_sound_are_refused(make_clip, tmp_path: Path) -> None:
    silent = make_clip("silent.mp4", TEST_PICTURE.format(rate=25, seconds=1))
    assert not probe(silent).has_audio
    with pytest.raises(UserError, match="without audio"):
        read_audio(silent)
    empty = make_clip("tone.wav", None, "sine=duration=0.1")
    data = bytearray(empty.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\0\0\0\0"
    cut = tmp_path / "empty.wav"
    cut.write_bytes(bytes(data[: at + 8]))
    with pytest.raises(UserError, match="empty audio|cannot read|error"):
        read_audio(cut)


@pytest.mark.parametrize("flags", ["+faststart", "0"])
@pytest.mark.parametrize("part", [0.3, 0.6])
def test_a_cut_off_video_is_refused(make_clip, tmp_path: Path, flags: str, part: float) -> None:
    whole = make_clip("whole.mp4", TEST_PICTURE.format(rate=25, seconds=6), None, "-movflags", flags)
    assert sum(1 for _ in read_frames(whole, width=32, height=32)) == 150
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(part * whole.stat().st_size)])
    with pytest.raises(UserError, match="cut-off"):
        list(read_frames(cut, width=32, height=32))


def test_a_broken_middle_still_decodes(make_clip, tmp_path: Path) -> None:
    whole = make_clip("whole.mp4", TEST_PICTURE.format(rate=25, seconds=6), None, "-movflags", "+faststart")
    data = bytearray(whole.read_bytes())
    middle = int(0.7 * len(data))
    data[middle : middle + 200] = bytes(range(200))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(data))
    assert sum(1 for _ in read_frames(broken, width=32, height=32)) >= 143


def test_names_that_look_like_options_or_addresses(make_clip, tmp_path: Path) -> None:
    clip = make_clip("plain.mp4", TEST_PICTURE.format(rate=25, seconds=1))
    for name in ("-i.mp4", "concat:a.mp4", "http:__x.mp4", "per cent %d.mp4", "päth 'q\".mp4"):
        odd = tmp_path / name
        odd.write_bytes(clip.read_bytes())
        assert sum(1 for _ in read_frames(odd, width=16, height=16)) == 25


def test_leaving_early_ends_the_child(make_clip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip("long.mp4", TEST_PICTURE.format(rate=25, seconds=20))
    started: list[subprocess.Popen] = []
    real = subprocess.Popen

    def recording(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(process.subprocess, "Popen", recording)
    frames = read_frames(clip, width=160, height=120)
    next(frames)
    frames.close()
    assert started and all(child.poll() is not None for child in started)


def test_the_binary_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUSSAVATAR_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(UserError, match="GAUSSAVATAR_FFMPEG"):
        find_ffmpeg()
    monkeypatch.delenv("GAUSSAVATAR_FFMPEG")
    named = find_ffmpeg()
    monkeypatch.setenv("GAUSSAVATAR_FFMPEG", named)
    assert find_ffmpeg() == named


def test_what_is_known_of_a_file_is_not_asked_again(make_clip, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip("known.mp4", TEST_PICTURE.format(rate=25, seconds=0.4), None, "-pix_fmt", "yuv420p")
    wanted = list(read_frames(clip, width=64, height=64))
    info = probe(clip)

    def asked(path: Path) -> None:
        raise AssertionError(f"{path} was probed again")

    monkeypatch.setattr(frames, "probe", asked)
    came = list(read_frames(info, width=64, height=64))
    assert len(came) == len(wanted) == 10 and all(map(np.array_equal, came, wanted))
