"""Which sections a ``.gsa`` file of an avatar has, and what its header says (docs/gsa.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.avatar.controlled import BLINKS
from gaussavatar.avatar.folder import PLATE
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import FORMAT
from gaussavatar.export.gsa.branch import LinearBranch
from gaussavatar.export.gsa.linear import raw_rows
from gaussavatar.export.gsa.quantise import Bits, ranged, stepped
from gaussavatar.export.gsa.speech import speech_sections
from gaussavatar.export.gsa.torso_loop import LoopWish, torso_loop
from gaussavatar.model.aside import WIDTH
from gaussavatar.model.gaussians import CHANNEL_WIDTH
from gaussavatar.model.shading import FARTHEST
from gaussavatar.motion.blinks import AFTER, BEFORE, REFRACTORY, learn_blinks

RAW = ("torso.video", "plate.image", "audio.file")
"""Sections that are compressed already."""
SEEN_PERCENT = (2.0, 98.0)
WIDENED = (12.0, 8.0)
"""How much further than the clip showed the camera may go, yaw and pitch in degrees: beyond, nothing was ever seen."""


@dataclass(frozen=True)
class Contents:
    """A file before it is packed."""

    meta: dict[str, Any]
    sections: dict[str, np.ndarray]


def avatar_contents(avatar: LoadedAvatar, branches: Mapping[str, LinearBranch], bits: Bits, loop: LoopWish) -> Contents:
    """Everything that a player needs of an avatar.

    Args:
        avatar: loaded with either of its networks.
        branches: of :func:`gaussavatar.export.gsa.linear.linear_branches`.
        bits: of the bases.
        loop: how large the torso's video may be.

    Raises:
        UserError: it has no network that a page can run.
    """
    speech, heard = speech_sections(avatar)
    record, sections = avatar.record, {}
    described: dict[str, dict[str, Any]] = {}
    for name, branch in branches.items():
        described[name] = describe(branch)
        sections |= branch_sections(name, branch, bits)
    sections |= _torso_branch(avatar, described) | _drive(avatar) | heard
    if avatar.arkit is not None:
        sections |= avatar.arkit.arrays()
    torso = torso_loop(avatar, loop)
    sections["torso.video"] = np.frombuffer(torso.video, np.uint8)
    meta = {
        "format": FORMAT,
        "size": avatar.size,
        "fps": avatar.filmed.fps,
        "upper_names": list(avatar.upper_names),
        "branches": described,
        "orbit": orbit_limits(avatar, branches),
        "torso": {
            "frames": len(torso.places), "fps": torso.fps, "places": torso.places.tolist(), "matte": torso.matte,
        },
        "speech": speech,
        "blink": blink_habit(avatar),
        **{name: getattr(record, name) for name in ("subject", "consent", "source", "program", "recipe", "identity")},
        "synthetic": True,
    }  # fmt: skip
    if avatar.fixed_plate is not None:
        sections["plate.image"] = np.frombuffer((avatar.path / PLATE).read_bytes(), np.uint8)
        meta["plate"] = "image/png"
    return Contents(meta, sections)


def describe(branch: LinearBranch) -> dict[str, Any]:
    """What the header says of a branch."""
    facts: dict[str, Any] = {
        "n": branch.base.shape[1],
        "moving": branch.n_moving,
        "codes": branch.codes,
        "free": 0 if branch.free is None else len(branch.free.b1),
        "moves": list(branch.moves),
    }
    if branch.lighting is not None:
        lighting = branch.lighting
        rest, spread = lighting.R_camera_rest.tolist(), lighting.spread.tolist()
        facts["shading"] = {"R_camera_rest": rest, "spread": spread, "farthest": FARTHEST}
    if branch.aside is not None:
        facts["aside"] = {"ahead": branch.aside.ahead.tolist(), "reach": branch.aside.reach, "width": WIDTH}
    return facts


def branch_sections(name: str, branch: LinearBranch, bits: Bits) -> dict[str, np.ndarray]:
    """The sections of a branch, quantised."""
    sections = _base(name, branch.base)
    if len(branch.basis):
        place = CHANNEL_WIDTH["position"] if branch.moves[:1] == ("position",) else 0
        parts = stepped(branch.basis[:, :place], bits.position), stepped(branch.basis[:, place:], bits.rest)
        steps, scales = (np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True))
        sections |= {f"{name}.basis": steps, f"{name}.basis.scale": scales}
    if branch.free is not None:
        sections |= {f"{name}.free.{part}": array for part, array in vars(branch.free).items()}
    if branch.lighting is not None:
        steps, scales = stepped(branch.lighting.rows, 8)
        sections |= {f"{name}.shading": steps, f"{name}.shading.scale": scales}
    if branch.aside is not None:
        steps, scales = stepped(branch.aside.rows, 8)
        sections |= {f"{name}.aside": steps, f"{name}.aside.scale": scales}
    return sections


def _base(name: str, rows: Float32[np.ndarray, "14 n"]) -> dict[str, np.ndarray]:
    steps, limits = ranged(rows)
    return {f"{name}.base": steps, f"{name}.base.range": limits}


def _torso_branch(avatar: LoadedAvatar, described: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """The torso's Gaussians in torso space, and where that is in each frame of the filmed track."""
    if avatar.torso is None:
        return {}
    rows = raw_rows(avatar.torso.torso.gaussians)
    described["torso"] = {"n": rows.shape[1], "moving": 0, "codes": 0, "free": 0, "moves": []}
    return _base("torso", rows) | {"track.torso": avatar.torso.T_camera_torso[:, :3].astype(np.float32)}


def _drive(avatar: LoadedAvatar) -> dict[str, np.ndarray]:
    filmed = avatar.filmed
    arrays = {
        "drive.closed": avatar.closed.cpu().numpy(),
        "drive.rest_upper": avatar.resting_upper,
        "drive.open": avatar.mouth_open_direction,
        "camera.K": avatar.K,
        "track.codes": filmed.mouth_codes,
        "track.upper": filmed.upper,
        "track.pose": filmed.T_camera_world[:, :3],
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def orbit_limits(avatar: LoadedAvatar, branches: Mapping[str, LinearBranch]) -> dict[str, list[float]]:
    """How far a camera may go round the head from where it was filmed, degrees, and about which point.

    The clip showed the head from where the camera stood in head space, frame by frame: the middle 96 % of that about
    its median, and :data:`WIDENED` on either side. Positive yaw moves the camera to the picture's right, pitch up.
    """
    yaw, pitch = view_angles(avatar.filmed.T_camera_world)
    limits = {}
    for name, angles, more in zip(("yaw", "pitch"), (yaw, pitch), WIDENED, strict=True):
        low, high = np.percentile(angles - np.median(angles), SEEN_PERCENT)
        limits[name] = [round(float(low) - more, 2), round(float(high) + more, 2)]
    means = np.concatenate([branch.base[:3] for branch in branches.values()], axis=1)
    return limits | {"centre": [round(float(value), 5) for value in means.mean(axis=1)]}


def view_angles(T_camera_head: Float[np.ndarray, "t 4 4"]) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """Yaw and pitch in degrees at which a head that looks along -z sees the camera."""
    R, t = T_camera_head[:, :3, :3].astype(float), T_camera_head[:, :3, 3].astype(float)
    x, y, z = -np.einsum("tji,tj->it", R, t)
    return np.degrees(np.arctan2(x, -z)), np.degrees(np.arctan2(-y, np.hypot(x, z)))


def blink_habit(avatar: LoadedAvatar) -> dict[str, Any] | None:
    """How the person blinks, as :func:`gaussavatar.motion.blinks.generated_blinks` needs it; None without lids."""
    lids = [avatar.upper_names.index(name) for name in BLINKS if name in avatar.upper_names]
    if not lids:
        return None
    habit = learn_blinks(avatar.filmed.upper[:, lids], avatar.filmed.fps)
    times = {"before": BEFORE, "after": AFTER, "refractory": REFRACTORY, "channels": lids}
    shapes = np.round(habit.shapes.astype(float), 3).tolist()
    return {**msgspec.to_builtins({k: v for k, v in vars(habit).items() if k != "shapes"}), **times, "shapes": shapes}
