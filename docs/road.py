"""Draw the rooms of the package and the road of imports between them as docs/road.svg.

python docs/road.py           # write the picture
python docs/road.py --check   # say whether the picture is that of the code as it stands

Arrows point from a room to those it imports; one that follows from two others is left out. Read from the sources, with
the standard library alone.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "road.svg"
BOX, ROW, GAP, MARGIN = (104, 30), 74, 24, 28

ON_TOP = "api"
"""The one single file that does not belong to the ground that everything stands on, which is drawn as one room."""


def room_of(module: str) -> str | None:
    """The room of ``gaussavatar.room.file``; None for the package itself."""
    parts = module.split(".")
    if len(parts) < 2:
        return None
    single = (ROOT / "gaussavatar" / f"{parts[1]}.py").exists() and parts[1] != ON_TOP
    return "ground" if single else parts[1]


def imports() -> dict[str, set[str]]:
    """Rooms and the rooms that they import, also inside functions, but not for type checkers alone."""
    package = ROOT / "gaussavatar"
    rooms: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        here = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if here is None or path == package / "__init__.py":
            continue
        reached = rooms.setdefault(here, set())
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "gaussavatar":
                names = [node.module] if "." in node.module else [f"gaussavatar.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names if alias.name.startswith("gaussavatar.")]
            rooms_named = {room_of(name) for name in names}
            reached |= {room for room in rooms_named if room is not None and room != here and room != "__version__"}
    return {room: {other for other in reached if other in rooms} for room, reached in rooms.items()}


def layers() -> list[list[str]]:
    """The layers that pyproject.toml writes down, ground first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    written = next(contract for contract in contracts if contract.get("exhaustive"))["layers"]
    rows: list[list[str]] = []
    for line in reversed(written):
        names = list(dict.fromkeys(room_of(f"gaussavatar.{name.strip()}") or "" for name in line.split("|")))
        rows.append([name for name in names if not any(name in row for row in rows)])
    return rows


def without_shortcuts(edges: dict[str, set[str]]) -> dict[str, set[str]]:
    """The edges that do not follow from others (transitive reduction of a graph without circles)."""

    def reachable(start: str, seen: set[str]) -> set[str]:
        for other in edges[start]:
            if other not in seen:
                seen.add(other)
                reachable(other, seen)
        return seen

    below = {room: reachable(room, set()) for room in edges}
    return {room: {o for o in others if not any(o in below[p] for p in others if p != o)}
            for room, others in edges.items()}  # fmt: skip


def places(rows: list[list[str]], edges: dict[str, set[str]]) -> dict[str, tuple[float, float]]:
    """Middle of every room's box: as low as what it imports allows, beside its neighbours."""
    order = [room for row in rows for room in row if room in edges]
    height: dict[str, int] = {}
    for room in order:
        height[room] = 1 + max((height[other] for other in edges[room]), default=-1)
    top = max(height.values())
    row_of = {level: [room for room in order if height[room] == level] for level in range(top + 1)}
    widest = max(len(row) for row in row_of.values())
    found: dict[str, tuple[float, float]] = {}
    for level in range(top + 1):
        row = sorted(row_of[level], key=lambda room: _pull(room, edges, found))
        for index, room in enumerate(row):
            middle = MARGIN + widest * (BOX[0] + GAP) / 2
            x = middle + (index - (len(row) - 1) / 2) * (BOX[0] + GAP)
            # Every other row is shifted, so that arrows that pass a row do not run through its boxes.
            found[room] = (x + (GAP if level % 2 else -GAP), MARGIN + (top - level) * ROW + BOX[1] / 2)
    return found


def _pull(room: str, edges: dict[str, set[str]], found: dict[str, tuple[float, float]]) -> float:
    below = [found[other][0] for other in edges[room] if other in found]
    return sum(below) / len(below) if below else 0.0


def picture() -> str:
    """The drawing as SVG."""
    edges = without_shortcuts(imports())
    at = places(layers(), edges)
    width = max(x for x, _ in at.values()) + BOX[0] / 2 + MARGIN
    height = max(y for _, y in at.values()) + BOX[1] / 2 + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#8a94a6"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for room in sorted(edges):
        x0, y0 = at[room]
        for other in sorted(edges[room]):
            x1, y1 = at[other]
            start, end = y0 + BOX[1] / 2, y1 - BOX[1] / 2 - 1
            bend = (end - start) / 2
            lines.append(
                f'<path d="M{x0:.0f} {start:.0f}C{x0:.0f} {start + bend:.0f} {x1:.0f} {end - bend:.0f} '
                f'{x1:.0f} {end:.0f}" fill="none" stroke="#8a94a6" marker-end="url(#head)"/>'
            )
    for room in sorted(edges):
        x, y = at[room]
        left, upper = x - BOX[0] / 2, y - BOX[1] / 2
        lines.append(
            f'<rect x="{left:.0f}" y="{upper:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="6" fill="#eef3fb" '
            'stroke="#4a6fa5"/>'
        )
        lines.append(f'<text x="{x:.0f}" y="{y + 4.5:.1f}" text-anchor="middle" fill="#1d2b3f">{escape(room)}</text>')
    return "\n".join([*lines, "</svg>", ""])


def main(words: list[str]) -> int:
    """Write or check the picture."""
    drawn = picture()
    if words == ["--check"]:
        if PICTURE.exists() and PICTURE.read_text() == drawn:
            return 0
        sys.stderr.write("docs/road.svg is not that of the code; run python docs/road.py\n")
        return 1
    PICTURE.write_text(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
