"""The stored golden scenes on every rasterizer that is there."""

from __future__ import annotations

from pathlib import Path

import torch
from runner import Options, Report
from sections.common import place, rasterizers

from gaussavatar.bench.golden import RECIPES, disagreement, load_golden
from gaussavatar.native.library import available_isas, force_isa, native_info

FOLDER = Path(__file__).resolve().parents[2] / "unit" / "render" / "golden"
TOLERANCE = 1e-3
"""As in the unit tests: mean difference of the image, and each gradient relative to its norm."""


def check(report: Report, options: Options) -> None:
    """Images and gradients of every scene."""
    device = place(options)
    for name, rasterizer in rasterizers(device):
        isas = available_isas() if name == "native" else ("",)
        before = native_info()["isa"]
        for isa in isas:
            if isa:
                force_isa(isa)
            worst = {}
            for scene in RECIPES:
                found = disagreement(rasterizer, load_golden(FOLDER / f"{scene}.safetensors"), device.type)
                worst[scene] = max(found.values())
                where = max(found, key=lambda key: found[key])
                met = worst[scene] < TOLERANCE
                report.expect(met, f"{scene} on {name} {isa} is off by {worst[scene]:.2g} ({where})")
            report.note(f"{name} {isa}".strip(), **worst)
        force_isa(before)
    if device.type == "cuda":
        report.note("memory", peak_mib=torch.cuda.max_memory_allocated() >> 20)
