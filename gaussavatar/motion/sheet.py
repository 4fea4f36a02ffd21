"""A motion track as a table that a spreadsheet opens: one row per frame, and numbers that can be read.

Columns, in any order: ``frame``, ``seconds``; ``mouth_0`` and so on, the mouth codes; ``upper_NAME``, the upper-face
channels; ``movement_NAME``, added movements; the head's pose in ``yaw_degrees`` (positive turns the face to the
picture's right), ``pitch_degrees`` (up), ``roll_degrees`` (clockwise) and ``x_metres`` (to the picture's right),
``y_metres`` (down), ``z_metres`` (away from the camera); ``place``, the frame of the filmed track. ``fps``, ``avatar``
and ``format``, and ``about`` where it is known whose face it is, say the same in every row, so that no row is special.
``frame`` and ``seconds`` are for the reader: rows may be deleted, and are then a cut.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from gaussavatar.errors import UserError
from gaussavatar.motion.table import Table, read_table
from gaussavatar.storage import atomic_path

FORMAT = "gaussavatar motion 1"
POSE = ("yaw_degrees", "pitch_degrees", "roll_degrees", "x_metres", "y_metres", "z_metres")
_AVATAR = "avatar "
"""Before an avatar's name of hexadecimal digits, which a spreadsheet may else take for a number."""
_DIGITS = "%.9g"
"""Nine digits bring every 32-bit number back."""


def pose_numbers(T: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "n 6"]:
    """Poses as yaw, pitch and roll in degrees and place in metres, see the module."""
    turned = Rotation.from_matrix(T[:, :3, :3].astype(float)).as_euler("YXZ", degrees=True)
    return np.concatenate([turned * [-1, -1, 1], T[:, :3, 3]], axis=1)


def poses_of_numbers(numbers: Float[np.ndarray, "n 6"]) -> Float32[np.ndarray, "n 4 4"]:
    """The inverse of :func:`pose_numbers`."""
    T = np.tile(np.eye(4), (len(numbers), 1, 1))
    T[:, :3, :3] = Rotation.from_euler("YXZ", numbers[:, :3] * [-1, -1, 1], degrees=True).as_matrix()
    T[:, :3, 3] = numbers[:, 3:]
    return T.astype(np.float32)


def write_sheet(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    upper: Sequence[str],
    movements: Sequence[str],
    fps: float,
    avatar: str,
    about: str = "",
) -> None:
    """Write the arrays of a motion track, atomically.

    Args:
        path: the file.
        arrays: by name: mouth_codes, upper, T_camera_world, places and perhaps movements.
        upper: names of the upper-face channels; () numbers them.
        movements: names of the movements.
        fps: frames per second.
        avatar: whose motion it is, or "".
        about: whose face it is and on what consent, or "".
    """
    codes, channels, places = arrays["mouth_codes"], arrays["upper"], arrays["places"]
    n = len(codes)
    moved = arrays.get("movements", np.zeros((n, 0), np.float32))
    names = [
        *(f"mouth_{index}" for index in range(codes.shape[1])),
        *(f"upper_{name}" for name in upper or map(str, range(channels.shape[1]))),
        *(f"movement_{name}" for name in movements),
        *POSE,
    ]
    numbers = np.concatenate([codes, channels, moved, pose_numbers(arrays["T_camera_world"])], axis=1)
    facts = (_DIGITS % fps, _AVATAR + avatar, FORMAT, *([about] if about else []))
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["frame", "seconds", *names, "place", "fps", "avatar", "format", *(["about"] if about else [])])
        for frame, (row, place) in enumerate(zip(numbers.tolist(), places.tolist(), strict=True)):
            cells = [_DIGITS % value for value in row]
            writer.writerow([frame, f"{frame / fps:.5f}", *cells, place, *facts])


def is_sheet(table: Table) -> bool:
    """Whether a table is a motion track's: it has mouth codes or says so."""
    return table.has("mouth_0") or table.has("place") or FORMAT.rsplit(" ", 1)[0] in " ".join(table.header)


class Sheet(NamedTuple):
    """What :func:`write_sheet` wrote."""

    arrays: dict[str, np.ndarray]
    upper: tuple[str, ...]
    movements: tuple[str, ...]
    fps: float
    avatar: str
    about: str


def read_sheet(path: Path) -> Sheet:
    """Read :func:`write_sheet`.

    Raises:
        UserError: a column is missing, a cell holds what it should not, or rows are out of order; each is named.
    """
    return sheet_of_table(read_table(path))


def sheet_of_table(table: Table) -> Sheet:
    """See :func:`read_sheet`."""
    if not table.rows:
        raise UserError(f"a row per frame in {table.path}", "none below the header", "save the motion again")
    codes = sorted(
        (name for name in table.header if re.fullmatch(r"mouth_\d{1,3}", name)), key=lambda name: int(name[6:])
    )
    wanted = [f"mouth_{index}" for index in range(int(codes[-1][6:]) + 1 if codes else 1)]
    upper = [name for name in table.header if name.startswith("upper_")]
    movements = [name for name in table.header if name.startswith("movement_")]
    for name in (*wanted, *POSE, "place"):
        if not table.has(name):
            raise _missing(table, name)
    _check_order(table)
    _check_format(table)
    places = table.values(["place"])[:, 0]
    for row in np.flatnonzero((places != np.round(places)) | (places < 0))[:1].tolist():
        raise table.mistake(row, "place", "a whole number from 0")
    arrays = {
        "mouth_codes": table.values(wanted).astype(np.float32),
        "upper": table.values(upper).astype(np.float32),
        "T_camera_world": poses_of_numbers(table.values(POSE)),
        "places": places.astype(np.int64),
    }
    if movements:
        arrays["movements"] = table.values(movements).astype(np.float32)
    names = tuple(name.removeprefix("upper_") for name in upper)
    if names == tuple(map(str, range(len(names)))):
        names = ()
    moved = tuple(name.removeprefix("movement_") for name in movements)
    about = next((text.strip() for text in table.texts("about") if text.strip()), "") if table.has("about") else ""
    return Sheet(arrays, names, moved, _rate(table), _avatar(table), about)


def _missing(table: Table, name: str) -> UserError:
    close = difflib.get_close_matches(name, table.header, n=1, cutoff=0.8)
    do = f"is {close[0]} meant?" if close else "save the motion again, and keep its columns"
    return UserError(f"a column {name} in row 1 of {table.path}", "none of that name", do)


def _check_order(table: Table) -> None:
    """Rows may be missing, which is a cut, but not stand in another order.

    Raises:
        UserError: a frame number that is not above the one before it.
    """
    if not table.has("frame"):
        return
    part = table.filled("frame")
    frames = part.values(["frame"])[:, 0]
    for row in (np.flatnonzero(np.diff(frames) <= 0)[:1] + 1).tolist():
        expected = f"a frame above {frames[row - 1]:g}"
        raise part.mistake(row, "frame", expected, "sort the rows by frame, or delete the column")


def _check_format(table: Table) -> None:
    said = {text.strip() for text in table.texts("format") if text.strip()} if table.has("format") else set()
    if said - {FORMAT}:
        came = ", ".join(sorted(said))[:60]
        raise UserError(f"a motion of format {FORMAT!r} in {table.path}", came, "update gaussavatar, or save it again")


def _rate(table: Table) -> float:
    """Frames per second: as it stands there, or from the column of seconds.

    Raises:
        UserError: two of them, or none.
    """
    if table.has("fps"):
        part = table.filled("fps")
        rates = part.values(["fps"])[:, 0]
        for row in np.flatnonzero((rates != rates[:1]) | (rates < 1) | (rates > 1000))[:1].tolist():
            raise part.mistake(row, "fps", "one frame rate of 1 to 1000 in all rows")
        if len(rates):
            return float(rates[0])
    if table.has("seconds") and len(table.rows) > 1:
        step = float(np.median(np.diff(table.values(["seconds"])[:, 0])))
        if step > 0 and 1 <= 1 / step <= 1000:
            whole = round(1 / step)
            return float(whole if abs(1 / step - whole) < 0.005 * whole else 1 / step)
    raise UserError(f"a column fps in {table.path}", "none, nor seconds to tell it by", "add fps, such as 25")


def _avatar(table: Table) -> str:
    if not table.has("avatar"):
        return ""
    said = {text.strip() for text in table.texts("avatar") if text.strip()}
    if len(said) > 1:
        raise UserError(f"one avatar in {table.path}", f"{len(said)} of them", "keep the rows of one motion")
    return said.pop().removeprefix(_AVATAR.strip()).strip() if said else ""
