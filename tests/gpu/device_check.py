"""The device check: is the package whole on this GPU, does it agree with the CPU, and how fast is it?

``python tests/gpu/device_check.py --out DIR`` on a machine with a GPU, at most eight minutes; docs/gpu.md says what the
sections tell. ``--device cpu --small`` is its rehearsal without one.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from runner import Section, main  # noqa: E402

SECTIONS = (
    Section("environment", "sections.environment:check", 45),
    Section("kernels", "sections.environment:kernels", 200),
    Section("golden", "sections.golden:check", 45),
    Section("parity-raster", "sections.parity:raster", 45),
    Section("parity-step", "sections.parity:step", 60),
    Section("recorded", "sections.recorded:check", 60),
    Section("audio", "sections.audio:check", 60),
    Section("operations", "sections.operations:check", 45),
    Section("raster", "sections.speed:raster", 45),
    Section("step", "sections.speed:step", 75),
    Section("profile", "sections.profile:check", 45),
    Section("frames", "sections.speed:frames", 45),
    Section("train-default", "sections.training:check", 60, ("default",)),
    Section("train-quality", "sections.training:check", 60, ("quality",)),
    Section("train-talking-gaussian", "sections.training:check", 60, ("talking-gaussian",)),
    Section("capture", "sections.capture:check", 240, ("default",), reserve=200),
    Section("capture-quality", "sections.capture:check", 240, ("quality",)),
)

if __name__ == "__main__":
    sys.exit(main(SECTIONS))
