"""What is being said: posteriors of the phone recogniser of the package ``hama``, in classes that look alike.

``hama`` (pinned: another version is another network) is a small conformer that was trained with CTC. Its weights are
the package's; :mod:`.conformer` runs them. Nine of ten of its frames say "nothing new" (blank), and the others are sure
of themselves; for lips its second thoughts matter. Blank is left out, what remains is softened, summed to the classes
of :mod:`gaussavatar.audio.phone_classes`, and the logarithm taken. No voice's own statistics are taken off, for the
network has seen many.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.audio.features.api import FeatureFacts
from gaussavatar.audio.features.conformer import Conformer
from gaussavatar.audio.features.hama_pack import hama_shapes, network_sections, read_pack
from gaussavatar.audio.gate import GateConfig
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.audio.phone_classes import CLASSES, SILENCE, shares_of
from gaussavatar.audio.stream import n_centred_frames
from gaussavatar.audio.windows import Window
from gaussavatar.errors import UserError
from gaussavatar.types import ANALYSIS_RATE, Waveform

PACKAGE_VERSION = "1.7.0"
RATE = 50
HOP = ANALYSIS_RATE // RATE
TEMPERATURE = 3.0
FLOOR = 0.01
"""Added to every class before the logarithm, so that what is excluded does not count more than what is unlikely."""

PIECE, CONTEXT = 8 * RATE, RATE
"""Feature frames that are kept of one call of the network, and heard besides on either side. It hears at most 30 s,
and longer pieces cost more per second, for every frame attends to every other."""

LIVE_PIECE, LIVE_LEFT, LIVE_RIGHT = 8, 80, 10
"""The same for live sound: every 160 ms, with 1.6 s before and 0.2 s after. Lips are told as well as from the whole."""

FACTS = FeatureFacts(
    names=("hama",),
    dimension=len(CLASSES),
    window=Window(RATE, 16),
    look_ahead_ms=1000.0 * (LIVE_RIGHT + LIVE_PIECE - 1) / RATE,
    streamable=True,
    stream_alike=False,
    leads=False,
    requires=("hama",),
    install=f"pip install hama=={PACKAGE_VERSION}",
)

# fmt: off
_MEAN = (-2.8, -3.4, -3.4, -3.4, -3.5, -2.7, -3.4, -3.5, -3.1, -3.3, -2.7,
         -3.4, -4.2, -3.8, -3.9, -2.6, -3.2, -2.8, -2.8, -3.3, -3.3, -4.2)
_STD = (1.0, 0.6, 0.6, 0.6, 0.6, 0.7, 0.7, 0.6, 0.65, 0.55, 0.65,
        0.65, 0.3, 0.5, 0.45, 0.65, 0.55, 0.6, 0.6, 0.6, 0.5, 0.3)
# fmt: on
"""Of each class over speech of six people in two languages, who differ by less than a tenth in nearly all of them."""


def network_parts() -> tuple[dict[str, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The layers of the network by name, see :func:`.hama_pack.network_sections`, and its kernels.

    Raises:
        UserError: the package is not installed in the version that avatars are trained with, or is damaged.
    """
    check_installed()
    shapes = hama_shapes(len(token_classes()[0]))
    try:
        tensors = read_pack(resources.files("hama.assets").joinpath("asr_waveform.hama").read_bytes())
        sections = network_sections(tensors)
        kernels = tensors["stft_real_kernel"][:, 0], tensors["stft_imag_kernel"][:, 0]
        if {name: array.shape for name, array in sections.items()} != shapes or kernels[0].shape != (201, 400):
            raise ValueError("layers of other shapes")
    except (OSError, KeyError, IndexError, ValueError) as error:
        do = f"{FACTS.install} --force-reinstall"
        raise UserError(f"the network of hama {PACKAGE_VERSION}", f"a damaged one ({error})"[:160], do) from error
    return sections, kernels


@cache
def _network() -> Conformer:
    return Conformer(*network_parts())


@cache
def token_classes() -> tuple[Float32[np.ndarray, "tokens classes"], int]:
    """How much of each of the network's tokens belongs to each class, and which token is blank.

    Raises:
        UserError: another version is installed.
    """
    check_installed()
    from hama.vocab import Vocabulary

    tokens = [*Vocabulary.load(None).decoder, "<wb>", "<blank>"]
    classes = np.zeros((len(tokens), len(CLASSES)), np.float32)
    for row, token in enumerate(tokens):
        if token == "<wb>":
            classes[row, SILENCE] = 1.0
        elif not token.startswith("<"):
            for k, share in shares_of(token).items():
                classes[row, k] = share
    return classes, tokens.index("<blank>")


def check_installed() -> None:
    """Refuse another version of hama than the one that avatars are trained with.

    Raises:
        UserError: it is another, or none is installed.
    """
    try:
        found = version("hama")
    except PackageNotFoundError:
        found = "none"
    if found != PACKAGE_VERSION:
        raise UserError(f"hama {PACKAGE_VERSION}, whose sounds this avatar knows", found, FACTS.install)


def usable_here() -> bool:
    """Whether the package is installed in the right version."""
    try:
        return find_spec("hama") is not None and version("hama") == PACKAGE_VERSION
    except PackageNotFoundError:
        return False


def log_posteriors(samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t tokens"]:
    """Logarithms of what the network thinks of every frame of up to 30 s; frame j is centred at ``0.02 j`` s."""
    return _network()(samples)


def class_levels(log_probability: Float32[np.ndarray, "t tokens"]) -> Float32[np.ndarray, "t classes"]:
    """Softened posteriors without blank, summed by class, as logarithms."""
    classes, blank = token_classes()
    softened = log_probability / TEMPERATURE
    softened[:, blank] = -np.inf
    share = np.exp(softened - softened.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    return np.log(share @ classes + FLOOR).astype(np.float32)


def levels_in_pieces(
    samples: Float32[np.ndarray, "s"], piece: int, left: int, right: int
) -> Float32[np.ndarray, "t classes"]:
    """Class levels of a sound of any length, ``piece`` frames at a time with what lies before and after them."""
    n = n_centred_frames(len(samples), HOP)

    def hear(start: int) -> np.ndarray:
        stop = min(n, start + piece)
        first, last = max(0, start - left), min(n, stop + right)
        level = class_levels(log_posteriors(np.ascontiguousarray(samples[first * HOP : last * HOP])))
        # The very end of a sound that is no multiple of the hop has no frame of its own.
        return level[np.minimum(np.arange(start, stop) - first, len(level) - 1)]

    starts = range(0, n, piece)
    return np.concatenate([hear(start) for start in starts])


class HamaStream:
    """hama on sound that comes in pieces: close to what it tells of the whole, and not equal to it."""

    def __init__(self) -> None:
        self._sound = np.zeros(0, np.float32)
        self._dropped = 0
        self._n = 0

    def push(self, samples: Float32[np.ndarray, "s"]) -> Float32[np.ndarray, "t d"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        self._sound = np.concatenate([self._sound, np.asarray(samples, np.float32)])
        told = []
        while self._dropped + len(self._sound) // HOP >= self._n + LIVE_PIECE + LIVE_RIGHT:
            told.append(self._hear(self._n + LIVE_PIECE, self._n + LIVE_PIECE + LIVE_RIGHT))
        return np.concatenate(told) if told else np.zeros((0, FACTS.dimension), np.float32)

    def finish(self) -> Float32[np.ndarray, "t d"]:
        """See :class:`gaussavatar.audio.stream.FeatureStream`."""
        end = self._dropped + n_centred_frames(len(self._sound), HOP)
        return self._hear(end, end)

    def _hear(self, stop: int, last: int) -> np.ndarray:
        first = max(self._dropped, self._n - LIVE_LEFT)
        part = self._sound[(first - self._dropped) * HOP : (last - self._dropped) * HOP]
        level = class_levels(log_posteriors(np.ascontiguousarray(part)))
        out = level[np.minimum(np.arange(self._n, stop) - first, len(level) - 1)]
        self._n = stop
        gone = max(0, self._n - LIVE_LEFT - self._dropped)
        self._sound, self._dropped = self._sound[gone * HOP :], self._dropped + gone
        return out


class HamaFeature:
    """Phone classes as :class:`gaussavatar.audio.features.api.AudioFeature`."""

    @property
    def facts(self) -> FeatureFacts:
        """See :data:`FACTS`."""
        return FACTS

    def extract(self, waveform: Waveform) -> Float32[np.ndarray, "t d"]:
        """Levels of the classes, in pieces."""
        samples = np.clip(np.asarray(waveform.samples, np.float32), -1.0, 1.0)
        return levels_in_pieces(samples, PIECE, CONTEXT, CONTEXT)

    def stream(self) -> HamaStream:
        """Every 160 ms, with 0.2 s of what comes after."""
        return HamaStream()

    def statistics(self, raw: Float[np.ndarray, "t d"]) -> AudioStatistics:
        """The same for every sound. Before its start and after its end stands what says nothing."""
        mean, floor = np.array(_MEAN, np.float32), np.full(FACTS.dimension, np.log(FLOOR), np.float32)
        return AudioStatistics(mean, np.array(_STD, np.float32), floor, quiet=mean)

    def activity(self, raw: Float32[np.ndarray, "t d"]) -> Float32[np.ndarray, "t"]:
        """It cannot tell: what is left without blank is about speech, and loose where there is none."""
        return np.ones(len(raw), np.float32)

    def gate(self, windows: Float32[np.ndarray, "n w d"], config: GateConfig | None = None) -> Float[np.ndarray, "n"]:
        """Always open, see :meth:`activity`."""
        return np.ones(len(windows))


def build() -> HamaFeature:
    """The feature; the network is opened when it first hears."""
    check_installed()
    return HamaFeature()
