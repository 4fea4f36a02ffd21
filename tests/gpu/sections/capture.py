"""A recipe on a prepared capture folder: trained whole, written as an avatar, opened, played, judged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from runner import Options, Report, Skip
from sections.common import place, recipe
from sections.speed import frames_per_second
from sections.training import SELDOM, Notes, shortened

from gaussavatar.avatar import load
from gaussavatar.avatar.folder import WEIGHTS
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.evaluate import held_out
from gaussavatar.evaluate.evaluate import picture_figures
from gaussavatar.evaluate.held_out import HeldOut, drives, open_held_out, render_held_out
from gaussavatar.fitting import training as fitted
from gaussavatar.fitting.preparation import Job, preparation_stages
from gaussavatar.fitting.recipe import FitConfig
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.stages import stage_keys
from gaussavatar.fitting.training import training_stages
from gaussavatar.media.images import write_image
from gaussavatar.media.process import find_ffmpeg
from gaussavatar.native.threads import frame_parallel
from gaussavatar.training import publish
from gaussavatar.training.layout import FitLayout
from gaussavatar.types import Waveform

JUDGED = 80
"""Held-out frames that are rendered, at most."""
WHOLE = 0.5
"""Scale from which on the passes that refine poses are done: on a few cores they take longer than what is trained."""


def check(report: Report, options: Options, name: str) -> None:
    """Train, write, open again, render held-out frames, and measure."""
    device = place(options)
    if options.capture is None:
        raise Skip("no --capture folder")
    layout = FitLayout(options.work / f"avatar-{name}")
    layout.folder.mkdir()
    layout.capture.folder.symlink_to(options.capture)
    started = time.monotonic()
    with frame_parallel(), _with_or_without_ffmpeg(report):
        _fit(layout, _config(options, layout.capture, name), device, report)
        report.note("fit", seconds=time.monotonic() - started)
        held = open_held_out(layout.folder, "cuda" if device.type == "cuda" else "cpu")
        _judge(report, options, held, device, name)
    megabytes = (layout.folder / WEIGHTS).stat().st_size / 1e6
    report.note("avatar", megabytes=megabytes, face=len(held.avatar.model.face.gaussians))


@contextmanager
def _with_or_without_ffmpeg(report: Report) -> Iterator[None]:
    """Where there is no ffmpeg: the sound, a wav, is read by soundfile, and the avatar's videos stay empty."""
    try:
        report.note("videos", ffmpeg=find_ffmpeg())
    except UserError:
        report.note("videos", ffmpeg=None, written="empty ones")
        with ExitStack() as stack:
            for module in (fitted, held_out):
                stack.enter_context(patch.object(module, "read_audio", _read_wav))
            stack.enter_context(patch.object(load, "check_video", lambda *_: None))
            stack.enter_context(patch.object(publish, "write_video", _write_nothing))
            yield
    else:
        yield


def _read_wav(path: Path) -> Waveform:
    import soundfile

    samples, rate = soundfile.read(path, dtype="float32")
    return Waveform(samples, rate)


def _write_nothing(path: Path, *_: Any, **__: Any) -> None:
    path.write_bytes(b"")


def _config(options: Options, capture: CaptureLayout, name: str) -> FitConfig:
    """The recipe at the size of the capture's masks; below :data:`WHOLE` without the pose passes."""
    sizes = [int(folder.name.split("_")[1]) for folder in capture.folder.glob("segmentation_*")]
    if not sizes:
        raise UserError(f"a prepared capture in {options.capture}", "no masks in it", "make it with gaussavatar track")
    config = recipe(name, replace(options, small=False), f"image_size={max(sizes)}", *_counts(options))
    if options.scale == 1:
        return replace(config, progress=SELDOM)
    short = shortened(config, options.scale, 2, poses=options.scale >= WHOLE)
    heard = config.audio
    steps, fold_steps = (max(20, round(steps * options.scale)) for steps in (heard.steps, heard.fold_steps))
    audio = replace(heard, steps=steps, fold_steps=fold_steps)
    return replace(short, audio=audio, training=replace(short.training, backing=config.training.backing))


def _counts(options: Options) -> tuple[str, ...]:
    small = ("model.face.count=1000", "model.mouth.count=200", "training.backing=100")
    return small if options.small else ()


def _fit(layout: FitLayout, config: FitConfig, device: torch.device, report: Report) -> None:
    """The stages of a fit from ``training`` to the avatar's record; what comes before is in the capture folder."""
    job = Job(FitRequest(video=Path("capture.mp4"), subject="-", consent="-"), config, layout, Notes(report))
    prepared = preparation_stages(job)
    stages = training_stages(job, device, prepared)
    keys = stage_keys((*prepared, *stages))
    for stage in stages:
        # The figures of an evaluation need a face detector, which is not needed for training.
        if stage.name != "evaluation":
            started = time.monotonic()
            stage.work(keys[stage.name])
            report.note(f"stage {stage.name}", seconds=time.monotonic() - started)


def _judge(report: Report, options: Options, held: HeldOut, device: torch.device, name: str) -> None:
    """PSNR and SSIM of held-out frames rendered on the device, and frames per second; no face detector is needed."""
    model = held.avatar.model
    held = replace(held, indices=held.indices[:: max(1, len(held.indices) // (4 if options.small else JUDGED))])
    rows = held.indices.tolist()
    real, masks, boxes = held.clip.frames.read_batch(rows), held.clip.masks.read_batch(rows), held.clip.boxes[rows]
    for way in ("audio", "oracle", "static"):
        images = render_held_out(held, *drives(held)[way])
        found = picture_figures(images, real, masks, boxes)
        report.note(way, **found)
        report.expect(bool(np.isfinite(list(found.values())).all()), f"figures of {way} are not numbers")
        if way == "audio":
            shown = np.linspace(0, len(images) - 1, 4).astype(int)
            pairs = [np.concatenate(list(stack[shown]), axis=1) for stack in (real, images)]
            write_image(options.out / f"capture-{name}.png", np.concatenate(pairs))
    for size in (256, 512):
        for batch in (1, 4):
            rate = frames_per_second(model, device, size, batch, 2 if options.small else 60)
            report.note(f"plays {size} px x{batch}", per_second=rate)
