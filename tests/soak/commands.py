"""The commands that are killed, as small as they come, and how their results are read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

RECIPE = Path(__file__).with_name("recipe.yaml")
SECONDS, SIZE = 4.0, 256
"""Of the clip that is fitted."""


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        name: in the table.
        words: after ``gaussavatar``; ``INPUT/`` is the folder of inputs, all else is relative to the watched folder.
        results: patterns of the files that it is asked for, which are the same whenever it is run.
        environment: what its process has besides.
        share: how often it is drawn, against the others.
        given: what of the inputs lies in the watched folder before it begins.
        timed: patterns of results whose bytes depend on the clock: there and whole is all that can be asked of them.
        until: what it says when it serves; 0 or more seconds later, ``lasting``, Ctrl-C ends it in order.
        lasting: see above.
    """

    name: str
    words: tuple[str, ...]
    results: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    share: float = 1.0
    given: str = ""
    timed: tuple[str, ...] = ()
    until: str = ""
    lasting: float = 0.0


FIT = Command(
    "fit",
    ("fit", "INPUT/actor.mp4", "--out", "avatar", "--recipe", "INPUT/recipe.yaml", "--subject", "nobody"),
    ("avatar/*",),
    share=2.5,
)
SPEAK = Command(
    "speak",
    tuple("speak --avatar INPUT/toy --audio INPUT/sound.wav --out talk.mp4 --save-motion said.csv".split()),
    ("talk.mp4", "said.csv"),
    # A long video is one of several segments.
    {"KILLS_SEGMENT": "0.8"},
    share=3,
)
_EXPORT = ("export", "INPUT/toy", "--format")
EXPORTS = (
    Command("export of frames", (*_EXPORT, "ply-sequence", "--out", "frames", "--to", "0.4"), ("frames/*",)),
    Command("export of a page", (*_EXPORT, "web", "--split", "--out", "page", "--force"), ("page/*",)),
    Command("export of a gif", (*_EXPORT, "gif", "--out", "talk.gif", "--to", "0.6"), ("talk.gif",)),
)
INSTALL = Command(
    "head install", ("head", "install", "INPUT/head.npz", "--name", "mine"), ("data/gaussavatar/heads/*",), share=1.5
)
LIVE = Command(
    "live --record",
    tuple("live toy --shared --record said.mp4 --port 0 --no-open-browser".split()),
    ("toy/*",),
    share=2,
    given="toy",
    timed=("said.mp4",),
    until="live: http",
    lasting=2.0,
)
ALL = (FIT, SPEAK, *EXPORTS, INSTALL, LIVE)


def make_inputs(folder: Path, commands: Sequence[Command]) -> None:
    """Write what the commands read: a clip of an actor, a toy avatar, a sound, a head."""
    from tests.conftest import write_toy_avatar

    folder.mkdir(parents=True)
    shutil.copyfile(RECIPE, folder / "recipe.yaml")
    if FIT in commands:
        from gaussavatar.synthetic.actor import make_actor_clip

        make_actor_clip(folder, SECONDS, 3, SIZE)
    if INSTALL in commands:
        from gaussavatar.head.builtin.model import builtin_head
        from gaussavatar.head.model import save_head

        save_head(folder / "head.npz", builtin_head())
    (folder / "toy").mkdir()
    write_toy_avatar(folder / "toy")
    time = np.arange(round(3.5 * 16_000)) / 16_000
    voice = 0.3 * np.sin(2 * np.pi * 150 * time) * np.clip(np.sin(2 * np.pi * 2.3 * time), 0, 1)
    soundfile.write(folder / "sound.wav", voice.astype(np.float32), 16_000)


TIMED = "as long as it took"
"""Stands for the digest of a file whose bytes depend on the clock."""


def results(command: Command, root: Path) -> dict[str, str]:
    """A digest of every file that the command was asked for, without what only tells when it was made."""
    files = sorted(path for pattern in command.results for path in root.glob(pattern) if path.is_file())
    found = {str(path.relative_to(root)): _digest(path) for path in files if not path.name.startswith(".")}
    timed = (path for pattern in command.timed for path in root.glob(pattern))
    return found | {str(path.relative_to(root)): TIMED for path in timed}


def _digest(path: Path) -> str:
    data = path.read_bytes()
    if path.parent.name == "heads" and path.suffix == ".json":
        told = json.loads(data)
        data = json.dumps({name: value for name, value in told.items() if name != "installed"}).encode()
    return hashlib.sha256(data).hexdigest()


_IN_PLACE = ("metrics.jsonl", "parts.txt")
"""Files that grow where they are: a log, whose broken lines are dropped, and a list that is written anew before use."""


def half_files(root: Path, whole: Mapping[str, str]) -> list[str]:
    """Files below ``root`` under a final name that are not whole.

    Args:
        root: the watched folder.
        whole: digests of the files of an undisturbed run, for kinds that tell nothing of their own end.
    """
    found = []
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        hidden = any(part.startswith(".") for part in inside.parts) or inside.parts[0] == "tmp"
        if path.is_file() and not hidden and path.name not in _IN_PLACE and "events" not in inside.parts:
            if not _is_whole(path, whole.get(str(inside))):
                found.append(str(inside))
    return found


def _is_whole(path: Path, digest: str | None) -> bool:
    from gaussavatar.errors import UserError
    from gaussavatar.media.frames import read_frames
    from gaussavatar.media.packed import open_frames
    from gaussavatar.media.probe import probe
    from gaussavatar.storage import read_arrays

    kind = path.suffix
    try:
        if kind == ".json":
            return isinstance(json.loads(path.read_bytes()), dict | list)
        if kind == ".safetensors":
            return bool(read_arrays(path)[0])
        if kind == ".npz":
            with np.load(path) as file:
                return all(file[name].dtype for name in file.files)
        if kind == ".u8":
            return len(open_frames(path)) > 0
        if kind == ".mp4" and digest in (None, TIMED):
            return sum(1 for _ in read_frames(probe(path), width=32, height=32)) > 0
        if kind == ".png":
            with Image.open(path) as image:
                image.verify()
            return True
        if kind == ".html":
            return path.read_bytes().rstrip().endswith(b"</html>")
        if kind in (".yaml", ".wav"):
            return path.stat().st_size > 0
        return digest is not None and hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except (UserError, OSError, ValueError, EOFError, SyntaxError):
        return False


def litter(root: Path) -> list[str]:
    """What is left of work that did not come to its end."""
    names = [path for path in root.rglob("*") if ".unfinished" in path.name or path.suffix == ".part"]
    names += [path for path in root.rglob(".tmp*")] + [path for path in (root / "tmp").glob("gaussavatar*")]
    return [str(path.relative_to(root)) for path in names]
