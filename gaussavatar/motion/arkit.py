"""The 52 face shapes of ARKit as curves over time: files of phones and of programs that animate by sound.

Read are tables in the order of Live Link Face or any other, the CSV that Audio2Face's client writes, and the JSON of
Audio2Face (``facsNames``, ``weightMat``) and LAM-Audio2Expression (``names``, ``frames``). Head rotations are about
ARKit's axes: yaw is positive to the picture's right, pitch downwards, roll against the clock.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from gaussavatar.errors import UserError
from gaussavatar.motion.retime import interpolated, positions_at
from gaussavatar.motion.table import Table
from gaussavatar.motion.track import frames_of_seconds
from gaussavatar.storage import atomic_path

ARKIT_EXPRESSIONS = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight"),
    *("eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft"),
    *("eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight"),
    *("eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"),
    *("mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight"),
    *("mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft"),
    *("mouthUpperUpRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""The 52 face shapes that Apple's ARKit and MediaPipe's face landmarker name (their "neutral" left out)."""

LIVE_LINK_ORDER = (
    *("eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft"),
    *("eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight"),
    *("eyeSquintRight", "eyeWideRight", "jawForward", "jawRight", "jawLeft", "jawOpen", "mouthClose", "mouthFunnel"),
    *("mouthPucker", "mouthRight", "mouthLeft", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft"),
    *("mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight"),
    *("mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight", "browDownLeft"),
    *("browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff", "cheekSquintLeft"),
    *("cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut"),
)
"""The same in the order in which Live Link Face writes them."""

HEAD = ("headYaw", "headPitch", "headRoll")
_EYES = tuple(f"{side}Eye{turn}" for side in ("Left", "Right") for turn in ("Yaw", "Pitch", "Roll"))
_TIMES = ("timecode", "time", "seconds", "timestamp")
_RATES = (24, 25, 30, 48, 50, 60, 120)
_FEW = 8
"""Columns of ARKit's names from which on a table is one of curves."""
_PERCENT_FROM, _LARGEST = 3.0, 200.0
"""A largest value above the first means percent; above the second, no such curve at all."""
_LARGEST_RADIANS = 1.6
FULL_LOOK = math.radians(30)
"""What a look of 1 turns an eye."""


@dataclass(frozen=True)
class ArkitCurves:
    """Values of the 52 shapes, 0 at rest and 1 full, in every frame."""

    values: Float32[np.ndarray, "n 52"]
    """In the order of :data:`ARKIT_EXPRESSIONS`."""
    fps: float
    head: Float32[np.ndarray, "n 3"] | None = None
    """Yaw, pitch and roll of the head in radians about ARKit's axes, where the file has them."""
    missing: tuple[str, ...] = ()
    """Shapes that the file lacks; their values are 0."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self) / self.fps

    def at_fps(self, fps: float) -> ArkitCurves:
        """The same curves at another frame rate, on monotone cubics."""
        if fps == self.fps:
            return self
        positions = positions_at(len(self), frames_of_seconds(self.seconds, fps), self.fps / fps)
        head = None if self.head is None else interpolated(self.head, positions)
        return ArkitCurves(interpolated(self.values, positions), fps, head, self.missing)


def columns_of_curves(names: Sequence[str]) -> dict[str, int]:
    """Which column holds which shape or head angle, whatever the spelling: ``EyeBlinkLeft``, ``eyeBlink_L``."""
    known = {_key(name): name for name in (*ARKIT_EXPRESSIONS, *HEAD)}
    return {known[_key(name)]: index for index, name in enumerate(names) if _key(name) in known}


def _key(name: str) -> str:
    name = re.sub(r"_([LR])$", lambda side: {"L": "Left", "R": "Right"}[side[1]], name.strip().rsplit(".", 1)[-1])
    return re.sub(r"[^a-z]", "", name.lower())


def is_curves(table: Table) -> bool:
    """Whether a table holds ARKit curves."""
    return len(columns_of_curves(table.header)) >= _FEW


def curves_of_table(table: Table) -> ArkitCurves:
    """Read curves from a table.

    Raises:
        UserError: a cell or moment that is none, no column of moments, values that are no shapes', or no jawOpen.
    """
    if not table.rows:
        raise UserError(f"a row per frame in {table.path}", "none below the header", "export the curves again")
    columns = columns_of_curves(table.header)
    shapes = [name for name in ARKIT_EXPRESSIONS if name in columns]
    values = table.values([table.header[columns[name]] for name in shapes])
    turned = table.values([table.header[columns[name]] for name in HEAD]) if set(HEAD) <= set(columns) else None
    times, rate = _times(table)
    return _assembled(shapes, values, turned, times, rate, table.path)


def curves_of_json(path: Path, content: Any) -> ArkitCurves:
    """Read curves from what a JSON file of Audio2Face or LAM-Audio2Expression holds.

    Raises:
        UserError: it is of another kind.
    """
    do = "give the JSON that Audio2Face or LAM-Audio2Expression writes, or a CSV"
    try:
        if "weightMat" in content:
            names, rows, rate = content["facsNames"], content["weightMat"], float(content["exportFps"])
            times = np.arange(len(rows)) / rate
        else:
            names, frames = content["names"], content["frames"]
            rows = [frame["weights"] for frame in frames]
            told = (content.get("metadata") or {}).get("fps")
            times = np.arange(len(rows)) / float(told) if told else np.array([frame["time"] for frame in frames], float)
            rate = float(told) if told else _rate_of(times)
        columns = columns_of_curves(names)
        values = np.array(rows, float).reshape(len(rows), len(names))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"ARKit curves in {path}", f"other JSON ({error!r})", do) from error
    if not len(values) or len(columns) < _FEW or not np.isfinite(values).all() or not 1 <= rate <= 1000:
        raise UserError(f"frames of ARKit curves in {path}", "none, other names, or no finite numbers", do)
    shapes = [name for name in ARKIT_EXPRESSIONS if name in columns]
    return _assembled(shapes, values[:, [columns[name] for name in shapes]], None, times, rate, path)


def _assembled(
    shapes: Sequence[str],
    values: Float[np.ndarray, "n k"],
    turned: Float[np.ndarray, "n 3"] | None,
    times: Float[np.ndarray, "n"],
    rate: float,
    path: Path,
) -> ArkitCurves:
    if "jawOpen" not in shapes:
        raise UserError(f"a column jawOpen in {path}", "none, so that no mouth would open", "export all 52 shapes")
    largest = float(np.abs(values).max())
    if largest > _LARGEST:
        raise UserError(f"curves of 0 to 1 or 0 to 100 in {path}", f"values up to {largest:g}", "export them again")
    scale = 100.0 if largest > _PERCENT_FROM else 1.0
    whole = np.zeros((len(values), len(ARKIT_EXPRESSIONS)))
    whole[:, [ARKIT_EXPRESSIONS.index(name) for name in shapes]] = values / scale
    if turned is not None and np.abs(turned).max() > _LARGEST_RADIANS:
        turned = np.radians(turned)
    positions = (times - times[0]) * rate
    if np.abs(positions - np.arange(len(times))).max() > 0.25:
        # Frames that a phone dropped are filled, so that the rest stays in time with the sound.
        frames = np.arange(round(float(positions[-1])) + 1)
        whole = np.stack([np.interp(frames, positions, column) for column in whole.T], axis=1)
        if turned is not None:
            turned = np.stack([np.interp(frames, positions, column) for column in turned.T], axis=1)
    missing = tuple(name for name in ARKIT_EXPRESSIONS if name not in shapes)
    head = None if turned is None else turned.astype(np.float32)
    return ArkitCurves(whole.astype(np.float32), rate, head, missing)


def _times(table: Table) -> tuple[Float[np.ndarray, "n"], float]:
    """Seconds of every row, and frames per second.

    Raises:
        UserError: there is no column that tells, or a moment that is not after the one before.
    """
    if table.has("fps"):
        rate = float(table.values(["fps"])[0, 0])
        if not 1 <= rate <= 1000:
            raise table.mistake(0, "fps", "a frame rate of 1 to 1000")
        return np.arange(len(table.rows)) / rate, rate
    found = [name for name in table.header if _key(name) in _TIMES]
    if not found:
        do = "add a column fps, such as 30, or Timecode"
        raise UserError(f"a column of moments in {table.path}", "none", do)
    name = found[0]
    if ":" in table.texts(name)[0]:
        times = _seconds_of_timecodes(table, name)
    else:
        times = table.values([name])[:, 0]
    for row in (np.flatnonzero(np.diff(times) <= 0)[:1] + 1).tolist():
        raise table.mistake(row, name, "a moment after the one before", "sort the rows by time")
    return times, _rate_of(times)


def _rate_of(times: Float[np.ndarray, "n"]) -> float:
    if len(times) < 2:
        return 30.0
    rate = 1 / float(np.median(np.diff(times)))
    usual = min(_RATES, key=lambda known: abs(known - rate))
    return float(usual) if abs(usual - rate) < 0.03 * usual else rate


def _seconds_of_timecodes(table: Table, name: str) -> Float[np.ndarray, "n"]:
    """Seconds of ``HH:MM:SS:FF.ff`` or ``HH:MM:SS.ss``; how many frames make a second is seen where it wraps."""
    parts: list[tuple[float, ...]] = []
    for row, text in enumerate(table.texts(name)):
        fields = re.fullmatch(r"(\d+):(\d+):(\d+(?:[.,]\d+)?)(?:[:;](\d+(?:[.,]\d+)?))?", text.strip())
        if not fields:
            raise table.mistake(row, name, "a timecode such as 16:33:57:12.345")
        parts.append(tuple(float((field or "0").replace(",", ".")) for field in fields.groups()))
    hours, minutes, seconds, frames = np.array(parts).T
    whole = hours * 3600 + minutes * 60 + seconds
    if not (frames > 0).any():
        return whole
    most = float(frames.max())
    wrapped = (np.diff(whole) > 0).any()
    candidates = [rate for rate in _RATES if most < rate]
    rate = candidates[0] if wrapped and candidates else next((r for r in (30, 60, 120) if most < r), 120)
    if not wrapped:
        # Less than a second: phones count sixty.
        rate = max(rate, 60)
    return whole + frames / rate


def write_curves(path: Path | str, curves: ArkitCurves) -> None:
    """Write curves as Live Link Face does, atomically: its names and order, and a timecode.

    The rotations of the eyes, which Live Link Face adds, are those of their looks among the 52, see
    :func:`eye_turns`.
    """
    order = [ARKIT_EXPRESSIONS.index(name) for name in LIVE_LINK_ORDER]
    head = np.zeros((len(curves), 3), np.float32) if curves.head is None else curves.head
    spelled = [name[0].upper() + name[1:] for name in (*LIVE_LINK_ORDER, *HEAD, *_EYES)]
    with atomic_path(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Timecode", "BlendshapeCount", *spelled])
        rows = np.concatenate([curves.values[:, order], head, eye_turns(curves)], axis=1)
        for frame, row in enumerate(rows.tolist()):
            cells = [f"{value:.6f}" for value in row]
            writer.writerow([timecode(frame, curves.fps), len(spelled), *cells])


def eye_turns(curves: ArkitCurves) -> Float[np.ndarray, "n 6"]:
    """Yaw, pitch and roll of the left and the right eye in radians about ARKit's axes, by the looks among the shapes.

    A look of 1 is taken for 30 degrees: ARKit does not say what it is, and faces reach about so much.
    """

    def shape(name: str) -> Float[np.ndarray, "n"]:
        return curves.values[:, ARKIT_EXPRESSIONS.index(name)]

    turns = np.zeros((len(curves), 6))
    # ARKit's yaw grows to the person's left, which is outwards for the left eye and inwards for the right one.
    turns[:, 0] = shape("eyeLookOutLeft") - shape("eyeLookInLeft")
    turns[:, 3] = shape("eyeLookInRight") - shape("eyeLookOutRight")
    for column, side in ((1, "Left"), (4, "Right")):
        turns[:, column] = shape(f"eyeLookDown{side}") - shape(f"eyeLookUp{side}")
    return turns * FULL_LOOK


def timecode(frame: int, fps: float) -> str:
    """``HH:MM:SS:FF.000`` of a frame; a rate that is no whole number counts thousandths of frames."""
    nominal = round(fps)
    whole, part = divmod(frame / fps * nominal, nominal) if abs(fps - nominal) > 1e-6 else divmod(frame, nominal)
    hours, seconds = divmod(int(whole), 3600)
    return f"{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}:{part:06.3f}"


def read_json_text(path: Path) -> Any | None:
    """What a file of JSON holds; None where it is something else."""
    with path.open("rb") as file:
        if not file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"JSON in {path}", f"a damaged file ({error})", "export it again") from error
    return content if isinstance(content, Mapping) else None
