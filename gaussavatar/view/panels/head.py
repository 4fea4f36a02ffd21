"""The head: as it was filmed, still, or swaying in this person's own way."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import viser

from gaussavatar.motion.controls import HeadKind
from gaussavatar.view.page import Page, Panel
from gaussavatar.view.state import Controls

PLACE = 36


def build(gui: viser.GuiApi, page: Page) -> HeadPanel:
    """The folder Head."""
    return HeadPanel(gui, page)


class HeadPanel(Panel):
    """Wishes on the head's pose, and the seed of all that is generated."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("Head", expand_by_default=False):
            self.head = gui.add_dropdown("head", get_args(HeadKind), initial_value="recorded")
            self.seed = gui.add_number(
                "seed", 0, min=0, max=9999, step=1, hint="Of blinks and sway that are generated."
            )
            reset = gui.add_button("Reset head")
        reset.on_click(lambda _: self.put_back())
        page.resets.append(self.put_back)

    def put_back(self) -> None:
        """Change nothing."""
        self.head.value, self.seed.value = "recorded", 0

    def put(self, controls: Controls) -> Controls:
        """Add the wishes of this folder."""
        return replace(controls, wishes=replace(controls.wishes, head=self.head.value), seed=int(self.seed.value))
