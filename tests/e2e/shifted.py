"""A clip whose sound was recorded early or late, and what is found of it."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import estimate_av_offset
from gaussavatar.avatar.load import load_avatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.capture.video import shift_sound
from gaussavatar.fitting.preparation import Job, preparation_stages
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import run_stages
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import QuietProgress
from gaussavatar.quality.alignment import SoundRecord, align_sound
from gaussavatar.synthetic.voice import make_voice_sentence
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout

RECIPE = Path(__file__).with_name("tiny.yaml")


def recorded(actor: Path, folder: Path, late_ms: int) -> Path:
    """The clip with its sound so much later; the pictures are the same."""
    sound, video = folder / "moved.wav", folder / f"late{late_ms}.mov"
    heard = read_audio(actor)
    soundfile.write(sound, shift_sound(heard.samples, -late_ms), heard.rate)
    streams = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "pcm_s16le"]
    command = [find_ffmpeg(), "-v", "error", "-i", str(actor), "-i", str(sound), *streams, str(video)]
    subprocess.run(command, check=True)
    return video


def lag_under_another_voice(avatar: Path, folder: Path) -> float:
    """How much later than the avatar's lips a voice comes that it never heard, ms."""
    make_voice_sentence(folder / "sentence.wav", 1000, 12.0)
    voice = read_audio(folder / "sentence.wav")
    codes = load_avatar(avatar).codes_for_audio(voice)
    motion = load_motion(FitLayout(avatar).capture.motion)
    known = np.pad(motion.mouth_codes, ((0, 0), (0, 1)), constant_values=1.0)
    weights = np.linalg.lstsq(known, motion.aperture, rcond=None)[0]
    opening = np.pad(codes, ((0, 0), (0, 1)), constant_values=1.0) @ weights
    found = estimate_av_offset(log_mel(voice), opening.astype(np.float32))
    assert found is not None and found.trusted
    return found.milliseconds


def placed(video: Path, out: Path, tracked: CaptureLayout) -> SoundRecord:
    """What is found of a video's sound, and done to it, with the motion that was ``tracked`` in the same pictures."""
    request = FitRequest(video, out, str(RECIPE))
    job = Job(request, load_recipe(request.recipe, request.overrides), FitLayout(out), QuietProgress())
    out.mkdir()
    run_stages(preparation_stages(job)[:1], job.capture.manifest, job.progress)
    assert filecmp.cmp(job.capture.frames, tracked.frames, shallow=False)
    capture = load_capture(job.capture.folder)
    return align_sound(capture, load_motion(tracked.motion), load_tracking(tracked.tracking))
