"""The figures in words: cards of the page, names of all figures, and the short table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gaussavatar.quality.records import Quality

if TYPE_CHECKING:
    from rich.table import Table

UNCLEAR = "unclear"
"""What stands for a figure that was measured but cannot be believed."""

Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Card:
    """One line of the table and card of the page; its colour is that of the worst finding of ``subjects``."""

    label: str
    unit: str
    wanted: str
    keys: tuple[str, ...]
    shown: Callable[..., str]
    subjects: tuple[str, ...]


CARDS: tuple[Card, ...] = (
    Card("Usable length", "s", "1 minute or more", ("used_seconds",), lambda s: f"{s:.0f}", ("length",)),
    Card("Frames left out", "%", "hardly any", ("dropped_share",), lambda s: f"{100 * s:.1f}",
         ("lost frames", "hands", "second person")),
    Card("Face height", "px", "160 or more", ("face_px",), lambda h: f"{h:.0f}", ("face size",)),
    Card("Blur", "", "0 crisp, below 0.70", ("blur",), lambda b: f"{b:.2f}", ("sharpness", "motion blur")),
    Card("Brightness changes", "stops", "below 0.6", ("light_range",), lambda r: f"{r:.2f}", ("exposure", "light")),
    Card("Head turns", "", "to both sides", ("yaw_low", "yaw_high"), lambda a, b: f"{a:+.0f} to {b:+.0f}°",
         ("head turns",)),
    Card("Mouth opens (of eye distance)", "%", "10 or more", ("mouth_range",), lambda m: f"{100 * m:.0f}",
         ("mouth",)),
    Card("Blinks", "/min", "3 or more", ("blinks_per_minute",), lambda b: f"{b:.0f}", ("blinks",)),
    Card("Sound after lips", "ms", "-45 to 75", ("av_offset_ms", "av_offset_spread_ms", "av_offset_trusted"),
         lambda ms, spread, trusted: f"{ms:+.0f} ± {spread:.0f}" if trusted else UNCLEAR, ("sound",)),
    Card("Camera motion", "px", "of 512, below 3", ("camera_px",), lambda c: f"{c:.1f}", ("camera",)),
    Card("Tracking residual", "px", "of 512, below 1.5", ("residual_px",), lambda r: f"{r:.2f}", ("tracking",)),
    Card("Head trembling", "°", "below 0.25", ("shake_deg",), lambda s: f"{s:.2f}", ("steadiness",)),
)  # fmt: skip

FIGURES: dict[str, str] = {
    "seconds": "length, s",
    "used_seconds": "usable length, s",
    "dropped_share": "part left out",
    "bridged_frames": "frames without a face, bridged",
    "longest_gap_seconds": "longest stretch without a face, s",
    "repeated_share": "part of repeated frames",
    "cuts": "cuts",
    "hands_share": "part with a hand before the face",
    "stranger_share": "part with another person",
    "face_px": "face height in the source, px",
    "blur": "blur, 0 crisp to 1 smeared",
    "smeared_share": "part smeared by motion",
    "luma": "brightness of the face, 0 to 255",
    "light_range": "change of brightness, stops",
    "light_step": "largest change within a second, stops",
    "blown_share": "part of the face in pure white",
    "crushed_share": "part of the face in pure black",
    "yaw_low": "head turned furthest to the image's left, degrees",
    "yaw_high": "to the right",
    "pitch_low": "down",
    "pitch_high": "up",
    "mouth_range": "lip opening over the distance of the eyes",
    "smile_range": "mouth widening over the distance of the eyes",
    "blinks_per_minute": "blinks per minute",
    "shake_deg": "head rotation above 6 Hz, degrees rms",
    "shake_mm": "head motion above 6 Hz, mm rms",
    "pitch_mouth_r": "correlation of fast nods with the mouth",
    "residual_px": "landmark residual, px of 512",
    "residual_high_px": "its 95th percentile",
    "camera_px": "camera motion, px of 512",
    "camera_shake_px": "camera motion from frame to frame, px of 512",
    "camera_seen": "part of samples that showed the background",
    "static_camera": "camera still (1) or not (0)",
    "plate_residual": "background against its plate, grey values",
    "has_sound": "sound (1) or none (0)",
    "av_offset_corrected_ms": "sound moved earlier in all, ms",
    "av_offset_moved_ms": "of this by itself, ms",
    "av_offset_ms": "sound after the lips, ms",
    "av_offset_spread_ms": "its standard error, ms",
    "av_offset_confidence": "its confidence, 0 to 1",
    "av_offset_trusted": "its confidence is enough (1)",
}
"""Names of the figures; those without one are shown by their key."""


def card_value(card: Card, figures: Figures) -> str | None:
    """The card's text, or None where a figure is missing."""
    values = [figures.get(key) for key in card.keys]
    return None if None in values else card.shown(*values)


def quality_table(quality: Quality) -> Table:
    """The cards and the verdict as a table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"quality: {quality.verdict}"), title_justify="left", box=None, pad_edge=False)
    for heading in ("", "", "wanted", ""):
        table.add_column(heading)
    marks = {"stop": "must change", "warning": "better if changed"}
    for card in CARDS:
        if (value := card_value(card, quality.figures)) is not None:
            worst = next((f.severity for f in quality.findings if f.subject in card.subjects), "note")
            table.add_row(
                card.label,
                value if value == UNCLEAR else f"{value} {card.unit}".strip(),
                card.wanted,
                marks.get(worst, ""),
            )
    return table


def finding_lines(quality: Quality) -> list[str]:
    """What was found and what to do, a line each, gravest first."""
    return [
        f"{finding.subject}: {finding.found}." + (f" {finding.advice}" if finding.advice else "")
        for finding in quality.findings
        if finding.severity != "note"
    ]
