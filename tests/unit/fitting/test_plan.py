"""A plan for a given time fits into it, is monotone, refuses what cannot be, and is overrides that a recipe reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gaussavatar.errors import UserError
from gaussavatar.fitting import timed
from gaussavatar.fitting.pace import expected_pace
from gaussavatar.fitting.plan import (
    FINISHING,
    HEARING,
    KEPT_BACK,
    LEAST,
    PREPARING,
    ClipFacts,
    costs_of,
    first_plan,
    fitted_into,
)
from gaussavatar.fitting.preparation import Job
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest, check_request
from gaussavatar.progress import QuietProgress
from gaussavatar.training.layout import FitLayout

CLIP = ClipFacts(frames=1500, sources=1.0, held_out=1 / 11)
PACES = {size: expected_pace(size, 0.03) for size in (256, 384, 512)}
DEFAULT = load_recipe("default")


def test_all_of_a_recipe_fits_into_much_time_and_less_into_less() -> None:
    much = first_plan(1e6, DEFAULT, CLIP, PACES)
    assert much.share == 1 and much.size == 512 and not much.sizes and not much.lengths
    assert much.costs == costs_of(DEFAULT, CLIP, PACES[512])
    shares = []
    for part in (0.9, 0.7, 0.5):
        plan = first_plan(part * much.seconds, DEFAULT, CLIP, PACES)
        assert plan.seconds <= part * much.seconds
        assert load_recipe("default", (*plan.sizes, *plan.lengths)).image_size == plan.size
        shares.append((plan.size, plan.share))
    assert shares == sorted(shares, reverse=True)


def test_overrides_are_what_the_plan_was_costed_for() -> None:
    whole = costs_of(DEFAULT, CLIP, PACES[512])
    plan = fitted_into(0.8 * sum(whole.values()), DEFAULT, CLIP, PACES[512])
    read = load_recipe("default", plan.lengths)
    assert costs_of(read, CLIP, PACES[512]) == plan.costs
    assert [stage.rates for stage in read.training.stages] == [stage.rates for stage in DEFAULT.training.stages]


def test_a_smaller_picture_has_gaussians_by_its_area() -> None:
    least = sum(fitted_into(0, DEFAULT, CLIP, PACES[512], least=0.3).costs.values())
    plan = first_plan(least, DEFAULT, CLIP, PACES)
    read = load_recipe("default", plan.sizes)
    assert plan.size < 512 and plan.share > 0.3
    assert read.model.face.count == round(DEFAULT.model.face.count * (plan.size / 512) ** 2)


def test_long_clips_look_at_every_so_many_th_pose() -> None:
    long = replace(CLIP, frames=15_000)
    whole = costs_of(DEFAULT, long, PACES[512])
    fixed = sum(whole[name] for name in (PREPARING, HEARING, FINISHING))
    steps = sum(whole[stage.name] for stage in DEFAULT.training.stages if stage.kind == "fit")
    poses = sum(whole[stage.name] for stage in DEFAULT.training.stages if stage.kind == "poses")
    plan = fitted_into((fixed + steps + 0.8 * poses) / (1 - KEPT_BACK), DEFAULT, long, PACES[512])
    read = load_recipe("default", plan.lengths)
    assert all(stage.every > 5 for stage in read.training.stages if stage.kind == "poses")
    assert plan.share == 1


def test_too_little_time_is_refused_with_what_would_do() -> None:
    with pytest.raises(UserError, match=r"at least .* minutes for this clip") as refused:
        first_plan(10, DEFAULT, CLIP, PACES)
    minutes = float(refused.value.expected.split()[2])
    assert first_plan(60 * minutes, DEFAULT, CLIP, PACES).share >= LEAST
    with pytest.raises(UserError, match="at least"):
        first_plan(60 * minutes * 0.8, DEFAULT, CLIP, PACES)
    for wrong in (0.0, -3.0, float("nan"), 1e9):
        with pytest.raises(UserError, match="minutes from 0"):
            check_request(FitRequest(Path("clip.mp4"), minutes=wrong))


def test_a_plan_is_made_anew_for_what_is_left_and_then_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(b"film")
    request = FitRequest(video, tmp_path / "out", minutes=30.0)
    job = Job(request, DEFAULT, FitLayout(tmp_path / "out"), QuietProgress())
    now, pace = [0.0], PACES[512]
    monkeypatch.setattr(timed, "_first", lambda job, seconds: fitted_into(seconds, job.config, CLIP, pace))
    monkeypatch.setattr(timed, "preparation_stages", lambda job: ())
    # Preparing takes half of the thirty minutes; then a step takes what a step takes.
    monkeypatch.setattr(timed, "run_stages", lambda *_: now.__setitem__(0, now[0] + 900))
    plans = lambda job, device, left: fitted_into(left(), job.config, CLIP, pace, prepared=True, least=timed.HOPELESS)  # noqa: E731
    monkeypatch.setattr(timed, "_final", plans)

    def planned(one: Job) -> Job:
        return timed.within_minutes(one, torch.device("cpu"), one.progress, lambda: now[0])

    first = planned(job)
    kept = json.loads(job.layout.plan.read_text())
    assert sum(kept["expected"].values()) <= 900 and first.request.overrides == tuple(kept["lengths"])
    now[0] += 5000
    assert planned(job) == first and json.loads(job.layout.plan.read_text()) == kept
    assert planned(replace(job, request=replace(request, minutes=20.0))).config != first.config
    job.layout.plan.write_text("{}")
    with pytest.raises(UserError, match="a damaged one"):
        planned(job)
