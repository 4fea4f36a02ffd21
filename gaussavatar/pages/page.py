"""A self-contained HTML page: its frame, its sections, and what is carried inside it. No script, no file beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from gaussavatar import __version__
from gaussavatar.media.images import jpeg_bytes
from gaussavatar.pages.style import STYLE
from gaussavatar.storage import atomic_path


def write_page(
    path: Path,
    *,
    title: str,
    kind: str,
    above: str,
    sections: Sequence[str],
    below: str = "",
    note: str = "",
    style: str = "",
    again: int | None = None,
) -> None:
    """Write a page, atomically.

    Args:
        path: the HTML file.
        title: the heading; escaped here.
        kind: what stands behind the title in the browser's tab.
        above: a line over the heading.
        sections: HTML of the page's parts, in order.
        below: HTML under the heading.
        note: what the footer says besides the program's version.
        style: a style sheet of this page besides the common one.
        again: seconds after which a browser reads the page anew; None for never.

    Raises:
        UserError: the path cannot be written or the disk is full.
    """
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        + (f'<meta http-equiv="refresh" content="{again}">' if again else "")
        + f"<title>{escape(title)} · {escape(kind)}</title><style>{STYLE}{style}</style></head><body><main>"
        f"<header><p>{escape(above)}</p><h1>{escape(title)}</h1>{below}</header>"
        + "".join(sections)
        + f"<footer>Made by gaussavatar {__version__}.{note and ' '}{note}</footer></main></body></html>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def section(heading: str, *content: str) -> str:
    """A part of the page under its heading; the contents are HTML."""
    return f"<section><h2>{escape(heading)}</h2>{''.join(content)}</section>"


def panel(content: str) -> str:
    """HTML on a card as wide as the page."""
    return f'<div class="panel">{content}</div>'


def folded(summary: str, content: str, *, opened: bool = False) -> str:
    """HTML on a card that a click on its summary opens and closes."""
    return panel(f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{content}</details>")


def fact_list(facts: Iterable[tuple[str, str]]) -> str:
    """Names and values, both plain text, side by side."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts) + "</dl>"


def chart_cards(charts: Iterable[tuple[str, str, str]]) -> str:
    """Charts (name, SVG, words below) side by side as the width allows; those without an SVG are left out."""
    cards = [
        f'<div class="card"><h3>{escape(name)}</h3>{drawn}{f"<span>{escape(words)}</span>" if words else ""}</div>'
        for name, drawn, words in charts
        if drawn
    ]
    return f'<div class="charts">{"".join(cards)}</div>' if cards else ""


def inline_jpeg(image: UInt8[np.ndarray, "h w 3"], quality: int) -> str:
    """An RGB image as an address that carries it, JPEG of ``quality`` percent."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_bytes(image, quality)).decode()


def inline_video(path: Path, limit: int) -> str | None:
    """An mp4 as an address that carries it; None where it has more than ``limit`` bytes, which a phone cannot load."""
    if path.stat().st_size > limit:
        return None
    return "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
