"""How fast pictures are made, and how large."""

from __future__ import annotations

import viser

from gaussavatar.view.page import Page, Panel, Reading

PLACE = 50


def build(gui: viser.GuiApi, page: Page) -> ReadoutPanel | None:
    """One line of text; the player's page has its own."""
    return None if page.drawn == "player" else ReadoutPanel(gui)


class ReadoutPanel(Panel):
    """The frame rate."""

    def __init__(self, gui: viser.GuiApi) -> None:
        self.rate = gui.add_markdown("")

    def show(self, reading: Reading) -> None:
        """The rate of the last second."""
        self.rate.content = reading.rate
