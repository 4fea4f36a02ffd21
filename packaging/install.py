"""Install pinned packages into the Python that runs this: ``python packaging/install.py requirements.lock``.

uv does it in a tenth of pip's time, from the indexes that pip's settings name. Where uv cannot be had or fails, pip
does it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check")
# What is imported is compiled then, and only that; uv does so by itself.
INSTALL = (*PIP, "install", "--quiet", "--no-compile")
NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
}
"""Settings of pip that say where packages are, and the variables by which uv is told so."""


def told_to_uv(listing: str) -> dict[str, str]:
    """Variables for uv from what ``pip config list`` prints, the environment's settings above those of files."""
    found: dict[tuple[str, int], str] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if name in NAMES and section in (places := ("global", "install", ":env:")):
            found[NAMES[name], places.index(section)] = ast.literal_eval(value)
    # The same strategy as pip's: the best version of all indexes, not of the first that knows the name.
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for (name, _), value in sorted(found.items()):
        variables[name] = (",".join if name == "UV_FIND_LINKS" else " ".join)(value.split())
    return variables


def install(requirements: Path) -> None:
    """Install what a file of requirements pins, without what those ask for."""
    words = ("--no-deps", "-r", str(requirements))
    (pinned,) = [line for line in requirements.read_text().splitlines() if line.startswith("uv==")] or ["uv"]
    if subprocess.run((*INSTALL, pinned)).returncode == 0:
        listing = subprocess.run((*PIP, "config", "list"), capture_output=True, text=True, check=True).stdout
        uv = Path(sysconfig.get_path("scripts")) / "uv"
        command = (str(uv), "pip", "install", "--quiet", "--python", sys.executable, *words)
        if subprocess.run(command, env=told_to_uv(listing) | dict(os.environ)).returncode == 0:
            return
    print("uv could not do it; pip does, which takes longer", file=sys.stderr)
    sys.exit(subprocess.run((*INSTALL, *words)).returncode)


if __name__ == "__main__":
    install(Path(sys.argv[1]))
