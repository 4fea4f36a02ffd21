"""How near the lips of sound that is still coming are to those of the whole file, over many voices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from gaussavatar.avatar.avatar import Avatar, load_avatar
from gaussavatar.avatar.voice import told_by
from gaussavatar.bench.live import RATE, WARM, nearness
from gaussavatar.errors import UserError
from gaussavatar.media.sound import as_waveform

SHORTEST = 2.0
"""Seconds of a sound that is measured."""
PIECE = 15.0
"""Longer sounds are measured in pieces of about that: each one is a file of its own, with first words of its own."""


def bench_opening(
    path: Path,
    sounds: Sequence[Path],
    hearing: Literal["light", "best"] = "light",
    own: Path | None = None,
    voice: str | None = None,
    done: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Say every sound as it is spoken, by an avatar that hears it for the first time.

    Args:
        path: the avatar's folder.
        sounds: recordings, one voice each.
        hearing: which of its audio networks hears.
        own: a recording of the person, whose statistics the avatar is to keep as its own voice.
        voice: what the session is told of the voice: ``own``, or nothing.
        done: is told a line for every piece.

    Raises:
        UserError: no sound, or one that is too short.
    """
    torch.set_num_threads(1)
    avatar = load_avatar(path, features=hearing)
    if own is not None:
        avatar = Avatar(replace(avatar.loaded, voice=told_by(avatar.loaded, own)))
    rows: dict[str, tuple[float, float]] = {}
    for sound in sounds:
        samples = np.clip(np.rint(as_waveform(sound).samples * 32768), -32768, 32767).astype(np.int16)
        if len(samples) < SHORTEST * RATE:
            raise UserError(
                f"a sound of {SHORTEST:.0f} seconds or more", f"{len(samples) / RATE:.1f} s", "leave it out"
            )
        for number, piece in enumerate(np.array_split(samples, max(1, round(len(samples) / RATE / PIECE)))):
            name = f"{sound.stem} {number + 1}" if number or len(piece) < len(samples) else sound.stem
            rows[name] = nearness(avatar, piece, hearing, voice=voice)
            done(f"{name:<32} first second {rows[name][0]:.3f}, after {WARM:.0f} s {rows[name][1]:.4f}")
    if not rows:
        raise UserError("sounds to say", "none", "name recordings of voices")
    first, later = np.array(list(rows.values())).T
    pieces = {name: [None if np.isnan(r) else r for r in row] for name, row in rows.items()}
    return {"pieces": pieces, "first second": mean_and_worst(first), "after 3 s": mean_and_worst(later)}


def mean_and_worst(values: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Mean of those that there are, and of the worst quarter of them."""
    there = np.sort(values[np.isfinite(values)])
    if not len(there):
        return {"mean": float("nan"), "worst quarter": float("nan")}
    return {"mean": float(there.mean()), "worst quarter": float(there[: max(1, round(len(there) / 4))].mean())}
