"""Runs the sections of the device check, each in a process of its own with a limit, and keeps what they found.

A section that raises, crashes, or poisons its CUDA context ends alone; one that hangs is ended at its limit, and what
it had noted until then stays. This process never touches torch, so that nothing which a driver does can stop it.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RESULTS, LOG = "results.jsonl", "log.txt"
BUDGET = 480.0
"""Seconds of a whole check on a GPU."""
SLOW = 20
"""Factor on every limit on a CPU, where limits only serve to end what hangs."""
LEAST = 5.0
"""Seconds below which a section is not begun."""
GRACE = 2.0
"""Seconds from a section's limit, when it tells where it is, to its end."""


@dataclass(frozen=True)
class Options:
    """What was asked of a check."""

    out: Path
    device: str
    small: bool
    scale: float
    capture: Path | None
    work: Path
    """Room for files that nobody keeps."""


@dataclass(frozen=True)
class Section:
    """A part of the check: ``work`` names a function, as ``module:function``, of a report, options and ``given``."""

    name: str
    work: str
    seconds: float
    given: tuple[str, ...] = ()
    reserve: float = 0.0
    """Seconds that the sections before this one leave for it."""


class Skip(Exception):
    """Raised by a section that cannot run here; says why."""


class Report:
    """What a section notes; each note is on the disk at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._missed: list[str] = []

    def note(self, label: str, **figures: Any) -> None:
        """Keep figures under ``label``."""
        self._put({"label": label, "figures": figures})

    def expect(self, met: bool, what: str) -> None:
        """Fail at the section's end, when everything is measured, unless ``met``."""
        if not met:
            self._missed.append(what)

    def end(self, state: str = "", reason: str = "") -> None:
        """Say how the section ended; by default as its expectations have it."""
        if not state:
            state, reason = ("failed", "; ".join(self._missed)) if self._missed else ("ok", "")
        self._put({"state": state, "reason": reason})
        self._file.close()

    def _put(self, entry: dict[str, Any]) -> None:
        self._file.write(json.dumps(entry, default=str) + "\n")
        self._file.flush()


@dataclass
class Result:
    """A line of ``results.jsonl``."""

    section: str
    state: str
    reason: str
    seconds: float
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)


def main(sections: Sequence[Section], preload: str = "preload") -> int:
    """Run what the command line asks for; 1 where a section failed."""
    arguments = _parser(sections).parse_args()
    wanted = _chosen(sections, arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    slow = 1 if arguments.device == "cuda" else SLOW
    budget = (arguments.budget or BUDGET) * (1 if arguments.budget else slow)
    for name in (RESULTS, LOG):
        (arguments.out / name).write_text("")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Not every version of the fork server takes over this process's own search path.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [*sys.path[:2], os.environ.get("PYTHONPATH", "")]))
    signal.signal(signal.SIGTERM, _stop)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    results, started = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="device-check-") as work:
        capture = arguments.capture.resolve() if arguments.capture else None
        options = Options(
            arguments.out.resolve(), arguments.device, arguments.small, arguments.scale, capture, Path(work)
        )
        for number, section in enumerate(wanted):
            left = budget - (time.monotonic() - started)
            left -= sum(later.reserve for later in wanted[number + 1 :]) if capture else 0
            result = _run(context, section, options, min(section.seconds * slow, left))
            results.append(result)
            with (arguments.out / RESULTS).open("a") as file:
                file.write(json.dumps(asdict(result)) + "\n")
            _tell(arguments.out, _told(result))
    _tell(arguments.out, _table(results, time.monotonic() - started))
    return int(any(result.state == "failed" for result in results))


def _stop(number: int, frame: object) -> None:
    """Leave by the way that ends what runs and removes what was scratch."""
    raise SystemExit(128 + number)


def _parser(sections: Sequence[Section]) -> argparse.ArgumentParser:
    names = ", ".join(section.name for section in sections)
    parser = argparse.ArgumentParser(description="Check the package on a device.", epilog=f"Sections: {names}.")
    parser.add_argument("--out", type=Path, required=True, help="folder for results.jsonl, log.txt and pictures")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu rehearses the check")
    parser.add_argument("--small", action="store_true", help="sizes of seconds, for a rehearsal")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the steps of every training")
    parser.add_argument("--only", default="", help="sections to run, by commas; a part of a name is enough")
    parser.add_argument("--skip", default="", help="sections to leave out, in the same way")
    parser.add_argument("--capture", type=Path, help="prepared capture folder that the recipe default is trained on")
    parser.add_argument("--budget", type=float, help=f"seconds for all of it; {BUDGET:.0f} on a GPU")
    return parser


def _chosen(sections: Sequence[Section], arguments: argparse.Namespace) -> list[Section]:
    def named(section: Section, words: str) -> bool:
        return any(word and word in section.name for word in words.split(","))

    found = [section for section in sections if not arguments.only or named(section, arguments.only)]
    found = [section for section in found if not named(section, arguments.skip)]
    if not found:
        raise SystemExit(f"no section is left by --only {arguments.only!r} and --skip {arguments.skip!r}")
    return found


def _run(context: Any, section: Section, options: Options, limit: float) -> Result:
    """One section from its start to its end, whatever that is."""
    if limit < LEAST:
        return Result(section.name, "skipped", "no time left", 0.0)
    notes, started = options.work / f"{section.name}.jsonl", time.monotonic()
    process = context.Process(target=_child, args=(section, options, notes, limit))
    try:
        process.start()
        process.join(limit + GRACE)
        late = process.is_alive()
    finally:
        _end(process)
    seconds = round(time.monotonic() - started, 2)
    entries = [json.loads(line) for line in notes.read_text().splitlines()] if notes.exists() else []
    result = Result(section.name, "failed", "", seconds)
    for entry in entries:
        if "label" in entry:
            result.figures.setdefault(entry["label"], {}).update(entry["figures"])
        else:
            result.state, result.reason = entry["state"], entry["reason"]
    if late:
        result.state, result.reason = "failed", f"not done after {limit:.0f} s; {LOG} says where it was"
    elif not any("state" in entry for entry in entries):
        code = process.exitcode or 0
        result.reason = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return result


def _end(process: Any) -> None:
    """Make sure that a section and all that it started are gone."""
    if process.pid is None:
        return
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.is_alive():
        process.kill()
    process.join()


def _child(section: Section, options: Options, notes: Path, limit: float) -> None:
    """Runs in the section's own process."""
    os.setsid()
    log = os.open(options.out / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable()
    faulthandler.dump_traceback_later(limit)
    tempfile.tempdir = str(options.work)
    print(f"== {section.name}", flush=True)
    report = Report(notes)
    try:
        module, function = section.work.split(":")
        getattr(importlib.import_module(module), function)(report, options, *section.given)
        report.end()
    except Skip as reason:
        report.end("skipped", str(reason))
    except Exception as error:
        traceback.print_exc()
        report.end("failed", f"{type(error).__name__}: {error}"[:600])
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads that a broken driver left behind must not keep the process.
    os._exit(0)


def _told(result: Result) -> str:
    """A result and its figures as lines."""
    reason = f": {result.reason}" if result.reason else ""
    lines = [f"{result.section:<24} {result.state:<8} {result.seconds:7.1f} s{reason}"]
    for label, figures in result.figures.items():
        shown = ", ".join(f"{name} {_short(value)}" for name, value in figures.items())
        lines.append(f"    {label:<28} {shown}"[:400])
    return "\n".join(lines)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(results: Sequence[Result], seconds: float) -> str:
    lines = ["", f"{'section':<24} {'state':<8} {'seconds':>9}"]
    lines += [f"{r.section:<24} {r.state:<8} {r.seconds:9.1f}  {r.reason[:160]}" for r in results]
    counts = {state: sum(r.state == state for r in results) for state in ("ok", "failed", "skipped")}
    return "\n".join([*lines, f"{', '.join(f'{n} {state}' for state, n in counts.items())} in {seconds:.0f} s"])


def _tell(out: Path, text: str) -> None:
    print(text, flush=True)
    with (out / LOG).open("a") as file:
        file.write(text + "\n")
