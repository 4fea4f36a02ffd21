"""An avatar's header and arrays against each other, before anything of their size is made.

The folder may be a stranger's, and its digests vouch only for what the stranger wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.audio.stress import N_STRESS
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.errors import UserError
from gaussavatar.media.probe import probe
from gaussavatar.model.config import BranchConfig
from gaussavatar.motion.poses import are_poses

DO = "restore the file, or fit the avatar again"
MOST_GAUSSIANS, MOST_FRAMES, MOST_NAMES = 4_000_000, 2_000_000, 1000
LONGEST_NAME, LONGEST_TEXT = 100, 10_000
FARTHEST = 1e6
"""No number of an avatar is beyond it: metres, codes, colours, weights, pixels are all below."""
LARGEST_SCALE = 5.0
"""Natural logarithm of metres: no Gaussian is as large as a village."""

_SHAPES = frozenset({"n_mouth", "n_upper", "face", "face_moving", "mouth", "mouth_moving"})
_RIG = frozenset({"rig_vertices", "rig_expressions", "rig_joints", "rig_correctives"})


@dataclass(frozen=True)
class _Range:
    name: str
    value: float
    low: float
    high: float


def _encoder_ranges(name: str, config: EncoderConfig, n_codes: int) -> list[_Range]:
    return [
        _Range(f"{name}.n_codes", config.n_codes, n_codes, n_codes),
        _Range(f"{name}.hidden", config.hidden, 1, 4096),
        _Range(f"{name}.members", config.members, 1, 64),
        _Range(f"{name}.width", config.width, 1, 8192),
        _Range(f"{name}.window", config.window, 1, 400),
        _Range(f"{name}.heard", config.heard, 0, config.width),
        _Range(f"{name}.dropout", config.dropout, 0, 0.99),
        _Range(f"the number of {name}.features", len(config.features), 1, 16),
    ]


def _branch_ranges(name: str, config: BranchConfig) -> list[_Range]:
    return [
        _Range(f"{name}.n_free", config.n_free, 0, 256),
        _Range(f"{name}.hidden", config.hidden, 1, 4096),
        _Range(f"{name}.vector", config.vector, 1, 1024),
        _Range(f"the number of {name}.moves", len(set(config.moves)), 1, len(config.moves)),
        *(_Range(f"{name}.planes", side, 2, 4096) for side in config.planes),
        *(_Range(f"{name}.axes", factor, -100, 100) for factor in config.axes),
    ]


def _ranges(record: AvatarRecord) -> list[_Range]:
    shapes, drive, gate = record.shapes, record.drive, record.drive.gate
    limits = {"n_mouth": (1, 4096), "n_upper": (0, 4096), "face_moving": (0, shapes["face"])}
    limits |= {
        "face_aside": (shapes["face"], shapes["face"]),
        "mouth_moving": (0, shapes["mouth"]),
        "rig_joints": (0, 4096),
        "rig_expressions": (0, 4096),
    }
    ranges = [_Range(f"shapes.{name}", n, *limits.get(name, (0, MOST_GAUSSIANS))) for name, n in shapes.items()]
    ranges += _branch_ranges("model.face", record.model.face) + _branch_ranges("model.mouth", record.model.mouth)
    ranges += _encoder_ranges("encoder", record.encoder, shapes["n_mouth"])
    if record.light is not None:
        ranges += _encoder_ranges("light", record.light, shapes["n_mouth"])
    if gate is not None:
        ranges += [
            _Range("drive.gate.threshold", gate.threshold, -100, 100),
            _Range("drive.gate.softness", gate.softness, 1e-6, 100),
            _Range("drive.gate.hold", gate.hold, 0, 16),
        ]
    movements = MOST_NAMES if record.model.binding == "head" else 0
    return [
        *ranges,
        _Range("drive.mouth_gain", drive.mouth_gain, 0, 100),
        _Range("drive.ood", drive.ood, 0, 1),
        _Range("drive.batch", drive.batch, 1, 1_000_000),
        _Range("light_share", record.light_share, 0, 1),
        _Range("the number of upper_names", len(record.upper_names), shapes["n_upper"], shapes["n_upper"]),
        _Range("the number of expression_names", len(record.expression_names), 0, movements),
    ]


def check_record(record: AvatarRecord, path: Path) -> None:
    """Refuse a header whose numbers cannot be meant, or do not go together; ``path`` is named.

    Raises:
        UserError: such a header.
    """
    wanted = _SHAPES | (_RIG if record.model.binding == "head" else frozenset())
    if set(record.shapes) - {"face_aside"} != wanted:
        expected = f"the shapes {', '.join(sorted(wanted))} in {path}"
        raise UserError(expected, ", ".join(sorted(record.shapes))[:200] or "none", DO)
    for each in _ranges(record):
        if not each.low <= each.value <= each.high:
            limits = f"{each.low:g}" if each.low == each.high else f"{each.low:g} to {each.high:g}"
            raise UserError(f"{limits} for {each.name} in {path}", f"{each.value:g}"[:40], DO)
    for names in (record.upper_names, record.expression_names):
        if len(set(names)) < len(names) or any(len(name) > LONGEST_NAME or not name.isprintable() for name in names):
            raise UserError(f"names of movements that can be told apart in {path}", f"{len(names)} others", DO)
    texts = (record.subject, record.consent, record.source, record.recipe, record.program, record.pose_protocol)
    for text in texts:
        if len(text) > LONGEST_TEXT or not all(sign.isprintable() or sign in "\n\t" for sign in text):
            raise UserError(f"texts of at most {LONGEST_TEXT} signs that can be shown in {path}", repr(text[:40]), DO)


def check_numbers(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse arrays that hold something else than numbers of a sane size.

    Raises:
        UserError: another kind of array, NaN, infinity, or a number beyond :data:`FARTHEST`.
    """
    for name, array in arrays.items():
        if array.dtype.kind not in "fiu":
            raise UserError(f"numbers as {name} of {path}", f"{array.dtype}", DO)
        # The comparison is false for NaN too.
        if array.size and not (float(np.min(array)) >= -FARTHEST and float(np.max(array)) <= FARTHEST):
            raise UserError(f"finite numbers within {FARTHEST:g} as {name} of {path}", "NaN, or others beyond", DO)


def require_array(arrays: Mapping[str, np.ndarray], name: str, shape: Sequence[int | None], path: Path) -> np.ndarray:
    """An array of floating-point numbers of a shape, in which None may be anything.

    Raises:
        UserError: there is none, or it is of another kind or shape.
    """
    array = arrays.get(name)
    fits = (
        array is not None
        and array.dtype.kind == "f"
        and array.ndim == len(shape)
        and all(side in (None, n) for side, n in zip(shape, array.shape, strict=True))
    )
    if array is None or not fits:
        wanted = " x ".join("n" if side is None else str(side) for side in shape)
        came = "no such array" if array is None else f"{' x '.join(map(str, array.shape))} of {array.dtype}"
        raise UserError(f"{name} of {wanted} floating-point numbers in {path}", came, DO)
    return array


def check_weights(
    weights: Mapping[str, np.ndarray], own: Mapping[str, torch.Tensor], path: Path, prefix: str = ""
) -> None:
    """Refuse tensors of other names or shapes than a module has; those of a module on torch's meta device cost nothing.

    Raises:
        UserError: a tensor is missing, or has another shape or kind.
    """
    for name, tensor in own.items():
        array = weights.get(prefix + name)
        if (
            array is None
            or array.shape != tuple(tensor.shape)
            or (array.dtype.kind == "f") != tensor.is_floating_point()
        ):
            came = "none" if array is None else f"{array.shape} of {array.dtype}"
            raise UserError(f"the tensor {prefix + name} of shape {tuple(tensor.shape)} in {path}", came, DO)


def check_branches(weights: Mapping[str, np.ndarray], prefix: str, path: Path, vertices: int = 0) -> None:
    """Refuse Gaussians without a direction, as large as a village, or bound to other than the ``vertices`` of a head.

    Raises:
        UserError: such Gaussians.
    """
    for name, array in weights.items():
        if not name.startswith(prefix):
            continue
        if name.endswith("gaussians.quats") and len(array) and not (np.square(array).sum(axis=1) > 1e-12).all():
            raise UserError(f"rotations as {name} of {path}", "zeros", DO)
        if array.dtype.kind in "iu" and array.size and not 0 <= int(array.min()) <= int(array.max()) < vertices:
            raise UserError(
                f"vertices of the head as {name} of {path}", f"{int(array.min())} to {int(array.max())}", DO
            )
        if name.endswith("gaussians.log_scales") and array.size and not float(array.max()) <= LARGEST_SCALE:
            raise UserError(f"Gaussians of sane size as {name} of {path}", f"e^{float(array.max()):.3g} m", DO)


def encoder_shapes(config: EncoderConfig) -> dict[str, torch.Tensor]:
    """The tensors of an encoder, without their values."""
    with torch.device("meta"):
        return AudioEncoder(config).state_dict()


def check_track(track: Mapping[str, np.ndarray], record: AvatarRecord, path: Path) -> None:
    """Refuse a filmed track without a frame, of unlike lengths, or with a camera that sees nothing.

    Raises:
        UserError: such a track.
    """
    check_numbers(track, path)
    K = require_array(track, "K", (3, 3), path)
    T_camera_world = require_array(track, "T_camera_world", (None, 4, 4), path)
    frames = len(T_camera_world)
    require_array(track, "mouth_codes", (frames, record.shapes["n_mouth"]), path)
    require_array(track, "upper", (frames, record.shapes["n_upper"]), path)
    if not 1 <= frames <= MOST_FRAMES or not are_poses(T_camera_world):
        raise UserError(f"head poses, one per frame, in {path}", f"{frames} others", DO)
    if not (K[0, 0] > 0 and K[1, 1] > 0 and np.array_equal(K[2], [0, 0, 1])):
        raise UserError(f"a camera matrix as K of {path}", " ".join(f"{value:.3g}" for value in K.flat), DO)


def check_video(path: Path, record: AvatarRecord) -> None:
    """Refuse a video of another size than the avatar's pictures, without decoding it.

    Raises:
        UserError: no video, or of another size.
    """
    info = probe(path)
    size = record.image_size
    if not info.has_video or (info.coded_width or info.width, info.coded_height or info.height) != (size, size):
        raise UserError(f"a video of {size} x {size} at {path}", f"one of {info.width} x {info.height}", DO)


def check_besides(arrays: Mapping[str, np.ndarray], record: AvatarRecord, path: Path) -> None:
    """Refuse arrays besides the networks' with other shapes than they should have: closed mouth, curves, accents.

    Raises:
        UserError: such an array.
    """
    m, u = record.shapes["n_mouth"], record.shapes["n_upper"]
    for name in ("closed", "mouth_open_direction"):
        require_array(arrays, name, (m,), path)
    optional: dict[str, tuple[int | None, ...]] = {
        "arkit.rest_codes": (m,), "arkit.rest_upper": (u,), "arkit.mouth": (52, m), "arkit.upper": (52, u),
        "arkit.mean": (m,), "arkit.whiten": (m, m), "arkit.reach": (2,), "arkit.importance": (m,),
        "accents.weights": (N_STRESS, 6), "accents.coupling": (3, 6), "accents.share": (6,),
    }  # fmt: skip
    voice = arrays.get("voice.mean")
    optional |= {
        f"voice.{name}": (None if voice is None else len(voice),) for name in ("mean", "std", "floor", "quiet")
    }
    for name in optional.keys() & arrays.keys():
        require_array(arrays, name, optional[name], path)
