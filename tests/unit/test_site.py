"""The documentation becomes one site without a warning, and what is on it can be reached."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import gaussavatar

ROOT = Path(__file__).parents[2]


def test_the_python_page_names_everything_that_is_public() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    named = set(re.findall(r"\w+", text))
    assert not [name for name in gaussavatar.__all__ if name not in named]


def test_the_version_is_said_once() -> None:
    assert f"version: {gaussavatar.__version__}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="the extra docs is not installed")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "api.html").read_text()
    assert "load_avatar" in page and ":class:" not in page and "Raises" in page
