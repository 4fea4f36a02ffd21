"""Three of THEval's eight figures, those that a landmark detector and a sound are enough for.

Definitions: "THEval. Evaluation Framework for Talking Head Video Generation" (CVPR 2026, arXiv 2511.04520) and its
public repository (github.com/Newbyl/THEval, ``Naturalness/lip_dynamics.py``, ``Synchronization/lip_sync.py``,
``Synchronization/silent_lip_stability.py``, ``theval/scoring.py``); the code here is our own. Each is measured on the
real frames too, and what counts is how near the two are: :func:`score`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from gaussavatar.evaluate.metrics import LIPS
from gaussavatar.landmarks.indices import LEFT_EYE_CORNERS, OUTER_EYE_CORNERS, RIGHT_EYE_CORNERS
from gaussavatar.types import VIDEO_FPS, Waveform

UPPER = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER = (95, 88, 178, 87, 14, 317, 402, 318)
"""Inner lip points that face each other."""

LEAST_SPEECH_SHARE = 0.1
VOLUME_SECONDS = 0.05


def lip_dynamics(points: Float[np.ndarray, "n 478 3"]) -> float:
    """How much the lips' shape varies: mean over all pairs of lip points of the variance of their distance.

    Distances are in units of that of the outer eye corners. Frames without a face (nan) are left out.
    """
    seen = points[_found(points)]
    if len(seen) < 2:
        return float("nan")
    lips = seen[:, list(LIPS), :2].astype(np.float64) / _eyes(seen)[:, None, None]
    first, second = np.triu_indices(len(LIPS), 1)
    return float(np.linalg.norm(lips[:, first] - lips[:, second], axis=-1).var(axis=0).mean())


def silent_lip_stability(points: Float[np.ndarray, "n 478 3"], silent: Bool[np.ndarray, "n"]) -> float:
    """How far the lips' opening strays while nobody speaks: median distance from its mean, over the eyes' distance.

    nan where fewer than two silent frames show a face.
    """
    seen = points[silent & _found(points)]
    if len(seen) < 2:
        return float("nan")
    gap = np.abs(seen[:, list(UPPER), 1] - seen[:, list(LOWER), 1]).mean(axis=1) / _eyes(seen)
    return float(np.median(np.abs(gap - gap.mean())))


def lip_sync(
    points: Float[np.ndarray, "n 478 3"], volume: Float[np.ndarray, "n"], spoken: Bool[np.ndarray, "n"]
) -> float:
    """Mean distance of the lips' opening from the sound's loudness, each stretched to 0..1 over the spoken frames.

    Loudness is no judge of lips by itself: real people's follow it with a correlation of .2. That is why only the
    nearness to the real frames' figure counts. nan where less than a tenth of the frames is speech.
    """
    used = spoken & _found(points)
    if spoken.mean() < LEAST_SPEECH_SHARE or used.sum() < 2:
        return float("nan")
    seen = points[used]
    gap = np.abs(seen[:, list(UPPER), 1].mean(axis=1) - seen[:, list(LOWER), 1].mean(axis=1))
    eyes = [seen[:, list(corners), 0].mean(axis=1) for corners in (LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS)]
    return float(np.abs(_stretched(gap / np.abs(eyes[0] - eyes[1])) - _stretched(volume[used])).mean())


def volume(waveform: Waveform, n_frames: int, first: int = 0, fps: float = VIDEO_FPS) -> Float[np.ndarray, "n_frames"]:
    """Root mean square of the sound over 50 ms, every 50 ms, between them by straight lines, at each frame's start.

    Args:
        waveform: the sound.
        n_frames: frames wanted.
        first: the frame that comes first.
        fps: frames per second.
    """
    step = max(1, int(VOLUME_SECONDS * waveform.rate))
    samples = np.pad(np.asarray(waveform.samples, np.float64), (step // 2, step))
    blocks = samples[: len(samples) // step * step].reshape(-1, step)
    loud = np.sqrt(np.square(blocks).mean(axis=1))
    return np.interp((first + np.arange(n_frames)) / fps, np.arange(len(loud)) * step / waveform.rate, loud)


def score(measured: float, truth: float) -> float:
    """1 - |measured - truth| / |truth|: 1 is the real frames' own figure; nan where that is 0 or not known."""
    return 1.0 - abs(measured - truth) / abs(truth) if truth else float("nan")


def theval_figures(
    rendered: Float[np.ndarray, "n 478 3"],
    real: Float[np.ndarray, "n 478 3"],
    loud: Float[np.ndarray, "n"],
    silent: Bool[np.ndarray, "n"],
    spoken: Bool[np.ndarray, "n"],
) -> dict[str, dict[str, float]]:
    """The three figures of rendered and of real frames, and their scores.

    Args:
        rendered, real: landmarks in pixels.
        loud: :func:`volume` of each frame.
        silent: frames of silences of at least 300 ms.
        spoken: frames of speech; short pauses are neither.
    """
    pairs = {
        "lip_dynamics": (lip_dynamics(rendered), lip_dynamics(real)),
        "silent_lip_stability": (silent_lip_stability(rendered, silent), silent_lip_stability(real, silent)),
        "lip_sync": (lip_sync(rendered, loud, spoken), lip_sync(real, loud, spoken)),
    }
    return {name: {"rendered": a, "real": b, "score": score(a, b)} for name, (a, b) in pairs.items()}


def _found(points: Float[np.ndarray, "n 478 3"]) -> Bool[np.ndarray, "n"]:
    return np.isfinite(points[:, 0, 0])


def _eyes(points: Float[np.ndarray, "n 478 3"]) -> Float[np.ndarray, "n"]:
    a, b = OUTER_EYE_CORNERS
    return np.maximum(np.linalg.norm(points[:, a, :2] - points[:, b, :2], axis=-1), 1e-9)


def _stretched(values: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    return (values - values.min()) / (np.ptp(values) + 1e-8)
