"""The feature ``deepspeech``: 29 columns of a DeepSpeech network, read from a file beside the sound.

The network (Hannun et al. 2014, as Mozilla's 0.1 to 0.9 run it) needs a TensorFlow that no longer installs here; many
data sets of talking heads bring its output as ``.npy``. For ``NAME.wav`` or ``NAME.mp4`` the file is
``NAME.deepspeech.npy``: (t, 29), 50 rows a second, row j centred at ``j / 50`` s, letters' logits or probabilities
with blank last. It is plain numbers: a file with Python objects in it is refused.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import maximum_filter1d

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.columns import speech_statistics
from gaussavatar.audio.features.pieces import PIECE_SECONDS
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.stream import FeatureStream, n_centred_frames
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

RATE = 50
COLUMNS = 29
BLANK = COLUMNS - 1
SUFFIX = ".deepspeech.npy"

FACTS = FeatureFacts(
    names=("deepspeech",),
    dimension=COLUMNS,
    window=Window(RATE, 16),
    look_ahead_ms=200.0,
    streamable=False,
    leads=False,
    beside=SUFFIX,
)

_DO = f"make (t, {COLUMNS}) float32 at {RATE} rows a second with your DeepSpeech and numpy.save, or name others"
_LENGTH_SECONDS, _LENGTH_SHARE = 1.0, 0.02
"""How far the file's length may be from the sound's: the last window of some programs, and their rounding."""

_SPREAD = 1.0
_LETTER_HOLD = 21
"""Rows (0.4 s) in which any letter counts as speech: the network tells each in one or two rows, and blank between."""


def read_columns(path: Path) -> Float32[np.ndarray, "t 29"]:
    """Read and check a file of columns.

    Raises:
        UserError: there is none, or what is in it is not (t, 29) finite numbers.
    """
    wanted = f"({COLUMNS} columns of numbers) in {path}"
    try:
        with path.open("rb") as file:
            columns = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"DeepSpeech's output {wanted}", "no such file", _DO) from error
    except (OSError, ValueError, EOFError) as error:
        came = f"a file that is no plain .npy ({error})"[:160]
        raise UserError(f"DeepSpeech's output {wanted}", came, _DO) from error
    if columns.ndim != 2 or columns.shape[1] != COLUMNS or len(columns) == 0 or columns.dtype.kind not in "fiu":
        raise UserError(f"DeepSpeech's output {wanted}", f"{columns.dtype} of shape {columns.shape}", _DO)
    columns = columns.astype(np.float32)
    if not np.isfinite(columns).all():
        row, column = (int(k[0]) for k in np.nonzero(~np.isfinite(columns)))
        raise UserError(f"DeepSpeech's output {wanted}", f"{columns[row, column]} in row {row}, column {column}", _DO)
    return columns


class DeepSpeechFeature:
    """DeepSpeech's letters as an :class:`gaussavatar.audio.features.api.AudioFeature`."""

    @property
    def facts(self) -> FeatureFacts:
        """See :data:`FACTS`."""
        return FACTS

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t 29"]:
        """The rows of the file beside the sound that belong to it.

        Raises:
            UserError: the sound was not read from a file, there is none beside it, or it is wrong or of another length.
        """
        if waveform.file is None:
            raise UserError("a sound file, with DeepSpeech's output beside it", "a sound without a file", _DO)
        path = waveform.file.with_suffix(SUFFIX)
        columns = read_columns(path)
        first = round(waveform.start * RATE)
        n = n_centred_frames(len(waveform.samples), ANALYSIS_RATE // RATE)
        missing = first + n - len(columns)
        allowed = max(_LENGTH_SECONDS, _LENGTH_SHARE * waveform.seconds) * RATE
        # A piece of a long sound does not know where that ends.
        whole = waveform.seconds < PIECE_SECONDS and waveform.start == 0.0
        if missing > allowed or (whole and -missing > allowed):
            came = f"{len(columns)} rows: {len(columns) / RATE:.1f} s"
            raise UserError(f"about {first + n} rows in {path}, {RATE} a second", came, _DO)
        return columns[np.minimum(np.arange(first, first + n), len(columns) - 1)]

    def stream(self) -> FeatureStream:
        """Refused: it comes from a file.

        Raises:
            UserError: always.
        """
        raise UserError("audio features that can follow live sound", "deepspeech, which is read", "name others")

    def statistics(self, raw: Float[np.ndarray, "t 29"]) -> AudioStatistics:
        """The sound's own."""
        return speech_statistics(raw, self.activity(raw.astype(np.float32)), _SPREAD)

    def activity(self, raw: Float32[np.ndarray, "t 29"]) -> Float32[np.ndarray, "t"]:
        """What has a letter nearby."""
        if len(raw) == 0:
            return np.zeros(0, np.float32)
        # The first column is the space between words.
        letter = (raw[:, 1:BLANK].max(1) > np.maximum(raw[:, 0], raw[:, BLANK])).astype(np.float32)
        return maximum_filter1d(letter, _LETTER_HOLD, mode="constant")

    def gate(self, windows: Float32[np.ndarray, "n w 29"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Always open: silence is among what the encoder learns, and letters come too late to close by them."""
        return np.ones(len(windows))


DEEPSPEECH = DeepSpeechFeature()


def build() -> DeepSpeechFeature:
    """The one there is: it holds nothing."""
    return DEEPSPEECH
