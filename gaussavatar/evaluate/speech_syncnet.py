"""SyncNet's confidence and distance, where the user has its weights: how well pictures of a mouth go with the sound.

Network, inputs and figures: Chung and Zisserman, "Out of time: automated lip sync in the wild" (2016), as the public
release (github.com/joonson/syncnet_python, ``syncnet_v2.model``) has them; papers call the figures Sync-C and Sync-D.
The code is our own: the picture's network runs over the whole stretch at once, which gives the same embeddings as
running it over every five frames, for only its first layer looks across time. Faces are cropped by landmarks instead of
by a detector of boxes, so figures differ from other people's: compare with the real frames' beside them. Encoding a
video anew alone moves them by .4 to 1.2 (THEval, arXiv 2511.04520).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from scipy.fft import dct
from scipy.signal import medfilt
from torch import Tensor

from gaussavatar.errors import UserError
from gaussavatar.image.perceptual import read_state
from gaussavatar.landmarks.indices import FACE_OVAL
from gaussavatar.media.images import resize
from gaussavatar.storage import Pictures
from gaussavatar.types import ANALYSIS_RATE, VIDEO_FPS, Waveform

SIDE = 224
WINDOW = 5
"""Video frames that one embedding sees."""

MFCC_FRAMES = 20
MFCC_PER_FRAME = 4
REACH = 15
"""Frames within which the offset is looked for."""

CHUNK = 16
_GREY = 110
_CROP = 0.4
"""What is shown around the face's box, as a share of its half side; as in the public release."""


@dataclass(frozen=True)
class Convolution:
    """One convolution with batch normalisation behind it, the rectifier, and perhaps a pooling."""

    number: int
    shape: tuple[int, ...]
    """Channels out and in, then the kernel."""
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    pool: tuple[int, ...] = ()
    pool_stride: tuple[int, ...] = ()
    pool_padding: tuple[int, ...] = ()


SOUND = (
    Convolution(0, (64, 1, 3, 3), padding=(1, 1)),
    Convolution(4, (192, 64, 3, 3), padding=(1, 1), pool=(3, 3), pool_stride=(1, 2)),
    Convolution(8, (384, 192, 3, 3), padding=(1, 1)),
    Convolution(11, (256, 384, 3, 3), padding=(1, 1)),
    Convolution(14, (256, 256, 3, 3), padding=(1, 1), pool=(3, 3), pool_stride=(2, 2)),
    Convolution(18, (512, 256, 5, 4)),
)
PICTURE = (
    Convolution(0, (96, 3, 5, 7, 7), (1, 2, 2), pool=(1, 3, 3), pool_stride=(1, 2, 2)),
    Convolution(
        4, (256, 96, 1, 5, 5), (1, 2, 2), (0, 1, 1), pool=(1, 3, 3), pool_stride=(1, 2, 2), pool_padding=(0, 1, 1)
    ),
    Convolution(8, (256, 256, 1, 3, 3), padding=(0, 1, 1)),
    Convolution(11, (256, 256, 1, 3, 3), padding=(0, 1, 1)),
    Convolution(14, (256, 256, 1, 3, 3), padding=(0, 1, 1), pool=(1, 3, 3), pool_stride=(1, 2, 2)),
    Convolution(18, (512, 256, 1, 6, 6)),
)
BRANCHES = {"netcnnaud": SOUND, "netcnnlip": PICTURE}
HEADS = ("netfcaud", "netfclip")
EMBEDDING = 1024


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the state dict and its shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def normalised(prefix: str, number: int, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{prefix}.{number}.{part}"] = (width,)

    for prefix, layers in BRANCHES.items():
        for layer in layers:
            shapes[f"{prefix}.{layer.number}.weight"] = layer.shape
            shapes[f"{prefix}.{layer.number}.bias"] = layer.shape[:1]
            normalised(prefix, layer.number + 1, layer.shape[0])
    for prefix in HEADS:
        shapes |= {f"{prefix}.0.weight": (512, 512), f"{prefix}.0.bias": (512,)}
        shapes |= {f"{prefix}.3.weight": (EMBEDDING, 512), f"{prefix}.3.bias": (EMBEDDING,)}
        normalised(prefix, 1, 512)
    return shapes


def load_syncnet(path: Path) -> dict[str, Tensor]:
    """Read and check the weights.

    Args:
        path: state dict of the public release, as .safetensors or as torch writes it; read without running code.

    Raises:
        UserError: the file is missing, damaged, or holds something else.
    """
    state = read_state(path)
    for name, shape in expected_shapes().items():
        found = state.get(name)
        if found is None or tuple(found.shape) != shape:
            came = "none" if found is None else f"shape {tuple(found.shape)}"
            raise UserError(f"SyncNet's weights in {path}: {name} of shape {shape}", came, "give syncnet_v2.model")
        if not torch.isfinite(found).all():
            raise UserError(f"SyncNet's weights in {path}", f"{name} with NaN or infinity", "fetch the file again")
    return {name: state[name].float() for name in expected_shapes()}


def sound_embeddings(state: Mapping[str, Tensor], waveform: Waveform, n: int) -> Float[Tensor, "n e"]:
    """Embeddings of the sound at each of ``n`` video frames: of 20 frames of coefficients from its start on."""
    coefficients = mfcc(waveform)
    needed = MFCC_PER_FRAME * (n - 1) + MFCC_FRAMES
    coefficients = np.pad(coefficients, ((0, max(0, needed - len(coefficients))), (0, 0)), mode="edge")
    starts = MFCC_PER_FRAME * np.arange(n)
    seen = coefficients[starts[:, None] + np.arange(MFCC_FRAMES)]
    x = torch.from_numpy(seen.transpose(0, 2, 1)[:, None].astype(np.float32))
    with torch.no_grad():
        parts = [_head(state, "netfcaud", _branch(state, "netcnnaud", part).flatten(1)) for part in x.split(64)]
    return torch.cat(parts)


def picture_embeddings(state: Mapping[str, Tensor], faces: UInt8[np.ndarray, "t 224 224 3"]) -> Float[Tensor, "n e"]:
    """Embeddings of every five consecutive crops (RGB): four fewer than crops."""
    parts = []
    n = len(faces) - WINDOW + 1
    with torch.no_grad():
        for start in range(0, n, CHUNK):
            crops = faces[start : min(start + CHUNK, n) + WINDOW - 1, :, :, ::-1]
            x = torch.from_numpy(np.ascontiguousarray(crops.transpose(3, 0, 1, 2)[None])).float()
            found = _branch(state, "netcnnlip", x)
            parts.append(_head(state, "netfclip", found[0, :, :, 0, 0].T))
    return torch.cat(parts)


def sync_figures(sound: Float[Tensor, "n e"], picture: Float[Tensor, "n e"], reach: int = REACH) -> dict[str, float]:
    """Confidence, distance and offset of embeddings frame by frame.

    The mean distance is taken for every shift of the sound within ``reach`` frames, beyond whose ends it is zero;
    ``distance`` is the least of them, ``confidence`` their median less that, ``offset_frames`` where it lies: positive
    where the sound comes before its picture, as the public release counts.
    """
    padded = F.pad(sound, (0, 0, reach, reach))
    shifts = [
        F.pairwise_distance(picture, padded[shift : shift + len(picture)]).mean() for shift in range(2 * reach + 1)
    ]
    mean = torch.stack(shifts)
    least = int(mean.argmin())
    ordered = mean.sort().values
    return {
        "confidence": float(ordered[len(ordered) // 2] - mean[least]),
        "distance": float(mean[least]),
        "offset_frames": float(reach - least),
    }


def face_crops(frames: Pictures, points: Float[np.ndarray, "t 478 3"], size: int) -> UInt8[np.ndarray, "t 224 224 3"]:
    """Square crops of the faces, as SyncNet was trained with: the face in the upper middle, its chin and neck below.

    Args:
        frames: pictures.
        points: landmarks in pixels of pictures of side ``size``; nan where there is no face.
        size: see ``points``.
    """
    oval = points[:, list(FACE_OVAL), :2] * (frames.shape[1] / size)
    low, high = oval.min(axis=1), oval.max(axis=1)
    track = np.concatenate([(low + high) / 2, ((high - low).max(axis=1) / 2)[:, None]], axis=1)
    known = np.flatnonzero(np.isfinite(track[:, 0]))
    length = min(13, len(track) - (len(track) + 1) % 2)
    crops = []
    filled = np.stack([np.interp(np.arange(len(track)), known, column[known]) for column in track.T], axis=1)
    # medfilt pads with zeros, which would pull the ends in.
    padded = np.pad(filled, ((length // 2, length // 2), (0, 0)), mode="edge")
    smooth = np.stack([medfilt(column, length) for column in padded.T], axis=1)[length // 2 :][: len(filled)]
    for frame, (x, y, half) in zip(frames, smooth, strict=True):
        border = int(half * (1 + 2 * _CROP)) + 1
        wide = np.pad(frame, ((border, border), (border, border), (0, 0)), constant_values=_GREY)
        x, y = x + border, y + border
        top, bottom = int(y - half), int(y + half * (1 + 2 * _CROP))
        left, right = int(x - half * (1 + _CROP)), int(x + half * (1 + _CROP))
        crops.append(resize(np.ascontiguousarray(wide[max(0, top) : bottom, max(0, left) : right]), SIDE))
    return np.stack(crops)


def frames_sync(
    state: Mapping[str, Tensor],
    frames: Pictures,
    points: Float[np.ndarray, "t 478 3"],
    size: int,
    waveform: Waveform,
    indices: Int[np.ndarray, "t"],
) -> dict[str, float]:
    """:func:`sync_figures` of consecutive frames of a clip; empty where too few of them show a face.

    Args:
        state: :func:`load_syncnet`.
        frames: the pictures.
        points: their landmarks, in pixels of side ``size``.
        size: see ``points``.
        waveform: the clip's sound.
        indices: the clip's frame of each picture.
    """
    seen = np.isfinite(points[:, 0, 0])
    if seen.sum() < 2 * WINDOW or len(frames) < REACH:
        return {}
    step = ANALYSIS_RATE // VIDEO_FPS
    first, count = int(indices[0]), len(frames) - WINDOW + 1
    part = Waveform(waveform.samples[first * step : (int(indices[-1]) + 1) * step], waveform.rate)
    picture = picture_embeddings(state, face_crops(frames, points, size))
    return sync_figures(sound_embeddings(state, part, count), picture)


def mfcc(waveform: Waveform) -> Float[np.ndarray, "t 13"]:
    """Mel cepstral coefficients as the network was trained with.

    Sound in 16-bit units with a pre-emphasis of .97; 25 ms every 10 ms without a window; power spectrum of 512; 26
    triangular mel filters from 0 Hz to the half rate; logarithm; cosine transform; 13 coefficients, liftered with 22;
    the first is the logarithm of the frame's energy.
    """
    samples = np.asarray(waveform.samples, np.float64) * 32768.0
    emphasised = np.concatenate([samples[:1], samples[1:] - 0.97 * samples[:-1]])
    span, hop, size = round(0.025 * waveform.rate), round(0.01 * waveform.rate), 512
    count = 1 + max(0, int(np.ceil((len(emphasised) - span) / hop)))
    padded = np.pad(emphasised, (0, max(0, (count - 1) * hop + span - len(emphasised))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, span)[::hop][:count]
    power = np.abs(np.fft.rfft(frames, size)) ** 2 / size
    tiny = np.finfo(float).eps
    bands = np.log(np.maximum(power @ _mel_filters(waveform.rate, size).T, tiny))
    coefficients = dct(bands, type=2, axis=1, norm="ortho")[:, :13]
    coefficients = coefficients * (1 + 11 * np.sin(np.pi * np.arange(13) / 22))
    coefficients[:, 0] = np.log(np.maximum(power.sum(axis=1), tiny))
    return coefficients


def _mel_filters(rate: int, size: int, n: int = 26) -> Float[np.ndarray, "n bins"]:
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, n + 2) / 2595) - 1)
    bins = np.floor((size + 1) * edges / rate)
    at = np.arange(size // 2 + 1)
    filters = np.zeros((n, len(at)))
    for row, (low, middle, high) in enumerate(zip(bins, bins[1:], bins[2:], strict=False)):
        rising, falling = (at >= low) & (at < middle), (at >= middle) & (at < high)
        filters[row, rising] = (at[rising] - low) / max(middle - low, 1)
        filters[row, falling] = (high - at[falling]) / max(high - middle, 1)
    return filters


def _normalised(state: Mapping[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (state[f"{prefix}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.relu(F.batch_norm(x, mean, var, weight, bias))


def _branch(state: Mapping[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    for layer in BRANCHES[prefix]:
        flat = len(layer.shape) == 4
        convolve, pool = (F.conv2d, F.max_pool2d) if flat else (F.conv3d, F.max_pool3d)
        weight, bias = (state[f"{prefix}.{layer.number}.{part}"] for part in ("weight", "bias"))
        x = _normalised(
            state, f"{prefix}.{layer.number + 1}", convolve(x, weight, bias, layer.stride or 1, layer.padding or 0)
        )
        if layer.pool:
            x = pool(x, layer.pool, layer.pool_stride, layer.pool_padding or 0)
    return x


def _head(state: Mapping[str, Tensor], prefix: str, x: Float[Tensor, "b 512"]) -> Float[Tensor, "b e"]:
    x = _normalised(state, f"{prefix}.1", F.linear(x, state[f"{prefix}.0.weight"], state[f"{prefix}.0.bias"]))
    return F.linear(x, state[f"{prefix}.3.weight"], state[f"{prefix}.3.bias"])
