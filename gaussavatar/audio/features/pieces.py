"""Features of a sound of any length, in memory that does not grow with it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from gaussavatar.audio.features.api import AudioFeature
from gaussavatar.media.samples import LongArray, forget_read
from gaussavatar.types import Waveform

WHOLE_SECONDS = 600
"""A sound up to this length is heard in one piece."""

PIECE_SECONDS = 300
MARGIN_SECONDS = 10
"""Of a longer one, so much is heard at a time, with so much around it for features that listen further than a window.
"""


def extract_in_pieces(feature: AudioFeature, waveform: Waveform) -> Float32[np.ndarray, "t d"]:
    """What ``feature.extract`` gives of a whole sound; one longer than ten minutes is heard in pieces.

    A feature whose frames depend on less than :data:`MARGIN_SECONDS` around them comes out the same.

    Args:
        feature: what is heard.
        waveform: a sound of any length; its samples may lie in a file.

    Returns:
        The features, of a long sound in a temporary file that is mapped; not to be written to.

    Raises:
        UserError: there is no room for that file.
    """
    if waveform.seconds <= WHOLE_SECONDS:
        return feature.extract(waveform)
    samples, rate, frames = waveform.samples, waveform.rate, feature.facts.window.rate
    total = len(samples) * frames // rate + 1
    heard = LongArray((feature.facts.dimension,))
    step, margin = PIECE_SECONDS * frames, MARGIN_SECONDS * frames
    for start in range(0, total, step):
        first, end = max(0, start - margin), min(total, start + step)
        sound = samples[first * rate // frames : (end + margin) * rate // frames]
        piece = Waveform(np.asarray(sound), rate, waveform.file, waveform.start + first / frames)
        heard.add(feature.extract(piece)[start - first :][: end - start])
        forget_read(samples)
    return heard.array()
