"""What training leaves to look at: metrics.jsonl, TensorBoard's events, the preview picture."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.media.images import read_image
from gaussavatar.progress import QuietProgress, TerminalProgress
from gaussavatar.training.checkpoint import Position
from gaussavatar.training.config import ProgressConfig, StageConfig, TrainingConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.log import TrainingLog, forget_later_lines
from gaussavatar.training.loop import train
from gaussavatar.training.preview import preview_frames

from .tiny_runs import keep_poses, make_run

STAGES = (StageConfig("static", 60, train=("face", "mouth")), StageConfig("motion", 4))


@pytest.fixture(scope="module")
def trained(tiny_clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    intervals = ProgressConfig(preview_every=30)
    run = replace(make_run(tiny_clip, tmp_path_factory.mktemp("trained")), intervals=intervals)
    train(run, TrainingConfig(stages=STAGES), keep_poses, QuietProgress())
    return run.folder


def test_a_line_holds_losses_gradients_rates_speed_and_counts(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [(line["number"], line["step"]) for line in lines] == [(0, 0), (0, 50), (1, 0)]
    assert lines[1]["photometric"] < lines[0]["photometric"]
    assert lines[1]["gradient"]["face:means"] > 0 and lines[1]["rate"]["face:means"] == 6e-5
    assert "audio:audio" not in lines[0]["rate"] and "audio:audio" in lines[2]["rate"]
    assert lines[1]["steps_per_second"] > 0 and lines[1]["gaussians"] == {"face": 600, "mouth": 100}


def test_the_preview_shows_training_frames_over_what_is_rendered(trained: Path, tiny_clip: Clip) -> None:
    picture = read_image(trained / "preview.png")
    frames = preview_frames(tiny_clip)
    assert picture.shape == (128, 256, 3) and max(frames) < tiny_clip.n_train
    real = np.concatenate([tiny_clip.frames.read(index) for index in frames], axis=1)
    assert np.array_equal(picture[:64], real)
    error = np.abs(picture[64:].astype(float) - real).mean()
    assert 0 < error < 25, "a head is there"


def test_without_tensorboard_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    progress, said = QuietProgress(), []
    progress.say = said.append  # type: ignore[method-assign]
    TrainingLog(tmp_path, STAGES, Position(0, 0), progress).close()
    assert len(said) == 1 and "pip install 'gaussavatar[eval]'" in said[0]
    assert not (tmp_path / "events").exists()


def test_events_hold_the_figures_and_the_picture(trained: Path) -> None:
    pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed", exc_type=ImportError)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trained / "events"))
    events.Reload()
    assert {"photometric", "gradient/face:means", "gaussians/face"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("photometric")] == [0, 50, 60]
    assert events.Tags()["images"] == ["preview"]


def test_lines_of_a_killed_run_and_of_nobody_are_dropped(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    kept = '{"stage": "static", "number": 0, "step": 50, "photometric": 1}\n'
    log.write_text(kept + "null\n[1]\n{}\nnonsense\n" + '{"stage": "motion", "number": 1, "step": 0}\n{"sta')
    forget_later_lines(log, STAGES, Position(1, 0))
    assert log.read_text() == kept


def test_the_terminal_shows_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    TerminalProgress().say("pip install 'gaussavatar[eval]'")
    assert capsys.readouterr().err == "pip install 'gaussavatar[eval]'\n"
