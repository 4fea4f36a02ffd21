"""What panels say, as plain values: presets in the avatar's folder, and the command line that does the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import viser

from gaussavatar.errors import UserError
from gaussavatar.motion.controls import Controls as Wishes
from gaussavatar.motion.edit import slider_groups
from gaussavatar.storage import read_json, write_json
from gaussavatar.view.page import Panel
from gaussavatar.view.state import Controls

PRESETS = "presets.json"
LONGEST_NAME = 60

Values = dict[str, float | str | bool]


def handles(panels: Mapping[str, Panel]) -> dict[str, viser.GuiInputHandle[Any]]:
    """Every control of some panels by ``panel.name``; buttons have no value."""
    found: dict[str, viser.GuiInputHandle[Any]] = {}
    for place, panel in panels.items():
        for name, value in vars(panel).items():
            each = value if isinstance(value, dict) else {"": value}
            for part, handle in each.items():
                if isinstance(handle, viser.GuiInputHandle) and not isinstance(handle, viser.GuiButtonHandle):
                    found[f"{place}.{name}.{part}".rstrip(".")] = handle
    return found


def values_of(panels: Mapping[str, Panel]) -> Values:
    """What the controls say."""
    return {name: handle.value for name, handle in handles(panels).items()}


def put_values(panels: Mapping[str, Panel], values: Mapping[str, Any]) -> None:
    """Set the controls that there are to values of their kind; others are left as they are."""
    for name, handle in handles(panels).items():
        value = values.get(name)
        if type(value) is type(handle.value) or (isinstance(value, int) and isinstance(handle.value, float)):
            options = getattr(handle, "options", None)
            if options is None or value in options:
                handle.value = value


def load_presets(folder: Path) -> dict[str, Values]:
    """The presets of an avatar; none where there is no readable file of them."""
    try:
        kept = read_json(folder / PRESETS)
    except (UserError, OSError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {str(name): values for name, values in kept.items() if isinstance(values, dict)}


def save_preset(folder: Path, name: str, values: Values) -> None:
    """Keep values under a name beside the avatar.

    Raises:
        UserError: no name, or the folder cannot be written.
    """
    plain = " ".join(name.split())
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        wanted = f"a name of 1 to {LONGEST_NAME} characters for the preset"
        raise UserError(wanted, repr(name[: LONGEST_NAME + 1]), "give one")
    write_json(folder / PRESETS, {**load_presets(folder), plain: values})


def command_line(
    avatar: Path, sound: str | None, motion: Path | None, asked: Controls, upper_names: Sequence[str]
) -> str:
    """The command that writes what a page shows.

    Args:
        avatar: its folder.
        sound: name of the sound.
        motion: motion file that is followed.
        asked: what the panels say; the slider of the mouth's opening has no option and is left out.
        upper_names: of the upper-face channels.
    """
    words = ["gaussavatar", "speak", "--avatar", str(avatar)]
    words += ["--audio", sound] if sound is not None else []
    words += ["--motion", str(motion)] if motion is not None else []
    wishes, plain = asked.wishes, Wishes()
    options = {
        "--mouth-gain": (wishes.mouth_gain, plain.mouth_gain),
        "--smoothing": (wishes.smoothing, plain.smoothing),
        "--style-strength": (wishes.style_strength, plain.style_strength),
        "--blink": (wishes.blink, plain.blink),
        "--brows-by": (wishes.brows, plain.brows),
        "--brows": (wishes.brow_gain, plain.brow_gain),
        "--brow-offset": (wishes.brow_offset, plain.brow_offset),
        "--gaze": (_gaze(wishes), "recorded"),
        "--head": (str(wishes.head), plain.head),
        "--seed": (asked.seed, 0),
    }
    for option, (value, default) in options.items():
        if value != default:
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    groups, moves = slider_groups(upper_names), [move for move in asked.sliders.items() if move[1]]
    moved = [f"{upper_names[channel]}={value:g}" for name, value in moves for channel in groups[name]]
    return shlex.join(words + (["--expression", *moved] if moved else []))


def _gaze(wishes: Wishes) -> str:
    return wishes.gaze if isinstance(wishes.gaze, str) else ",".join(f"{value:g}" for value in wishes.gaze)
