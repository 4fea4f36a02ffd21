"""Who looks at the avatar, who draws it, and whether its head moves."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import viser

from gaussavatar.view.page import Page, Panel
from gaussavatar.view.state import Controls, Drawn, Seen

PLACE = 20


def build(gui: viser.GuiApi, page: Page) -> LookPanel | None:
    """The folder View; the player's page has its own."""
    return None if page.drawn == "player" else LookPanel(gui, page)


class LookPanel(Panel):
    """Camera, renderer, head motion."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("View"):
            self.camera = gui.add_dropdown("camera", get_args(Seen), initial_value="orbit")
            self.drawing = gui.add_dropdown("drawn by", get_args(Drawn), initial_value=page.drawn)
            self.head_moves = gui.add_checkbox("head moves", True)

    def put(self, controls: Controls) -> Controls:
        """Add the choices of this folder."""
        return replace(controls, seen=self.camera.value, drawn=self.drawing.value, head_moves=self.head_moves.value)
