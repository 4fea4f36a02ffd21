"""The list of stages: what is done again when which input changes, what is said, and what the manifest holds."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gaussavatar.fitting.stages import Stage, Took, mark_stage, run_stages, stage_done, stage_keys
from gaussavatar.progress import QuietProgress

READS = {"film": (), "points": ("film",), "masks": ("film", "points"), "page": ("masks",), "train": ("points",)}
"""Made-up stages, and what each reads."""


class Told(QuietProgress):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Road:
    """Made-up stages that note when they are done."""

    def __init__(self, folder: Path) -> None:
        self.manifest = folder / "manifest.json"
        self.stages = {name: Stage(name, 1, (1,), self._noting(name), reads) for name, reads in READS.items()}
        self.progress = Told()
        self._done: list[str] = []

    def _noting(self, name: str):
        return lambda _: self._done.append(name)

    def run(self, **changed: Stage) -> list[str]:
        """Run the stages with some of them changed; returns the names of those that were done."""
        self._done.clear()
        run_stages(list({**self.stages, **changed}.values()), self.manifest, self.progress)
        return list(self._done)

    def change(self, name: str, **fields: object) -> list[str]:
        """Run with one stage changed."""
        return self.run(**{name: replace(self.stages[name], **fields)})  # type: ignore[arg-type]


def test_all_is_done_once_and_what_is_kept_is_said(tmp_path: Path) -> None:
    road = Road(tmp_path)
    assert road.run() == list(READS) and road.progress.lines == []
    assert road.run() == []
    assert road.progress.lines == [f"{name}: kept from before" for name in READS]


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("film", ["film", "points", "masks", "page", "train"]),
        ("points", ["points", "masks", "page", "train"]),
        ("masks", ["masks", "page"]),
        ("page", ["page"]),
        ("train", ["train"]),
    ],
)
@pytest.mark.parametrize("field", [{"inputs": (2,)}, {"version": 2}])
def test_a_change_is_followed_by_what_reads_it_and_by_nothing_else(
    changed: str, again: list[str], field: dict, tmp_path: Path
) -> None:
    road = Road(tmp_path)
    road.run()
    assert road.change(changed, **field) == again
    assert road.run() == again, "the way back is a change as well"


def test_a_stage_that_fails_is_not_the_one_that_was_there_before(tmp_path: Path) -> None:
    def fails(_: str) -> None:
        raise RuntimeError("half-way")

    road = Road(tmp_path)
    road.run()
    with pytest.raises(RuntimeError):
        road.change("masks", inputs=(2,), work=fails)
    # Its files are half of another result now, although its former inputs are back; and it may have removed others'.
    assert road.run() == ["masks", "page"]


def test_what_follows_is_done_again_when_a_mark_was_lost(tmp_path: Path) -> None:
    road = Road(tmp_path)
    road.run()
    entries = json.loads(road.manifest.read_text())
    road.manifest.write_text(json.dumps({name: entry for name, entry in entries.items() if name != "points"}))
    assert road.run() == ["points", "masks", "page", "train"]


def test_the_manifest_has_the_order_of_the_list_and_what_it_cost(tmp_path: Path) -> None:
    road = Road(tmp_path)
    mark_stage(road.manifest, "of another version", "key", Took(2.0, 3.0))
    road.run()
    road.change("points", inputs=(2,))
    entries = json.loads(road.manifest.read_text())
    assert list(entries) == [*READS, "of another version"]
    assert all(entry["seconds"] >= 0 for entry in entries.values()) and entries["film"]["peak_mib"] > 10


def test_processor_time_is_counted_with_that_of_children(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < .3: pass"

    def work(key: str) -> None:
        subprocess.run([sys.executable, "-c", busy], check=True)
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass

    manifest = tmp_path / "manifest.json"
    stages = [Stage("busy", 1, (), work), Stage("idle", 1, (), lambda key: time.sleep(0.3))]
    run_stages(stages, manifest, QuietProgress())
    entries = json.loads(manifest.read_text())
    assert 0.55 <= entries["busy"]["cpu_seconds"] < 3
    assert entries["idle"]["cpu_seconds"] < 0.2 and entries["idle"]["seconds"] >= 0.3


def test_what_a_result_says_is_told_whether_new_or_kept(tmp_path: Path) -> None:
    road = Road(tmp_path)
    road.change("masks", tell=lambda: "the masks are good")
    road.change("masks", tell=lambda: "still good")
    assert road.progress.lines[0] == "the masks are good"
    assert road.progress.lines[-3:] == ["still good", "page: kept from before", "train: kept from before"]


def test_work_is_given_the_key_that_is_marked(tmp_path: Path) -> None:
    given = []
    stage = Stage("one", 1, ({"rate": 0.5},), given.append)
    run_stages([stage], tmp_path / "m.json", QuietProgress())
    assert given == [stage_keys([stage])["one"]]
    assert stage_done(tmp_path / "m.json", "one", given[0]) and not stage_done(tmp_path / "m.json", "one", "other")


@pytest.mark.parametrize("names", [("a", "a"), ("b", "a")])
def test_a_wrong_list_is_refused(names: tuple[str, str]) -> None:
    reads = {"a": (), "b": ("a",)}
    with pytest.raises(ValueError, match=f"stage {names[0]}"):
        stage_keys([Stage(name, 1, (), lambda _: None, reads[name]) for name in names])
