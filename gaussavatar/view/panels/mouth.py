"""The mouth: how far it goes, how calm it is, how much of this person's style it has."""

from __future__ import annotations

from dataclasses import replace

import viser

from gaussavatar.view.page import Page, Panel
from gaussavatar.view.state import Controls

PLACE = 32


def build(gui: viser.GuiApi, page: Page) -> MouthPanel:
    """The folder Mouth."""
    return MouthPanel(gui, page)


class MouthPanel(Panel):
    """Wishes on the driven mouth."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("Mouth", expand_by_default=False):
            self.gain = gui.add_slider(
                "gain", min=0.0, max=2.0, step=0.01, initial_value=1.0, hint="How far the lips go: 1 as driven."
            )
            self.smoothing = gui.add_slider(
                "smoothing, s", min=0.0, max=0.3, step=0.01, initial_value=0.0, hint="Seconds that are averaged."
            )
            self.style = gui.add_slider(
                "style strength", min=0.0, max=2.0, step=0.01, initial_value=1.0, hint="How far from the mean mouth."
            )
            reset = gui.add_button("Reset mouth")
        reset.on_click(lambda _: self.put_back())
        page.resets.append(self.put_back)

    def put_back(self) -> None:
        """Change nothing."""
        self.gain.value, self.smoothing.value, self.style.value = 1.0, 0.0, 1.0

    def put(self, controls: Controls) -> Controls:
        """Add the wishes of this folder."""
        wishes = replace(
            controls.wishes,
            mouth_gain=self.gain.value,
            smoothing=self.smoothing.value,
            style_strength=self.style.value,
        )
        return replace(controls, wishes=wishes)
