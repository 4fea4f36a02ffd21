"""Stage, step and newest picture of a running fit."""

from __future__ import annotations

from typing import Any

import viser

from gaussavatar.view.live import FitWatch
from gaussavatar.view.page import Page, Panel, Reading

PLACE = 60


def build(gui: viser.GuiApi, page: Page) -> TrainingPanel | None:
    """The folder Training; None where no fit is followed."""
    return TrainingPanel(gui, page.watch) if page.watch is not None else None


class TrainingPanel(Panel):
    """Shows what the watch has seen."""

    def __init__(self, gui: viser.GuiApi, watch: FitWatch) -> None:
        self._gui, self._watch = gui, watch
        self._shown: object = None
        self.picture: Any = None
        with gui.add_folder("Training") as self._folder:
            self.text = gui.add_markdown(watch.status)

    def show(self, reading: Reading) -> None:
        """Where the fit stands, and its preview when there is a newer one."""
        if self.text.content != self._watch.status:
            self.text.content = self._watch.status
        newest = self._watch.picture
        if newest is None or newest is self._shown:
            return
        self._shown = newest
        if self.picture is None:
            with self._folder:
                self.picture = self._gui.add_image(newest, label="real over rendered", format="jpeg")
        else:
            self.picture.image = newest
