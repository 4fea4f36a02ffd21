"""The demo: an actor who does not exist is filmed, fitted, and speaks a sentence that the avatar never heard."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussavatar.errors import UserError
from gaussavatar.fitting.fit import fit
from gaussavatar.fitting.request import FitRequest
from gaussavatar.progress import Progress
from gaussavatar.speak.offline import speak
from gaussavatar.synthetic.actor import load_truth, make_actor_clip
from gaussavatar.synthetic.voice import make_voice_sentence

CLIP_SECONDS = 26.0
CLIP_SIZE = 320
"""Side of the clip in pixels; the recipe trains at 256."""

ACTOR_SEED, SENTENCE_SEED = 0, 1000
SENTENCE_SECONDS = 8.0

ENGLISH = "Hello. I am made of small coloured clouds, and nobody ever recorded this sentence."
"""What espeak-ng says, where it is installed."""


@dataclass(frozen=True)
class DemoResult:
    """Where the demo left everything. ``english`` is the second video, where espeak-ng is installed."""

    clip: Path
    avatar: Path
    report: Path
    video: Path
    english: Path | None
    metrics: dict[str, Any]


def run_demo(out: Path, progress: Progress) -> DemoResult:
    """Make the clip, fit it with the recipe ``demo``, and let the avatar speak; continues where it stopped.

    Raises:
        UserError: ``out`` cannot be written, or something that the main road needs is missing.
    """
    clip = _clip(out / "clip", progress)
    who, consent = "the demo's actor, who does not exist", "not needed"
    # The actor of another version is another video of nobody.
    request = FitRequest(clip, out / "avatar", "demo", subject=who, consent=consent, replace=True)
    fitted = fit(request, progress)
    sentence = out / "sentence.wav"
    make_voice_sentence(sentence, SENTENCE_SEED, SENTENCE_SECONDS)
    video = speak(sentence, fitted.avatar, out / "talk.mp4", progress)
    english = _say_english(out / "english.wav")
    if english is not None:
        english = speak(english, fitted.avatar, out / "english.mp4", progress)
    return DemoResult(clip, fitted.avatar, fitted.report, video, english, fitted.metrics)


def _clip(folder: Path, progress: Progress) -> Path:
    """The actor's clip, made unless a whole one is there."""
    try:
        truth = load_truth(folder / "truth.safetensors")
        if truth.video.is_file() and truth.size == CLIP_SIZE and len(truth.aperture) == round(CLIP_SECONDS * truth.fps):
            progress.say("actor: kept from before")
            return truth.video
    except UserError:
        # No clip yet, or one that was cut short: it is made again.
        pass
    return make_actor_clip(folder, CLIP_SECONDS, ACTOR_SEED, CLIP_SIZE, progress=progress).video


def _say_english(path: Path) -> Path | None:
    """Let espeak-ng say a sentence in another voice; None where it is not installed."""
    engine = shutil.which("espeak-ng")
    if engine is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([engine, "-v", "en", "-w", str(path), ENGLISH], capture_output=True, check=False)
    return path if done.returncode == 0 else None
