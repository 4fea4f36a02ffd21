"""The player's own files, as a door serves them."""

from __future__ import annotations

from gaussavatar.resources import resource
from gaussavatar.serving.door import Served

MIMES = {".js": "text/javascript", ".html": "text/html", ".css": "text/css"}


def web_file(name: str) -> Served | None:
    """A file of the player, by its path below ``assets/web``; None where there is none."""
    root = resource("assets") / "web"
    path = (root / name).resolve()
    if path.suffix not in MIMES or not path.is_relative_to(root.resolve()) or not path.is_file():
        return None
    return Served(MIMES[path.suffix], path.read_bytes)
