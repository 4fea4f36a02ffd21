"""The text of a page around an avatar: the player as one script, and everything that visitors see."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gaussavatar.export.web.bundle import as_module, bundle
from gaussavatar.resources import resource

FOLDER = "web"
PLAYER, PAGE = "element.js", "page.js"
GLOBAL = "GaussAvatarPlayer"
"""What the player's exports are called for scripts that are no modules."""
AVATAR_FILE = "avatar.gsa"
BANNER = "/* The player of gaussavatar. SPDX-License-Identifier: Apache-2.0 */\n"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; worker-src data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; media-src data: blob:; connect-src data: blob:"
)
"""A page that is one file loads nothing from anywhere, and can send nothing either. It may run WebAssembly, which the
player writes itself (``assets/web/kernels.js``, ``assets/web/speech/multiply.js``)."""


@dataclass(frozen=True)
class Sources:
    """What lies in ``assets/web``."""

    modules: Mapping[str, str]
    page: str
    style: str


def sources() -> Sources:
    """Read the player and the page."""
    folder = resource("assets") / FOLDER
    modules = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in sorted(folder.rglob("*.js"))}
    return Sources(modules, (folder / "page.html").read_text("utf-8"), (folder / "page.css").read_text("utf-8"))


def player_script(found: Sources) -> str:
    """The player for a script tag: it defines ``<gauss-avatar>``, and :data:`GLOBAL`."""
    return BANNER + bundle(found.modules, PLAYER, GLOBAL)


def player_module(found: Sources) -> str:
    """The player as one ES module."""
    return BANNER + as_module(found.modules, PLAYER)


def page(found: Sources, meta: Mapping[str, Any], data: bytes) -> str:
    """One HTML file with everything in it; ``data`` is the avatar file."""
    inside = base64.b64encode(data).decode("ascii")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    files = f'<script type="text/plain" id="avatar-file">{inside}</script>'
    return _filled(found, meta, policy, files, inline(player_script(found)))


def split_page(found: Sources, meta: Mapping[str, Any]) -> str:
    """The page beside ``player.js`` and :data:`AVATAR_FILE`."""
    return _filled(found, meta, "", '<script src="player.js"></script>', "")


def _filled(found: Sources, meta: Mapping[str, Any], policy: str, files: str, player: str) -> str:
    subject = str(meta["subject"])
    made = f"gaussavatar {meta['program']}" + (f", recipe {meta['recipe']}" if meta["recipe"] else "")
    if "hama" in meta:
        made += f"; hears with {meta['hama']['made']}"
    texts = {"subject": subject, "title": f"{subject} (synthetic)", "consent": meta["consent"], "made": made}
    texts["source"] = meta["source"] or "not recorded"
    values = {name: html.escape(str(text)) for name, text in texts.items()}
    values |= {"policy": policy, "files": files, "style": found.style, "player": player}
    values["page"] = inline(bundle(found.modules, PAGE))
    # In one pass: what was put in is never looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], found.page)


def inline(script: str) -> str:
    """A script as an element of a page may hold it: nothing in it ends the element or begins a comment."""
    return re.sub(r"<(?=/script|!--)", r"\\x3C", script, flags=re.I)
