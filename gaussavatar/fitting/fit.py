"""``fit`` and ``track`` from end to end: which stages there are, and what they leave on disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gaussavatar.audio.blend import heard_together
from gaussavatar.audio.features.beside import check_beside
from gaussavatar.audio.features.registry import BEST, best_features, feature_facts, open_features
from gaussavatar.errors import UserError
from gaussavatar.fitting.ownership import settled, write_owner
from gaussavatar.fitting.preparation import Job, preparation_stages, told_quality
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest, FitResult, check_request
from gaussavatar.fitting.stages import Stage, peak_memory_mib, run_stages
from gaussavatar.fitting.timed import within_minutes
from gaussavatar.fitting.training import training_stages
from gaussavatar.locks import locked_elsewhere
from gaussavatar.media.probe import probe, require_video
from gaussavatar.media.sound_file import require_speech
from gaussavatar.native.blas import steady_sums
from gaussavatar.native.threads import frame_parallel
from gaussavatar.progress import Progress
from gaussavatar.render.device import choose_device
from gaussavatar.storage import explain_os_error, read_json
from gaussavatar.training.layout import FitLayout
from gaussavatar.training.loss_network import perceptual_net


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two fits never write into one folder.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = FitLayout(folder).lock.open("w")
    except OSError as error:
        raise explain_os_error(error, folder) from error
    with file:
        if locked_elsewhere(file.fileno()):
            raise UserError(f"{folder} to be free", "another gaussavatar at work in it", "wait, or use --out")
        yield


def track(request: FitRequest, progress: Progress) -> Path:
    """Preprocess a video and stop; sound is not needed.

    Returns:
        The capture folder.

    Raises:
        UserError: whatever is wrong with the video or the request.
    """
    job = _job(request, "tracks", progress)
    with only_writer(job.layout.folder), frame_parallel(), steady_sums():
        write_owner(job.request, job.layout)
        run_stages(preparation_stages(job), job.capture.manifest, progress)
    return job.capture.folder


def fit(request: FitRequest, progress: Progress) -> FitResult:
    """Fit an avatar to a video; goes on where a former call with the same inputs stopped.

    Raises:
        UserError: whatever the user can mend, before the hours are spent.
    """
    job = _job(request, "avatars", progress)
    open_features(heard_together(job.config.audio.features, job.config.audio.light))
    _say_what_is_missing(job)
    device = choose_device(request.device)
    perceptual_net(job.config.training)
    require_speech(request.video)
    check_beside(job.config.audio.features, request.video)
    with only_writer(job.layout.folder), frame_parallel(), steady_sums():
        write_owner(job.request, job.layout)
        if request.minutes is not None:
            job = within_minutes(job, device, progress)
        run_stages(fit_stages(job, device), job.capture.manifest, progress)
    progress.say(_took(read_json(job.capture.manifest)))
    return FitResult(job.layout.folder, read_json(job.layout.metrics), job.layout.page)


def _took(manifest: dict[str, Any]) -> str:
    """What all stages took, those of earlier runs with them; stages of older versions did not count the processor."""
    minutes = sum(entry["seconds"] for entry in manifest.values()) / 60
    used = [entry["cpu_seconds"] for entry in manifest.values() if "cpu_seconds" in entry]
    cpu = f", {sum(used):.0f} seconds of CPU" if len(used) == len(manifest) else ""
    return f"all stages: {minutes:.1f} minutes{cpu}, peak memory {peak_memory_mib()} MiB"


def _say_what_is_missing(job: Job) -> None:
    """Lips that could hear more are said before the hours are spent."""
    if job.config.audio.features == best_features() != BEST:
        lacking = [feature_facts(name) for name in BEST if name not in best_features()]
        names, how = (", ".join(words) for words in zip(*((one.names[0], one.install) for one in lacking), strict=True))
        job.progress.say(f"lips would follow the sound better with {names}: {how}")


def fit_stages(job: Job, device: torch.device) -> tuple[Stage, ...]:
    """All of a fit in its order. What the clip is good for is said before the hours are spent."""
    prepared = [
        replace(stage, tell=lambda: told_quality(job.capture)) if stage.name == "quality" else stage
        for stage in preparation_stages(job)
    ]
    return (*prepared, *training_stages(job, device, prepared))


def _job(request: FitRequest, base: str, progress: Progress) -> Job:
    check_request(request)
    config = load_recipe(request.recipe, request.overrides)
    require_video(probe(request.video))
    request = settled(request, base, progress)
    assert request.out is not None
    return Job(request, config, FitLayout(request.out), progress)
