"""Files that a stranger made: each is refused in one line, and none runs, hangs or takes the machine's memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.head.install import install_head
from gaussavatar.head.installed import heads_folder
from gaussavatar.head.safe.sandbox import Limits, read_head_file
from gaussavatar.head.safe.unpickle import read_pickle
from tests.errors import hostile_archives, hostile_folders, hostile_pickles
from tests.errors.hostile_heads import CASES, written

LIMITS = Limits(memory=1 << 30, source=1 << 30, output=1 << 30, cpu_seconds=3, seconds=30)
NEED_LIMITS = {
    "pickle_memo_bomb",
    "pickle_many_objects",
    "pickle_exponential_hash",
    "pickle_deep_tuples_as_key",
    "pickle_decimal_bomb",
}
"""Pickles that are stopped by the process's limits rather than by the unpickler."""


def test_there_are_many_of_them() -> None:
    for module, least in ((hostile_pickles, 55), (hostile_archives, 30), (hostile_folders, 25)):
        assert sum(build.__module__ == module.__name__ for build in CASES.values()) >= least


@pytest.mark.parametrize("name", CASES)
def test_refused_with_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = tmp_path / "files"
    folder.mkdir()
    path = CASES[name](folder)
    with pytest.raises(UserError) as caught:
        install_head(path, "stranger", limits=LIMITS)
    message = str(caught.value)
    assert message.startswith("expected ") and len(message) < 600
    assert all(part.strip() for part in (caught.value.expected, caught.value.came, caught.value.do))
    assert not (folder / "canary").exists(), "it ran"
    assert not list(tmp_path.rglob("*canary*"))
    assert not heads_folder().exists() or not list(heads_folder().iterdir())


READ_AND_MEASURE = """
import resource, sys
from pathlib import Path
from gaussavatar.errors import UserError
from gaussavatar.head.safe.sandbox import Limits, read_head_file
try:
    read_head_file(Path(sys.argv[1]), Limits(1 << 30, 1 << 30, 1 << 30, 3, 30))
except UserError:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)
"""
"""A process of its own: the largest child of the tests' process may be some other test's."""


@pytest.mark.parametrize("name", sorted(NEED_LIMITS))
def test_memory_stays_within_the_limit(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ_AND_MEASURE, str(CASES[name](tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) < LIMITS.memory * 1.1


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("pickle_") and name not in NEED_LIMITS])
def test_the_unpickler_alone_refuses(name: str, tmp_path: Path) -> None:
    """The process's limits are a second fence: no name gets as far as being called."""
    with pytest.raises(UserError):
        read_pickle(CASES[name](tmp_path).read_bytes())
    assert not (tmp_path / "canary").exists()


def test_what_is_refused_is_named(tmp_path: Path) -> None:
    for name, foreign in (
        ("pickle_os_system", "os.system"),
        ("pickle_eval", "builtins.eval"),
        ("pickle_numpy_savetxt", "numpy.savetxt"),
        ("pickle_inst_opcode", "os.system"),
        ("pickle_dotted_name", "chumpy.ch.Ch.__new__"),
    ):
        with pytest.raises(UserError) as caught:
            read_pickle(CASES[name](tmp_path).read_bytes())
        assert foreign in caught.value.came


def test_the_same_arrays_in_order_are_read(tmp_path: Path) -> None:
    """The broken files differ from this one in what is said to be broken only."""
    for protocol in range(6):
        source = read_head_file(written(tmp_path, hostile_pickles.flame_pickle(protocol)), LIMITS)
        assert source.kind == "flame" and len(source.arrays) == 7


def test_the_command_line_says_it_in_one_line(message, tmp_path: Path) -> None:
    path = CASES["pickle_os_system"](tmp_path)
    assert "os.system" in message("head", "install", path)
    assert "no_such" in message("head", "install", tmp_path / "no_such.pkl")
    assert "small letters" in message("head", "install", path, "--name", "../../evil")
    assert "built-in" in message("head", "remove", "built-in")
    assert "the name of a head" in message("head", "remove", "nobody")
    assert "the name of a head" in message("head", "show", "nobody")
