"""The plan of a batch: rows as units of work, what each waits for, what names its result, what all takes."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gaussavatar import __version__
from gaussavatar.batch.costs import Costs, Facts, costs_of_row, facts_of, size_of_avatar
from gaussavatar.batch.jobs import Row, waits_for
from gaussavatar.batch.places import file_name, is_remote
from gaussavatar.batch.store import fingerprint
from gaussavatar.errors import UserError
from gaussavatar.storage import content_key

CUT_FROM = 180.0
"""Seconds of a sound from which on its video is drawn in parts."""

PART = 120.0
"""Seconds of a part, about."""

MOST_PARTS = 64

HEARING = 0.1
"""What of a long video's time goes into its motion."""


@dataclass(frozen=True)
class Unit:
    """A command that a worker is given: a row, or a part of one."""

    name: str
    row: Row
    part: str | None
    """``hear``, ``K/N`` or ``join`` of a long video."""
    after: tuple[str, ...]
    key: str
    """Names what comes out of it: the command, the program's version, and all that is read."""
    kind: str
    """Units of a kind need alike."""
    costs: Costs
    shared: Mapping[str, str]
    """What names the contents of places that many rows read."""

    @property
    def ends_row(self) -> bool:
        """Whether its row is done with it."""
        return self.part in (None, "join")


def make_plan(
    rows: Sequence[Row], unit_seconds: float, known: Callable[[Path], str]
) -> tuple[list[Unit], list[UserError]]:
    """The units of all rows in an order in which they could be done, and what is wrong with some rows' inputs.

    Args:
        rows: checked.
        unit_seconds: what this machine takes for the small scene of :mod:`gaussavatar.fitting.pace`.
        known: the digest of a file.

    Raises:
        UserError: rows wait for each other.
    """
    waits = waits_for(rows)
    wrong: list[UserError] = []
    by_name = {row.name: row for row in rows}
    makers = {place: row.name for row in rows for place in row.writes}
    sizes = {row.value("avatar") or "": size_of_avatar(row.value("avatar") or "") for row in rows if row.verb != "fit"}
    found = {place: size for place, size in sizes.items() if size}
    keys: dict[str, str] = {}
    units: list[Unit] = []
    for name in in_order(waits):
        row = by_name[name]
        try:
            facts = facts_of(row, found)
            if row.verb == "fit":
                found[row.out] = facts.size
            digests = {place: _digest(row, place, makers, keys, known) for place in row.reads}
        except UserError as error:
            wrong.append(error)
            keys[name] = ""
            continue
        keys[name] = content_key(__version__, row.verb, dict(row.values), digests)
        last = [_last(by_name[other], units) for other in waits[name]]
        units += _units(row, facts, keys[name], tuple(each for each in last if each), unit_seconds, digests)
    return units, wrong


def in_order(waits: Mapping[str, Sequence[str]]) -> list[str]:
    """Names so that each comes after those that it waits for."""
    order: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in order:
            for other in waits[name]:
                add(other)
            order[name] = None

    for name in waits:
        add(name)
    return list(order)


def _last(row: Row, units: Sequence[Unit]) -> str:
    return next((each.name for each in reversed(units) if each.row is row and each.ends_row), "")


def _digest(
    row: Row, place: str, makers: Mapping[str, str], keys: Mapping[str, str], known: Callable[[Path], str]
) -> str:
    parts = place.split("/")
    for count in range(len(parts), 0, -1):
        maker = makers.get("/".join(parts[:count]))
        if maker is not None and maker != row.name:
            return keys[maker]
    try:
        return fingerprint(place, known)
    except UserError as error:
        raise UserError(f"{row.where}: {error.expected}", error.came, error.do) from error


def _units(
    row: Row, facts: Facts, key: str, after: tuple[str, ...], unit_seconds: float, digests: Mapping[str, str]
) -> list[Unit]:
    costs = costs_of_row(row, facts, unit_seconds)
    avatar = row.value("avatar")
    shared = {avatar: digests[avatar]} if avatar in digests else {}
    whole = Unit(row.name, row, None, after, key, f"{row.verb} {facts.size}", costs, shared)
    count = parts_of(row, facts.seconds)
    if count == 1:
        return [whole]
    each, small = replace(costs, seconds=costs.seconds * (1 - HEARING) / count, disk=0), 0.02 * costs.seconds
    hear = _part(whole, "hear", after, replace(costs, seconds=costs.seconds * HEARING, disk=0))
    shares = [_part(whole, f"{number}/{count}", (hear.name,), each) for number in range(1, count + 1)]
    join = _part(whole, "join", tuple(share.name for share in shares), replace(costs, seconds=small))
    return [hear, *shares, join]


def _part(whole: Unit, part: str, after: tuple[str, ...], costs: Costs) -> Unit:
    name, key = f"{whole.name} {part}", content_key(whole.key, part)
    kind = f"{whole.kind} {'part' if '/' in part else part}"
    return replace(whole, name=name, part=part, after=after, key=key, kind=kind, costs=costs)


def parts_of(row: Row, seconds: float | None) -> int:
    """In how many parts a row's video is drawn; 1 for at once."""
    cut = row.verb == "speak" and row.value("audio") and not row.value("video") and not row.value("to")
    pictures = file_name(row.out).lower().endswith((".png", ".gif"))
    if not cut or pictures or seconds is None or seconds < CUT_FROM:
        return 1
    return min(MOST_PARTS, math.ceil(seconds / PART))


def makespan(units: Sequence[Unit], workers: int, seconds: Mapping[str, float]) -> float:
    """Seconds until all units are done by so many workers, those first on which most depends.

    Args:
        units: in an order in which they could be done; those that are not among them are done.
        workers: how many.
        seconds: of each unit, by name.
    """
    if not units:
        return 0.0
    rank = ranks(units, seconds)
    names = {unit.name for unit in units}
    left = {unit.name: {name for name in unit.after if name in names} for unit in units}
    ready = [(-rank[name], name) for name, others in left.items() if not others]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            _, name = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[name], name))
        now, name = heapq.heappop(running)
        for other, needs in left.items():
            if name in needs:
                needs.discard(name)
                if not needs:
                    heapq.heappush(ready, (-rank[other], other))
    return now


def ranks(units: Sequence[Unit], seconds: Mapping[str, float]) -> dict[str, float]:
    """Seconds from the begin of each unit to the end of the longest chain that it begins."""
    rank: dict[str, float] = {unit.name: seconds[unit.name] for unit in units}
    for unit in reversed(units):
        for name in unit.after:
            if name in rank:
                rank[name] = max(rank[name], seconds[name] + rank[unit.name])
    return rank


def uses_paths(unit: Unit) -> bool:
    """Whether a unit reads or writes paths, which every node has to see."""
    return any(not is_remote(place) for place in (*unit.row.reads, *unit.row.writes))
