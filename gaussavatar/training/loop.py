"""The one training loop. A stage is data; random numbers are a function of seed, stage and step.

Because every step draws from generators seeded by its own position, a resumed run makes
exactly the draws that the uninterrupted run makes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Progress
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.losses import photometric_loss
from gaussavatar.storage import atomic_path
from gaussavatar.training import losses as terms
from gaussavatar.training.checkpoint import Position, load_checkpoint, save_checkpoint
from gaussavatar.training.config import StageConfig, TrainingConfig
from gaussavatar.training.data import Batch, Clip, draw_frames, load_batch

PosePass = Callable[[StageConfig, AvatarModel, Clip, Progress], Clip]
"""Refines the head poses of a clip against a frozen avatar."""

SILENT_ROWS = 4
"""Windows of synthetic silence in every step that trains the audio encoder."""


@dataclass(frozen=True)
class Run:
    """What a training run works on; the modules change in place."""

    model: AvatarModel
    encoder: AudioEncoder
    audio: AudioBatcher
    clip: Clip
    closed: Tensor
    rasterizer: Rasterizer
    folder: Path
    seed: int
    key: str


class TrainingError(RuntimeError):
    """Training went numerically wrong; the message says at which step and what."""


def parameter_groups(run: Run) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters by the names of :class:`RateConfig`, prefixed by the part they belong to."""
    groups: dict[str, list[nn.Parameter]] = {}
    for name, branch in (("face", run.model.face), ("mouth", run.model.mouth)):
        gaussians = branch.gaussians
        groups[f"{name}:means"] = [gaussians.means]
        groups[f"{name}:scales"] = [gaussians.log_scales]
        groups[f"{name}:quats"] = [gaussians.quats]
        groups[f"{name}:opacities"] = [gaussians.logit_opacities]
        groups[f"{name}:colors"] = [gaussians.colors]
        groups[f"{name}_motion:motion"] = list(branch.motion.parameters())
    groups["audio:audio"] = list(run.encoder.parameters())
    return groups


def make_optimizer(run: Run) -> torch.optim.Adam:
    """One Adam over all parts; each stage sets the rates of its parts and freezes the others."""
    groups = [{"params": params, "name": name} for name, params in parameter_groups(run).items()]
    return torch.optim.Adam(groups, lr=0.0, eps=1e-15, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, stage: StageConfig, iteration: int) -> None:
    """Learning rates of a step; parts that the stage does not train get no gradient."""
    progress = iteration / max(1, stage.iterations)
    factor = stage.decay ** max(0.0, (progress - stage.hold) / (1 - stage.hold)) if stage.hold < 1 else 1.0
    for group in optimizer.param_groups:
        part, rate = group["name"].split(":")
        trained = part in stage.train
        group["lr"] = getattr(stage.rates, rate) * factor if trained else 0.0
        for parameter in group["params"]:
            parameter.requires_grad_(trained)
            if not trained:
                parameter.grad = None


def step_seed(seed: int, stage: int, iteration: int) -> int:
    """The seed of one step's random numbers."""
    return int(np.random.SeedSequence([seed, stage, iteration]).generate_state(1)[0])


def step_loss(run: Run, stage: StageConfig, batch: Batch, indices: np.ndarray, seed: int) -> dict[str, Tensor]:
    """Weighted losses of one step by name."""
    generator = torch.Generator().manual_seed(seed)
    weights = stage.losses
    still = "face_motion" not in stage.train and "mouth_motion" not in stage.train and stage.audio_share == 0
    mouth_codes = batch.mouth_codes
    parts: dict[str, Tensor] = {}
    if stage.audio_share > 0:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            spoken = run.audio.sample(torch.from_numpy(indices), generator)
            quiet = run.audio.silence(SILENT_ROWS, generator)
            predicted = run.encoder(torch.cat([spoken, quiet]))
        heard = torch.rand(len(indices), generator=generator) < stage.audio_share
        mouth_codes = torch.where(heard[:, None], predicted[: len(indices)], mouth_codes)
        parts["codes"] = weights.codes * terms.code_error(predicted[: len(indices)], batch.mouth_codes)
        parts["silence"] = weights.silence * terms.code_error(
            predicted[len(indices) :], run.closed.expand(SILENT_ROWS, -1)
        )
    rendered = run.model.render(run.rasterizer, mouth_codes, batch.upper, batch.cameras, batch.under, still)
    parts["photometric"] = photometric_loss(rendered.image, batch.frames, batch.weight, weights.dssim)
    if weights.alpha_head:
        parts["alpha_head"] = weights.alpha_head * terms.head_alpha(rendered, batch)
    if weights.alpha_mouth:
        parts["alpha_mouth"] = weights.alpha_mouth * terms.mouth_alpha(rendered, batch)
    if weights.colors:
        parts["colors"] = weights.colors * terms.color_range(run.model)
    if weights.large:
        parts["large"] = weights.large * terms.large_scales(run.model)
    if weights.motion and not still:
        parts["motion"] = weights.motion * terms.motion_size(rendered)
    return parts


def train(run: Run, config: TrainingConfig, refine_poses: PosePass, progress: Progress) -> Clip:
    """Run the stages of ``config``, going on from a checkpoint where there is one.

    Returns the clip, with refined poses where a stage refined them.

    Raises:
        TrainingError: a loss stopped being a number.
    """
    optimizer = make_optimizer(run)
    modules = nn.ModuleDict({"avatar": run.model, "encoder": run.encoder})
    checkpoint = run.folder / "checkpoint.safetensors"
    position = load_checkpoint(checkpoint, run.key, modules, optimizer) or Position(0, 0)
    _forget_later_lines(run.folder / "metrics.jsonl", config.stages, position)
    clip = run.clip
    for number, stage in enumerate(config.stages):
        if stage.kind == "poses":
            clip = refine_poses(stage, run.model, clip, progress)
            continue
        start = position.iteration if number == position.stage else 0
        if number < position.stage or start >= stage.iterations:
            continue
        current = Run(**{**run.__dict__, "clip": clip})
        _run_stage(current, number, stage, start, config.checkpoint_every, optimizer, modules, checkpoint, progress)
    run.model.requires_grad_(False)
    return clip


def _forget_later_lines(path: Path, stages: tuple[StageConfig, ...], position: Position) -> None:
    """Drop what a killed run logged after its last checkpoint; those steps are done again."""
    if not path.exists():
        return
    order = {stage.name: number for number, stage in enumerate(stages)}

    def kept(line: str) -> bool:
        entry = json.loads(line)
        return (order.get(entry["stage"], len(stages)), entry["step"]) < (position.stage, position.iteration)

    lines = [line for line in path.read_text().splitlines() if line.endswith("}") and kept(line)]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines))


def _run_stage(
    run: Run,
    number: int,
    stage: StageConfig,
    start: int,
    checkpoint_every: int,
    optimizer: torch.optim.Optimizer,
    modules: nn.Module,
    checkpoint: Path,
    progress: Progress,
) -> None:
    """Steps ``start`` to the end of one stage; frames of the next step are read meanwhile."""

    def fetch(iteration: int) -> tuple[np.ndarray, Batch]:
        random = np.random.default_rng(step_seed(run.seed, number, iteration))
        indices = draw_frames(run.clip, stage, random)
        return indices, load_batch(run.clip, indices, stage.losses)

    run.encoder.train()
    log = (run.folder / "metrics.jsonl").open("a")
    with ThreadPoolExecutor(1) as reader, progress.stage(f"training: {stage.name}", stage.iterations) as advance, log:
        advance(start)
        upcoming = reader.submit(fetch, start)
        for iteration in range(start, stage.iterations):
            indices, batch = upcoming.result()
            upcoming = reader.submit(fetch, min(iteration + 1, stage.iterations - 1))
            set_rates(optimizer, stage, iteration)
            optimizer.zero_grad(set_to_none=True)
            parts = step_loss(run, stage, batch, indices, step_seed(run.seed, number, iteration))
            loss = torch.stack(list(parts.values())).sum()
            if not torch.isfinite(loss):
                bad = [name for name, value in parts.items() if not torch.isfinite(value)]
                raise TrainingError(f"stage {stage.name}, step {iteration}: {', '.join(bad)} is not a number")
            loss.backward()
            optimizer.step()
            if iteration % 50 == 0:
                values = {name: round(float(value.detach()), 6) for name, value in parts.items()}
                log.write(json.dumps({"stage": stage.name, "step": iteration, **values}) + "\n")
                log.flush()
            done = iteration + 1
            if done % checkpoint_every == 0 or done == stage.iterations:
                save_checkpoint(checkpoint, run.key, Position(number, done), modules, optimizer)
            advance(1)
