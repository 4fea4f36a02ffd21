"""Starts the device check, or its like, and reads what came of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PATIENCE = 500
"""Seconds after which a check counts as stuck; nothing is asserted about its speed."""

Results = dict[str, dict[str, Any]]
Ran = tuple[subprocess.CompletedProcess[str], Results]


def check(out: Path, *words: str, script: str = "device_check.py", **variables: str) -> Ran:
    """Run a check; what it returned, and the lines of its results by section."""
    command = [sys.executable, str(HERE / script), "--out", str(out), *words]
    environment = {**os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment, check=False)
    lines = (out / "results.jsonl").read_text().splitlines() if (out / "results.jsonl").exists() else []
    return done, {entry["section"]: entry for entry in map(json.loads, lines)}
