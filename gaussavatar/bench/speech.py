"""What ``evaluate --speech`` measures besides the held-out frames: strange voices, and the audio network by blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gaussavatar.bench.lips_table import capture_lips
from gaussavatar.errors import UserError
from gaussavatar.evaluate.speech import SpeechRequest
from gaussavatar.evaluate.speech_syncnet import load_syncnet
from gaussavatar.fitting.recipe import FitConfig, load_recipe
from gaussavatar.progress import Progress
from gaussavatar.synthetic.strangers import recordings, strange_voices
from gaussavatar.training.layout import FitLayout

LEAST_BLOCKS = 2


def speech_request(
    folder: Path, voices: Sequence[Path], blocks: int, progress: Progress, syncnet: Path | None = None
) -> SpeechRequest:
    """Gather the voices and, where ``blocks`` is not 0, measure the audio network block by block.

    Raises:
        UserError: a recording or weights that cannot be read, a number of blocks that is none, or a capture folder that
            is gone.
    """
    if syncnet is not None:
        load_syncnet(syncnet)
    if blocks and blocks < LEAST_BLOCKS:
        raise UserError(f"at least {LEAST_BLOCKS} for --blocks, or 0", str(blocks), "give more")
    real = recordings(voices)
    synthetic, notes = strange_voices()
    return SpeechRequest(
        voices=(*synthetic, *real),
        notes=tuple(notes),
        blocks=block_figures(folder, blocks, progress) if blocks else None,
        syncnet=syncnet,
    )


def block_figures(folder: Path, blocks: int, progress: Progress) -> dict[str, Any]:
    """The figures of :func:`gaussavatar.bench.lips_table.capture_lips` with the avatar's own recipe.

    Raises:
        UserError: the capture folder is gone.
    """
    layout = FitLayout(folder)
    if not layout.capture.motion.exists():
        raise UserError(f"the tracked lips in {layout.capture.folder}", "a folder without them", "fit the avatar again")
    config = load_recipe(str(layout.config)) if layout.config.exists() else FitConfig()
    figures = capture_lips(layout.capture, config, blocks, progress=progress)
    own = figures.get("own_range", {})  # What the avatar moves, where its network learns the person's own range.
    return {name: value for name, value in {**figures, **own}.items() if isinstance(value, int | float)}
