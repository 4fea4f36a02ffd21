"""Files that people really have: streams that change on the way, misleading texts, sounds that hide, odd colours."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.errors import UserError
from gaussavatar.media.damage import damage_of, refuse_damaged
from gaussavatar.media.frames import read_frames
from gaussavatar.media.mp3 import read_as_mp3
from gaussavatar.media.probe import probe, require_video
from gaussavatar.media.process import bundled_ffmpeg, find_ffmpeg, new_enough
from gaussavatar.media.sound_file import hear, read_audio
from gaussavatar.media.writing import write_video

H264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "25")
COLOUR = (180, 120, 60)


def plain(colour: tuple[int, int, int], size: str, seconds: float = 2) -> str:
    """A lavfi source of one colour."""
    return f"color=c=0x{bytes(colour).hex()}:s={size}:d={seconds}:r=25"


def joined(path: Path, *parts: Path) -> Path:
    """Files that may stand one after the other in one file, as recorders and broadcasters write them."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("second", ["240x240", "320x160"])
def test_a_picture_that_changes_its_size_stays_in_time_and_in_shape(make_clip, tmp_path: Path, second: str) -> None:
    red, blue = plain((200, 30, 30), "160x160"), plain((30, 30, 200), second)
    one = make_clip("one.ts", red, None, *H264)
    other = make_clip("other.ts", blue, None, *H264, "-output_ts_offset", "2")
    frames = list(read_frames(joined(tmp_path / "both.ts", one, other), width=160, height=160))
    assert abs(len(frames) - 100) <= 2
    turned = next(index for index, frame in enumerate(frames) if frame[80, 80, 2] > 150)
    assert abs(turned - 50) <= 1
    # A wide picture keeps its shape: there are edges above and below it, and it reaches both sides.
    edge, side = frames[-1][10, 80].astype(int), frames[-1][80, 3].astype(int)
    assert (edge.max() < 40) == (second == "320x160")
    assert side[2] > 150


def test_a_sound_that_changes_its_form_is_heard_to_its_end(make_clip, tmp_path: Path) -> None:
    mono = make_clip("mono.mp3", None, "sine=300:d=2:r=44100", "-ac", "1")
    stereo = make_clip("stereo.mp3", None, "sine=300:d=2:r=48000", "-ac", "2")
    both = joined(tmp_path / "both.mp3", mono, stereo)
    samples = read_audio(both).samples
    assert len(samples) / 16_000 == pytest.approx(4.1, abs=0.1)
    loud = [float(np.abs(part).max()) for part in np.array_split(samples, 20)]
    assert min(loud) > 0.05
    video = tmp_path / "out.mp4"
    write_video(video, [np.zeros((32, 32, 3), np.uint8)], 25, (32, 32), audio=both)
    spoken = read_audio(video).samples
    assert len(spoken) / 16_000 == pytest.approx(len(samples) / 16_000, abs=0.05)
    assert min(float(np.abs(part).max()) for part in np.array_split(spoken, 20)) > 0.05
    (tmp_path / "page.mp3").write_bytes(read_as_mp3(both))
    assert read_audio(tmp_path / "page.mp3").seconds == pytest.approx(len(samples) / 16_000, abs=0.1)


@pytest.mark.parametrize("key", ["comment", "title"])
def test_words_in_a_file_are_no_facts(make_clip, key: str) -> None:
    text = (
        "Duration: 00:00:03.20, start: 0. Stream #0:0: Video: vp9, 64x64, 50 fps; rotation of -90.00 degrees; 22050 Hz"
    )
    clip = make_clip("text.mp4", plain(COLOUR, "96x64"), "sine=300:d=2:r=48000", *H264, "-metadata", f"{key}={text}")
    info = probe(clip)
    assert (info.seconds, info.width, info.height, info.fps) == (pytest.approx(2, abs=0.05), 96, 64, 25)
    assert (info.rotation, info.codec, info.audio_rate) == (0, "h264", 48_000)


def test_an_ffmpeg_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAUSSAVATAR_FFMPEG", raising=False)
    old = tmp_path / "ffmpeg"
    # As 4.x does: whatever it is asked, it knows no -fps_mode.
    old.write_text('#!/bin/sh\ncase "$*" in *fps_mode*) echo "Option not found" >&2; exit 1;; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert not new_enough(str(old)) and find_ffmpeg() == bundled_ffmpeg()
    monkeypatch.setenv("GAUSSAVATAR_FFMPEG", str(old))
    with pytest.raises(UserError, match=r"5\.1 or newer"):
        find_ffmpeg()


def test_channels_that_cancel_each_other_are_not_mixed(tmp_path: Path) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    soundfile.write(tmp_path / "anti.wav", np.stack([tone, -tone], 1), 16_000)
    heard = hear(tmp_path / "anti.wav")
    assert np.abs(heard.waveform.samples).max() == pytest.approx(0.3, abs=0.01)
    assert "channel 1 alone" in heard.notes[0]
    # A voice on one channel, or the same on both, is mixed as ever.
    soundfile.write(tmp_path / "one.wav", np.stack([tone, 0 * tone], 1), 16_000)
    one = hear(tmp_path / "one.wav")
    assert one.notes == () and np.abs(one.waveform.samples).max() == pytest.approx(0.15, abs=0.01)


def test_the_track_that_players_take_is_heard_or_the_one_with_a_sound(make_clip, tmp_path: Path) -> None:
    quiet, loud = make_clip("quiet.wav", None, "anullsrc=r=16000:cl=mono:d=2"), make_clip("loud.wav", None, "sine=d=2")
    for name, default, told in (("default", 1, False), ("audible", 0, True)):
        path = tmp_path / f"{name}.mka"
        marks = ("-disposition:a:0", "0" if default else "default", "-disposition:a:1", "default" if default else "0")
        command = [find_ffmpeg(), "-v", "error", "-i", quiet, "-i", loud, "-map", "0:a", "-map", "1:a", *marks, path]
        subprocess.run(command, check=True)
        heard = hear(path)
        assert not heard.silent and np.abs(heard.waveform.samples).max() > 0.1
        assert any("track 2 is heard" in note for note in heard.notes) == told
        video = tmp_path / f"{name}.mp4"
        write_video(video, [np.zeros((32, 32, 3), np.uint8)], 25, (32, 32), audio=path)
        assert np.abs(read_audio(video).samples).max() > 0.1


def test_what_is_odd_about_a_sound_is_said(tmp_path: Path) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    soundfile.write(tmp_path / "hot.wav", 3 * tone, 16_000, subtype="FLOAT")
    hot = hear(tmp_path / "hot.wav")
    assert "reaches 3 times full scale" in hot.notes[0] and np.abs(hot.waveform.samples).max() == 1
    soundfile.write(tmp_path / "still.wav", 0 * tone, 16_000)
    still = hear(tmp_path / "still.wav")
    assert still.silent and "nothing to be heard" in still.notes[0]
    soundfile.write(tmp_path / "nan.wav", np.where(np.arange(16_000) == 8_000, np.nan, tone), 16_000, subtype="FLOAT")
    with pytest.raises(UserError, match=r"1 that are NaN or infinite, the first at 0\.50 s"):
        hear(tmp_path / "nan.wav")


def middle(path: Path, side: int = 64) -> np.ndarray:
    return next(iter(read_frames(path, width=side, height=side)))[20:44, 20:44].reshape(-1, 3).mean(0)


def in_matrix(matrix: str) -> str:
    return f"scale=out_color_matrix={matrix}:out_range=tv,format=yuv420p"


@pytest.mark.parametrize(("size", "matrix"), [("1280x720", "bt709"), ("640x480", "smpte170m")])
def test_untagged_pictures_are_read_as_their_size_means(make_clip, size: str, matrix: str) -> None:
    unsaid = ("-vf", f"{in_matrix(matrix)},setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown")
    clip = make_clip("unsaid.mp4", plain(COLOUR, size, 0.4), None, "-c:v", "libx264", *unsaid)
    assert not probe(clip).colour.said
    assert np.abs(middle(clip) - COLOUR).max() < 4


def test_wide_colours_of_usual_range_become_those_of_a_screen(make_clip) -> None:
    to_wide = "zscale=primaries=2020:transfer=709:matrix=2020_ncl:range=tv,format=yuv420p10le"
    wide = f"format=yuv444p10le,zscale=transfer=linear,format=gbrpf32le,{to_wide}"
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    source = f"{plain(COLOUR, '128x128', 0.4)},{in_matrix('bt709')},{tags}"
    clip = make_clip("wide.mkv", source, None, "-vf", wide, "-c:v", "libx264")
    assert probe(clip).colour.wide
    assert np.abs(middle(clip) - COLOUR).max() < 6


def test_a_transfer_function_alone_says_hdr(make_clip) -> None:
    tags = "setparams=color_trc=arib-std-b67:colorspace=unknown:color_primaries=unknown"
    clip = make_clip(
        "hlg.mkv",
        f"{plain((128, 128, 128), '128x128', 0.4)}",
        None,
        "-vf",
        f"format=yuv420p10le,{tags}",
        "-c:v",
        "libx264",
    )
    assert probe(clip).hdr == "HLG"
    came = middle(clip)
    assert came.std() < 2 and 30 < came.mean() < 220


def test_what_is_no_file_is_called_by_its_name(tmp_path: Path, make_clip) -> None:
    os.mkfifo(tmp_path / "pipe")
    photo = make_clip("photo.png", plain(COLOUR, "64x64", 0.04), None, "-frames:v", "1")
    for path, said in (
        (tmp_path / "pipe", "a pipe"),
        (Path("https://example.com/a.mp4"), "an address"),
        (tmp_path, "a folder"),
    ):
        with pytest.raises(UserError, match=said):
            probe(path)
    with pytest.raises(UserError, match="a photo"):
        require_video(probe(photo))


def test_a_written_video_says_what_its_colours_are(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [np.full((32, 32, 3), COLOUR, np.uint8)] * 3, 25, (32, 32))
    colour = probe(tmp_path / "a.mp4").colour
    assert (colour.primaries, colour.transfer, colour.matrix, colour.range) == (1, 1, 1, 1)
    assert b"colrnclx" in (tmp_path / "a.mp4").read_bytes()


def test_names_that_are_no_utf8(make_clip, tmp_path: Path) -> None:
    clip = make_clip("plain.mp4", plain(COLOUR, "64x64"), "sine=300:d=2", *H264)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    os.rename(clip, odd)
    assert probe(odd).seconds == pytest.approx(2, abs=0.05) and len(list(read_frames(odd, width=16, height=16))) == 50
    out = odd.with_name("out \udcff.webm")
    write_video(out, [np.zeros((32, 32, 3), np.uint8)], 25, (32, 32), audio=odd)
    assert probe(out).seconds == pytest.approx(2, abs=0.05) and probe(out).codec == "vp9"


def test_what_is_transparent_in_a_picture_lies_over_white(tmp_path: Path) -> None:
    from gaussavatar.media.images import read_image, write_image

    picture = np.zeros((4, 4, 4), np.uint8)
    picture[:2] = (200, 0, 0, 255)
    picture[2:] = (200, 0, 0, 0)
    write_image(tmp_path / "a.png", picture)
    assert (read_image(tmp_path / "a.png")[0, 0] == (200, 0, 0)).all() and (
        read_image(tmp_path / "a.png")[3] == 255
    ).all()


def test_damage_in_the_middle_is_counted(make_clip, tmp_path: Path) -> None:
    clip = make_clip("whole.mp4", "testsrc=s=160x120:d=4:r=25", None, *H264)
    assert (damage_of(clip).pictures, damage_of(clip).damaged) == (100, 0)
    refuse_damaged(clip, 0.05)
    data, chance = bytearray(clip.read_bytes()), np.random.default_rng(0)
    # One second in the middle, and what hangs on it until the next key frame.
    for place in chance.integers(len(data) * 4 // 10, len(data) * 5 // 10, 40):
        data[place] ^= 255
    (tmp_path / "hurt.mp4").write_bytes(data)
    damage, said = damage_of(tmp_path / "hurt.mp4"), []
    assert 0.03 < damage.share < 0.7
    with pytest.raises(UserError, match=r"one of which \d+ of \d+ pictures \(\d+ %\) are damaged"):
        refuse_damaged(tmp_path / "hurt.mp4", 0.03)
    assert len(list(read_frames(tmp_path / "hurt.mp4", width=32, height=32, complaints=said))) == 100 and said
