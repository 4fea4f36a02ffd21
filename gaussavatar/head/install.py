"""``gaussavatar head install``: from a file that a user brings to a head in the user's data folder."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.parts import add_teeth
from gaussavatar.head.embedding import compute_embedding
from gaussavatar.head.formats.flame import flame_head
from gaussavatar.head.formats.gnm import gnm_head, with_opening
from gaussavatar.head.formats.ict import ict_head
from gaussavatar.head.installed import InstalledHead, head_path, store_head
from gaussavatar.head.model import REGIONS, HeadModel, LandmarkEmbedding, load_head, validate_head
from gaussavatar.head.regions import skin_regions
from gaussavatar.head.safe.sandbox import Limits, Source, read_head_file
from gaussavatar.storage import scratch_folder
from gaussavatar.types import N_LANDMARKS

FLAME_LICENCE = "LicenseRef-FLAME-non-commercial"
LICENCES = {"FLAME 2023 Open": "CC-BY-4.0", "ICT-FaceKit": "MIT", "GNM Head": "Apache-2.0"}
DEFAULT_NAMES = {
    "FLAME 2023 Open": "flame2023-open",
    "FLAME 2023": "flame2023",
    "FLAME 2023 without jaw": "flame2023-no-jaw",
    "FLAME 2020": "flame2020",
    "FLAME": "flame",
    "ICT-FaceKit": "ict-facekit",
    "GNM Head": "gnm-head",
}

Say = Callable[[str], None]


def install_head(
    path: Path, name: str | None = None, *, say: Say = lambda text: None, limits: Limits | None = None
) -> InstalledHead:
    """Install a head model from a user's file or folder.

    The file is read in a process of its own (:mod:`gaussavatar.head.safe.sandbox`); the head gets regions, teeth
    where it has none, and its landmark embedding, and is written for the user alone. A head of the same name is
    replaced.

    Args:
        path: FLAME ``.pkl`` or ``.zip``, ICT-FaceKit folder or ``.npz``, GNM ``.npz``, or a head of our own.
        name: what to call it; by its kind when None.
        say: told what is being done.
        limits: what the reading may take.

    Raises:
        UserError: the file is refused, or no face is found on the head.
    """
    if name is not None:
        head_path(name)
    say(f"reading {path.name}")
    source = read_head_file(path, limits)
    variant = _variant(source, path)
    name = name or DEFAULT_NAMES.get(variant, _tidy(path.stem))
    head_path(name)
    head, T_source_template = _convert(source, name)
    say(f"{variant}: {len(head.template)} vertices; looking for the face from all sides")
    head = _finish(head, source.kind)
    validate_head(head)
    say("writing")
    record = InstalledHead(
        name=name,
        variant=variant,
        licence=FLAME_LICENCE if variant.startswith("FLAME") and variant not in LICENCES else LICENCES.get(variant, ""),
        source_file=path.name,
        source_sha256=source.sha256,
        installed=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        key="",
        vertices=len(head.template),
        triangles=len(head.triangles),
        identities=len(head.identity_names),
        expressions=len(head.expression_names),
        joints=head.joint_names,
        T_source_template=tuple(tuple(float(value) for value in row) for row in T_source_template),
    )
    return store_head(head, record)


def _tidy(stem: str) -> str:
    """A file's name as a head's."""
    text = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem.lower()).strip("-")
    return text[:48] or "head"


def _variant(source: Source, path: Path) -> str:
    """The model and release, as far as names tell: releases of FLAME have the same arrays."""
    if source.kind != "flame":
        return {"ict": "ICT-FaceKit", "gnm": "GNM Head"}.get(source.kind, "head of gaussavatar")
    for text in (source.member.lower(), path.name.lower()):
        if "no_jaw" in text:
            return "FLAME 2023 without jaw"
        if "2023" in text:
            return "FLAME 2023 Open" if "open" in text else "FLAME 2023"
        if "2017" in text or "2019" in text:
            return "FLAME"
        if "2020" in text or "generic_model" in text:
            return "FLAME 2020"
    return "FLAME"


def _convert(source: Source, name: str) -> tuple[HeadModel, np.ndarray]:
    """The head of a read file, and the transform from template space to the file's own space."""
    if source.kind == "flame":
        return flame_head(source.arrays, name)
    if source.kind == "ict":
        return ict_head(source.arrays, name)
    if source.kind == "gnm":
        return gnm_head(source.arrays, name)
    return replace(_own_head(source.arrays), name=name), np.eye(4)


def _own_head(arrays: dict[str, np.ndarray]) -> HeadModel:
    """A head of our own format, with every array of the type that its record says.

    Raises:
        UserError: the arrays are no head, or its landmarks lie outside of it.
    """
    with scratch_folder() as folder:
        path = folder / "head.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        try:
            head = load_head(path)
        except UserError as error:
            raise UserError("a head of gaussavatar in the npz", error.came, "check the file") from error
    if head.regions.max(initial=0) >= len(REGIONS):
        raise UserError(f"regions below {len(REGIONS)} in the head", str(head.regions.max()), "check the file")
    types = {"triangles": np.int32, "regions": np.uint8}
    plain = {
        field.name: np.asarray(value, types.get(field.name, np.float32))
        for field in dataclasses.fields(HeadModel)
        if isinstance(value := getattr(head, field.name), np.ndarray)
    }
    head = replace(head, **plain)
    embedding = head.embedding
    return head if embedding is None else replace(head, embedding=_checked(embedding, len(head.triangles)))


def _checked(embedding: LandmarkEmbedding, n_triangles: int) -> LandmarkEmbedding:
    """An embedding whose landmarks lie on the head.

    Raises:
        UserError: one does not.
    """
    numbers = [np.asarray(part) for part in (embedding.barycentrics, embedding.confidence, embedding.spread)]
    shapes = [(N_LANDMARKS, 3), (N_LANDMARKS,), (N_LANDMARKS,)]
    faces = [np.asarray(embedding.face)]
    fits = faces[0].shape == (N_LANDMARKS,)
    table = (embedding.contour, embedding.contour_yaw, embedding.contour_face, embedding.contour_barycentrics)
    if any(part is not None for part in table):
        contour, yaw, contour_face, weights = (np.asarray(0 if part is None else part) for part in table)
        steps = (yaw.size, contour.size)
        fits &= contour.ndim == yaw.ndim == 1 and contour_face.shape == steps and contour.dtype.kind in "iu"
        fits &= bool(contour.min(initial=0) >= 0 and contour.max(initial=0) < N_LANDMARKS)
        faces.append(contour_face)
        numbers, shapes = [*numbers, yaw, weights], [*shapes, yaw.shape, (*steps, 3)]
    fits &= all(part.shape == shape and np.isfinite(part).all() for part, shape in zip(numbers, shapes, strict=True))
    for face in faces:
        fits &= face.dtype.kind in "iu" and bool(face.min(initial=0) >= 0 and face.max(initial=0) < n_triangles)
    if not fits:
        raise UserError(f"{N_LANDMARKS} landmarks on the head", "others", "install it from its original file")
    return embedding


def _finish(head: HeadModel, kind: str) -> HeadModel:
    """Landmarks, regions and teeth.

    The landmarks are found twice: plainly at first, which tells where the lips are, and again with lips, eyes and
    teeth in their colours.
    """
    if kind == "head":
        return head if head.embedding is not None else replace(head, embedding=compute_embedding(head))
    head = replace(head, embedding=compute_embedding(with_opening(head)))
    head = replace(head, regions=skin_regions(head))
    if not head.region("teeth_upper", "teeth_lower").any():
        if "jaw" in head.joint_names:
            skull = "head" if "head" in head.joint_names else "neck"
            head = add_teeth(head, upper_joint=skull, lower_joint="jaw")
    return replace(head, embedding=compute_embedding(with_opening(head)))
