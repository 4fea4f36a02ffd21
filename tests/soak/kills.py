"""Death at any moment: ``python -m tests.soak.kills --n 100`` kills tiny runs of the program and prints a table.

Each row draws a command, a way to end and a moment: before an operation on files, or when the process has used so many
seconds of CPU. Then the same command is run again, undisturbed, and has to come to the bytes of a run that nothing
disturbed; nothing half written may have carried a final name meanwhile, and nothing may be left of it at the end.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parents[2])
sys.path[:0] = [] if _ROOT in sys.path else [_ROOT]

from tests.soak.commands import ALL, Command, half_files, litter, make_inputs, results  # noqa: E402
from tests.soak.powercut import cut_power, states  # noqa: E402
from tests.soak.process import Launcher, Moment, Process, anew  # noqa: E402
from tests.soak.ways import WAYS, Way, own_disk  # noqa: E402


@dataclass(frozen=True)
class Whole:
    """An undisturbed run: its results, all its files, how many operations on files and seconds of CPU it took."""

    results: dict[str, str]
    files: dict[str, str]
    operations: int
    cpu: float


@dataclass(frozen=True)
class Row:
    """What came of one kill; ``faults`` is empty where all is well."""

    command: str
    way: str
    moment: str
    then: str
    faults: tuple[str, ...]

    def __str__(self) -> str:
        verdict = "good" if not self.faults else "BAD: " + "; ".join(self.faults)
        return f"{self.command:17} {self.way:22} {self.moment:16} {self.then}: {verdict}"


def whole_run(launch: Launcher, command: Command, inputs: Path, case: Path) -> Whole:
    """Run a command that nothing disturbs."""
    process = Process(launch, command, inputs, case)
    process.reaches(Moment(cpu=math.inf))
    code, said = process.ends()
    if code != 0:
        raise RuntimeError(f"{command.name} failed undisturbed:\n{said}")
    everything = Command("", (), ("**/*",), timed=command.timed)
    operations = len(process.journal.read_text().splitlines())
    return Whole(results(command, process.root), results(everything, process.root), operations, process.cpu)


def suffer(launch: Launcher, command: Command, way: Way, moment: Moment, whole: Whole, inputs: Path, case: Path) -> Row:
    """Strike a run at a moment, look at what is left, run the command again, and look once more."""
    case.mkdir(parents=True)
    with own_disk(case, way):
        process = Process(launch, command, inputs, case, moment.operation)
        before = states(process.root)
        reached = process.reaches(moment)
        if reached:
            way.strike(process.pid, case)
        code, said = process.ends()
        faults = [] if code == 0 else _faults_of_end(way, code, said)
        if not reached and code == 0:
            return suffer(launch, command, way, moment.earlier(), whole, inputs, case.with_name(case.name + "-"))
        then = f"exit {code}"
        if way.powerless is not None:
            _wait_for_children(process.pid)
            lost = cut_power(process.root, process.journal, process.shadow, before, way.powerless)
            then += f", {lost} lost"
        way.lift(case)
        if way.tidy and code > 0 and (left := [name for name in litter(process.root) if ".part" not in name]):
            faults.append(f"left {left[0]}")
        faults += [f"half a file: {name}" for name in half_files(process.root, whole.files)[:3]]
        again = Process(launch, command, inputs, case)
        code, said = again.ends()
        faults += _faults_after(command, again.root, code, said, whole)
        return Row(command.name, way.name, str(moment), then, tuple(faults))


def _wait_for_children(group: int) -> None:
    """Until nothing of a killed group writes any more."""
    for _ in range(500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)


def _faults_of_end(way: Way, code: int, said: str) -> list[str]:
    faults = [] if code in way.codes else [f"exit {code}: {_last(said)}"]
    if "Traceback" in said:
        faults.append(f"a traceback: {_last(said)}")
    elif code > 0 and not any(line.startswith(("error: ", "interrupted", "stopped by")) for line in said.splitlines()):
        faults.append(f"no line: {_last(said)}")
    return faults


def _faults_after(command: Command, root: Path, code: int, said: str, whole: Whole) -> list[str]:
    if code != 0:
        return [f"then exit {code}: {_last(said)}"]
    found = results(command, root)
    other = [name for name in sorted(found.keys() | whole.results.keys()) if found.get(name) != whole.results.get(name)]
    faults = [f"other bytes: {', '.join(other[:4])}"] if other else []
    return faults + [f"litter: {name}" for name in litter(root)[:2]]


def _last(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1][:160] if lines else "nothing said"


def draw(n: int, seed: int, commands: Sequence[Command]) -> list[tuple[Command, Way, float, bool]]:
    """Commands, ways, where in the run (0..1), and whether that counts operations; every way equally often."""
    chance = random.Random(seed)
    ways = [WAYS[index % len(WAYS)] for index in range(n)]
    drawn = chance.choices(commands, [command.share for command in commands], k=n)
    return [(command, way, chance.random(), chance.random() < 0.6) for command, way in zip(drawn, ways, strict=True)]


def run(
    n: int, seed: int, commands: Sequence[Command], folder: Path, launch: Launcher = anew, first: int = 0
) -> list[Row]:
    """All rows, printed as they come.

    Args:
        n: how many.
        seed: of commands and moments.
        commands: to draw from.
        folder: where to work; what bad rows leave stays there.
        launch: starts the program.
        first: rows before this one are left out.
    """
    inputs = folder / "inputs"
    if not inputs.is_dir():
        make_inputs(inputs, commands)
    wholes: dict[str, Whole] = {}
    rows = []
    for number, (command, way, share, by_operation) in enumerate(draw(n, seed, commands)):
        if number < first:
            continue
        if command.name not in wholes:
            case = folder / f"whole-{command.name.replace(' ', '-')}"
            wholes[command.name] = whole_run(launch, command, inputs, case)
            _remove(case)
        whole = wholes[command.name]
        moment = Moment(int(share * whole.operations)) if by_operation else Moment(cpu=share * whole.cpu)
        case = folder / f"{number:03d}"
        row = suffer(launch, command, way, moment, whole, inputs, case)
        print(f"{number:3d} {row}", flush=True)
        rows.append(row)
        if not row.faults:
            for path in folder.glob(f"{number:03d}*"):
                _remove(path)
    return rows


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print the table; 1 where a row is bad."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=10, help="rows")
    parser.add_argument("--seed", type=int, default=0, help="of commands and moments")
    parser.add_argument("--first", type=int, default=0, help="the row to begin with")
    parser.add_argument("--only", default="", help="commands whose names begin so")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder when not given")
    asked = parser.parse_args()
    commands = [command for command in ALL if command.name.startswith(asked.only)]
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        rows = run(asked.n, asked.seed, commands, asked.folder or Path(temporary), first=asked.first)
    good = sum(not row.faults for row in rows)
    print(f"{good} of {len(rows)} rows are good")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
