"""The layers that pyproject.toml writes down are held: by the code as it stands, and against a planted import."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={"PYTHONPATH": str(folder)})


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(CHECKOUT / "gaussavatar", tmp_path / "gaussavatar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_goes_down(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("avatar/folder.py", "import gaussavatar.training.config", "Who plays knows nothing of who trains BROKEN"),
        ("model/config.py", "def f():\n    import mediapipe", "Who plays knows nothing of who trains BROKEN"),
        ("media/images.py", "import gaussavatar.head.model", "The road goes one way BROKEN"),
        ("errors.py", "import gaussavatar.storage", "The road goes one way BROKEN"),
        ("tracking/poses/solve.py", "import gaussavatar.tracking.head.fit", "Tracking: poses"),
        ("evaluate/metrics.py", "import gaussavatar.evaluate.evaluate", "No file stands in a circle BROKEN"),
        ("attic/__init__.py", "", "attic"),
    ],
)
def test_a_planted_import_is_found(copy: Path, file: str, line: str, said: str) -> None:
    path = copy / "gaussavatar" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text((path.read_text() if path.exists() else "") + f"\n{line}\n")
    done = lint(copy)
    assert done.returncode == 1 and said in done.stdout, done.stdout
