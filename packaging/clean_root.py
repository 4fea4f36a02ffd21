"""Installs wheels in a bare Debian that has Python and pip and no compiler, and uses them there as a new user would.

    sudo python packaging/clean_root.py dist FOLDER            # the wheels of packaging/wheels.py; FOLDER is made
    sudo python packaging/clean_root.py dist FOLDER --skip demo

Needs root and Debian's debootstrap. The bare system lies in FOLDER (3 to 4 GB), is entered with chroot, and stays there
to look at; --skip leaves steps out, so that one that failed can be done again. Settings of pip that the machine has
(``/etc/pip.conf``, ``/etc/xdg/pip``, ``PIP_*`` and certificates) hold inside, too. Ends with exit code 0 when all went
well, and prints the seconds of each step.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
SETTINGS = ("etc/pip.conf", "etc/xdg/pip", "etc/ssl/certs/ca-certificates.crt", "etc/resolv.conf", "etc/hosts")
COMPILERS = ("g++", "c++", "clang++", "gcc", "cc", "clang", "zig")


class Root:
    """A bare system in a folder."""

    def __init__(self, folder: Path, shared: list[Path]) -> None:
        self.folder, self._mounted = folder, ["proc", "dev"]
        self._shared = shared

    def __enter__(self) -> Root:
        for name in self._mounted:
            subprocess.run(["mount", "--rbind", f"/{name}", str(self.folder / name)], check=True)
            subprocess.run(["mount", "--make-rslave", str(self.folder / name)], check=True)
        for path in self._shared:
            place = self.folder / path.relative_to("/")
            place.mkdir(parents=True, exist_ok=True)
            subprocess.run(["mount", "--bind", "-o", "ro", str(path), str(place)], check=True)
            self._mounted.append(str(path.relative_to("/")))
        return self

    def __exit__(self, *error: object) -> None:
        for name in reversed(self._mounted):
            subprocess.run(["umount", "--recursive", "--lazy", str(self.folder / name)], check=False)

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command in ``/root`` of the bare system; what it printed."""
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        environment = kept | {"HOME": "/root", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
        inside = ["chroot", str(self.folder), "/bin/sh", "-c", 'cd /root && exec "$@"', "sh", *words]
        done = subprocess.run(inside, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != code:
            raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout + done.stderr


CONSTRAINT = "constraint.txt"
"""Pip's constraint, at the top of the bare system."""


def make(folder: Path, mirror: str | None) -> None:
    """Lay a bare Debian into the folder, with the machine's settings of pip."""
    if not (folder / "usr/bin/python3").exists():
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(folder)]
        subprocess.run([*command, *([mirror] if mirror else [])], check=True, stdout=subprocess.DEVNULL)
    for name in SETTINGS:
        source, target = Path("/") / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)


def wheel_of(dist: Path, distribution: str) -> Path:
    """The wheel for this machine.

    Raises:
        SystemExit: there is none.
    """
    found = sorted(dist.glob(f"{distribution}-*-manylinux*_{platform.machine()}.whl"))
    if not found:
        raise SystemExit(f"expected a wheel of {distribution} in {dist}, got none; run packaging/wheels.py {dist}")
    return found[-1]


def install(root: Root, name: str, wheel: Path, extra: str = "") -> None:
    """A new environment with a wheel and what it asks for."""
    shutil.copy(wheel, root.folder / "root")
    root.run("python3", "-m", "venv", "--clear", name)
    root.run(f"{name}/bin/pip", "install", "--quiet", "--no-cache-dir", f"./{wheel.name}{extra}")


def has_no_compiler(root: Root) -> None:
    """No program that compiles is there."""
    for name in COMPILERS:
        root.run("sh", "-c", f"command -v {name}", code=127)


def without_a_desktop(root: Root) -> None:
    """The OpenCV that mediapipe brings asks for libGL: what the program says to do about that, done."""
    said = root.run("whole/bin/gaussavatar", "doctor", code=1)
    command = re.search(r"pip (install --force-reinstall [^\n;]*)", said)
    assert command is not None, said
    root.run("whole/bin/pip", *shlex.split(command[1]))


def doctor(root: Root, name: str) -> None:
    """The doctor finds everything, and the library that came along."""
    said = root.run(f"{name}/bin/gaussavatar", "doctor")
    assert "MISSING" not in said and "_cuda_ext/prebuilt/" in said, said
    print(said)


def demo(root: Root) -> None:
    """The demo from its first frame to its video."""
    print(root.run("whole/bin/gaussavatar", "demo")[-1500:])


def talking_page(root: Root) -> None:
    """The page and another video of the demo's avatar."""
    command = "whole/bin/gaussavatar"
    print(root.run(command, "export", "demo_out/avatar", "--format", "web", "--out", "talks.html"))
    page = (root.folder / "root/talks.html").read_text()
    assert len(page) > 2_000_000 and "gauss-avatar" in page


def speaks(root: Root, name: str) -> None:
    """A video of a sound that the machine makes."""
    make_sound = (
        "import math, struct, wave\n"
        "file = wave.open('tone.wav', 'wb'); file.setnchannels(1); file.setsampwidth(2); file.setframerate(16000)\n"
        "hum = (sum(math.sin(6.283 * 140 * k * t / 16000) / k for k in range(1, 20)) for t in range(32000))\n"
        "loud = (abs(math.sin(6.283 * 2 * t / 16000)) for t in range(32000))\n"
        "file.writeframes(b''.join(struct.pack('<h', int(6000 * h * l)) for h, l in zip(hum, loud)))\n"
    )
    root.run("python3", "-c", make_sound)
    command = (f"{name}/bin/gaussavatar", "speak", "--avatar", "demo_out/avatar", "--audio", "tone.wav")
    print(root.run(*command, "--out", f"{name}.mp4"))
    assert (root.folder / f"root/{name}.mp4").stat().st_size > 10_000


def plays_alone(root: Root) -> None:
    """What plays has neither what tracks nor what only a fit reads."""
    missing = "import importlib.util as u; print([n for n in ('mediapipe', 'anny', 'cv2') if u.find_spec(n)])"
    found = root.run("play/bin/python", "-c", missing).strip()
    assert found == "['cv2']", found


def main(words: list[str]) -> int:
    """Do all steps that are not left out; 0 when all went well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("dist", type=Path, help="folder with the wheels")
    parser.add_argument("folder", type=Path, help="folder for the bare system")
    parser.add_argument("--mirror", help="Debian's mirror; debootstrap's own when not given")
    parser.add_argument("--share", type=Path, action="append", default=[], help="a folder to show inside, read-only")
    parser.add_argument("--constraint", help="one for pip, such as a torch without CUDA where pip is shown one")
    parser.add_argument("--skip", action="append", default=[], help="a step to leave out")
    asked = parser.parse_args(words)
    make(asked.folder, asked.mirror)
    if asked.constraint:
        (asked.folder / CONSTRAINT).write_text(asked.constraint + "\n")
        os.environ["PIP_CONSTRAINT"] = f"/{CONSTRAINT}"
    root = Root(asked.folder, asked.share)
    wheels = {name: wheel_of(asked.dist, name) for name in ("gaussavatar", "gaussavatar_play")}
    steps: dict[str, Callable[[], None]] = {
        "no compiler": lambda: has_no_compiler(root),
        "install": lambda: install(root, "whole", wheels["gaussavatar"]),
        "headless": lambda: without_a_desktop(root),
        "doctor": lambda: doctor(root, "whole"),
        "demo": lambda: demo(root),
        "page": lambda: talking_page(root),
        "speak": lambda: speaks(root, "whole"),
        "install play": lambda: install(root, "play", wheels["gaussavatar_play"]),
        "play alone": lambda: plays_alone(root),
        "doctor play": lambda: doctor(root, "play"),
        "speak play": lambda: speaks(root, "play"),
    }
    with root:
        for name, step in steps.items():
            if name not in asked.skip:
                begun = time.monotonic()
                step()
                print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    print("a new user gets to a talking page: all steps done" if not asked.skip else "the steps that were asked for")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
