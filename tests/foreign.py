"""Programs by others that read what export writes, from npm; where they are not, tests that need them are skipped.

``npm ci --prefix tests/web --ignore-scripts --omit=peer`` installs them. ``GAUSSAVATAR_NODE_MODULES`` names another
folder of modules.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

MODULES = Path(os.environ.get("GAUSSAVATAR_NODE_MODULES", Path(__file__).parent / "web" / "node_modules"))


def node_module(name: str) -> Path:
    """The folder of an npm package; skips the test where there is no node or no such package."""
    if shutil.which("node") is None:
        pytest.skip("no node on this machine")
    if not (MODULES / name / "package.json").is_file():
        pytest.skip(f"no npm package {name} in {MODULES}: npm ci --prefix tests/web --ignore-scripts --omit=peer")
    return MODULES / name


def splat_transform(path: Path, out: Path) -> Path:
    """Convert a file of Gaussians."""
    program = node_module("@playcanvas/splat-transform") / "bin" / "cli.mjs"
    words = ["node", str(program), "--quiet", "--overwrite", "--gpu", "cpu", str(path), str(out)]
    subprocess.run(words, check=True, timeout=120, capture_output=True)
    return out


def read_by_splat_transform(path: Path) -> dict[str, np.ndarray]:
    """What splat-transform reads in a file, as columns of the ply's names, in the ply's axes and units."""
    table = splat_transform(path, path.with_suffix(".csv"))
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    values = np.array(rows[1:], np.float64)
    return {name: values[:, index] for index, name in enumerate(rows[0])}


def gltf_report(path: Path) -> dict:
    """What Khronos' glTF validator says of a file."""
    module = json.dumps(str(node_module("gltf-validator")))
    code = (
        f"const v = require({module}); const fs = require('fs');"
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))"
        ".then(r => console.log(JSON.stringify(r)));"
    )
    done = subprocess.run(["node", "-e", code, str(path)], check=True, timeout=120, capture_output=True, text=True)
    return json.loads(done.stdout)
