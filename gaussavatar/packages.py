"""Which packages are here: an installation for playing only has none of those that tracking and training need."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from gaussavatar.errors import UserError

WHOLE, PLAYING = "gaussavatar", "gaussavatar-play"
"""The two distributions of this one package (docs/frameworks.md): with all that ``fit`` needs, and for playing only."""

TRACKING = ("anny", "mediapipe", "yaml")
"""Modules of packages that the whole program brings, and an installation for playing only does not."""

FRAMEWORKS = ("livekit", "pipecat")
"""Modules, and extras of the same names, that cannot stand beside what tracking needs."""

_EXTRAS = {
    "aiortc": "stream",
    "c2pa": "provenance",
    "cryptography": "provenance",
    "pxr": "usd",
    "transformers": "asr",
    "viser": "view",
    "websockets": "stream,view",
}
"""Modules that other verbs and options need, and the extra that brings them; the whole program has viser itself, which
brings websockets."""


def installed(distribution: str) -> bool:
    """Whether a distribution is installed here, by its name on PyPI."""
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def plays_only() -> bool:
    """Whether this is the installation for playing only; a checkout on the path is not."""
    return installed(PLAYING) and not installed(WHOLE)


def require_tracking(what: str) -> None:
    """Refuse, before any work, what an installation for playing only cannot do.

    Args:
        what: the verb or function, for the message.

    Raises:
        UserError: a package of :data:`TRACKING` is missing.
    """
    missing = [name for name in TRACKING if find_spec(name) is None]
    if missing:
        raise _wanted(", ".join(missing), what)


def require_stream() -> None:
    """Check that the extra ``stream`` is installed.

    Raises:
        UserError: it is not.
    """
    missing = [name for name in ("aiortc", "websockets") if find_spec(name) is None]
    if missing:
        do = f"pip install '{PLAYING if plays_only() else WHOLE}[stream]'"
        raise UserError("the packages of the extra stream", f"no {' and no '.join(missing)}", do)


HEADLESS = "pip install --force-reinstall --no-deps 'opencv-contrib-python-headless<4.12'"
"""Lays the OpenCV that asks for no desktop over the one that mediapipe brings: they are the same files."""


def unloadable_package(error: ImportError) -> UserError | None:
    """The user's mistake behind a package that is there and does not load: an OpenCV without a desktop; else None."""
    said = " ".join(str(error).split())
    if not any(name in said for name in ("libGL.so", "libgthread", "libglib")):
        return None
    return UserError("an OpenCV that loads", said, f"on a machine without a desktop: {HEADLESS}")


def missing_package(error: ModuleNotFoundError) -> UserError | None:
    """The user's mistake behind an import that failed: a package that another installation brings; else None."""
    name = (error.name or "").partition(".")[0]
    known = name in TRACKING or name in FRAMEWORKS or name in _EXTRAS
    return _wanted(name, "this") if known else None


def _wanted(names: str, what: str) -> UserError:
    """What to install for ``names``: of tracking several, else one."""
    came = "an installation for playing only" if plays_only() else "a Python without"
    apart = "in an environment of its own: "
    if names in FRAMEWORKS:
        do = f'{"" if plays_only() else apart}pip install "{PLAYING}[{names}]"'
    elif names in _EXTRAS and plays_only():
        do = f'pip install "{PLAYING}[{_EXTRAS[names]}]"'
    elif names in _EXTRAS and names not in ("viser", "websockets"):
        do = f'pip install "{WHOLE}[{_EXTRAS[names]}]"'
    else:
        do = f"{apart if plays_only() else ''}pip install {WHOLE}"
    return UserError(f"{names}, which {what} needs", came, do)
