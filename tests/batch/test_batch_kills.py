"""Workers, nodes and drivers are killed while a batch runs on two nodes: every row ends once, as if nothing was."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import soundfile

from tests.batch.cluster import Run, at_work, cluster, environment, start, wait_for
from tests.unit.speak.conftest import voice

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the extra cluster"),
]
"""Two Ray nodes are started, and each test runs a batch on them: about a minute each."""

SOUNDS = 5


@pytest.fixture(scope="module")
def nodes():  # noqa: ANN201
    with cluster() as started:
        yield started


@pytest.fixture
def jobs(toy_avatar: Path, tmp_path: Path) -> Path:
    """Rows that take some seconds each, and one that is cut into parts."""
    lines = ["verb,avatar,audio,out"]
    for number in range(SOUNDS):
        soundfile.write(tmp_path / f"{number}.wav", voice(190.0 if number == 0 else 50.0, seed=number), 16_000)
        lines.append(f"speak,{toy_avatar},{number}.wav,talks/{number}.mp4")
    path = tmp_path / "jobs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def assert_all_right(run: Run, toy_avatar: Path, jobs: Path) -> None:
    """Every row ended once, and its video is what a single run makes."""
    done = Counter(run.done())
    assert set(done.values()) == {1} and len(done) == SOUNDS - 1 + 4
    names = sorted(path.name for path in (jobs.parent / "talks").iterdir())
    assert names == [f"{number}.mp4" for number in range(SOUNDS)]
    sounds = [f"{number}.wav" for number in range(SOUNDS)]
    words = ["speak", "--avatar", str(toy_avatar), "--audio", *sounds, "--out", "singles"]
    # Sums go in another order on another number of cores.
    one_core = environment(GAUSSAVATAR_THREADS="1", OMP_NUM_THREADS="1")
    subprocess.run([sys.executable, "-m", "gaussavatar.cli", *words], cwd=jobs.parent, env=one_core, check=True)
    for number in range(SOUNDS):
        single, row = (jobs.parent / name for name in (f"singles/toy-{number}.mp4", f"talks/{number}.mp4"))
        assert single.read_bytes() == row.read_bytes(), number
    assert not at_work(jobs.parent)


def test_a_worker_is_killed(nodes, toy_avatar: Path, jobs: Path) -> None:  # noqa: ANN001
    run = start(jobs, "--address", nodes[0])
    wait_for(lambda: run.ready() and at_work(jobs.parent))
    unit, pid = next(iter(run.running().items()))
    os.kill(pid, signal.SIGKILL)
    code, told = run.ended()
    assert code == 0 and f"{unit}: again, for its worker died" in told, told
    assert_all_right(run, toy_avatar, jobs)
    attempts = {line["done"]: line["attempt"] for line in run.journal() if "done" in line}
    assert attempts[unit] == 2 and sum(attempts.values()) == len(attempts) + 1


def test_a_driver_is_killed(nodes, toy_avatar: Path, jobs: Path) -> None:  # noqa: ANN001
    first = start(jobs, "--address", nodes[0])
    wait_for(lambda: len(first.done()) >= 2 and first.ready() and at_work(jobs.parent))
    first.process.kill()
    first.process.communicate()
    before = first.done()
    # Whoever did its rows ends with it.
    wait_for(lambda: not at_work(jobs.parent), lambda: str(at_work(jobs.parent)))
    second = start(jobs, "--address", nodes[0])
    code, told = second.ended()
    assert code == 0, told
    assert second.done()[: len(before)] == before
    assert_all_right(second, toy_avatar, jobs)
    third = start(jobs, "--address", nodes[0])
    assert third.ended()[0] == 0 and third.done() == second.done()


def test_a_node_is_killed(toy_avatar: Path, jobs: Path) -> None:
    with cluster() as (address, (_, second)):
        run = start(jobs, "--address", address)
        wait_for(lambda: len(run.done()) >= 1 and len(run.ready()) == 2)
        second.kill()
        code, told = run.ended()
        assert code == 0 and "again, for its node died" in told, told
        assert_all_right(run, toy_avatar, jobs)
