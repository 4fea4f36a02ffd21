"""One step of training: what is trained at which rates, and the losses of a batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.image.losses import photometric_loss
from gaussavatar.image.perceptual import PerceptualLoss, perceptual_loss
from gaussavatar.model.avatar import AvatarImage, AvatarModel, Branch
from gaussavatar.model.deform.blendshapes import Blendshapes
from gaussavatar.model.deform.design import inner_design
from gaussavatar.model.deform.triplane import TriPlane
from gaussavatar.native.operations import OPERATIONS
from gaussavatar.render.api import Rasterizer
from gaussavatar.seeding import seeded
from gaussavatar.training import losses as terms
from gaussavatar.training.config import ProgressConfig, StageConfig
from gaussavatar.training.data import Batch, Clip, to_device
from gaussavatar.training.descent import MEMORY, Descent
from gaussavatar.training.loss_design import (
    FaceMarks,
    attention_losses,
    draws_smoothness,
    gates_kept,
    smoothness_losses,
)

SILENT_ROWS = 4
"""Windows of synthetic silence in every step that trains the audio encoder."""


@dataclass(frozen=True)
class Run:
    """What a training run works on; the modules change in place and are on ``device``."""

    model: AvatarModel
    encoder: AudioEncoder
    audio: AudioBatcher
    clip: Clip
    closed: Tensor
    marks: FaceMarks
    rasterizer: Rasterizer
    folder: Path
    seed: int
    key: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    perceptual: PerceptualLoss | None = None
    """Network of the perceptual loss, where the recipe names its weights."""
    intervals: ProgressConfig = field(default_factory=ProgressConfig)


@dataclass(frozen=True)
class Step:
    """Weighted losses by name, and what was rendered."""

    parts: dict[str, Tensor]
    rendered: AvatarImage


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
        if gaussians.sh is not None:
            groups[f"{name}:sh"] = [gaussians.sh]
        if branch.shading is not None:
            groups[f"{name}:shading"] = [branch.shading.slopes]
        planes = planes_of(branch)
        groups[f"{name}_motion:motion"] = [p for p in branch.motion.parameters() if not any(p is q for q in planes)]
        if planes:
            groups[f"{name}_motion:planes"] = planes
    groups["audio:audio"] = list(run.encoder.parameters())
    return groups


def planes_of(branch: Branch) -> list[nn.Parameter]:
    """The planes of a tri-plane, which learn at a rate of their own: only a few of their cells count in one place."""
    design = inner_design(branch.motion)
    return list(design.planes) if isinstance(design, TriPlane) else []


def make_optimizer(run: Run, motion_memory: float = MEMORY) -> Descent:
    """One Adam over all parts; each stage sets the rates of its parts and freezes the others."""
    motions = [branch.motion for branch in (run.model.face, run.model.mouth)]
    # A GPU's steps are recorded, gradients and all.
    outer = [motion for motion in motions if isinstance(motion, Blendshapes)] if run.device.type == "cpu" else []
    return Descent(parameter_groups(run), motion_memory, outer)


def rate_factor(stage: StageConfig, iteration: int) -> float:
    """Factor on the stage's learning rates at a step."""
    if stage.hold >= 1:
        return 1.0
    progress = iteration / max(1, stage.iterations)
    return stage.decay ** max(0.0, (progress - stage.hold) / (1 - stage.hold))


def set_rates(optimizer: torch.optim.Optimizer, stage: StageConfig, iteration: int) -> None:
    """Learning rates of a step; parts that the stage does not train get no gradient."""
    factor = rate_factor(stage, iteration)
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


def is_still(stage: StageConfig) -> bool:
    """Whether a stage leaves the motion out of the picture."""
    return "face_motion" not in stage.train and "mouth_motion" not in stage.train and stage.audio_share == 0


@dataclass(frozen=True)
class Chance:
    """What chance brings to one step, on its device."""

    windows: Float[Tensor, "r w d"] | None
    """Sound of the batch's frames, then, where the audio encoder is trained, of :data:`SILENT_ROWS` rows of silence;
    None where no sound is heard."""
    heard: Bool[Tensor, "b"] | None
    """Frames whose mouth follows the sound instead of the film."""
    behind: Bool[Tensor, "b"] | None
    """Frames before another background; None where none ever is."""
    colors: Float[Tensor, "b 1 1 3"] | None
    """Those backgrounds."""


def draw_chance(run: Run, stage: StageConfig, indices: np.ndarray, generator: torch.Generator) -> Chance:
    """Draw from ``generator`` what one step needs."""
    windows = heard = behind = colors = None
    if stage.audio_share > 0:
        windows = run.audio.sample(torch.from_numpy(indices), generator)
        if "audio" in stage.train:
            windows = torch.cat([windows, run.audio.silence(SILENT_ROWS, generator)])
        windows = to_device(windows, run.device)
        heard = to_device(torch.rand(len(indices), generator=generator) < stage.audio_share, run.device)
    if stage.other_background > 0:
        behind = to_device(torch.rand(len(indices), generator=generator) < stage.other_background, run.device)
        colors = to_device(torch.rand(len(indices), 1, 1, 3, generator=generator), run.device)
    return Chance(windows, heard, behind, colors)


def before_other_background(batch: Batch, chance: Chance) -> Batch:
    """The batch with a colour behind the head in some of its frames."""
    if chance.behind is None or chance.colors is None:
        return batch
    inputs = batch.frames, batch.under, batch.head, chance.behind, chance.colors
    frames, under = OPERATIONS["other_background"](*inputs)
    return replace(batch, frames=frames, under=under)


def step_loss(run: Run, stage: StageConfig, batch: Batch, indices: np.ndarray, seed: int) -> Step:
    """Weighted losses of one step by name."""
    generator = torch.Generator().manual_seed(seed)
    chance = draw_chance(run, stage, indices, generator)
    with seeded(seed):
        predicted = None if chance.windows is None else run.encoder(chance.windows)
    batch = before_other_background(batch, chance)
    step = seen_losses(run, stage, batch, chance, predicted)
    step.parts.update(drawn_losses(run, stage, step.rendered, batch, indices, generator))
    return step


def seen_losses(run: Run, stage: StageConfig, batch: Batch, chance: Chance, predicted: Tensor | None) -> Step:
    """The losses that are functions of tensors alone, so that a CUDA graph may hold them.

    ``predicted`` are the encoder's codes for the windows of ``chance``; its background is in the batch already.
    """
    weights = stage.losses
    still = is_still(stage)
    mouth_codes = batch.mouth_codes
    parts: dict[str, Tensor] = {}
    if predicted is not None and chance.heard is not None:
        count = len(mouth_codes)
        mouth_codes = torch.where(chance.heard[:, None], predicted[:count], mouth_codes)
        if "audio" in stage.train:
            parts["codes"] = weights.codes * terms.code_error(predicted[:count], batch.mouth_codes)
            closed = run.closed.expand(len(predicted) - count, -1)
            parts["silence"] = weights.silence * terms.code_error(predicted[count:], closed)
    with gates_kept(run.model):
        rendered = run.model.render(run.rasterizer, mouth_codes, batch.upper, batch.cameras, batch.under, still)
        heard = {} if still else attention_losses(run.model, weights, run.marks)
    # Of windows, what the loss of whole frames would be, so that its weight against the others is the same.
    area, weighed = batch.shares
    parts["photometric"] = weighed * photometric_loss(rendered.image, batch.frames, batch.weight, weights.dssim)
    if weights.alpha_head or weights.alpha_mouth:
        off, bare = terms.coverage(rendered, batch)
        parts |= {"alpha_head": area * weights.alpha_head * off, "alpha_mouth": area * weights.alpha_mouth * bare}
    if weights.colors:
        parts["colors"] = weights.colors * terms.color_range(run.model)
    if weights.large:
        parts["large"] = weights.large * terms.large_scales(run.model)
    if weights.motion and not still:
        parts["motion"] = weights.motion * terms.motion_size(rendered)
    if weights.velocity:
        parts["velocity"] = area * weights.velocity * terms.velocity(rendered, batch)
    return Step(parts | heard, rendered)


def draws_more(run: Run, stage: StageConfig) -> bool:
    """Whether :func:`drawn_losses` gives any."""
    rough = not is_still(stage) and draws_smoothness(run.model, stage.losses)
    return rough or (stage.losses.perceptual > 0 and run.perceptual is not None)


def drawn_losses(
    run: Run, stage: StageConfig, rendered: AvatarImage, batch: Batch, indices: np.ndarray, generator: torch.Generator
) -> dict[str, Tensor]:
    """The losses that draw more from ``generator`` or look at which frames these are."""
    weights = stage.losses
    parts: dict[str, Tensor] = {}
    if weights.perceptual and run.perceptual is not None:
        boxes = torch.from_numpy(run.clip.boxes[indices, 0])
        crops = perceptual_loss(rendered.image, batch.frames, boxes, run.perceptual, generator)
        parts["perceptual"] = weights.perceptual * crops
    if not is_still(stage):
        parts |= smoothness_losses(run.model, weights, generator)
    return parts
