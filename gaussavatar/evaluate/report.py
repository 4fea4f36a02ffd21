"""The report: one self-contained HTML page with figures, frames, curves and the comparison video."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from gaussavatar import __version__
from gaussavatar.evaluate.curves import Point, curve_svg
from gaussavatar.evaluate.tables import DRIVES, drives, facts, figure, rows, shown_value
from gaussavatar.pages.style import STYLE
from gaussavatar.storage import atomic_path

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
        config_yaml: the whole recipe as it was used.

    Raises:
        UserError: the path cannot be written or the disk is full.
    """
    sections = [
        _headlines(metrics),
        _video(video, path.parent),
        _pairs(pairs),
        _figures(metrics),
        _protocol(metrics),
        _curves(curves),
        _stages(stages),
        _config(config_yaml),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · gaussavatar</title><style>{STYLE}</style></head><body><main>"
        f"<header><p>gaussavatar report</p><h1>{escape(title)}</h1>"
        "<p>Every figure here is of frames at the end of the clip that training never saw.</p></header>"
        + "".join(sections)
        + f"<footer>Made by gaussavatar {__version__}. Rendered frames and videos are synthetic media of a real "
        "person and are marked so in their metadata.</footer></main></body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


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
    if video.stat().st_size > MAX_INLINE_VIDEO:
        source = escape(video.name if video.parent == folder else video.resolve().as_uri(), quote=True)
    else:
        source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()
    return (
        "<section><h2>Real beside rendered</h2><p>From left to right: the held-out video, the avatar as it hears the "
        "sound, the avatar with the real mouth motion (oracle).</p>"
        f'<video controls playsinline preload="metadata" src="{source}"></video></section>'
    )


def _pairs(pairs: Sequence[Pair]) -> str:
    if not pairs:
        return ""
    figures = "".join(
        f'<figure><div><img alt="real frame" src="{_jpeg(real)}"><img alt="rendered frame" src="{_jpeg(rendered)}">'
        f"</div><figcaption><span>real | rendered</span><span>{escape(label)}</span></figcaption></figure>"
        for real, rendered, label in pairs
    )
    return f'<section><h2>Frames</h2><div class="pairs">{figures}</div></section>'


def _jpeg(image: UInt8[np.ndarray, "h w 3"]) -> str:
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def _figures(metrics: Mapping[str, Any]) -> str:
    columns = drives(metrics)
    if not columns:
        return ""
    head = "".join(f"<th>{DRIVES[name][0]}</th>" for name in columns)
    body = "".join(_figure_row(key, metrics, columns) for key in rows(metrics))
    legend = "".join(f"<p><b>{DRIVES[name][0]}</b>: {DRIVES[name][1]}.</p>" for name in columns)
    return (
        f'<section><h2>Figures</h2><div class="panel"><table class="figures" style="--columns:{len(columns)}">'
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table></div>{legend}</section>"
    )


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
    found = facts(metrics)
    if not found:
        return ""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in found)
    return (
        "<section><h2>How it was measured</h2><p>The head poses of the held-out frames come from the held-out video in "
        "every column, and so do blinks and brows (except in the static one), since no sound tells them. With landmark "
        "poses the head sits where the tracker put it; with refined poses each frame's pose was fitted to its pixels "
        "on the frozen avatar, which raises PSNR in every column alike. Figures of "
        f'different pose protocols must not be compared.</p><div class="panel"><dl>{items}</dl></div></section>'
    )


def _curves(curves: Mapping[str, Sequence[Point]]) -> str:
    charts = []
    for name, points in curves.items():
        drawn = curve_svg(name, points)
        if drawn:
            charts.append(f'<div class="card"><h3>{escape(name)}</h3>{drawn}</div>')
    if not charts:
        return ""
    return (
        "<section><h2>Training</h2><p>Each curve over the iterations of all stages. A wide range has a "
        f'logarithmic axis.</p><div class="charts">{"".join(charts)}</div></section>'
    )


def _stages(stages: Mapping[str, float]) -> str:
    if not stages:
        return ""
    longest = max(max(stages.values()), 1e-9)
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td><span class="bar" style="width:{100 * seconds / longest:.1f}%"></span></td>'
        f"<td>{_duration(seconds)}</td></tr>"
        for name, seconds in stages.items()
    )
    return (
        f"<section><h2>Where the time went</h2><p>{_duration(sum(stages.values()))} in all.</p>"
        f'<div class="panel"><table class="stages">{lines}</table></div></section>'
    )


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _config(config_yaml: str) -> str:
    if not config_yaml:
        return ""
    return (
        '<section><h2>Recipe</h2><div class="panel"><details><summary>All fields as they were used</summary>'
        f"<pre>{escape(config_yaml)}</pre></details></div></section>"
    )
