"""Ray, and nothing else of it anywhere: tasks go to its workers as JSON, what they say comes back through one actor."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from gaussavatar import __version__
from gaussavatar.batch.drive import Ended, Room, Told
from gaussavatar.batch.row import Outcome, Task, attempt
from gaussavatar.errors import UserError
from gaussavatar.interrupts import ENDING

SPOKEN_EVERY = 1.0
"""Seconds between two messages of a worker."""

LOCAL_MEMORY = 0.8
"""Part of the memory that is free at the start which rows of this machine may ask for."""

STORE = 128 << 20
"""Bytes of Ray's own object store: what goes through it is a few lines."""


def require_ray(address: str | None = None) -> Any:
    """The package, ready for a cluster of this machine's own, or for the one at an address.

    Raises:
        UserError: it is not installed.
    """
    if "ray" not in sys.modules:
        _set_door(address)
    # Ray reports its use over the network unless it is told otherwise, and has a banner of its own.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # A busy machine takes longer to start than its 30 seconds.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError("Ray, which batch needs", "a Python without", "pip install 'gaussavatar[cluster]'") from error
    return ray


def _set_door(address: str | None) -> None:
    """Let nobody else into a cluster of our own, and bring the token, where there is one, to one that is joined.

    Ray reads these when it is imported. By itself it would leave a token in the user's home, and bring none along.
    """
    if "RAY_AUTH_MODE" in os.environ:
        return
    if address is None:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        return
    kept = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if "RAY_AUTH_TOKEN" in os.environ or kept.is_file():
        os.environ["RAY_AUTH_MODE"] = "token"


class Board:
    """Where workers say what their rows say; one of it, on the driver's node."""

    def __init__(self) -> None:
        self._told: list[tuple[str, int, str, str]] = []

    def tell(self, unit: str, number: int, node: str, text: str) -> None:
        """Put something on it."""
        self._told.append((unit, number, node, text))

    def take(self) -> list[tuple[str, int, str, str]]:
        """All that is on it, which it forgets."""
        told, self._told = self._told, []
        return told


def run_task(text: str, board: Any) -> str:
    """What a worker does: an attempt at a task, and says what it says."""
    import socket

    task = msgspec.json.decode(text, type=Task)
    node = f"{socket.gethostname()}:{os.getpid()}"
    waiting: list[str] = []
    last = time.monotonic()

    def tell(said: str) -> None:
        nonlocal last
        waiting.append(said)
        if time.monotonic() - last > SPOKEN_EVERY:
            board.tell.remote(task.unit, task.attempt, node, "".join(waiting))
            waiting.clear()
            last = time.monotonic()

    board.tell.remote(task.unit, task.attempt, node, "")
    outcome = attempt(task, tell)
    if waiting:
        board.tell.remote(task.unit, task.attempt, node, "".join(waiting))
    return json.dumps(asdict(outcome))


def look_at_node(seen: str | None) -> str:
    """What a node says of itself before anything is run on it: the program's version, and whether it sees a path."""
    return json.dumps([__version__, seen is None or os.path.exists(seen)])


class RayEngine:
    """Tasks on Ray's workers; made by :func:`ray_engine`."""

    def __init__(self, ray: Any) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        self._run = ray.remote(run_task)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._board = ray.remote(Board).options(num_cpus=0, scheduling_strategy=here).remote()
        self._running: dict[Any, tuple[str, int]] = {}

    def room(self) -> Room:
        """See :class:`~gaussavatar.batch.drive.Engine`."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        nodes = [node for node in nodes if node.get("CPU", 0) >= 1]
        memory, cores = ([int(node.get(name, 0)) for node in nodes] for name in ("memory", "CPU"))
        gpus = sum(node.get("GPU", 0) for node in nodes)
        return Room(sum(cores), sum(memory), gpus, max(memory, default=0), len(nodes), min(cores, default=1))

    def start(self, task: Task, gpu: float) -> None:
        """See :class:`~gaussavatar.batch.drive.Engine`."""
        asked = {"num_cpus": task.cores, "memory": task.memory // 2, "num_gpus": gpu, "max_retries": 0}
        text = msgspec.json.encode(task).decode()
        self._running[self._run.options(**asked, name=task.unit).remote(text, self._board)] = (task.unit, task.attempt)

    def wait(self, seconds: float) -> list[Told | Ended]:
        """See :class:`~gaussavatar.batch.drive.Engine`."""
        ready: list[Any] = []
        if self._running:
            ready, _ = self._ray.wait(list(self._running), num_returns=len(self._running), timeout=seconds)
        else:
            time.sleep(seconds)
        # What a task said comes before its end: it was sent before.
        events: list[Told | Ended] = [Told(*told) for told in self._ray.get(self._board.take.remote())]
        for reference in ready:
            unit, number = self._running.pop(reference)
            events.append(Ended(unit, number, self._outcome(reference)))
        return events

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return msgspec.json.decode(self._ray.get(reference), type=Outcome)
        except errors.OutOfMemoryError:
            return Outcome("memory", "its node ran out of memory")
        except errors.RayTaskError as error:
            return Outcome("failed", str(error).strip().splitlines()[-1][:1000])
        except (errors.NodeDiedError, errors.OwnerDiedError, errors.ObjectLostError):
            return Outcome("lost", "its node died")
        except errors.RayError as error:
            died = "node" in str(error).lower() and "died" in str(error).lower()
            return Outcome("lost", "its node died" if died else "its worker died")

    def require_nodes(self, seen: str | None) -> None:
        """Refuse nodes on which rows could not be run.

        Args:
            seen: a file that every node has to see; None where no paths are used.

        Raises:
            UserError: a node has another version of the program, none, or does not see the file.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        look = self._ray.remote(look_at_node)
        for node in self._ray.nodes():
            if not node["Alive"] or node["Resources"].get("CPU", 0) < 1:
                continue
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            name = node["NodeManagerHostname"]
            try:
                asked = look.options(num_cpus=0, scheduling_strategy=there).remote(seen)
                version, sees = json.loads(self._ray.get(asked, timeout=60))
            except self._ray.exceptions.RayError as error:
                came = f"{name}: {str(error).strip().splitlines()[-1][:200]}"
                raise UserError("nodes that have gaussavatar", came, "install it there, or stop that node") from error
            if version != __version__:
                came = f"{version} on {name}"
                raise UserError(f"gaussavatar {__version__} on every node", came, "install the same everywhere")
            if not sees:
                do = "share that folder among all nodes, or use a store (--base s3://...)"
                raise UserError(f"nodes that see {os.path.dirname(seen or '')}", f"{name}, which does not", do)


@contextmanager
def ray_engine(address: str | None, cores: int | None) -> Iterator[RayEngine]:
    """Ray on this machine for the block, or a running cluster that is joined; all its tasks end with the block.

    Args:
        address: ``host:port`` of the cluster, or auto for the one that this machine is part of; None for none.
        cores: of this machine that are used; all when None.

    Raises:
        UserError: Ray is not installed, or there is no cluster at the address.
    """
    ray = require_ray(address)
    before = {number: signal.getsignal(number) for number in ENDING} if in_main_thread() else {}
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address is None:
            # Without an address it would join whatever cluster was last started here.
            ray.init(
                address="local",
                num_cpus=cores,
                _memory=local_memory(),
                object_store_memory=STORE,
                include_dashboard=False,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    # Ray says with a plain Exception that a node did not start in time.
    except Exception as error:
        came = f"{address or 'one that did not start'} ({' '.join(str(error).split())[:200]})"
        do = "start one with ray start --head, bring its token (RAY_AUTH_TOKEN), or leave --address out"
        raise UserError("a Ray cluster", came, do) from error
    # Ray takes the signals that ask a program to end; they are the command line's.
    for number, handler in before.items():
        signal.signal(number, handler)
    try:
        yield RayEngine(ray)
    finally:
        ray.shutdown()


def in_main_thread() -> bool:
    """Whether signals can be set here."""
    return threading.current_thread() is threading.main_thread()


def local_memory() -> int:
    """Bytes of this machine's memory that rows may ask for."""
    try:
        with open("/proc/meminfo", "rb") as file:
            facts = {line.split(b":")[0]: int(line.split()[1]) * 1024 for line in file}
        free = facts[b"MemAvailable"]
    except (OSError, KeyError, ValueError):
        free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(LOCAL_MEMORY * free)
