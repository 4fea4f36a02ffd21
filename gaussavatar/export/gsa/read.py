"""A ``.gsa`` file as a record of arrays: what other programs may take from it, or check their own reading with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from jaxtyping import Float32

from gaussavatar.errors import UserError
from gaussavatar.export.gsa.best import BestFacts, HamaFacts, check_best
from gaussavatar.export.gsa.branch import AsideColours, FreeNet, Lighting, LinearBranch
from gaussavatar.export.gsa.container import MOST_DECODED, unpack
from gaussavatar.export.gsa.quantise import unranged, unstepped
from gaussavatar.export.gsa.sections import WrongShapeError, taken
from gaussavatar.model.config import Channel
from gaussavatar.model.gaussians import CHANNEL_WIDTH
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.storage import require_plain
from gaussavatar.types import Activated

DRAWN = ("face", "mouth")
"""Branches that the codes move, nearest first: the face lies over the mouth, whatever their depths."""


@dataclass(frozen=True)
class _Shading:
    R_camera_rest: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]
    spread: tuple[float, float, float]


@dataclass(frozen=True)
class _Aside:
    ahead: tuple[float, float, float]
    reach: float


@dataclass(frozen=True)
class _Branch:
    n: int
    moving: int
    codes: int
    free: int
    moves: tuple[Channel, ...]
    shading: _Shading | None = None
    aside: _Aside | None = None


@dataclass(frozen=True)
class _Meta:
    """Of ``meta``, what a reader depends on."""

    format: Literal["gaussavatar"]
    size: int
    fps: float
    upper_names: tuple[str, ...]
    branches: dict[Literal["face", "mouth", "torso"], _Branch]
    subject: str
    consent: str
    synthetic: Literal[True]
    identity: str = ""
    best: BestFacts | None = None
    hama: HamaFacts | None = None


@dataclass(frozen=True)
class GsaAvatar:
    """An avatar out of a ``.gsa`` file, its numbers dequantised. Units and spaces are those of docs/gsa.md."""

    meta: Mapping[str, Any]
    """The header as it is: subject, consent, orbit, speech, torso and whatever else."""
    size: int
    """Side of the square picture that ``K`` projects to, pixels."""
    subject: str
    consent: str
    branches: Mapping[str, LinearBranch]
    """``face``, and ``mouth`` and ``torso`` where there are some."""
    K: Float32[np.ndarray, "3 3"]
    filmed: MotionTrack
    """The filmed track: a stretch of the person's own motion."""
    closed: Float32[np.ndarray, "m"]
    """Mouth codes of the closed mouth."""
    resting_upper: Float32[np.ndarray, "u"]
    mouth_open_direction: Float32[np.ndarray, "m"]
    sections: Mapping[str, np.ndarray] = field(repr=False)
    """Every section as stored, by name: networks, videos, the map from ARKit's shapes."""

    def gaussians(
        self,
        face: FaceState,
        R_camera_head: Float32[np.ndarray, "3 3"] | None = None,
        R_seen: Float32[np.ndarray, "3 3"] | None = None,
    ) -> dict[str, Activated]:
        """The Gaussians of a face in head space by branch (:data:`DRAWN`), without batch dimension.

        Args:
            face: mouth codes and upper-face channels.
            R_camera_head: rotation of the head as the filming camera sees it, which light depends on; None is no
                change of light.
            R_seen: rotation of the head as the camera sees it that the picture is drawn for; None is a view as filmed.
        """
        codes = {"face": np.concatenate([face.mouth_codes, face.upper]), "mouth": face.mouth_codes}
        turned = (R_camera_head, R_seen)
        return {name: self.branches[name].gaussians(codes[name], *turned) for name in DRAWN if name in self.branches}


def read_gsa(path: Path | str) -> GsaAvatar:
    """Read a ``.gsa`` file, as ``gaussavatar export --format avatar`` writes it.

    Raises:
        UserError: there is no such file, or it is no avatar file, of a newer version, cut short or damaged.
    """
    path = Path(path)
    require_plain(path, MOST_DECODED)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"an avatar file (.gsa) at {path}", error.strerror or "no such file", "check the path"
        ) from error
    return parsed(data, path)


def parsed(data: bytes, path: Path) -> GsaAvatar:
    """The record of a file's bytes; ``path`` is what messages call it.

    Raises:
        UserError: see :func:`read_gsa`.
    """
    meta, sections = unpack(data, str(path))
    try:
        # Numbers that are too large become infinite, which is refused as such.
        with np.errstate(over="ignore", invalid="ignore"):
            return _avatar(msgspec.convert(meta, _Meta), meta, sections)
    except msgspec.ValidationError as error:
        raise _damaged(path, str(error)) from error
    except KeyError as error:
        raise _damaged(path, f"no section {error}") from error
    except WrongShapeError as error:
        raise _damaged(path, str(error)) from error


def _avatar(known: _Meta, meta: Mapping[str, Any], sections: Mapping[str, np.ndarray]) -> GsaAvatar:
    if not 16 <= known.size <= 8192 or not 1 <= known.fps <= 1000 or "face" not in known.branches:
        raise WrongShapeError("a size, frame rate or branch that cannot be")
    closed = taken(sections, "drive.closed", "f4", (None,))
    m, u = len(closed), len(known.upper_names)
    codes = taken(sections, "track.codes", "f4", (None, m))
    frames = len(codes)
    upper = taken(sections, "track.upper", "f4", (frames, u))
    pose = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
    pose[:, :3] = taken(sections, "track.pose", "f4", (frames, 3, 4))
    if not frames:
        raise WrongShapeError("a filmed track without a frame")
    wanted = {"face": m + u, "mouth": m, "torso": 0}
    branches = {}
    for name, facts in known.branches.items():
        if facts.codes != wanted[name]:
            raise WrongShapeError(f"{name}: {facts.codes} codes")
        branches[name] = _branch(name, facts, sections)
    if known.best is not None:
        if known.hama is None:
            raise WrongShapeError("best: nothing said of hama")
        check_best(known.best, known.hama, m, sections)
    names = {"upper_names": known.upper_names, "avatar": known.identity}
    return GsaAvatar(
        meta=meta,
        size=known.size,
        subject=known.subject,
        consent=known.consent,
        branches=branches,
        K=taken(sections, "camera.K", "f4", (3, 3)),
        filmed=MotionTrack(codes, upper, pose, np.arange(frames), fps=known.fps, **names),
        closed=closed,
        resting_upper=taken(sections, "drive.rest_upper", "f4", (u,)),
        mouth_open_direction=taken(sections, "drive.open", "f4", (m,)),
        sections=sections,
    )


def _branch(name: str, facts: _Branch, sections: Mapping[str, np.ndarray]) -> LinearBranch:
    """A branch, dequantised."""
    n, moving = facts.n, facts.moving
    if not 0 < n or not 0 <= moving <= n or not 0 <= facts.free <= 64 or len(set(facts.moves)) < len(facts.moves):
        raise WrongShapeError(f"{name}: Gaussians or movements that cannot be")
    limits = taken(sections, f"{name}.base.range", "f4", (14, 2))
    base = unranged(taken(sections, f"{name}.base", "u2", (14, n)), limits)
    k, w = facts.codes + facts.free, sum(CHANNEL_WIDTH[channel] for channel in facts.moves)
    basis = np.zeros((k, w, 0), np.float32)
    if moving and k:
        steps = taken(sections, f"{name}.basis", "i1", (k, w, moving))
        basis = unstepped(steps, taken(sections, f"{name}.basis.scale", "f4", (k, w)))
    free = None
    if facts.free:
        w0 = taken(sections, f"{name}.free.w0", "f4", (None, facts.codes))
        shapes = {"b0": (len(w0),), "w1": (facts.free, len(w0)), "b1": (facts.free,)}
        free = FreeNet(w0, **{part: taken(sections, f"{name}.free.{part}", "f4", shapes[part]) for part in shapes})
    lighting = None
    if facts.shading is not None:
        steps = taken(sections, f"{name}.shading", "i1", (9, n))
        rest, spread = (np.array(v, np.float32) for v in (facts.shading.R_camera_rest, facts.shading.spread))
        if not (spread > 0).all() or not np.linalg.det(rest) > 0.5:
            raise WrongShapeError(f"{name}: a light that cannot be")
        lighting = Lighting(unstepped(steps, taken(sections, f"{name}.shading.scale", "f4", (9,))), rest, spread)
    aside = None
    if facts.aside is not None:
        steps, ahead = taken(sections, f"{name}.aside", "i1", (3, n)), np.array(facts.aside.ahead, np.float32)
        if not 0.9 < np.linalg.norm(ahead) < 1.1 or not 0 <= facts.aside.reach <= np.pi:
            raise WrongShapeError(f"{name}: a direction of view that cannot be")
        rows = unstepped(steps, taken(sections, f"{name}.aside.scale", "f4", (3,)))
        aside = AsideColours(rows, ahead, facts.aside.reach)
    if not np.isfinite(base).all() or not np.isfinite(basis).all():
        raise WrongShapeError(f"{name}: ranges or steps beyond all numbers")
    return LinearBranch(base, basis, facts.moves, facts.codes, free, lighting, aside)


def _damaged(path: Path, came: str) -> UserError:
    return UserError(f"a whole avatar file in {path}", f"a damaged one ({came})", "export the avatar again")
