"""How fast a clip is prepared for training: decoding, landmarks, tracking, masks."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from gaussavatar.capture.store import load_capture
from gaussavatar.config import load_recipe
from gaussavatar.preparation import Wishes, prepare
from gaussavatar.progress import Progress
from gaussavatar.render.threads import frame_parallel
from gaussavatar.storage import peak_memory_mib, read_json

STAGES = ("capture", "landmarks", "tracking", "head", "masks", "quality")


def bench_preparation(video: Path, size: int, progress: Progress) -> dict[str, float]:
    """Prepare ``video`` in a temporary folder, masks at ``size`` pixels.

    Returns frames of video per second of each stage (``fps_*``), of landmarks, tracking, head
    and masks together (``fps_tracking_and_masks``), the peak memory in MiB and the
    machine's load.

    Raises:
        UserError: whatever is wrong with the video.
    """
    config = replace(load_recipe("default"), image_size=size)
    with tempfile.TemporaryDirectory() as folder, frame_parallel():
        capture_folder = Path(folder) / "capture"
        prepare(video, capture_folder, config, Wishes(), False, progress)
        frames = load_capture(capture_folder).n_frames
        manifest = read_json(capture_folder / "manifest.json")
    seconds = {name: float(manifest[name]["seconds"]) for name in STAGES}
    together = sum(seconds[name] for name in STAGES[1:5])
    return {
        **{f"fps_{name}": frames / max(value, 1e-9) for name, value in seconds.items()},
        "fps_tracking_and_masks": frames / max(together, 1e-9),
        "peak_mib": float(peak_memory_mib()),
        "load": os.getloadavg()[0],
    }
