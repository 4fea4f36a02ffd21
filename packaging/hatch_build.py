"""Puts a native library that was built before into the wheel, and names the system that it is for.

Without ``GAUSSAVATAR_WHEEL_LIBRARY`` in the environment nothing is done: the wheel is pure, and the library is built
when it is first used. ``wheels.py`` sets it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIBRARY, TAG = "GAUSSAVATAR_WHEEL_LIBRARY", "GAUSSAVATAR_WHEEL_TAG"
"""Environment variables: the library's path, and the wheel's tag for its system, such as linux_x86_64."""


class NativeLibrary(BuildHookInterface):
    """Adds the library to ``gaussavatar/_cuda_ext/prebuilt``, where the loader looks first."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Change what is about to be built."""
        library = os.environ.get(LIBRARY)
        if library and version == "standard":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{os.environ[TAG]}"
            build_data["force_include"][library] = f"gaussavatar/_cuda_ext/prebuilt/{Path(library).name}"
