"""Runs of a few hundred Gaussians on the tiny clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from gaussavatar.audio.batches import AudioBatcher, BatchConfig, Voice
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.features.mel import MEL
from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.progress import QuietProgress
from gaussavatar.render.api import get_rasterizer
from gaussavatar.seeding import seeded
from gaussavatar.training.config import ProgressConfig, StageConfig, TrainingConfig
from gaussavatar.training.data import Clip
from gaussavatar.training.loop import PosePass, Run, train
from gaussavatar.training.loss_design import face_marks
from gaussavatar.training.start.build import build_model

MODEL = ModelConfig(face=BranchConfig(count=600), mouth=BranchConfig(count=100))
STAGES = (
    StageConfig("static", 6, train=("face", "mouth")),
    StageConfig("joint", 10, audio_share=0.5, decay=0.1),
)


def make_run(clip: Clip, folder: Path, seed: int = 0, key: str = "k", model: ModelConfig = MODEL) -> Run:
    folder.mkdir(parents=True, exist_ok=True)
    mel = np.random.default_rng(0).normal(-6, 2, (len(clip) * 4, 40)).astype(np.float32)
    with seeded(0):
        encoder = AudioEncoder(EncoderConfig(n_codes=2, hidden=8, members=1))
    return Run(
        model=build_model(clip, model, seed),
        encoder=encoder,
        audio=AudioBatcher(MEL, [Voice(mel, mel[None, :80])], BatchConfig(plain_versions=3), seed),
        clip=clip,
        closed=torch.zeros(2),
        marks=face_marks(clip.tracking.shape),
        rasterizer=get_rasterizer("cpu"),
        folder=folder,
        seed=seed,
        key=key,
    )


def keep_poses(stage, model, clip, progress):  # noqa: ANN001, ANN201
    return clip


def run_stages(
    run: Run,
    stages: tuple[StageConfig, ...],
    checkpoint_every: int = 4,
    pose_pass: PosePass = keep_poses,
    say: Callable[[str], None] | None = None,
) -> dict[str, torch.Tensor]:
    run = replace(run, intervals=ProgressConfig(checkpoint_every, preview_every=0))
    progress = QuietProgress()
    if say is not None:
        progress.say = say  # type: ignore[method-assign]
    train(run, TrainingConfig(stages=stages), pose_pass, progress)
    return {n: t.clone() for m in (run.model, run.encoder) for n, t in m.state_dict().items()}
