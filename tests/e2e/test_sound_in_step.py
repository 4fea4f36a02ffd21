"""Clips whose sound was recorded early or late: `fit` finds by how much, and the avatar is free of it."""

from __future__ import annotations

import filecmp
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaussavatar.audio.features.mel_bands import log_mel
from gaussavatar.audio.offset import EARLY_MS, LATE_MS, estimate_av_offset
from gaussavatar.avatar.load import load_avatar
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.capture.store import load_capture
from gaussavatar.capture.video import shift_sound
from gaussavatar.fitting.fit import fit
from gaussavatar.fitting.preparation import Job, preparation_stages
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import run_stages
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import QuietProgress
from gaussavatar.quality.alignment import SoundRecord, align_sound, load_sound_record
from gaussavatar.quality.records import load_quality
from gaussavatar.storage import read_json
from gaussavatar.synthetic.actor import make_actor_clip
from gaussavatar.synthetic.voice import make_voice_sentence
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout

pytestmark = pytest.mark.slow
"""Draws a clip of 16 seconds, captures it three times and fits it once with hardly any training: a minute."""

SECONDS, SIZE, SEED = 16.0, 256, 3
TINY = Path(__file__).with_name("tiny.yaml")
SHORT = ("training.stages.static.iterations=2", "training.stages.motion.iterations=2",
         "training.stages.joint.iterations=2", "torso.enabled=false", "training.backing=0")  # fmt: skip


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_actor_clip(tmp_path_factory.mktemp("clip"), SECONDS, SEED, SIZE).video


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
    request = FitRequest(video, out, str(TINY), SHORT)
    job = Job(request, load_recipe(request.recipe, request.overrides), FitLayout(out), QuietProgress())
    out.mkdir()
    run_stages(preparation_stages(job)[:1], job.capture.manifest, job.progress)
    assert filecmp.cmp(job.capture.frames, tracked.frames, shallow=False)
    capture = load_capture(job.capture.folder)
    return align_sound(capture, load_motion(tracked.motion), load_tracking(tracked.tracking))


@dataclass(frozen=True)
class Fitted:
    """A fit of the clip with its sound 160 ms early, and what was said meanwhile."""

    layout: FitLayout
    told: list[str]


@pytest.fixture(scope="module")
def early(actor: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp("early")
    told: list[str] = []
    progress = QuietProgress()
    progress.say = told.append  # type: ignore[method-assign]
    fit(FitRequest(recorded(actor, folder, -160), folder / "avatar", str(TINY), SHORT), progress)
    return Fitted(FitLayout(folder / "avatar"), told)


@pytest.fixture(scope="module")
def own(actor: Path, early: Fitted, tmp_path_factory: pytest.TempPathFactory) -> float:
    """What is found on the clip as it is, ms."""
    folder = tmp_path_factory.mktemp("own")
    record = placed(recorded(actor, folder, 0), folder / "avatar", early.layout.capture)
    assert record.found is not None and record.found.sure and record.moved_ms == 0
    return record.found.milliseconds


def check_found(record: SoundRecord, own: float, late_ms: int) -> None:
    assert record.found is not None
    assert record.found.milliseconds == pytest.approx(own + late_ms, abs=20)
    assert not -EARLY_MS < record.found.milliseconds < LATE_MS and record.moved_ms == record.found.milliseconds


def test_sound_that_comes_late_is_moved(actor: Path, early: Fitted, own: float, tmp_path: Path) -> None:
    check_found(placed(recorded(actor, tmp_path, 100), tmp_path / "avatar", early.layout.capture), own, 100)


def test_an_avatar_is_free_of_sound_that_came_early(early: Fitted, own: float, tmp_path: Path) -> None:
    layout = early.layout.capture
    record = load_sound_record(layout.folder)
    check_found(record, own, -160)
    assert any(line.startswith("sound: it came") and "moved into step" in line for line in early.told)
    quality = load_quality(layout.folder)
    assert quality.figures["av_offset_moved_ms"] == pytest.approx(record.moved_ms, abs=0.001)
    assert any("was moved into step" in finding.found for finding in quality.findings)
    assert "moved into step" in layout.quality_page.read_text()
    assert "sound" in read_json(layout.manifest)
    lag = lag_under_another_voice(early.layout.folder, tmp_path)
    assert lag == pytest.approx(quality.figures["av_offset_ms"], abs=20)
