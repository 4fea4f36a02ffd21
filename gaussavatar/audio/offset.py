"""How far a recording's sound lies from its picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from gaussavatar.audio.mel import WINDOW_RADIUS, normalise, windows

NATURAL_LEAD_FRAMES = 0.5
"""Lips move about 20 ms before the sound that they shape (three real clips: 0.5 to 1.3 frames)."""

_LEAST_FRAMES = 250
_LEAST_SCORE = 0.25


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


def offset_scores(
    mel: Float32[np.ndarray, "t 40"], aperture: Float32[np.ndarray, "n"], reach: int = 3
) -> dict[int, float]:
    """Correlation of the lip aperture with its prediction from sound shifted by -reach..reach frames.

    A narrow window (+-60 ms) is used: the wide one of the encoder would find the answer
    at its side and blur the peak. Cross-validated over five blocks.
    """
    normalised = normalise(mel)
    n = len(aperture)
    y = aperture[:, None].astype(np.float32)
    scores = {}
    for offset in range(-reach, reach + 1):
        x = windows(normalised, n, offset_frames=offset)[:, WINDOW_RADIUS - 6 : WINDOW_RADIUS + 7 : 2]
        predicted = ridge_block_prediction(x.reshape(n, -1), y, blocks=5, penalty=0.3)[:, 0]
        scores[offset] = float(np.corrcoef(predicted, aperture)[0, 1])
    return scores


def estimate_av_offset(mel: Float32[np.ndarray, "t 40"], aperture: Float32[np.ndarray, "n"], reach: int = 3) -> int:
    """Offset in video frames at which the recording's sound tells most about its lips.

    A positive answer means that the sound lies late: picture frame i belongs to the
    sound at frame i + offset. The peak of the scores is refined by a parabola; half a
    frame, by which lips precede their sound in well-timed recordings, is no offset.
    Zero where the clip is shorter than ten seconds or the sound tells too little.
    """
    if len(aperture) < _LEAST_FRAMES or float(np.std(aperture)) < 1e-6:
        return 0
    scores = offset_scores(mel, aperture, reach + 1)
    best = max(range(-reach, reach + 1), key=lambda k: scores[k])
    before, peak, after = (scores[best + k] for k in (-1, 0, 1))
    if peak < _LEAST_SCORE:
        return 0
    curvature = before - 2.0 * peak + after
    shift = 0.5 * (before - after) / curvature if curvature < -1e-9 else 0.0
    return int(np.floor(best + np.clip(shift, -0.5, 0.5) - NATURAL_LEAD_FRAMES + 0.5))
