"""The picture in CONTRIBUTING is that of the code."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "road.py"


def test_the_picture_of_the_road_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_arrows_that_follow_from_others_are_left_out() -> None:
    spec = importlib.util.spec_from_file_location("road", SCRIPT)
    assert spec is not None and spec.loader is not None
    road = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(road)
    edges = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}
    assert road.without_shortcuts(edges) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}
    drawn = road.imports()
    assert "model" in drawn["avatar"] and "avatar" not in drawn["model"]
    assert drawn["ground"] == set()
