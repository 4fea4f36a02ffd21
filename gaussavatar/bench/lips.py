"""How well the sound tells the lips of its own clip: block cross-validation of the audio network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float32

from gaussavatar.audio.batches import AudioBatcher
from gaussavatar.audio.blend import Blend, heard_together
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.api import AudioFeature
from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.offset import block_bounds, ridge_block_prediction
from gaussavatar.audio.own_range import RangeMatch, fit_own_range
from gaussavatar.audio.pretrain import AudioPretrainConfig, pretrain_encoder
from gaussavatar.audio.targets import audio_targets, closed_mean, closed_target, lip_displacement
from gaussavatar.audio.windows import windows
from gaussavatar.evaluate.metrics import LANDMARK_SIZE, LIPS
from gaussavatar.evaluate.speech_closures import lip_range, real_closures
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.statistics import correlation
from gaussavatar.types import FaceMotion, Tracking, Waveform

GAP_FRAMES = 4
"""Frames beside a held-out block that are not learnt from: their windows reach into it."""

SHIFT_FRAMES = 8


@dataclass(frozen=True)
class LipsBenchConfig:
    """What is measured.

    Attributes:
        blocks: consecutive blocks, each predicted by a network that never saw it.
        mouth_gain: as in :class:`gaussavatar.audio.drive.DriveConfig`.
        pretrain: the network and its schedule.
    """

    blocks: int = 11
    mouth_gain: float = 1.0
    pretrain: AudioPretrainConfig = field(default_factory=AudioPretrainConfig)


def bench_lips(
    waveform: Waveform,
    motion: FaceMotion,
    config: LipsBenchConfig | None = None,
    *,
    tracking: Tracking | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    told: Callable[[int, int, Float32[np.ndarray, "b d"]], None] | None = None,
) -> dict[str, object]:
    """Correlation of predicted and real lip aperture and width over all held-out blocks.

    The statistics of the sound are those of the whole clip, as when it drives; the lips
    of the held-out block are never used. Pauses are not gated, for this measures the
    network, except in ``gated_aperture_r``.

    Args:
        waveform: the clip's sound.
        motion: its motion; the last two targets are aperture and width.
        config: blocks, gain and schedule.
        tracking: the clip's, for lip distances in pixels of a picture of 512 rather than in millimetres.
        seed: of the pre-training.
        progress: told one step per block.
        told: called for every block with its first frame, the one after its last, and its predicted targets with the
            gain, pauses not gated.

    Returns:
        ``aperture_r``, ``width_r``: mean correlation over the blocks; ``drop``: how much
        the aperture's falls when the sound is shifted by 8 frames (the better of both
        directions); ``std_ratio``: predicted over real standard deviation of the
        aperture with the gain; ``gated_aperture_r``: with the gate that closes the mouth
        in silence, which costs correlation where the person keeps it open;
        ``lmd``, ``lmd_gated``: mean distance of the lip points that the predicted codes stand for from
        those of the real codes, with the gain (the landmark distance of a picture adds the detector's own error and
        what codes do not hold); ``lmd_still``: of the mean mouth of the other blocks;
        ``ridge_aperture_r``: of a plain linear regression on the same blocks, for
        comparison; ``codes_r``: of each mouth code; and the same figures per block under
        ``blocks``.
    """
    config = config or LipsBenchConfig()
    targets, closed = audio_targets(motion), closed_target(motion)
    moved = lip_displacement(motion)
    displacement = np.concatenate([moved, np.full(2, moved.max(), np.float32)])
    lips = _flat_lips(motion, tracking)
    n = len(targets)
    audio = config.pretrain
    feature = open_features(heard_together(audio.features, audio.light))
    batcher = AudioBatcher(feature, waveform, audio.batches, seed)
    predicted = np.empty_like(targets)
    bounds = block_bounds(n, config.blocks)
    records = []
    with (progress or QuietProgress()).stage("lips, block by block", len(bounds)) as advance:
        for start, stop in bounds:
            train = np.ones(n, bool)
            train[max(0, start - GAP_FRAMES) : stop + GAP_FRAMES] = False
            encoder = _fold_network(batcher, targets, train, closed, audio, seed, displacement)
            frames = torch.arange(start, stop)
            with torch.no_grad():
                shifted = {k: encoder(batcher.clean(frames + k)).numpy() for k in (-SHIFT_FRAMES, 0, SHIFT_FRAMES)}
            gate = feature.gate(batcher.clean(frames).numpy())[:, None]
            gated = closed + gate * (shifted[0] - closed)
            real, predicted[start:stop] = targets[start:stop], shifted[0]
            record = _block_record(shifted, gated, real, config.mouth_gain)
            middle = encoder.centre.numpy()
            wide = middle + config.mouth_gain * (shifted[0] - middle)
            if told is not None:
                told(start, stop, wide)
            drives = {"lmd": wide, "lmd_gated": closed + gate * (wide - closed), "lmd_still": middle[None]}
            records.append(record | {name: _lip_distance(codes - real, lips) for name, codes in drives.items()})
            advance(1)
    ridge = _ridge_block_correlations(feature, feature.extract(waveform), targets, config)
    for record, r in zip(records, ridge, strict=True):
        record["ridge_aperture_r"] = r
    scalars = (
        "lmd",
        "lmd_gated",
        "lmd_still",
        "aperture_r",
        "width_r",
        "drop",
        "std_ratio",
        "gated_aperture_r",
        "ridge_aperture_r",
    )
    summary: dict[str, object] = {key: float(np.mean([record[key] for record in records])) for key in scalars}
    summary["codes_r"] = np.mean([record["codes_r"] for record in records], 0).tolist()
    summary["blocks"] = records
    if tracking is not None:
        summary["own_range"] = _own_range_figures(predicted, motion, tracking, bounds)
    return summary


def _fold_network(
    batcher: AudioBatcher,
    targets: np.ndarray,
    train: np.ndarray,
    closed: np.ndarray,
    audio: AudioPretrainConfig,
    seed: int,
    displacement: np.ndarray,
) -> AudioEncoder | Blend:
    """The network of the recipe, from the frames of ``train``; blended with the light one where there is one."""
    fitted = [
        pretrain_encoder(
            batcher.narrowed(names),
            targets,
            train,
            closed,
            replace(audio, features=names),
            seed,
            displacement=displacement,
        ).encoder
        for names in dict.fromkeys((audio.features, audio.light or audio.features))
    ]
    return fitted[0] if len(fitted) == 1 else Blend(fitted[0], fitted[1], audio.light_share).eval()


def _own_range_figures(
    predicted: np.ndarray, motion: FaceMotion, tracking: Tracking, bounds: Sequence[tuple[int, int]]
) -> dict[str, float]:
    """Size and closures of the lips in the person's own range, learnt for each block from the others."""
    codes, real = predicted[:, : motion.mouth_codes.shape[1]], motion.mouth_codes
    everywhere = np.ones(len(real), bool)
    lips = lip_range(motion, tracking.shape, closed_mean(real, motion.aperture).astype(np.float32), everywhere)
    matched, middle = np.empty_like(codes), real.mean(0)
    for start, stop in bounds:
        others = everywhere.copy()
        others[start:stop] = False
        match = RangeMatch(codes.shape[1])
        match.learn(fit_own_range(codes[others], real[others], motion.aperture[others], middle))
        told = torch.from_numpy(codes[start:stop]), torch.from_numpy(middle)
        matched[start:stop] = match(*told).numpy()
    told, shown = lips.opening(matched), lips.opening(real)
    r = np.mean([correlation(told[start:stop], shown[start:stop]) for start, stop in bounds])
    distance = _lip_distance(matched - real, _flat_lips(motion, tracking))
    figures = {"aperture_r": float(r), "std_ratio": float(told.std() / shown.std()), "lmd": distance}
    return figures | real_closures(told, shown)


def _block_record(shifted: dict[int, np.ndarray], gated: np.ndarray, real: np.ndarray, gain: float) -> dict:
    def told(predicted: np.ndarray, column: int) -> float:
        return correlation(predicted[:, column], real[:, column])

    in_time = shifted[0]
    r = told(in_time, -2)
    return {
        "aperture_r": r,
        "width_r": told(in_time, -1),
        "drop": r - max(told(shifted[-SHIFT_FRAMES], -2), told(shifted[SHIFT_FRAMES], -2)),
        "std_ratio": float(gain * in_time[:, -2].std() / max(float(real[:, -2].std()), 1e-9)),
        "gated_aperture_r": told(gated, -2),
        "codes_r": [told(in_time, k) for k in range(real.shape[1] - 2)],
    }


def _flat_lips(motion: FaceMotion, tracking: Tracking | None) -> Float[np.ndarray, "m l 2"]:
    """How a unit of each code moves the lip points in the picture, their mean taken out: pixels at 512, or mm."""
    moved = motion.mouth_basis[:, list(LIPS), :2]
    moved = moved - moved.mean(axis=1, keepdims=True)
    if tracking is None:
        return 1000.0 * moved
    depth = float(np.median(tracking.t_camera_head[:, 2]))
    return moved * (float(tracking.K[0, 0]) / tracking.size * LANDMARK_SIZE / depth)


def _lip_distance(error: Float[np.ndarray, "n d"], lips: Float[np.ndarray, "m l 2"]) -> float:
    return float(np.linalg.norm(np.tensordot(error[:, : len(lips)], lips, 1), axis=-1).mean())


def _ridge_block_correlations(
    feature: AudioFeature, raw: np.ndarray, targets: np.ndarray, config: LipsBenchConfig
) -> list[float]:
    n = len(targets)
    normalised = normalise(raw, feature.statistics(raw))
    offset = config.pretrain.batches.offset_frames
    x = windows(normalised, n, feature.facts.window, offset_frames=offset).reshape(n, -1)
    predicted = ridge_block_prediction(x, targets[:, -2:-1], blocks=config.blocks, penalty=0.6, gap=GAP_FRAMES)
    return [
        correlation(predicted[start:stop, 0], targets[start:stop, -2]) for start, stop in block_bounds(n, config.blocks)
    ]
