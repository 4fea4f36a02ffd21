"""A training stage is data: what is trained, for how long, on what, with which losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Part = Literal["face", "mouth", "face_motion", "mouth_motion", "audio", "torso"]
"""A group of parameters a stage may train; ``torso`` only in the stage that :class:`TorsoConfig` adds."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses; a zero turns a loss off."""

    dssim: float = 0.2
    """Structural dissimilarity of the composite, beside an L1 of weight 1."""
    alpha_head: float = 0.05
    """Face alpha against the head mask without the inside of the mouth."""
    alpha_mouth: float = 0.02
    """Mouth alpha missing inside the mouth."""
    mouth_region: float = 3.0
    """Weight of the mouth's box in the photometric loss; elsewhere 1."""
    eye_region: float = 1.5
    """Weight of the eyes' boxes in the photometric loss."""
    codes: float = 0.02
    """Squared error of audio-predicted mouth codes against the landmarks' codes."""
    silence: float = 0.02
    """Squared error of the codes of synthetic silence against the closed mouth."""
    colors: float = 0.2
    """How far colours lie outside 0..1: what only hidden Gaussians do, and side views show."""
    large: float = 0.02
    """Standard deviations beyond ``LARGE`` metres, in millimetres: needles that side views show."""
    motion: float = 1e-3
    """Mean absolute deformation, in units of each attribute's motion scale."""
    perceptual: float = 0.0
    """Distance of crops in a pretrained network's features; needs ``training.perceptual_weights``."""
    velocity: float = 0.0
    """Change from a frame to its successor against the real change, mean absolute; needs a stage with ``pairs``."""
    attention: float = 0.0
    """``triplane`` with attention: how much hair listens to the codes, and lips to the upper face (published: 1e-4)."""
    smoothness: float = 1e-5
    """``vectors``: distance of neighbouring Gaussians' vectors, weighted by their nearness; Adam makes much of it."""


@dataclass(frozen=True)
class RateConfig:
    """Learning rates of Adam at the start of a stage."""

    means: float = 6e-5
    """Metres."""
    scales: float = 8e-3
    quats: float = 4e-3
    opacities: float = 4e-2
    colors: float = 1e-2
    sh: float = 5e-4
    """Spherical harmonics beyond the plain colour (published: a twentieth of the colour's)."""
    shading: float = 6e-3
    motion: float = 6e-3
    planes: float = 6e-3
    """``triplane``: its planes; ``motion`` is then that of its MLPs alone (published: 5e-3 and 5e-4)."""
    audio: float = 5e-4


@dataclass(frozen=True)
class DensifyConfig:
    """Growing and pruning of a stage that trains Gaussians. Published values: TalkingGaussian (ECCV 2024)."""

    parts: tuple[Literal["face", "mouth"], ...] = ("face", "mouth")
    """Branches that are refined; the others keep their Gaussians."""
    every: int = 100
    """Steps between refinements."""
    start: int = 500
    """Step of the stage before which nothing is refined."""
    stop: int = 1_000_000
    """Step of the stage from which on nothing is refined."""
    grow_face: float = 5e-4
    """Mean gradient norm on the screen, per half image width, from which on a face Gaussian is split or cloned."""
    grow_mouth: float = 2e-4
    """The same for the mouth branch."""
    split_scale: float = 2e-3
    """Standard deviation in metres from which on a growing Gaussian is split in two; smaller ones are cloned."""
    prune_opacity_start: float = 0.05
    """Opacity below which a Gaussian goes at the stage's first refinement."""
    prune_opacity_end: float = 0.3
    """The same at its last; linear in between."""
    largest: float = 0.03
    """Standard deviation in metres beyond which a Gaussian goes."""
    cap_face: int = 60_000
    """Most Gaussians of the face branch; those with the largest gradients grow first."""
    cap_mouth: int = 12_000
    """The same for the mouth branch."""
    revised_opacity: bool = False
    """Clones share their parent's opacity so that the picture stays (Rota Bulo et al., ECCV 2024, eq. 9)."""
    prune_background: bool = True
    """Remove Gaussians that lie outside the head mask in most views: they have learnt the background."""
    background_views: int = 12
    """Training frames that this is looked up in."""
    background_share: float = 0.8
    """Share of these views from which on a Gaussian outside the mask goes."""


@dataclass(frozen=True)
class StageConfig:
    """One stage of the training loop, or one pass that refines the poses."""

    name: str
    iterations: int
    kind: Literal["fit", "poses"] = "fit"
    """``fit`` trains; ``poses`` refines every frame's head pose on the frozen avatar."""
    every: int = 1
    """Of ``poses``: every so-many-th frame is looked at, and those between follow from them."""
    train: tuple[Part, ...] = ("face", "mouth", "face_motion", "mouth_motion", "audio")
    batch: int = 2
    """Frames per step; they are rasterized in parallel."""
    audio_share: float = 0.0
    """Share of frames whose mouth codes come from the audio encoder; the others use the landmarks' codes."""
    coarse: int = 1
    """How many times smaller than the clip's the frames are that are learnt from: large things first, at less cost."""
    pairs: bool = False
    """Draw each second frame of a batch as the successor of the first; for the loss ``velocity``."""
    incremental: bool = False
    """Draw the shares below from a window of the opening that slides with the stage (TalkingGaussian, sec. 3.3):
    mouths from the widest to the closed, lids from open to closed."""
    open_share: float = 0.3
    """Share of frames drawn with a chance proportional to the mouth opening."""
    blink_share: float = 0.1
    """Share of frames drawn with a chance proportional to the blink."""
    other_background: float = 0.0
    """Share of frames shown before a random colour instead of what was behind the head, by the head's matte: edges
    then learn their transparency and not the background's colour."""
    decay: float = 1.0
    """Factor on the learning rates at the end of the stage; exponential after ``hold``."""
    hold: float = 0.3
    """Share of the stage at constant learning rates."""
    losses: LossConfig = field(default_factory=LossConfig)
    rates: RateConfig = field(default_factory=RateConfig)
    densify: DensifyConfig | None = None
    """Growing and pruning of the trained branches; None keeps the number of Gaussians."""


@dataclass(frozen=True)
class TorsoRates(RateConfig):
    """Learning rates of the torso branch at the start of its stage; they fall to a tenth over its second half."""

    means: float = 8e-5
    """Metres."""
    scales: float = 5e-3
    quats: float = 2e-3
    opacities: float = 3e-2
    colors: float = 6e-3
    motion: float = 1e-3
    """How the torso follows the head."""


@dataclass(frozen=True)
class TorsoConfig:
    """Training the torso branch by itself, in a stage after the head's."""

    enabled: bool = False
    """Whether one is trained, for free views; else neck and shoulders are laid from one frame. Filmed poses have the
    real torso."""
    count: int = 6000
    """How many Gaussians."""
    iterations: int = 1500
    """Steps of its training, two frames each."""
    rates: TorsoRates = field(default_factory=TorsoRates)

    def stage(self) -> StageConfig:
        """The stage that a recipe with a torso has after its own."""
        return StageConfig(
            "torso", self.iterations, train=("torso",), batch=2, decay=0.1, hold=0.5, losses=LossConfig(dssim=0.2),
            rates=self.rates,
        )  # fmt: skip


@dataclass(frozen=True)
class ProgressConfig:
    """How often a training keeps and shows where it is; what it learns does not depend on it."""

    checkpoint_every: int = 200
    """Iterations between checkpoints."""
    preview_every: int = 400
    """Iterations between pictures in ``train/preview.png``: half a minute of work at 256 px; 0 writes none."""
    least_seconds: float = 10.0
    """Seconds between checkpoints, and between pictures, at least, on a GPU: there these iterations take a second, and
    writing takes as long."""


@dataclass(frozen=True)
class TrainingConfig:
    """The stages and what holds for all of them."""

    stages: tuple[StageConfig, ...] = ()
    clip_gradients: float = 20.0
    """A part's gradient is cut to so many times the size that nine in ten of its last steps stayed below, and
    training stops where it stays above that; 0 turns both off."""
    motion_memory: float = 0.999
    """Decay of the mean of squares by which Adam divides the motion's gradients, per step (TalkingGaussian: 0.99)."""
    data_on_device: Literal["auto", "yes", "no"] = "auto"
    """Whether a GPU holds all frames as bytes; auto: where they fill at most half of its free memory."""
    record_steps: bool = True
    """On a GPU, record a stage's step as a CUDA graph and replay it: several times faster."""
    backing: int = 0
    """Gaussians laid under the head's skin after the last stage, where no frame sees them but views from the side do;
    Gaussians that hardly any frame shows then take their seen neighbours' colours. 0 leaves both."""
    perceptual_weights: str | None = None
    """File of an AlexNet's or VGG-16's state dict for the loss ``perceptual``."""
    held_out: float = 1 / 11
    """Share of the frames at the end of the clip that training never sees."""
