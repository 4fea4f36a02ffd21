"""How far a recording's sound lies from its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from gaussavatar.audio.features.mel import FACTS, mel_statistics
from gaussavatar.audio.features.mel_bands import MEL_RATE
from gaussavatar.audio.normalise import normalise
from gaussavatar.audio.windows import Window, windows
from gaussavatar.types import VIDEO_FPS

_LAG_STEP = 0.01
"""Seconds between tried offsets: one feature frame."""

_REACH_SECONDS = 0.6
_CONTROL_SECONDS = (1.0, 4.0)
"""Offsets at which sound and picture cannot belong together: what is found there is chance."""

_LEAST_SECONDS = 5.0
_BANDS = 10
_SMOOTH_FEATURES = 4
_SLOPE_FEATURES = 4
_RIDGE = 0.05
_HIGH_PASS_HZ = 1.0
_JACKKNIFE_BLOCKS = 8
_LEARNT_WINDOW, _LEARNT_STEP = Window(MEL_RATE, 40), 4
_LEARNT_RIDGE = 0.3
_LEARNT_GAP = 12

NATURAL_LEAD_MS = 25.0
"""Lips move this much before the sound that they shape (anchor, senator and woman clips: 22, 34 and 45 ms with this
estimator; speech science finds 0 to 50 ms): a recording in which they do has no offset."""

TRUSTED_CONFIDENCE = 0.3
TRUSTED_SPREAD_MS = 40.0
"""What a figure needs to be told: it is more than chance and known to about a frame."""

SURE_CONFIDENCE = 0.5
SURE_SPREAD_MS = 20.0
"""What it needs to be acted on: known to half a frame. Real clips of 8 to 71 s have confidences of .33 to .93; two of 5
and 8 s told 104 and 64 ms with .40 and .47, which nothing else supports."""

EARLY_MS, LATE_MS = 45.0, 75.0
"""Offsets beyond what recordings in step show: sound that comes before its lips is noticed from 45 ms on (ITU-R
BT.1359); lips lead their sound by up to 100 ms by nature, of which :data:`NATURAL_LEAD_MS` is already taken off."""


def block_bounds(n: int, blocks: int) -> list[tuple[int, int]]:
    """Consecutive nearly equal ranges that cover 0..n."""
    edges = np.linspace(0, n, blocks + 1).astype(int)
    return [(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def ridge_block_prediction(
    x: Float32[np.ndarray, "n k"],
    y: Float32[np.ndarray, "n d"],
    *,
    blocks: int,
    penalty: float,
    gap: int = 4,
) -> Float32[np.ndarray, "n d"]:
    """Prediction of every block by a ridge regression on the others.

    ``gap`` frames beside the held-out block are left out of training, because their
    windows reach into it; ``penalty`` is per training row.
    """
    out = np.empty_like(y)
    for start, stop in block_bounds(len(x), blocks):
        keep = np.ones(len(x), bool)
        keep[max(0, start - gap) : stop + gap] = False
        x_mean, y_mean = x[keep].mean(0), y[keep].mean(0)
        centred = (x[keep] - x_mean).astype(np.float64)
        gram = centred.T @ centred + penalty * len(centred) * np.eye(x.shape[1])
        weight = np.linalg.solve(gram, centred.T @ (y[keep] - y_mean))
        out[start:stop] = (x[start:stop] - x_mean) @ weight + y_mean
    return out


@dataclass(frozen=True)
class AvOffset:
    """How far a recording's sound lies from its picture.

    ``milliseconds`` is positive where the sound comes later than the picture that it belongs to. ``spread_ms`` is
    its standard error from leaving out blocks of the clip in turn; ``confidence`` is 1 - (best score where sound
    and picture cannot belong together) / (best score), 0 where the sound tells nothing.
    """

    milliseconds: float
    spread_ms: float
    confidence: float

    @property
    def trusted(self) -> bool:
        """Whether the figure is more than chance and known to about a frame."""
        return self.confidence >= TRUSTED_CONFIDENCE and self.spread_ms <= TRUSTED_SPREAD_MS

    @property
    def sure(self) -> bool:
        """Whether it may be acted on without asking."""
        return self.confidence >= SURE_CONFIDENCE and self.spread_ms <= SURE_SPREAD_MS

    @property
    def correction_ms(self) -> float:
        """By how much the sound is to be moved earlier; 0 where that is not sure, or the offset is natural."""
        beyond = not -EARLY_MS < self.milliseconds < LATE_MS
        return self.milliseconds if self.sure and beyond else 0.0


def estimate_av_offset(
    mel: Float32[np.ndarray, "t 40"],
    aperture: Float32[np.ndarray, "n"],
    used: Bool[np.ndarray, "n"] | None = None,
) -> AvOffset | None:
    """How far a recording's sound lies from its lips, seen in two ways that err differently.

    One is the offset at which the sound tells most about the lips (:func:`_telling_offset`); the other the same for
    what a regression from the sound has learnt of the lips, in frames that it did not learn from. The latter is what a
    network would carry into other voices, and what of the lips has nothing to do with the sound is gone from it. They
    are weighted by their precision; half of what they disagree by is an error as well.

    Args:
        mel: Log-mel features at 100 Hz of the sound.
        aperture: Lip aperture of every frame at 25 fps.
        used: Frames whose aperture can be believed; all by default.

    Returns:
        The offset, or None where less than five seconds remain, the lips never move or there is no sound.
    """
    used = np.ones(len(aperture), bool) if used is None else used
    seen = _telling_offset(mel, aperture, used)
    if seen is None:
        return None
    learnt = _telling_offset(mel, _learnt_lips(mel, aperture, used, seen.milliseconds), used)
    if learnt is None:
        return seen
    views = np.array([seen.milliseconds, learnt.milliseconds])
    spreads = np.maximum([seen.spread_ms, learnt.spread_ms], 1.0)
    weights = spreads**-2 / (spreads**-2).sum()
    spread = max(float(weights @ spreads), float(abs(views[0] - views[1]) / 2))
    return AvOffset(float(weights @ views), spread, seen.confidence)


def _learnt_lips(
    mel: Float32[np.ndarray, "t 40"], aperture: Float32[np.ndarray, "n"], used: Bool[np.ndarray, "n"], late_ms: float
) -> Float32[np.ndarray, "n"]:
    """The aperture as a ridge regression predicts it from 0.8 s of sound around ``late_ms``, block by block."""
    bands = normalise(mel, mel_statistics(mel)).reshape(len(mel), _BANDS, -1).mean(2)
    offset_frames = late_ms * VIDEO_FPS / 1000.0
    seen = windows(bands, len(aperture), _LEARNT_WINDOW, offset_frames=offset_frames)[:, ::_LEARNT_STEP]
    lips = np.where(used, aperture, np.median(aperture[used])).astype(np.float32)[:, None]
    rows = np.ascontiguousarray(seen.reshape(len(lips), -1), np.float32)
    return ridge_block_prediction(rows, lips, blocks=_JACKKNIFE_BLOCKS, penalty=_LEARNT_RIDGE, gap=_LEARNT_GAP)[:, 0]


def _telling_offset(
    mel: Float32[np.ndarray, "t 40"], aperture: Float32[np.ndarray, "n"], used: Bool[np.ndarray, "n"]
) -> AvOffset | None:
    """The offset at which the recording's sound tells most about its lips.

    Score of an offset: the part of the lip aperture, of its fast part and of its speed that a ridge regression on
    ten bands of the sound and their slopes explains. The bands' covariance hardly depends on the offset, so that
    one inverse serves all and a score costs one product. The peak is refined by a parabola, and
    :data:`NATURAL_LEAD_MS` is taken off.
    """
    n = len(aperture)
    if used.sum() < _LEAST_SECONDS * VIDEO_FPS or len(mel) < n * MEL_RATE / VIDEO_FPS / 2:
        return None
    features, targets = _sound_features(mel), _lip_targets(aperture.astype(np.float64), used)
    if features is None or targets is None:
        return None
    far = min(_CONTROL_SECONDS[1], 0.4 * n / VIDEO_FPS)
    reach, (near, last) = round(_REACH_SECONDS / _LAG_STEP), (round(s / _LAG_STEP) for s in (_CONTROL_SECONDS[0], far))
    lags = np.arange(-reach, reach + 1)
    beyond = np.arange(near, last + 1, 5)
    tried = np.concatenate([lags, -beyond, beyond])
    blocks = np.minimum(np.arange(n) * _JACKKNIFE_BLOCKS // n, _JACKKNIFE_BLOCKS - 1)
    products = _block_products(features, targets, blocks, tried)
    inverse = np.linalg.inv(features.T @ features / len(features) + _RIDGE * np.eye(features.shape[1]))
    whole = _scores(products.sum(0) / used.sum(), inverse)
    near_scores, control = whole[: len(lags)], whole[len(lags) :]
    peak = _peak_ms(lags, near_scores)
    parts = [
        _peak_ms(lags, _scores(products[:, : len(lags)].sum(0) - products[left, : len(lags)], inverse))
        for left in range(_JACKKNIFE_BLOCKS)
    ]
    count = _JACKKNIFE_BLOCKS
    spread = np.sqrt((count - 1) / count * ((np.array(parts) - np.mean(parts)) ** 2).sum())
    best = float(near_scores.max())
    chance = float(control.max()) if len(control) else best
    return AvOffset(peak - NATURAL_LEAD_MS, float(spread), float(np.clip(1.0 - chance / max(best, 1e-9), 0.0, 1.0)))


def _sound_features(mel: np.ndarray) -> Float[np.ndarray, "t f"] | None:
    """Ten bands, smoothed over 40 ms, and their slopes, at unit variance."""
    bands = normalise(mel, mel_statistics(mel)).astype(np.float64).reshape(len(mel), _BANDS, -1).mean(2)
    bands = uniform_filter1d(bands, _SMOOTH_FEATURES, axis=0, mode="nearest")
    padded = np.pad(bands, ((_SLOPE_FEATURES // 2,) * 2, (0, 0)), mode="edge")
    features = np.concatenate([bands, padded[_SLOPE_FEATURES:] - padded[:-_SLOPE_FEATURES]], 1)
    deviation = features.std(0)
    if float(np.ptp(mel)) < 1e-3 or deviation.max() < 1e-6:
        return None
    return (features - features.mean(0)) / np.maximum(deviation, 1e-6)


def _lip_targets(aperture: Float[np.ndarray, "n"], used: np.ndarray) -> Float[np.ndarray, "n 3"] | None:
    """Aperture, what of it is faster than 1 Hz, and its speed; at unit variance, zero in frames not used."""
    known = np.flatnonzero(used)
    filled = np.interp(np.arange(len(aperture)), known, aperture[known])
    sections = butter(2, _HIGH_PASS_HZ / (VIDEO_FPS / 2), "high", output="sos")
    targets = np.stack([filled, sosfiltfilt(sections, filled), np.gradient(filled)], 1)
    targets = targets - targets[used].mean(0)
    deviation = targets[used].std(0)
    if deviation[0] < 1e-6:
        return None
    return targets / np.maximum(deviation, 1e-9) * used[:, None]


def _block_products(
    features: Float[np.ndarray, "t f"], targets: Float[np.ndarray, "n 3"], blocks: np.ndarray, lags: np.ndarray
) -> Float[np.ndarray, "b l f 3"]:
    """Sums over every block of frames of feature times target, for every lag."""
    centres = FACTS.window.centres(np.arange(len(targets)))
    out = np.zeros((int(blocks.max()) + 1, len(lags), features.shape[1], targets.shape[1]))
    for place, lag in enumerate(lags):
        rows = centres + lag
        inside = (rows >= 0) & (rows < len(features))
        for block in range(len(out)):
            chosen = inside & (blocks == block)
            out[block, place] = features[rows[chosen]].T @ targets[chosen]
    return out


def _scores(products: Float[np.ndarray, "l f 3"], inverse: Float[np.ndarray, "f f"]) -> Float[np.ndarray, "l"]:
    return np.einsum("lfk,fg,lgk->l", products, inverse, products, optimize=True)


def _peak_ms(lags: Int[np.ndarray, "l"], scores: Float[np.ndarray, "l"]) -> float:
    best = int(np.argmax(scores))
    shift = 0.0
    if 0 < best < len(scores) - 1:
        before, peak, after = scores[best - 1 : best + 2]
        curvature = before - 2.0 * peak + after
        shift = 0.5 * (before - after) / curvature if curvature < -1e-12 else 0.0
    return float(1000.0 * _LAG_STEP * (lags[best] + np.clip(shift, -0.5, 0.5)))
