"""The viewer's panels, one a file; see :class:`gaussavatar.view.page.Panel`. All files of this folder are panels."""

from __future__ import annotations

import importlib
import pkgutil

import viser

from gaussavatar.view.page import Page, Panel


def build_panels(gui: viser.GuiApi, page: Page) -> dict[str, Panel]:
    """All panels of a page by the names of their files, from top to bottom."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    modules.sort(key=lambda module: module.PLACE)
    built = {module.__name__.rpartition(".")[2]: module.build(gui, page) for module in modules}
    return {name: panel for name, panel in built.items() if panel is not None}
