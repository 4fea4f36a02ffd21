"""``fit --minutes``: a plan before anything is done, another one before training, both kept in the fit's folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch

from gaussavatar.capture.store import load_capture
from gaussavatar.errors import UserError
from gaussavatar.fitting.pace import expected_pace, measured_pace, small_scene_seconds
from gaussavatar.fitting.plan import SIZES, ClipFacts, Plan, first_plan, fitted_into
from gaussavatar.fitting.preparation import Job, preparation_stages
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.stages import run_stages, stage_done, stage_keys
from gaussavatar.media.probe import probe
from gaussavatar.progress import Progress
from gaussavatar.storage import content_key, file_key, read_json, write_json
from gaussavatar.types import VIDEO_FPS

HOPELESS = 0.12
"""Least share of the steps once a clip is prepared: what that took is not thrown away, however long it was."""

Clock = Callable[[], float]
"""Seconds since some moment."""


@dataclass(frozen=True)
class Kept:
    """What a folder keeps of a plan: for what it was made, and the overrides that it came to."""

    key: str
    minutes: float
    sizes: tuple[str, ...]
    """Settled before anything was done."""
    lengths: tuple[str, ...] | None = None
    """Settled once the clip was prepared and its steps were timed; None until then."""
    expected: dict[str, float] | None = None
    """Seconds by part, of the last plan."""


def read_plan(path: Path) -> Kept | None:
    """The plan that a folder keeps; None without one.

    Raises:
        UserError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        return msgspec.convert(read_json(path), Kept)
    except msgspec.ValidationError as error:
        raise UserError(f"a plan in {path}", f"a damaged one ({error})", "delete it and run again") from error


def within_minutes(job: Job, device: torch.device, progress: Progress, clock: Clock = time.monotonic) -> Job:
    """The job with the recipe that fits into the request's minutes; the clip is prepared on the way.

    A folder's plan is kept: a fit that goes on, on whatever machine, has the schedule that it began with. Another
    number of minutes, another recipe or another clip makes another plan.

    Raises:
        UserError: so few minutes are not enough for this clip on this machine.
    """
    request, path = job.request, job.layout.plan
    assert request.minutes is not None
    began, seconds = clock(), 60 * request.minutes
    key = content_key("plan 1", request.minutes, msgspec.to_builtins(job.config), file_key(request.video))
    kept = read_plan(path)
    if kept is None or kept.key != key:
        plan = _first(job, seconds)
        progress.say(f"plan for {request.minutes:g} minutes: {plan.told(request.recipe)}")
        kept = Kept(key, request.minutes, plan.sizes, None, plan.costs)
        write_json(path, msgspec.to_builtins(kept))
    planned = with_overrides(job, kept.sizes)
    if kept.lengths is None:
        run_stages(preparation_stages(planned), planned.capture.manifest, progress)
        plan = _final(planned, device, lambda: seconds - (clock() - began))
        progress.say(f"planned anew, for what is left: {plan.told(request.recipe)}")
        kept = replace(kept, lengths=plan.lengths, expected=plan.costs)
        write_json(path, msgspec.to_builtins(kept))
    assert kept.lengths is not None
    planned = with_overrides(planned, kept.lengths)
    changes = f" --set {' '.join(planned.request.overrides)}" if planned.request.overrides else ""
    progress.say(f"the same without a clock: --recipe {request.recipe}{changes}")
    return planned


def with_overrides(job: Job, changes: tuple[str, ...]) -> Job:
    """The job with further changes of its recipe."""
    request = replace(job.request, overrides=(*job.request.overrides, *changes))
    return replace(job, request=request, config=load_recipe(request.recipe, request.overrides))


def _first(job: Job, seconds: float) -> Plan:
    info, config = probe(job.request.video), job.config
    clip = ClipFacts(
        round(info.seconds * VIDEO_FPS), info.width * info.height / (1920 * 1080), config.training.held_out
    )
    unit = small_scene_seconds()
    sizes = {config.image_size, *(size for size in SIZES if size < config.image_size)}
    done = [size for size in sizes if _is_prepared(with_overrides(job, (f"image_size={size}",)))]
    return first_plan(seconds, config, clip, {size: expected_pace(size, unit) for size in sizes}, done)


def _is_prepared(job: Job) -> bool:
    stages = preparation_stages(job)
    keys = stage_keys(stages)
    return all(stage_done(job.capture.manifest, name, key) for name, key in keys.items())


def _final(job: Job, device: torch.device, left: Clock) -> Plan:
    """As many steps as the time that is left has room for, by what the clip's own steps take."""
    config, capture = job.config, load_capture(job.capture.folder)
    pace = measured_pace(job, device, expected_pace(config.image_size, small_scene_seconds()))
    clip = ClipFacts(capture.n_frames, 0.0, config.training.held_out)
    return fitted_into(left(), config, clip, pace, prepared=True, least=HOPELESS)
