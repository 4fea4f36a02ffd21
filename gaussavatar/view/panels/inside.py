"""What of the avatar's inside is seen: its Gaussians by branch, how far they move, its head mesh, its cameras."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import viser

from gaussavatar.view.page import Page, Panel
from gaussavatar.view.state import Colours, Controls, InsideWish, Shape

PLACE = 55


def build(gui: viser.GuiApi, page: Page) -> InsidePanel | None:
    """The folder Inside of the player's page."""
    return InsidePanel(gui, page) if page.drawn == "player" else None


class InsidePanel(Panel):
    """Choices that count while the page looks inside, and a line on what is seen."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("Inside", expand_by_default=False):
            self.shape = gui.add_dropdown("Gaussians as", get_args(Shape), hint="Seen with the page's button inside.")
            self.branches = gui.add_dropdown("branches", ("all", "apart", *page.branches))
            self.colours = gui.add_dropdown("colours", get_args(Colours))
            self.mesh = gui.add_checkbox("head mesh", False)
            self.cameras = gui.add_checkbox("cameras", False, hint="From where the clip shows the head.")
            self._note = gui.add_markdown("press *inside* below the picture")

    def put(self, controls: Controls) -> Controls:
        """Add the choices of this folder."""
        chosen = (self.shape.value, self.branches.value, self.colours.value, self.mesh.value, self.cameras.value)
        return replace(controls, inside=InsideWish(*chosen))

    def say(self, text: str) -> None:
        """What is seen, or why it is not."""
        if self._note.content != text:
            self._note.content = text
