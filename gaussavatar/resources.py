"""Where the folders beside the package are: in a checkout, or inside the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

ResourceKind = Literal["recipes", "cuda_ext", "assets"]
"""The folders that a wheel carries as ``gaussavatar/_<kind>``."""


def resource(kind: ResourceKind) -> Path:
    """Return the folder of ``kind``: beside the package in a checkout, else inside it.

    Raises:
        FileNotFoundError: neither exists, so the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    installed = package / f"_{kind}"
    if installed.is_dir():
        return installed
    checkout = package.parent / kind
    if checkout.is_dir() and (package.parent / "pyproject.toml").is_file():
        return checkout
    raise FileNotFoundError(f"no {kind} folder at {installed} or {checkout}; install gaussavatar again")
