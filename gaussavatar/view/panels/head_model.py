"""Sliders of the head model, for avatars that are bound to one."""

from __future__ import annotations

from dataclasses import replace

import viser

from gaussavatar.view.page import Page, Panel, slider
from gaussavatar.view.state import Controls

PLACE = 40


def build(gui: viser.GuiApi, page: Page) -> HeadModelPanel | None:
    """The folder Head model; None for an avatar without movements of its own."""
    return HeadModelPanel(gui, page) if page.movements else None


class HeadModelPanel(Panel):
    """One slider for each movement."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("Head model", expand_by_default=False):
            self.movements = {name: slider(gui, name) for name in page.movements}
        page.resets.append(self._put_back)

    def _put_back(self) -> None:
        for handle in self.movements.values():
            handle.value = 0.0

    def put(self, controls: Controls) -> Controls:
        """Add the movements asked for."""
        return replace(controls, movements={name: handle.value for name, handle in self.movements.items()})
