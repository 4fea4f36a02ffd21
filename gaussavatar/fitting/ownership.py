"""Whose a folder is: a fit never takes the folder, and with it the avatar and the consent, of another video."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gaussavatar.avatar.finding import HEADER
from gaussavatar.errors import UserError
from gaussavatar.fitting.request import FitRequest
from gaussavatar.media.probe import probe
from gaussavatar.progress import Progress
from gaussavatar.storage import file_key, read_json, write_json
from gaussavatar.training.layout import FitLayout

MOST_OF_ONE_NAME = 1000
_PLAIN = FitRequest(Path())


@dataclass(frozen=True)
class Owner:
    """The video that a folder was made for, and what was said of the person."""

    name: str
    key: str
    """Hash of the file; "" in a folder from before this was written down."""
    subject: str
    consent: str


def owner_of(folder: Path) -> Owner | None:
    """Whose a folder is; None where it is nobody's.

    Raises:
        UserError: its record cannot be read.
    """
    layout = FitLayout(folder)
    if layout.owner.is_file():
        told = read_json(layout.owner)
        return Owner(*(str(told.get(name, "")) for name in ("name", "key", "subject", "consent")))
    header = folder / HEADER
    if header.is_file():
        told = read_json(header)
        return Owner(*(str(told.get(name, "")) for name in ("source", "", "subject", "consent")))
    if layout.capture.record.is_file():
        source = read_json(layout.capture.record).get("source", {})
        return Owner(str(source.get("name", "")), "", _PLAIN.subject, _PLAIN.consent)
    return None


def settled(request: FitRequest, base: str, progress: Progress) -> FitRequest:
    """The request with the folder that it may fill, and with what was said of the person before.

    Without ``out`` it is ``base/<name of the video>``, or where another video's result is there, the next free
    ``base/<name>-2`` and so on; that is said.

    Args:
        request: whose ``out`` may be None.
        base: ``avatars`` or ``tracks``.
        progress: is told of another folder.

    Raises:
        UserError: ``out`` is another video's, and the request does not say to replace it.
    """
    key, plain = file_key(request.video), Path(base) / request.video.stem
    if request.out is not None:
        owner = owner_of(request.out)
        if owner is not None and not _is_own(request, key, request.out, owner) and not request.replace:
            who = "" if owner.subject == _PLAIN.subject else f" ({owner.subject})"
            came = f"the result of another video, {owner.name}{who}"
            raise UserError(f"{request.out} to be new, or of this video", came, "name another --out, or add --replace")
        return _with_what_was_said(request, owner if not request.replace else None)
    for number in range(1, MOST_OF_ONE_NAME):
        folder = plain if number == 1 else plain.with_name(f"{plain.name}-{number}")
        owner = owner_of(folder)
        if owner is None or request.replace or _is_own(request, key, folder, owner):
            if number > 1:
                progress.say(f"{plain} is of another video of that name; this one goes to {folder}")
            found = replace(request, out=folder)
            return _with_what_was_said(found, owner if not request.replace else None)
    raise UserError("a name that is free", f"{MOST_OF_ONE_NAME} results of {plain}", "name another folder with --out")


def write_owner(request: FitRequest, layout: FitLayout) -> None:
    """Write down whose a folder is; what was there for another video loses its place with its next file."""
    owner = {"name": request.video.name, "key": file_key(request.video)}
    write_json(layout.owner, {**owner, "subject": request.subject, "consent": request.consent})


def _with_what_was_said(request: FitRequest, owner: Owner | None) -> FitRequest:
    """Who and on what consent stays, unless it is said anew."""
    if owner is None:
        return request
    unsaid = [name for name in ("subject", "consent") if getattr(request, name) == getattr(_PLAIN, name)]
    return replace(request, **{name: getattr(owner, name) for name in unsaid if getattr(owner, name)})


def _is_own(request: FitRequest, key: str, folder: Path, owner: Owner) -> bool:
    """Whether a folder was made for this video; where no hash was kept, its clip's facts tell."""
    if owner.key:
        return owner.key == key
    record = FitLayout(folder).capture.record
    if owner.name != request.video.name or not record.is_file():
        return False
    info, source = probe(request.video), read_json(record).get("source", {})
    same = all(source.get(name) == getattr(info, name) for name in ("width", "height", "codec"))
    return same and abs(float(source.get("seconds", 0.0)) - info.seconds) < 0.1
