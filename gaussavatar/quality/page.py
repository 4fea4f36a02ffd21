"""The quality page: one self-contained HTML file that says what a clip is worth and what to film instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from gaussavatar.pages.charts import clock, pose_svg, timeline_svg
from gaussavatar.pages.page import chart_cards, fact_list, folded, inline_jpeg, inline_video, panel, section, write_page
from gaussavatar.quality.records import Finding, Quality
from gaussavatar.quality.tables import CARDS, FIGURES, UNCLEAR, card_value

MAX_INLINE_VIDEO = 48 * 2**20
"""A larger overlay is named instead of being put into the page: a phone would not load it."""

MOST_LISTED = 40
JPEG_QUALITY = 85

VERDICTS = {
    "good": ("Good", "Go on with fit.", "ok"),
    "usable": ("Usable", "Fit will work; the points below would make the avatar better.", "look"),
    "not usable": ("Not usable", "Film again before you spend hours: the points below say how.", "bad"),
}
_SEVERITY = {
    "stop": ("bad", "Must change"),
    "warning": ("look", "Better if changed"),
    "note": ("plain", "Good to know"),
}

PAGE_STYLE = """
.verdict{border-left:.5rem solid var(--tone);background:var(--card);border-radius:.6rem;box-shadow:var(--shadow);
padding:1rem 1.2rem;margin:1rem 0}
.verdict b{font-size:1.7rem;line-height:1.2;color:var(--tone)}
.ok{--tone:#1d8348}.look{--tone:#b9770e}.bad{--tone:#c0392b}.plain{--tone:#7b8a97}
@media (prefers-color-scheme:dark){.ok{--tone:#58d68d}.look{--tone:#f5b041}.bad{--tone:#ec7063}.plain{--tone:#9aa5ae}}
.findings{list-style:none;padding:0;margin:1rem 0;display:grid;gap:.6rem}
.findings li{background:var(--card);border-left:.3rem solid var(--tone);border-radius:.4rem;box-shadow:var(--shadow);
padding:.6rem .9rem}
.findings b{display:block}.findings small{color:var(--tone);font-weight:650;text-transform:uppercase;font-size:.72rem;
letter-spacing:.04em}
.card i{display:inline-block;width:.65rem;height:.65rem;border-radius:50%;background:var(--tone);margin-right:.4rem}
.card b{white-space:nowrap;font-size:1.35rem}
.legend{display:flex;flex-wrap:wrap;gap:.3rem 1rem;color:var(--soft);font-size:.85rem;margin:.5rem 0}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.35rem;vertical-align:-.1rem}
video.overlay{width:auto;max-width:100%;max-height:30rem;aspect-ratio:auto}
.stills{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:.75rem;margin-top:.75rem}
.stills figure div{display:block}
.curve .band{fill:var(--bar);opacity:.55}.curve .lost{fill:#c0392b;opacity:.22}.curve .cell{fill:var(--line)}
.lost-list{columns:2 16rem;padding-left:1.2rem;margin:.4rem 0}
"""


@dataclass(frozen=True)
class Series:
    """One value per frame, with the words under its chart."""

    name: str
    meaning: str
    values: Float[np.ndarray, "n"]


@dataclass(frozen=True)
class Still:
    """A frame of the overlay and its time."""

    seconds: float
    image: UInt8[np.ndarray, "h w 3"]


def write_quality_page(
    path: Path,
    quality: Quality,
    series: Sequence[Series],
    angles: Float[np.ndarray, "n 3"],
    overlay: Path | None,
    stills: Sequence[Still],
    tints: dict[str, tuple[int, int, int]],
    *,
    mesh: bool = True,
) -> None:
    """Write the page, atomically. It loads nothing from outside.

    Args:
        path: The HTML file.
        quality: The verdict with its figures.
        series: Values over time.
        angles: Yaw, pitch and roll of the used frames, degrees.
        overlay: The overlay video, put into the page where it is not too large.
        stills: Frames of it, for readers without a player.
        tints: Colours of the masks in it, by name.
        mesh: Whether it shows the tracked head, not only landmarks.

    Raises:
        UserError: the path cannot be written or the disk is full.
    """
    name = str(quality.source.get("name", "clip"))
    sections = [
        _verdict(quality),
        _findings(quality.findings),
        _cards(quality),
        _overlay(overlay, stills, tints, mesh),
        _time(series, quality),
        _poses(angles),
        _dropped(quality),
        _figures(quality),
    ]
    write_page(path, title=name, kind="quality", above="gaussavatar quality check", sections=sections, style=PAGE_STYLE)


def _verdict(quality: Quality) -> str:
    title, meaning, tone = VERDICTS[quality.verdict]
    return f'<div class="verdict {tone}"><b>{title}</b><p>{meaning}</p></div>'


def _findings(findings: Sequence[Finding]) -> str:
    if not findings:
        return "<p>Nothing was found that should be changed.</p>"
    lines = []
    for finding in findings:
        tone, word = _SEVERITY[finding.severity]
        text = finding.found[:1].upper() + finding.found[1:]
        advice = f"<span>{escape(finding.advice)}</span>" if finding.advice else ""
        lines.append(
            f'<li class="{tone}"><small>{word} · {escape(finding.subject)}</small><b>{escape(text)}.</b>{advice}</li>'
        )
    return f'<ul class="findings">{"".join(lines)}</ul>'


def _cards(quality: Quality) -> str:
    tones = {"stop": "bad", "warning": "look"}
    cards = []
    for card in CARDS:
        value = card_value(card, quality.figures)
        if value is None:
            continue
        worst = next((f.severity for f in quality.findings if f.subject in card.subjects), "note")
        tone = "plain" if value == UNCLEAR else tones.get(worst, "ok")
        unit = "" if value == UNCLEAR else card.unit
        cards.append(
            f'<div class="card {tone}"><span class="name"><i></i>{escape(card.label)}</span>'
            f"<b>{escape(value)}<small> {escape(unit)}</small></b><span>{escape(card.wanted)}</span></div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>'


def _overlay(overlay: Path | None, stills: Sequence[Still], tints: dict[str, tuple[int, int, int]], mesh: bool) -> str:
    if overlay is None or not overlay.is_file():
        return ""
    source = inline_video(overlay, MAX_INLINE_VIDEO)
    if source is None:
        video = f"<p>The video is beside this page: {escape(overlay.name)}.</p>"
    else:
        poster = f' poster="{inline_jpeg(stills[0].image, JPEG_QUALITY)}"' if stills else ""
        video = f'<video class="overlay" controls playsinline preload="metadata"{poster} src="{source}"></video>'
    legend = "".join(
        f'<span><i style="background:rgb{tint}"></i>{escape(name.replace("_", " "))}</span>'
        for name, tint in tints.items()
    )
    pictures = "".join(
        f'<figure><div><img alt="overlay at {clock(still.seconds)}" '
        f'src="{inline_jpeg(still.image, JPEG_QUALITY)}"></div>'
        f"<figcaption><span>{clock(still.seconds)}</span></figcaption></figure>"
        for still in stills
    )
    sides = "Left: what belongs to what, the person outlined in white. Right: the" if tints else "The"
    return section(
        "What was understood",
        f"<p>{sides} {'tracked head' if mesh else 'landmarks'} over the picture. Lids, lips and chin must lie where "
        "the person has them, without trembling. A red frame marks pictures that will not be used.</p>",
        f'{video}<div class="legend">{legend}</div><div class="stills">{pictures}</div>',
    )


def _time(series: Sequence[Series], quality: Quality) -> str:
    lost = [(part.start, part.end) for part in quality.dropped]
    charts = [(one.name, timeline_svg(one.name, one.values, lost), one.meaning) for one in series]
    note = "Reddish stretches are not used." if quality.dropped else ""
    return section("Over time", f"<p>{note}</p>", chart_cards(charts))


def _poses(angles: Float[np.ndarray, "n 3"]) -> str:
    if not len(angles):
        return ""
    return section(
        "Where the head looked",
        "<p>The middle is the camera; darker means longer. The avatar knows the views that are marked, and not much "
        "beyond.</p>",
        f'<div class="charts"><div class="card">{pose_svg(angles[:, 0], angles[:, 1])}</div></div>',
    )


def _dropped(quality: Quality) -> str:
    if not quality.dropped:
        return ""
    lines = [
        f"<li>{clock(part.start)} to {clock(part.end)} ({part.end - part.start:.2f} s): {escape(part.reason)}</li>"
        for part in quality.dropped[:MOST_LISTED]
    ]
    if len(quality.dropped) > MOST_LISTED:
        lines.append(f"<li>and {len(quality.dropped) - MOST_LISTED} more, all in quality.json</li>")
    return section("What is left out", panel(f'<ul class="lost-list">{"".join(lines)}</ul>'))


def _figures(quality: Quality) -> str:
    figures = [(FIGURES.get(name, name.replace("_", " ")), _plain(value)) for name, value in quality.figures.items()]
    facts = [(str(name).replace("_", " "), _plain(value)) for name, value in quality.source.items()]
    return section("All figures", folded("For the curious", fact_list([*figures, *facts])))


def _plain(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return "; ".join(str(part) for part in value) or "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
