"""``batch.html``: the state of a batch for somebody who is not at its terminal."""

from __future__ import annotations

import os
import time
from html import escape
from pathlib import Path

from gaussavatar.batch.drive import Course, Progress, rows_by_state
from gaussavatar.batch.table import amount, duration, headline
from gaussavatar.pages.page import folded, panel, section, write_page

NAME = "batch.html"

AGAIN = 5
"""Seconds after which a browser reads the page of a running batch anew."""

FEW = 40
"""Rows that are done that are shown without a click."""

STYLE = """
.rows td,.rows th{text-align:left;padding:.3rem .6rem .3rem 0}.rows td:nth-child(4){text-align:right}
.failed b,.skipped b{color:#b3261e}.running b{color:var(--good)}"""


def write_batch_page(path: Path, course: Course, title: str, *, running: bool) -> None:
    """Write the page, atomically.

    Raises:
        UserError: it cannot be written.
    """
    counts = rows_by_state(course.states())
    cards = "".join(
        f'<div class="card"><b>{counts.get(state, 0)}</b><span>{state}</span></div>'
        for state in ("done", "running", "queued", "waiting", "failed", "skipped")
        if counts.get(state)
    )
    took = sum(course.journal.done[name].cpu for name, each in course.units.items()
               if each.state == "done" and name in course.journal.done)  # fmt: skip
    below = f'<p>{escape(headline(course))}</p><div class="cards">{cards}</div>'
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    parts = [section("Rows", _rows(course, path.parent)), section("What they need", _needs(course))]
    note = f"As of {when}; {duration(took)} of processors used. The table is remembered in journal.jsonl."
    above = "batch, running" if running else "batch"
    write_page(
        path, title=title, kind="gaussavatar batch", above=above, below=below, sections=parts, note=note, style=STYLE,
        again=AGAIN if running else None,
    )  # fmt: skip


def _rows(course: Course, folder: Path) -> str:
    head = "<thead><tr><th>row</th><th></th><th>on</th><th>for</th><th>says</th></tr></thead>"
    # What failed and what runs comes first; the done are many.
    order = {"failed": 0, "skipped": 1, "running": 2, "queued": 3, "waiting": 4, "done": 5}
    units = sorted(course.units.values(), key=lambda each: order[each.state])
    open_ = [_row(each, course, folder) for each in units if each.state != "done"]
    done = [_row(each, course, folder) for each in units if each.state == "done"]
    tables = [f'<table class="rows">{head}<tbody>{"".join(rows)}</tbody></table>' for rows in (open_, done)]
    shown = panel(tables[0]) if open_ else ""
    return shown + (folded(f"{len(done)} done", tables[1], opened=len(done) <= FEW) if done else "")


def _row(each: Progress, course: Course, folder: Path) -> str:
    name, row = escape(each.unit.name), each.unit.row
    log = course.logs / f"{row.name}.log"
    linked = f'<a href="{escape(os.path.relpath(log, folder))}">{name}</a>' if log.exists() else name
    seconds = time.monotonic() - each.begun if each.state == "running" else each.seconds
    if each.before and each.unit.name in course.journal.done:
        seconds = course.journal.done[each.unit.name].seconds
    state = each.state + (f", attempt {each.attempt}" if each.attempt > 1 else "") + (" before" if each.before else "")
    line = each.line if each.state in ("failed", "skipped", "running", "waiting") else row.out
    cells = (escape(each.node), duration(seconds) if seconds else "", escape(line))
    return f'<tr class="{each.state}"><td>{linked}</td><td><b>{escape(state)}</b></td>' + "".join(
        f"<td>{cell}</td>" for cell in cells
    ) + "</tr>"  # fmt: skip


def _needs(course: Course) -> str:
    lines = [
        f"<tr><th>{escape(kind)}</th><td>{amount(seen.peak)}</td><td>{seen.ratio:.2f}</td></tr>"
        for kind, seen in sorted(course.seen.items())
    ]
    if not lines:
        return "<p>Nothing has ended yet.</p>"
    head = "<thead><tr><th>kind</th><th>memory at most</th><th>time over the expected one</th></tr></thead>"
    return f'<div class="panel"><table>{head}<tbody>{"".join(lines)}</tbody></table></div>'
