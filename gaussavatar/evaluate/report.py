"""The report: one self-contained HTML page with figures, frames, curves and the comparison video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gaussavatar.evaluate.speech_tables import speech_section
from gaussavatar.evaluate.tables import DRIVES, drives, facts, figure, held_out, rows, shown_value
from gaussavatar.pages.charts import Point, curve_svg
from gaussavatar.pages.page import chart_cards, fact_list, folded, inline_jpeg, inline_video, panel, section, write_page

Pair = tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"], str]
"""A real frame, the rendered one, and a label."""

HEADLINES = ("psnr_head", "psnr_mouth", "lmd", "lip_r", "blink_r")
"""Figures shown large at the top, where they exist."""

JPEG_QUALITY = 88
MAX_INLINE_VIDEO = 64 * 2**20
"""A larger video is linked instead of being put into the page: a phone would not load it."""


def write_report(
    path: Path,
    *,
    title: str,
    metrics: Mapping[str, Any],
    curves: Mapping[str, Sequence[Point]],
    pairs: Sequence[Pair],
    video: Path | None,
    stages: Mapping[str, float],
    config_yaml: str,
    cpu_seconds: Mapping[str, float] | None = None,
) -> None:
    """Write the report page, atomically. It loads nothing from outside.

    Args:
        path: the HTML file.
        title: heading, usually the avatar's name.
        metrics: content of ``metrics.json``, see :mod:`gaussavatar.evaluate.tables`.
        curves: points (iteration, value) by series name.
        pairs: real and rendered RGB frames with a label.
        video: an mp4 of the comparison, put into the page; None leaves it out.
        stages: seconds by name of the stage, in the order of running.
        cpu_seconds: what a stage had of the processor, where that is known.
        config_yaml: the whole recipe as it was used.

    Raises:
        UserError: the path cannot be written or the disk is full.
    """
    sections = [
        _headlines(metrics),
        _video(video, path.parent),
        _pairs(pairs),
        _figures(metrics),
        speech_section(metrics.get("speech")),
        _protocol(metrics),
        _curves(curves),
        _stages(stages, cpu_seconds or {}),
        _config(config_yaml),
    ]
    write_page(
        path,
        title=title,
        kind="gaussavatar",
        above="gaussavatar report",
        below=f"<p>Every figure here is of what training never saw: {escape(held_out(metrics))}.</p>",
        sections=sections,
        note="Rendered frames and videos are synthetic media of a real person and are marked so in their metadata.",
    )


def _headlines(metrics: Mapping[str, Any]) -> str:
    columns = drives(metrics)
    cards = []
    for key in HEADLINES:
        values = {name: metrics[name][key] for name in columns if shown_value(key, metrics[name].get(key))}
        if "audio" not in values:
            continue
        shown = figure(key)
        others = "".join(
            f"<span>{DRIVES[name][0].lower()} {shown_value(key, value)}</span>"
            for name, value in values.items()
            if name != "audio"
        )
        cards.append(
            f'<div class="card"><span class="name">{escape(shown.label)}</span>'
            f"<b>{shown_value(key, values['audio'])} <small>{escape(shown.unit)}</small></b>{others}</div>"
        )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _video(video: Path | None, folder: Path) -> str:
    if video is None or not video.is_file():
        return ""
    source = inline_video(video, MAX_INLINE_VIDEO)
    if source is None:
        source = escape(video.name if video.parent == folder else video.resolve().as_uri(), quote=True)
    return section(
        "Real beside rendered",
        "<p>From left to right: the held-out video, the avatar as it hears the sound, the avatar with the real mouth "
        "motion (oracle).</p>",
        f'<video controls playsinline preload="metadata" src="{source}"></video>',
    )


def _pairs(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    figures = "".join(
        f'<figure><div><img alt="real frame" src="{inline_jpeg(real, JPEG_QUALITY)}">'
        f'<img alt="rendered frame" src="{inline_jpeg(rendered, JPEG_QUALITY)}">'
        f"</div><figcaption><span>real | rendered</span><span>{escape(label)}</span></figcaption></figure>"
        for real, rendered, label in pairs
    )
    return section("Frames", f'<div class="pairs">{figures}</div>')


def _figures(metrics: Mapping[str, Any]) -> str:
    columns = drives(metrics)
    if not columns:
        return ""
    head = "".join(f"<th>{DRIVES[name][0]}</th>" for name in columns)
    body = "".join(_figure_row(key, metrics, columns) for key in rows(metrics))
    legend = "".join(f"<p><b>{DRIVES[name][0]}</b>: {DRIVES[name][1]}.</p>" for name in columns)
    table = (
        f'<table class="figures" style="--columns:{len(columns)}">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )
    return section("Figures", panel(table), legend)


def _figure_row(key: str, metrics: Mapping[str, Any], columns: Sequence[str]) -> str:
    shown = figure(key)
    unit = f"In {shown.unit}. " if shown.unit else ""
    wanted = {1: "Higher is better. ", -1: "Lower is better. ", 0: ""}[shown.better]
    cells = "".join(
        f"<td{' class=first' if name == 'audio' else ''}>{shown_value(key, metrics[name].get(key)) or '–'}</td>"
        for name in columns
    )
    meaning = f"{unit}{wanted}{shown.meaning}".strip()
    name = escape(shown.label) + (f" <small>{escape(meaning)}</small>" if meaning else "")
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _protocol(metrics: Mapping[str, Any]) -> str:
    found = facts({name: value for name, value in metrics.items() if name != "speech"})
    if not found:
        return ""
    return section(
        "How it was measured",
        "<p>The head poses of the held-out frames come from the held-out video in every column, and so do blinks and "
        "brows (except in the static one), since no sound tells them. With landmark poses the head sits where the "
        "tracker put it; with refined poses each frame's pose was fitted to its pixels on the frozen avatar, which "
        "raises PSNR in every column alike. Figures of different pose protocols must not be compared.</p>",
        panel(fact_list(found)),
    )


def _curves(curves: Mapping[str, Sequence[Point]]) -> str:
    cards = chart_cards((name, curve_svg(name, points), "") for name, points in curves.items())
    if not cards:
        return ""
    about = "<p>Each curve over the iterations of all stages. A wide range has a logarithmic axis.</p>"
    return section("Training", about, cards)


def _stages(stages: Mapping[str, float], cpu_seconds: Mapping[str, float]) -> str:
    if not stages:
        return ""
    longest = max(max(stages.values()), 1e-9)
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td><span class="bar" style="width:{100 * seconds / longest:.1f}%"></span></td>'
        f"<td>{_duration(seconds)}</td>"
        f"<td>{f'{cpu_seconds[name]:.1f} s CPU' if name in cpu_seconds else ''}</td></tr>"
        for name, seconds in stages.items()
    )
    used = f", {sum(cpu_seconds.values()):.0f} seconds of CPU" if cpu_seconds.keys() >= stages.keys() else ""
    about = f"<p>{_duration(sum(stages.values()))} in all{used}.</p>"
    return section("Where the time went", about, panel(f'<table class="stages">{lines}</table>'))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _config(config_yaml: str) -> str:
    if not config_yaml:
        return ""
    return section("Recipe", folded("All fields as they were used", f"<pre>{escape(config_yaml)}</pre>"))
