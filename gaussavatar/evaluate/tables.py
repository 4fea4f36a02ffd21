"""The figures of ``metrics.json`` in words: their names, units and what they mean, for terminal and page.

A metrics dictionary holds plain values (facts such as the pose protocol) and one dictionary of
figures per way of driving the avatar, see :data:`DRIVES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gaussavatar.types import VIDEO_FPS

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """How one figure is shown. ``better`` is +1 when higher is better, -1 when lower is, 0 when neither."""

    label: str
    unit: str
    digits: int
    better: int
    meaning: str


DRIVES: dict[str, tuple[str, str]] = {
    "audio": ("By audio", "the mouth follows the network that hears the sound: what the avatar is for"),
    "oracle": ("Oracle", "the mouth follows the real video's landmarks: what the avatar could show if it heard right"),
    "static": ("Static", "the same avatar with a still face, only its head moves: the baseline to beat"),
}
"""Column heading and meaning of each way of driving the avatar."""

FIGURES: dict[str, Figure] = {
    "psnr_head": Figure("Head PSNR", "dB", 2, 1, "Likeness of the head's pixels. It cannot see a dead mouth."),
    "psnr_mouth": Figure("Mouth PSNR", "dB", 2, 1, "The same inside a box around the lips, where speech shows."),
    "psnr_full": Figure("Full PSNR", "dB", 2, 1, "The same over the whole picture, with torso and background."),
    "ssim_head": Figure("Head SSIM", "", 4, 1, "Likeness of local structure in the head's pixels; 1 is identical."),
    "ssim_full": Figure("Full SSIM", "", 4, 1, "The same over the whole picture."),
    "lpips_head": Figure("Head LPIPS", "", 4, -1, "Distance in a pretrained network's features; 0 is identical."),
    "lpips_mouth": Figure("Mouth LPIPS", "", 4, -1, "The same inside a box around the lips."),
    "lpips_full": Figure("Full LPIPS", "", 4, -1, "The same over the whole picture."),
    "perceptual_head": Figure(
        "Head perceptual distance", "", 4, -1,
        "Distance in a pretrained network's features without the heads of LPIPS; not comparable with it.",
    ),
    "perceptual_mouth": Figure("Mouth perceptual distance", "", 4, -1, "The same inside a box around the lips."),
    "perceptual_full": Figure("Full perceptual distance", "", 4, -1, "The same over the whole picture."),
    "lmd": Figure(
        "LMD", "px", 2, -1, "Distance of the lip landmarks on rendered and real frames, in pixels of a 512 px picture."
    ),
    "lip_r": Figure(
        "Lip correlation", "", 3, 1, "Correlation of the lip opening over time, rendered with real; 1 is in step."
    ),
    "lip_r_shifted": Figure(
        "Lip correlation, audio shifted", "", 3, -1,
        "The same with the audio 8 frames early or late, whichever is higher: lips that follow the sound lose much.",
    ),
    "lip_r_drop": Figure("Lip drop", "", 3, 1, "What the shift costs: the two figures above, subtracted."),
    "width_r": Figure("Mouth width correlation", "", 3, 1, "Correlation of the mouth's width over time."),
    "aperture_std_ratio": Figure(
        "Lip amplitude", "", 2, 0, "How far the lips move compared with the real ones; 1 is as far, less is mumbling."
    ),
    "blink_r": Figure("Blink correlation", "", 3, 1, "Correlation of the lids' opening, which the video drives."),
    "jitter_ratio": Figure(
        "Head jitter", "", 2, 0, "Shaking of the eye corners over frames, compared with the real video; 1 is equal."
    ),
}  # fmt: skip
"""Figures that have a name and an explanation. Others are shown under their key."""


SHORT = 3.0
"""Seconds of held-out speech below which figures of the lips say little: of eight-second clips two stretches of .7 s
lay 1 dB of mouth apart either way."""


def held_out(metrics: Mapping[str, Any]) -> str:
    """Which part of the clip the figures are of, and what to do where that is too short to tell of the lips."""
    count = metrics.get("held_out_frames")
    if not isinstance(count, int):
        return "frames at the end of the clip"
    seconds = count / VIDEO_FPS
    told = f"the clip's last {seconds:.1f} seconds"
    if seconds < SHORT:
        told += ", too short to say much of the lips (gaussavatar bench lips asks the whole clip)"
    return told


def drives(metrics: Mapping[str, Any]) -> list[str]:
    """The ways of driving that ``metrics`` holds figures of, in the order of showing."""
    return [name for name in DRIVES if isinstance(metrics.get(name), Mapping)]


def rows(metrics: Mapping[str, Any]) -> list[str]:
    """Keys of the figures of all ways of driving: the known ones first, in their order, then the others."""
    present = {key for name in drives(metrics) for key, value in metrics[name].items() if _is_number(value)}
    return [key for key in FIGURES if key in present] + sorted(present - FIGURES.keys())


def figure(key: str) -> Figure:
    """How the figure ``key`` is shown."""
    return FIGURES.get(key) or Figure(pretty(key), "", 3, 0, "")


def pretty(key: str) -> str:
    """A key as words."""
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def shown_value(key: str, value: Any) -> str:
    """A figure with its digits; an empty text when there is none."""
    return f"{value:.{figure(key).digits}f}" if _is_number(value) else ""


def facts(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """What ``metrics`` says besides the figures per drive: names in words and values as text."""
    found: list[tuple[str, str]] = []
    for key, value in metrics.items():
        if not prefix and key in DRIVES and isinstance(value, Mapping):
            continue
        name = f"{prefix}{pretty(key).lower()}" if prefix else pretty(key)
        if isinstance(value, Mapping):
            found += facts(value, f"{name}: ")
        elif isinstance(value, (list, tuple)):
            found.append((name, ", ".join(_plain(part) for part in value)))
        else:
            found.append((name, _plain(value)))
    return found


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """The figures as a table for a terminal: one row per figure, one column per way of driving."""
    from rich.table import Table

    table = Table(title=f"held out: {held_out(metrics)}", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    for name in drives(metrics):
        table.add_column(DRIVES[name][0], justify="right")
    for key in rows(metrics):
        unit = figure(key).unit
        label = f"{figure(key).label} ({unit})" if unit else figure(key).label
        table.add_row(label, *(shown_value(key, metrics[name].get(key)) for name in drives(metrics)))
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
