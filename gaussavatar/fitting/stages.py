"""What a fit does, as a list of stages: each is done unless its folder holds the result of the same inputs.

A stage's key is a hash of its version, of the plain data that it depends on, and of the keys of the stages whose
results it reads; nothing else enters it. What was done is marked in a manifest, in the order of the list.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaussavatar.progress import Progress
from gaussavatar.storage import atomic_path, content_key, read_json


@dataclass(frozen=True)
class Stage:
    """A piece of work and all that its result depends on.

    The files that a stage writes are its own; only a stage whose results it reads may remove them.
    """

    name: str
    version: int
    """Goes up when the code makes another result of the same inputs."""
    inputs: tuple[Any, ...]
    """Plain data (JSON) that the result depends on, besides other stages' results."""
    work: Callable[[str], object]
    """Called with the stage's key, for files of its own that a killed run leaves half-way."""
    reads: tuple[str, ...] = ()
    """Earlier stages whose results it reads."""
    tell: Callable[[], str] | None = None
    """What to say once the result is there, new or kept."""


def stage_keys(stages: Sequence[Stage]) -> dict[str, str]:
    """The key of every stage by its name.

    Raises:
        ValueError: two stages share a name, or one reads a stage that does not come before it.
    """
    keys: dict[str, str] = {}
    for stage in stages:
        missing = [name for name in stage.reads if name not in keys]
        if stage.name in keys or missing:
            raise ValueError(f"stage {stage.name} comes twice, or reads {missing} before they are there")
        keys[stage.name] = content_key(stage.name, stage.version, stage.inputs, [keys[name] for name in stage.reads])
    return keys


@dataclass(frozen=True)
class Took:
    """A stretch of time, by the clock and by what the process and its ended children had of the processor, s."""

    seconds: float
    cpu_seconds: float

    @classmethod
    def until_now(cls) -> Took:
        """Of the clocks: only differences mean something."""
        times = os.times()
        return cls(time.monotonic(), times.user + times.system + times.children_user + times.children_system)

    def __sub__(self, other: Took) -> Took:
        return Took(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)


def run_stages(stages: Sequence[Stage], manifest: Path, progress: Progress) -> None:
    """Do the stages in their order, leave out what ``manifest`` has as done, and mark there what is done.

    A stage that begins loses its mark first, and so do those that read it: killed half-way it is not taken for the one
    that was there before, and what follows from it is never older than it.
    """
    keys = stage_keys(stages)
    for stage in stages:
        if stage_done(manifest, stage.name, keys[stage.name]):
            progress.say(f"{stage.name}: kept from before")
        else:
            _unmark(manifest, following(stages, stage.name))
            started = Took.until_now()
            stage.work(keys[stage.name])
            mark_stage(manifest, stage.name, keys[stage.name], Took.until_now() - started, list(keys))
        if stage.tell is not None:
            progress.say(stage.tell())


def stage_done(manifest: Path, stage: str, key: str) -> bool:
    """Whether ``stage`` was completed with the inputs named by ``key``."""
    return _entries(manifest).get(stage, {}).get("key") == key


def mark_stage(manifest: Path, stage: str, key: str, took: Took, order: Sequence[str] = ()) -> None:
    """Record that ``stage`` is complete, how long it took, and the process's peak memory so far.

    The manifest lists stages as ``order`` does; others come after these.
    """
    entries = _entries(manifest)
    entries[stage] = {
        "key": key,
        "seconds": round(took.seconds, 2),
        "cpu_seconds": round(took.cpu_seconds, 2),
        "peak_mib": peak_memory_mib(),
    }
    known = [name for name in order if name in entries]
    write_manifest(
        manifest, {name: entries[name] for name in [*known, *(name for name in entries if name not in known)]}
    )


def following(stages: Sequence[Stage], name: str) -> set[str]:
    """The stage and those that read it, or read one that does."""
    found = {name}
    for stage in stages:
        if found & set(stage.reads):
            found.add(stage.name)
    return found


def _unmark(manifest: Path, names: set[str]) -> None:
    entries = _entries(manifest)
    if names & set(entries):
        write_manifest(manifest, {name: entry for name, entry in entries.items() if name not in names})


def _entries(manifest: Path) -> dict[str, Any]:
    return read_json(manifest) if manifest.exists() else {}


def write_manifest(manifest: Path, entries: dict[str, Any]) -> None:
    """Write a manifest in its order, which the report shows; :func:`~gaussavatar.storage.write_json` would sort it."""
    with atomic_path(manifest) as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n")


def peak_memory_mib() -> int:
    """The largest resident memory that this process has had, MiB; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    # Linux counts in KiB, macOS in bytes.
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit
