"""Pictures that are replayed from a recording are those that are drawn plainly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gaussavatar.avatar.drawings import KEPT, Drawings
from gaussavatar.bench.made_up import N_UPPER, made_up_model
from gaussavatar.bench.raster import head_scene
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.model.avatar import AvatarImage, AvatarModel
from gaussavatar.render.api import get_rasterizer
from gaussavatar.types import Activated, Cameras, Rendered


class Roomy:
    """Stands for gsplat on a GPU: draws with the native rasterizer, and says how much room is left."""

    name = "roomy"

    def __init__(self) -> None:
        self.full = False
        self.asked = 0

    def __call__(self, gaussians: Activated, cameras: Cameras) -> Rendered:
        return get_rasterizer("cpu")(gaussians, cameras)

    def unasking(self) -> Roomy:
        return self

    def overflown(self) -> bool:
        self.asked += 1
        return self.full


class Recorder:
    """Keeps a function and calls it again, into the tensors of its first results."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        self.recorded += 1
        kept: AvatarImage = work()

        def replay() -> None:
            self.replayed += 1
            fresh = work()
            for mine, new in ((kept.image, fresh.image), (kept.face.alpha, fresh.face.alpha)):
                mine.copy_(new)

        return replay, kept


def given(model: AvatarModel, seed: int, size: int = 48, batch: int = 2) -> tuple[Tensor, Tensor, Cameras, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cameras = head_scene(size, 1, batch)[1]
    codes = torch.randn(batch, model.n_mouth, generator=generator)
    return (
        codes,
        torch.rand(batch, N_UPPER, generator=generator),
        cameras,
        torch.rand(batch, size, size, 3, generator=generator),
    )


def made() -> AvatarModel:
    return made_up_model(load_recipe("preview", ("model.face.count=300", "model.mouth.count=60")), 6)


def test_replayed_pictures_are_the_drawn_ones() -> None:
    model, raster, recorder = made(), Roomy(), Recorder()
    drawings = Drawings(recorder)
    for seed in range(6):
        one = given(model, seed)
        with torch.no_grad():
            true = model.render(get_rasterizer("cpu"), *one)
        drawn = drawings.draw(model, raster, *one)
        assert torch.allclose(drawn.image, true.image, atol=1e-6)
        assert torch.allclose(drawn.face.alpha, true.face.alpha, atol=1e-6)
    assert recorder.recorded == 1 and recorder.replayed == 4 and raster.asked == 4


def test_too_little_room_is_drawn_again_and_recorded_anew() -> None:
    model, raster, recorder = made(), Roomy(), Recorder()
    drawings = Drawings(recorder)
    for seed in range(5):
        raster.full = seed == 3
        one = given(model, seed)
        with torch.no_grad():
            true = model.render(get_rasterizer("cpu"), *one)
        assert torch.allclose(drawings.draw(model, raster, *one).image, true.image, atol=1e-6)
    assert recorder.recorded == 2


def test_what_cannot_be_recorded_is_drawn_plainly_and_not_tried_again() -> None:
    model, raster, tries = made(), Roomy(), []

    def refuse(work: Callable[[], Any]) -> None:
        tries.append(work)
        raise RuntimeError("operation not permitted when stream is capturing")

    drawings = Drawings(refuse)
    for seed in range(6):
        one = given(model, seed)
        with torch.no_grad():
            true = model.render(get_rasterizer("cpu"), *one)
        assert torch.equal(drawings.draw(model, raster, *one).image, true.image)
    assert len(tries) == 1


def test_only_a_few_kinds_are_kept() -> None:
    model, recorder = made(), Recorder()
    drawings, raster = Drawings(recorder), Roomy()
    sizes = [16 + 8 * k for k in range(KEPT + 1)]
    for size in (*sizes, sizes[0]):
        for seed in range(3):
            drawings.draw(model, raster, *given(model, seed, size))
    assert recorder.recorded == KEPT + 2
