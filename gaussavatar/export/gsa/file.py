"""An avatar as the bytes of a ``.gsa`` file, with what the user has to be told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.container import pack
from gaussavatar.export.gsa.contents import RAW, Contents, avatar_contents
from gaussavatar.export.gsa.fidelity import psnr, strayed
from gaussavatar.export.gsa.linear import is_linear, linear_branches
from gaussavatar.export.gsa.quantise import QUALITIES
from gaussavatar.export.gsa.read import parsed
from gaussavatar.export.gsa.speech import best_sections
from gaussavatar.export.gsa.torso_loop import LoopWish

LOOPS = {"small": LoopWish(20, 10.0), "normal": LoopWish(14, 16.0), "full": LoopWish(12)}
"""The torso's video by the word of ``--quality``."""
MOST_STRAYED = 2.0
"""Pixels by which a baked basis may be off."""


@dataclass(frozen=True)
class AvatarFile:
    """The bytes, how many Gaussians they hold, and what there is to say of them."""

    data: bytes
    count: int
    said: tuple[str, ...]


def avatar_file(
    avatar: LoadedAvatar,
    quality: str = "normal",
    force: bool = False,
    features: str = "light",
    extra: Mapping[str, np.ndarray] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> AvatarFile:
    """Make the file.

    Args:
        avatar: loaded with either of its networks, with the best one for that.
        quality: one of :data:`gaussavatar.export.gsa.quantise.QUALITIES`.
        force: also where a basis baked from another design is more than :data:`MOST_STRAYED` pixels off.
        features: ``light``, or ``best`` for the best network beside the light one.
        extra: sections besides the avatar's own.
        meta: fields of the header besides its own.

    Raises:
        UserError: no network that a page can run, or not the one that is wanted; or a design that cannot be baked well
            enough.
    """
    hearing = best_sections(avatar) if features == "best" else ({}, {})
    branches, said = linear_branches(avatar), []
    if not is_linear(avatar):
        off = strayed(avatar, branches)
        said.append(f"baked to a basis that is linear in the codes: {off:.2f} px off (99 of 100 Gaussians stay nearer)")
        if off > MOST_STRAYED and not force:
            came = f"one that is {off:.1f} px off"
            raise UserError(
                f"a basis within {MOST_STRAYED:g} px of the avatar's motion", came, "add --force, or fit blendshapes"
            )
    if avatar.record.model.sh_degree:
        said.append("colours that depend on the view are those of the view from the front")
    contents = avatar_contents(avatar, branches, QUALITIES[quality], LOOPS[quality])
    contents = Contents(
        {**contents.meta, **hearing[0], **(meta or {})}, {**contents.sections, **hearing[1], **(extra or {})}
    )
    data = pack(contents.meta, contents.sections, RAW)
    decibels = psnr(avatar, parsed(data, Path(f"{avatar.path.name}.gsa")))
    said.append(f"{len(data) / 1e6:.2f} MB, {decibels:.1f} dB against the avatar's own pictures ({quality})")
    return AvatarFile(data, sum(branch.base.shape[1] for branch in branches.values()), tuple(said))
