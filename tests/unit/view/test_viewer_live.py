"""Following a fit: a tiny real training in a temporary folder, its checkpoints, and its end."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig, Voice
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.mel import MEL
from gaussavatar.errors import UserError
from gaussavatar.media.images import write_image
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.progress import QuietProgress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.serving.address import free_port
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.training.config import DensifyConfig, ProgressConfig, StageConfig, TrainingConfig
from gaussavatar.training.live import NAME as DESCRIPTION
from gaussavatar.training.live import write_description
from gaussavatar.training.loop import Run, train
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.preview import TORSO_NAME
from gaussavatar.training.start.build import build_model
from gaussavatar.view.live import FitFollower, FitWatch, find_fit, first_state, last_line
from gaussavatar.view.server import READ_OUT_EVERY, Viewer

from ..training.conftest import make_tiny_clip
from .seen import filmed, orbit

GROWING = DensifyConfig(every=2, start=2, grow_face=1e-4, grow_mouth=1e-4, prune_background=False, background_views=2)
STAGES = (
    StageConfig("static", 4, train=("face", "mouth")),
    StageConfig("motion", 6, train=("face", "mouth", "face_motion", "mouth_motion"), densify=GROWING),
)


@pytest.fixture
def fit(tmp_path: Path):
    """A folder in which ``fit(stages)`` trains as far as these stages go."""
    folder = tmp_path / "someone"
    clip = make_tiny_clip(folder / "capture" / "segmentation_64")

    def go_on(stages: tuple[StageConfig, ...]) -> Path:
        torch.manual_seed(0)
        mel = np.random.default_rng(0).normal(-6, 2, (len(clip) * 4, 40)).astype(np.float32)
        config = ModelConfig(face=BranchConfig(count=500), mouth=BranchConfig(count=80))
        run = Run(
            model=build_model(clip, config, 0),
            encoder=AudioEncoder(EncoderConfig(n_codes=2, hidden=8, members=1)),
            audio=AudioBatcher(MEL, [Voice(mel, mel[None, :80])], BatchConfig(plain_versions=3), 0),
            clip=clip,
            closed=torch.zeros(2),
            marks=face_marks(clip.tracking.shape),
            rasterizer=get_rasterizer("cpu"),
            folder=folder / "train",
            seed=0,
            key="k",
            intervals=ProgressConfig(checkpoint_every=2, preview_every=2),
        )
        run.folder.mkdir(exist_ok=True)
        near = "capture/segmentation_64"
        write_description(run, STAGES, f"{near}/under.u8", f"{near}/plate.png")
        training = TrainingConfig(stages=stages)
        train(run, training, lambda stage, model, current, report: current, QuietProgress())
        return folder

    return go_on


def test_a_follower_shows_every_new_state_and_the_finished_avatar(fit, toy_avatar: Path) -> None:  # noqa: ANN001
    folder = fit(STAGES[:1])
    follower = FitFollower(folder)
    first = first_state(follower)
    assert len(first.model.face.gaussians) == 500 and "stage 1 of 2: **static**" in follower.status
    picture = follower.picture()
    assert picture is not None and picture.shape == (128, 256, 3)
    assert follower.newest() is None and follower.picture() is None, "nothing new"
    write_image(folder / "train" / TORSO_NAME, picture[:30])
    shown = follower.picture()
    assert shown is not None and np.array_equal(shown, picture[:30]), "the torso's is newer"
    assert follower.picture() is None
    fit(STAGES)
    second = follower.newest()
    assert second is not None and len(second.model.face.gaussians) != 500, "the branch has grown"
    assert "stage 2 of 2: **motion**" in follower.status
    under = second.under_frames(folder)
    assert under.read(0).shape == (64, 64, 3)
    # The end of the fit: the avatar's files appear.
    for path in toy_avatar.iterdir():
        shutil.copyfile(path, folder / path.name)
    finished = follower.newest()
    assert finished is not None and finished.size == 96 and "finished" in follower.status


def test_half_written_files_keep_the_state_that_is_shown(fit) -> None:  # noqa: ANN001
    folder = fit(STAGES[:1])
    follower = FitFollower(folder)
    assert first_state(follower) is not None
    whole = {path: path.read_bytes() for path in (folder / "train").iterdir() if path.is_file()}
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2])
    (folder / "train" / "checkpoint.previous.safetensors").unlink()
    assert follower.newest() is None
    for path, data in whole.items():
        path.write_bytes(data)
    assert follower.newest() is not None


def test_a_checkpoint_of_another_run_is_not_shown(fit) -> None:  # noqa: ANN001
    folder = fit(STAGES[:1])
    description = folder / "train" / DESCRIPTION
    arrays, metadata = read_arrays(description)
    write_arrays(description, arrays, {"description": metadata["description"].replace('"key":"k"', '"key":"another"')})
    assert FitFollower(folder).newest() is None
    write_arrays(description, arrays, metadata)
    assert FitFollower(folder).newest() is not None


def test_the_page_goes_over_to_the_new_state(fit) -> None:  # noqa: ANN001
    folder = fit(STAGES[:1])
    follower = FitFollower(folder)
    watch = FitWatch(follower)
    viewer = Viewer(first_state(follower), None, "127.0.0.1", free_port("127.0.0.1", 8290), watch=watch)
    try:
        before = orbit(viewer, distance=0.4)
        assert filmed(viewer, 1.0).shape == (64, 64, 3)
        viewer.panels["face"].opening.value = 0.5
        fit(STAGES)
        watch.look()
        time.sleep(READ_OUT_EVERY)
        viewer.step()
        assert not np.array_equal(orbit(viewer, distance=0.4), before)
        assert viewer.panels["face"].opening.value == 0.5, "the controls stay"
        shown = viewer.panels["training"]
        assert "motion" in shown.text.content and shown.picture is not None
        stop = threading.Event()
        stop.set()
        watch.follow(stop)
    finally:
        viewer.stop()


def test_nothing_to_follow_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        FitFollower(tmp_path / "nobody")
    (tmp_path / "photos").mkdir()
    with pytest.raises(UserError, match="neither a fit nor an avatar"):
        FitFollower(tmp_path / "photos")
    (tmp_path / "photos" / "capture").mkdir()
    with pytest.raises(UserError, match="does not train yet"):
        FitFollower(tmp_path / "photos")
    with pytest.raises(UserError, match="a fit below"):
        find_fit(None, tmp_path)


def test_the_last_whole_line_is_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"stage": "a", "step": 0}\n{"stage": "a", "step": 50}\n{"stage": "a", "st')
    assert last_line(path) == {"stage": "a", "step": 50}
    assert last_line(tmp_path / "absent") is None
