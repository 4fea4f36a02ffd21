"""A small batch on Ray's real workers on this machine: done rows, a failed one, resume, the plan, and no Ray at all."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.batch.cluster import environment, start
from tests.unit.speak.conftest import voice

pytestmark = pytest.mark.slow
"""Starts Ray once and the program four times: about twenty seconds."""

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster")


@pytest.fixture
def jobs(toy_avatar: Path, tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "a.wav", voice(1.0), 16_000)
    path = tmp_path / "jobs.yaml"
    path.write_text(
        f"defaults:\n  speak: {{avatar: '{toy_avatar}', name: hello}}\n"
        f"  export: {{avatar: '{toy_avatar}', format: ply}}\n"
        "rows:\n- {verb: speak, audio: a.wav, out: talks/a.mp4, save_motion: talks/a.csv}\n"
        "- {verb: export, motion: talks/a.csv, at: 0.5, out: half.ply}\n"
        "- {verb: export, at: 900, motion: talks/a.csv, out: late.ply}\n"
    )
    return path


@needs_ray
def test_a_batch_on_this_machine(jobs: Path) -> None:
    run = start(jobs, "--cores", "2")
    code, told = run.ended()
    # One of three rows failed: no moment of the motion is as late as it wants.
    assert code == 101, told
    assert sorted(run.done()) == ["export-half", "hello"] and "done: 2 of 3 rows" in told
    assert (
        "error: export-late: " in told and "(log: jobs-batch/logs/export-late.log)" in told and "Traceback" not in told
    )
    assert (jobs.parent / "talks" / "a.mp4").exists() and (jobs.parent / "half.ply").exists()
    assert not (jobs.parent / "late.ply").exists()
    page = (jobs.parent / "jobs-batch" / "batch.html").read_text()
    assert '<div class="panel"></div>' not in page, "no empty card"
    assert "<details open>" in page, "few rows are shown without a click"
    assert 'href="logs/hello.log"' in page and "2 of 3 rows done" in page and "http-equiv" not in page
    assert "video: " in (jobs.parent / "jobs-batch" / "logs" / "hello.log").read_text()
    lines = [line for line in run.journal() if "done" in line]
    assert all(line["peak"] > 100 << 20 and line["cpu"] > 0.5 and line["attempt"] == 1 for line in lines)
    # Without the wrong row all is done, which takes no Ray to see.
    jobs.write_text("".join(jobs.read_text().splitlines(keepends=True)[:-1]))
    again = start(jobs, RAY_ADDRESS="nowhere:1")
    code, told = again.ended()
    assert code == 0 and "done: 2 of 2 rows" in told and len(again.done()) == 2, told


def test_a_plan_changes_nothing(jobs: Path) -> None:
    (jobs.parent / "half.ply").write_text("somebody's")
    before = sorted(jobs.parent.iterdir())
    code, told = start(jobs, "--dry-run").ended()
    assert code == 0 and sorted(jobs.parent.iterdir()) == before
    assert "half.ply is there" in told and (jobs.parent / "half.ply").read_text() == "somebody's"
    assert "export-half" in told and "after hello" in told and "2 export" in told
    assert "1 at a time: about" in told and "disk: about" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "pip install 'gaussavatar[cluster]'"),
        (["--cores", "0"], "at least 1 for --cores"),
        (["--retries", "-1"], "at least 0 for --retries"),
        (["--cores", "2", "--address", "a:1"], "both --cores and --address"),
    ],
)
def test_without_ray_or_sense_it_says_so_in_a_line(jobs: Path, words: list[str], said: str) -> None:
    code = "import sys; sys.modules['ray'] = None; from gaussavatar.cli.main import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "batch", jobs.name, *words]
    done = subprocess.run(command, cwd=jobs.parent, env=environment(), capture_output=True, text=True)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1, done.stderr


@needs_ray
def test_every_wrong_row_is_named_before_anything_starts(jobs: Path) -> None:
    with jobs.open("a") as file:
        file.write("- {verb: fit, video: none.mp4}\n- {verb: speak, audio: a.wav, out: talks/a.mp4, name: other}\n")
    code, told = start(jobs).ended()
    assert code == 2 and not (jobs.parent / "jobs-batch").exists()
    assert "row 5 of jobs.yaml: an output of its own" in told and "Traceback" not in told
