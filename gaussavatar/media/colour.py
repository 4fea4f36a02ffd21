"""Pictures of high dynamic range, as phones record them, brought to the range of a screen."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import Any

HDR_TRANSFERS = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
"""Transfer functions of ITU-R BT.2100 by the names that ffmpeg gives them."""

REFERENCE_WHITE_NITS = 203
"""Luminance of white paper in an HDR picture (ITU-R BT.2408, table 1); it becomes the screen's white."""


@cache
def can_map_tones(binary: str) -> bool:
    """Whether this ffmpeg has the filters that :func:`to_sdr` needs."""
    done = subprocess.run([binary, "-hide_banner", "-filters"], stdin=subprocess.DEVNULL, capture_output=True)
    names = set(re.findall(r"^ *[A-Z.|]+ +(\w+) ", done.stdout.decode(errors="replace"), re.M))
    return {"zscale", "tonemap"} <= names


def to_sdr(stream: Any) -> Any:
    """Light is made linear, its colours those of BT.709, highlights rolled off above the paper's white.

    The Mobius curve leaves everything up to mid-tones as it is; skin keeps its shading.
    """
    stream = stream.filter("format", "yuv444p10le")
    stream = stream.filter("zscale", transfer="linear", npl=REFERENCE_WHITE_NITS)
    stream = stream.filter("format", "gbrpf32le").filter("zscale", primaries="bt709")
    stream = stream.filter("tonemap", tonemap="mobius", param=0.7, desat=0)
    return stream.filter("zscale", transfer="bt709", matrix="bt709", range="tv").filter("format", "yuv444p")
