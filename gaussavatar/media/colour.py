"""What the numbers of a video's pictures mean as colours, and how they become those of a screen (BT.709)."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import Any

REFERENCE_WHITE_NITS = 203
"""Luminance of white paper in an HDR picture (ITU-R BT.2408, table 1); it becomes the screen's white."""

HD_LINES = 720
"""From so many lines on, a picture that does not say how it is coded is coded as BT.709 says, and below as BT.601."""

_UNSAID = (2, 3)
"""Code points of ITU-T H.273 that say nothing."""
_PQ, _HLG = 16, 18
_BT2020 = 9
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", _BT2020: "bt2020", 11: "smpte431",
    12: "smpte432",
}  # fmt: skip
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", _BT2020: "bt2020nc", 10: "bt2020c"}
_TRANSFERS = {_PQ: "smpte2084", _HLG: "arib-std-b67"}
_WIDE = (_BT2020, 11, 12)
"""Primaries far from those of BT.709: BT.2020 and the two of P3."""


@dataclass(frozen=True)
class Colour:
    """Code points of ITU-T H.273, 2 where nothing is said: primaries, transfer function, matrix; and the range."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0
    """1 is narrow, 2 is full (AVColorRange)."""
    lines: int = 0
    """Of the picture as it is coded."""

    @property
    def hdr(self) -> str | None:
        """``PQ`` or ``HLG`` where the transfer function is one of ITU-R BT.2100."""
        return {_PQ: "PQ", _HLG: "HLG"}.get(self.transfer)

    @property
    def wide(self) -> bool:
        """Whether the colours of a picture of usual range reach further than a screen's."""
        return self.hdr is None and self.primaries in _WIDE

    @property
    def said(self) -> bool:
        """Whether the file says how its colours are coded."""
        return self.matrix not in _UNSAID

    @property
    def meant(self) -> dict[str, str]:
        """Primaries, transfer function and matrix by the names of ffmpeg's filters, guessed where nothing is said."""
        wide = self.hdr is not None or self.primaries == _BT2020
        matrix = "bt2020nc" if wide else "bt709" if self.lines >= HD_LINES else "smpte170m"
        return {
            "color_primaries": _PRIMARIES.get(self.primaries, "bt2020" if self.hdr is not None else "bt709"),
            "color_trc": _TRANSFERS.get(self.transfer, "bt709"),
            "colorspace": _MATRICES.get(self.matrix, matrix),
        }


@cache
def can_map_tones(binary: str) -> bool:
    """Whether this ffmpeg has the filters that :func:`to_sdr` and :func:`to_bt709` need."""
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


def to_bt709(stream: Any) -> Any:
    """Wide colours of a usual range become those of BT.709; what lies outside is cut."""
    stream = stream.filter("format", "yuv444p10le")
    stream = stream.filter("zscale", transfer="linear").filter("format", "gbrpf32le")
    stream = stream.filter("zscale", primaries="bt709", transfer="bt709", matrix="bt709", range="tv")
    return stream.filter("format", "yuv444p")
