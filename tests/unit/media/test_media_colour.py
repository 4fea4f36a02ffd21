"""HDR and interlaced video: what comes out against the standards' own formulas."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.media.colour import REFERENCE_WHITE_NITS, can_map_tones
from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg

needs_zscale = pytest.mark.skipif(not can_map_tones(find_ffmpeg()), reason="this ffmpeg has no zscale and tonemap")
SIDE = 64


def encode(path: Path, frames: np.ndarray, *options: str, rate: int = 25, pixels: str = "yuv444p10le") -> Path:
    """Write raw pictures (n, planes, h, w) without loss."""
    n, _, height, width = frames.shape
    command = [find_ffmpeg(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixels, "-s", f"{width}x{height}",
               "-framerate", str(rate), "-i", "pipe:", *options, str(path)]  # fmt: skip
    subprocess.run(command, input=frames.tobytes(), check=True)
    return path


def pq_code(nits: np.ndarray) -> np.ndarray:
    """Inverse EOTF of SMPTE ST 2084 (equation 5.2), 0..1."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (nits / 10000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def hlg_code(signal_light: np.ndarray) -> np.ndarray:
    """OETF of ARIB STD-B67 (ITU-R BT.2100, table 5), scene light 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(
        signal_light <= 1 / 12, np.sqrt(3 * signal_light), a * np.log(np.maximum(12 * signal_light - b, 1e-9)) + c
    )


def grey_video(path: Path, codes: np.ndarray, transfer: str) -> Path:
    """Ten frames of vertical grey bars with the given code values, 10 bit, limited range."""
    bars = np.repeat(64 + 876 * codes, SIDE // len(codes))
    planes = np.stack([np.tile(bars, (SIDE, 1)), np.full((SIDE, SIDE), 512.0), np.full((SIDE, SIDE), 512.0)])
    frames = np.repeat(np.rint(planes)[None].astype("<u2"), 10, 0)
    tags = ("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv")
    setparams = f"setparams=color_primaries=bt2020:color_trc={transfer}:colorspace=bt2020nc:range=tv"
    return encode(path, frames, "-vf", setparams, "-c:v", "ffv1", *tags)


@needs_zscale
def test_pq_light_becomes_screen_grey(tmp_path: Path) -> None:
    nits = np.array([2.0, 10.0, 30.0, 60.0, 90.0, 120.0, 203.0, 1000.0])
    video = grey_video(tmp_path / "pq.mkv", pq_code(nits), "smpte2084")
    assert probe(video).hdr == "PQ"
    image = next(read_frames(video, width=SIDE, height=SIDE)).astype(float)
    grey = image[:, 4::8].mean((0, 2))
    # Below the knee the screen (BT.1886, gamma 2.4) shows the light as it was, relative to paper white.
    expected = 255 * (nits / REFERENCE_WHITE_NITS) ** (1 / 2.4)
    np.testing.assert_allclose(grey[:6], expected[:6], atol=6)
    assert grey[6] < grey[7] <= 255 and grey[6] > 200
    assert np.abs(image - image.mean(2, keepdims=True)).max() < 4


@needs_zscale
def test_hlg_grows_with_the_light_and_keeps_greys_grey(tmp_path: Path) -> None:
    light = np.array([0.001, 0.01, 0.03, 0.06, 0.1, 0.2, 0.265, 0.8])
    video = grey_video(tmp_path / "hlg.mkv", hlg_code(light), "arib-std-b67")
    assert probe(video).hdr == "HLG"
    image = next(read_frames(video, width=SIDE, height=SIDE)).astype(float)
    grey = image[:, 4::8].mean((0, 2))
    assert np.all(np.diff(grey) > 0) and np.abs(image - image.mean(2, keepdims=True)).max() < 4
    # Paper white is 75 % of the HLG signal (BT.2408): a light of 0.265.
    assert 195 < grey[6] < 250 and 60 < grey[2] < 130


def test_ordinary_video_is_left_alone(tmp_path: Path) -> None:
    frames = np.full((5, 3, SIDE, SIDE), 128, np.uint8)
    video = encode(tmp_path / "plain.mkv", frames, "-c:v", "ffv1", pixels="yuv444p")
    info = probe(video)
    assert info.hdr is None and not info.interlaced and not info.varying


def test_interlaced_motion_has_no_combs(tmp_path: Path) -> None:
    """A white bar moves 2 px per half picture; woven halves would show teeth at its sides."""
    fields = np.full((40, 3, SIDE, 2 * SIDE), 128, np.uint8)
    fields[:, 0] = 16
    for index in range(40):
        fields[index, 0, :, 4 + index * 2 : 24 + index * 2] = 235
    # fmt: off
    video = encode(tmp_path / "interlaced.mkv", fields, "-vf", "tinterlace=interleave_top,format=yuv420p", "-c:v",
                   "libx264", "-qp", "5", "-flags", "+ilme+ildct", "-x264opts", "tff=1", rate=50, pixels="yuv444p")
    # fmt: on
    assert probe(video).interlaced
    frames = list(read_frames(video, width=2 * SIDE, height=SIDE))
    assert len(frames) == 20
    for frame in frames[3:-3]:
        rows = frame[8:-8, :, 1].astype(float)
        assert np.abs(rows[1:] - rows[:-1]).max() < 60


def test_uneven_times_are_noticed(tmp_path: Path) -> None:
    command = [find_ffmpeg(), "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=96x64:rate=30:duration=6", "-vf",
               "select='gt(mod(n,7),1)'", "-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p"]  # fmt: skip
    subprocess.run([*command, str(tmp_path / "vfr.mp4")], check=True)
    assert probe(tmp_path / "vfr.mp4").varying
    assert len(list(read_frames(tmp_path / "vfr.mp4", width=96, height=64))) == pytest.approx(150, abs=1)
