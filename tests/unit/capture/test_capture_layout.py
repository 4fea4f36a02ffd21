"""Paths of a capture and of a fit are spelt in one place each."""

from __future__ import annotations

import re
from pathlib import Path

import gaussavatar
from gaussavatar.capture.layout import CaptureLayout, SegmentationLayout
from gaussavatar.training.layout import FitLayout

OTHERS = {
    "head/install.py": {"head.npz"},
    "avatar/folder.py": {"plate.png"},
    "avatar/player.py": {"under.u8"},
    "speak/segments.py": {"motion.safetensors"},
    "synthetic/actor.py": {"masks.u8"},
}
"""The same name in another kind of folder: of a head, an avatar, a player, a long film, the made-up actor."""


CHOICES = {"audio"}
"""Paths that are one of two others, whichever is there."""


def paths(layout: CaptureLayout | SegmentationLayout | FitLayout) -> dict[str, Path]:
    """Every path of a layout by its name."""
    names = [name for name, value in vars(type(layout)).items() if isinstance(value, property) and name not in CHOICES]
    found = {name: getattr(layout, name) for name in names}
    return {name: path for name, path in found.items() if isinstance(path, Path)}


def test_no_two_files_share_a_path() -> None:
    folder = Path("out")
    fit = FitLayout(folder)
    capture, masks = fit.capture, fit.capture.segmentation(256)
    every = [path for layout in (fit, capture, masks) for path in paths(layout).values()]
    assert len(set(every)) == len(every) == len(paths(fit)) + len(paths(capture)) + len(paths(masks))
    assert all(path.is_relative_to(folder) for path in every)
    assert masks.folder.parent == capture.folder != capture.segmentation(512).folder


def test_nobody_else_spells_their_names() -> None:
    fit = FitLayout(Path())
    layouts = (fit, fit.capture, fit.capture.segmentation(256))
    names = {path.name for layout in layouts for path in paths(layout).values()} | {"capture"}
    package = Path(gaussavatar.__file__).parent
    for source in package.rglob("*.py"):
        place = source.relative_to(package).as_posix()
        if place in ("capture/layout.py", "training/layout.py"):
            continue
        # A word without a dot is a path only where it is joined to one.
        spelt = set(re.findall(r'"([^"\n]+\.[a-z0-9]+)"', source.read_text()))
        spelt |= set(re.findall(r'/ "([a-z]+)"', source.read_text()))
        wrong = sorted((spelt & names) - OTHERS.get(place, set()))
        assert not wrong, f"{place} spells {wrong}"
