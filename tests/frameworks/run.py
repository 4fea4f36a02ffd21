"""Tests of a framework's adapter in an environment of its own.

python -m tests.frameworks.run livekit|pipecat AVATAR [--env DIR]

Makes the environment (some minutes and 6 GB at the first time, most of it torch) with the wheel of packaging/play and
that framework from PyPI, says which versions came, and runs the tests there with the avatar of the given folder.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
TESTS = {"livekit": ("livekit", "livekit_agent"), "pipecat": ("pipecat",)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("framework", choices=sorted(TESTS))
    parser.add_argument("avatar", type=Path)
    parser.add_argument("--env", type=Path)
    asked = parser.parse_args()
    folder = asked.env or CHECKOUT / f".venv-{asked.framework}-test"
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    with tempfile.TemporaryDirectory() as dist:
        play = CHECKOUT / "packaging" / "play"
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", dist], cwd=play, check=True)
        (wheel,) = Path(dist).glob("*.whl")
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, f"{wheel}[{asked.framework}]", "pytest"], check=True)
        subprocess.run([*pip, "--force-reinstall", "--no-deps", str(wheel)], check=True)
    subprocess.run([str(python), "-m", "pip", "list", "--format=freeze"], check=True)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = kept | {"GAUSSAVATAR_TEST_AVATAR": str(asked.avatar.resolve())}
    with tempfile.TemporaryDirectory() as empty:
        # Away from the checkout, so that the package is the wheel's; the tests alone are found by a link.
        (Path(empty) / "tests").mkdir()
        (Path(empty) / "tests" / "frameworks").symlink_to(CHECKOUT / "tests" / "frameworks")
        tests = [f"tests/frameworks/test_{name}.py" for name in ("playing", *TESTS[asked.framework])]
        words = [str(python), "-m", "pytest", "-q", "--noconftest", "-p", "no:cacheprovider", *tests]
        return subprocess.run(words, cwd=empty, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
