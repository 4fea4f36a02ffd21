"""Blinks, gaze and brows: recorded, generated, by the sound, or none."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import viser

from gaussavatar.motion.controls import BlinkKind, BrowKind
from gaussavatar.view.page import Page, Panel, slider
from gaussavatar.view.state import Controls

PLACE = 34

FIXED = "fixed"
GAZES = ("recorded", "camera", FIXED)


def build(gui: viser.GuiApi, page: Page) -> EyesPanel:
    """The folder Eyes and brows."""
    return EyesPanel(gui, page)


class EyesPanel(Panel):
    """Wishes on the upper face."""

    def __init__(self, gui: viser.GuiApi, page: Page) -> None:
        with gui.add_folder("Eyes and brows", expand_by_default=False):
            self.blinks = gui.add_dropdown("blinks", get_args(BlinkKind), initial_value="recorded")
            self.gaze = gui.add_dropdown("gaze", GAZES, initial_value="recorded")
            self.right, self.down = (
                slider(gui, "fixed gaze, right", -1.0, 1.0),
                slider(gui, "fixed gaze, down", -1.0, 1.0),
            )
            self.brows = gui.add_dropdown("brows by", get_args(BrowKind), initial_value="recorded")
            self.gain = gui.add_slider("brow gain", min=0.0, max=2.0, step=0.01, initial_value=1.0)
            self.offset = slider(gui, "brow offset", -1.0, 1.0)
            reset = gui.add_button("Reset eyes and brows")
        reset.on_click(lambda _: self.put_back())
        page.resets.append(self.put_back)

    def put_back(self) -> None:
        """Change nothing."""
        for choice in (self.blinks, self.gaze, self.brows):
            choice.value = "recorded"
        self.gain.value = 1.0
        for zero in (self.right, self.down, self.offset):
            zero.value = 0.0

    def put(self, controls: Controls) -> Controls:
        """Add the wishes of this folder."""
        gaze = (self.right.value, self.down.value) if self.gaze.value == FIXED else self.gaze.value
        wishes = replace(
            controls.wishes,
            blink=self.blinks.value,
            gaze=gaze,
            brows=self.brows.value,
            brow_gain=self.gain.value,
            brow_offset=self.offset.value,
        )
        return replace(controls, wishes=wishes)
