"""Features that are not computed but lie in a file beside the sound: ``NAME.wav`` and, say, ``NAME.deepspeech.npy``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import numpy as np

from gaussavatar.audio.features.join import between
from gaussavatar.audio.features.registry import KNOWN, feature_facts
from gaussavatar.storage import atomic_path


def files_beside(names: Sequence[str], sound: Path) -> dict[str, Path]:
    """The file that each feature that wants one has beside ``sound``, whether it is there or not."""
    suffixes = {name: feature_facts(name).beside for name in names}
    return {name: sound.with_suffix(suffix) for name, suffix in suffixes.items() if suffix}


def check_beside(names: Sequence[str], sound: Path) -> None:
    """Refuse a sound or video that lacks such a file, or has a wrong one.

    Raises:
        UserError: see the feature's ``read_columns``.
    """
    for name, path in files_beside(names, sound).items():
        import_module(KNOWN[name]).read_columns(path)


def copy_beside(names: Sequence[str], sound: Path, target: Path, late_ms: float) -> None:
    """Bring such files, where they are, along with a sound that is moved earlier by ``late_ms`` into ``target``.

    Raises:
        UserError: one is wrong.
    """
    for name, path in files_beside(names, sound).items():
        if not path.is_file():
            continue
        columns = import_module(KNOWN[name]).read_columns(path)
        rate = feature_facts(name).window.rate
        moved = between(columns, np.arange(len(columns)) + late_ms / 1000.0 * rate)
        with atomic_path(files_beside((name,), target)[name]) as temporary, temporary.open("wb") as file:
            np.save(file, moved, allow_pickle=False)
