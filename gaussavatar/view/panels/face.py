"""The face: whether the motion drives it, mouth, lids and brows."""

from __future__ import annotations

from dataclasses import replace

import viser

from gaussavatar.view.page import Page, Panel, slider
from gaussavatar.view.state import Controls

PLACE = 30

FIRST_SLIDERS = ("blink", "brow")
"""Upper-face sliders that are always in sight; the others are in a folder."""


def build(gui: viser.GuiApi, page: Page) -> FacePanel:
    """The folders Face and More of the face."""
    return FacePanel(gui, page)


class FacePanel(Panel):
    """Sliders on top of the driven face, and the button that puts all sliders of the page back."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        names = page.sliders
        with gui.add_folder("Face"):
            self.driven = gui.add_checkbox("driven", True, hint="Whether the motion drives the face below the sliders.")
            self.opening = slider(gui, "mouth opening", -0.5, 1.0)
            self.sliders = {name: slider(gui, name) for name in names if name in FIRST_SLIDERS}
            self.reset = gui.add_button("Reset sliders")
        with gui.add_folder("More of the face", expand_by_default=False):
            self.sliders |= {name: slider(gui, name) for name in names if name not in FIRST_SLIDERS}
        self._resets = page.resets
        self._resets.append(self._put_back)
        self.reset.on_click(lambda _: self.put_back())

    def put_back(self) -> None:
        """Put every slider of the page back to where it adds nothing."""
        for reset in self._resets:
            reset()

    def _put_back(self) -> None:
        for handle in (self.opening, *self.sliders.values()):
            handle.value = 0.0

    def put(self, controls: Controls) -> Controls:
        """Add this panel's sliders."""
        values = {name: handle.value for name, handle in self.sliders.items()}
        return replace(controls, driven=self.driven.value, opening=self.opening.value, sliders=values)
