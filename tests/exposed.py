"""A clip as a phone with automatic exposure and white balance would have taken it.

``python -m tests.exposed CLIP OUT [STOPS]`` writes one whose light goes up and down by so many stops (0.35).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gaussavatar.media.frames import read_frames
from gaussavatar.media.probe import probe
from gaussavatar.media.process import find_ffmpeg


def gains(seconds: Float[np.ndarray, "n"], stops: float) -> Float[np.ndarray, "n 3"]:
    """Factors on the light of each colour: exposure drifts and jumps, white balance sways by five hundredths."""
    jumps = np.clip(3 * np.sin(2 * np.pi * seconds / 3.1 + 1), -1, 1)
    exposure = stops * (0.6 * np.sin(2 * np.pi * seconds / 5.3) + 0.4 * jumps)
    warm = 1 + 0.05 * np.sin(2 * np.pi * seconds / 4.1 + 0.5)
    return np.exp2(exposure)[:, None] * np.stack([warm, np.ones_like(warm), 1 / warm], -1)


def expose(clip: Path, out: Path, stops: float = 0.35, side: int | None = None) -> None:
    """Write ``clip`` with :func:`gains` on its light, by a display's curve (IEC 61966-2-1), at 25 frames a second."""
    info = probe(clip)
    width, height = (info.width, info.height) if side is None else (side, side)
    v = np.arange(256) / 255
    light = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-"]
    streams = ["-map", "0:v", "-map", "1:a?", "-c:a", "copy", "-pix_fmt", "yuv420p", "-crf", "12", "-preset", "fast"]
    command = [find_ffmpeg(), "-v", "error", "-y", *size, "-i", str(clip), *streams, str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        for index, image in enumerate(read_frames(info, width=width, height=height, fps=25.0)):
            (gain,) = gains(np.array([index / 25]), stops)
            lit = np.clip(light[:, None] * gain, 0, 1)
            shown = np.where(lit <= 0.0031308, 12.92 * lit, 1.055 * lit ** (1 / 2.4) - 0.055)
            table = np.round(255 * shown).astype(np.uint8)
            writer.stdin.write(np.stack([table[image[..., c], c] for c in range(3)], -1).tobytes())
        writer.stdin.close()
    assert writer.returncode == 0, "ffmpeg could not write"


if __name__ == "__main__":
    expose(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:]))
