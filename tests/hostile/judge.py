"""Reads files that a stranger made, each in a process of its own with little time and memory, and says what came.

``python -m tests.hostile.judge GOOD_AVATAR`` reads lines ``KIND PATH`` and answers each with a line of JSON.
It is a process apart from the tests, because a program that opens a stranger's file checks no types while it runs.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import gaussavatar
from gaussavatar.avatar.folder import MATTE
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.read import read_gsa
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.motion.files import read_motion
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.types import Waveform
from gaussavatar.view.presets import load_presets

CPU_SECONDS, MEMORY = 8, 500 << 20
"""What reading and using a file may cost beyond what a program takes that has read none. Refusing is to be quicker."""
WAITED = 20.0
"""Seconds after which a reader that uses no time of its own hangs."""


def use_avatar(path: Path) -> None:
    """Load an avatar, hear half a second and draw a picture."""
    avatar = gaussavatar.load_avatar(path)
    loaded: LoadedAvatar = avatar.loaded
    sound = Waveform(np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32), 16_000)
    track = avatar.motion_for(sound)
    picture = next(iter(avatar.frames(track)))
    if loaded.record.has(MATTE):
        next(iter(avatar.frames(track, background="#204060")))
    assert np.isfinite(track.mouth_codes).all() and picture.shape[:2] == (loaded.size, loaded.size)
    if avatar.expression_names == () and loaded.arkit is not None:
        assert np.isfinite(avatar.curves_of(track).values).all()


def use_gsa(path: Path) -> None:
    """Read an avatar's file for pages and move its Gaussians."""
    avatar = read_gsa(path)
    for drawn in avatar.gaussians(FaceState(avatar.filmed.mouth_codes[0], avatar.filmed.upper[0])).values():
        assert torch.isfinite(drawn.means).all()


def use_motion(path: Path) -> None:
    """Read a motion of any kind."""
    motion = read_motion(path)
    values = motion.mouth_codes if isinstance(motion, MotionTrack) else motion.values
    assert len(motion) > 0 and np.isfinite(values).all() and motion.fps > 0


def use_presets(path: Path) -> None:
    """What cannot be read of them is left out: they are the viewer's own notes."""
    for name, values in load_presets(path.parent).items():
        assert isinstance(name, str) and isinstance(values, dict)


def use_recipe(path: Path) -> None:
    """Read a recipe."""
    load_recipe(str(path))


USES: dict[str, Callable[[Path], None]] = {
    "avatar": use_avatar,
    "gsa": use_gsa,
    "motion": use_motion,
    "presets": use_presets,
    "recipe": use_recipe,
}


def _own_data() -> int:
    """Bytes of memory that this process may write to, as RLIMIT_DATA counts them."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmData"].split()[0]) << 10


def answer(use: Callable[[Path], None], path: Path) -> dict[str, str]:
    """What a use of a file comes to: ``refused`` with the line, ``used``, or ``broken`` with a traceback."""
    try:
        use(path)
    except UserError as error:
        return {"came": "refused", "said": str(error)}
    # Whatever else is raised is what is looked for.
    except BaseException:  # noqa: B036
        return {"came": "broken", "said": traceback.format_exc()[-1500:]}
    return {"came": "used", "said": ""}


def judged(kind: str, path: Path) -> dict[str, object]:
    """The answer of a process of its own; ``broken`` also where it was killed for time or memory."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        limit = _own_data() + MEMORY
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
        signal.alarm(int(WAITED))
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(answer(USES[kind], path)))
        os._exit(0)
    os.close(writing)
    began = time.monotonic()
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    _, status, used = os.wait4(child, 0)
    told = json.loads(text) if text else {"came": "broken", "said": f"ended by {_signal(status)}"}
    cpu = used.ru_utime + used.ru_stime
    return told | {"cpu": round(cpu, 3), "seconds": round(time.monotonic() - began, 3), "peak_mb": used.ru_maxrss >> 10}


def _signal(status: int) -> str:
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else f"exit {status}"


def main() -> None:
    """Judge what is named on standard input."""
    torch.set_num_threads(1)
    # What is imported once, by whoever plays anything, is no part of what a file costs.
    gaussavatar.load_avatar(Path(sys.argv[1])).motion_for(Waveform(np.zeros(8000, np.float32), 16_000))
    load_recipe("preview")
    for line in sys.stdin:
        kind, path = line.rstrip("\n").split(" ", 1)
        print(json.dumps(judged(kind, Path(path))), flush=True)


if __name__ == "__main__":
    main()
