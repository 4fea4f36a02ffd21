"""Pictures of an avatar on a GPU, replayed from a recording for every number of frames and size."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gaussavatar.model.avatar import AvatarImage, AvatarModel
from gaussavatar.render.recording import Record, Replay, record_cuda
from gaussavatar.render.semantics import RecordableRasterizer, UnaskingRasterizer
from gaussavatar.types import Cameras

KEPT = 4
"""Recordings that are kept at once: each holds the memory of its pictures."""

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class _Recording:
    inputs: Inputs
    replay: Replay
    image: AvatarImage
    rasterizer: UnaskingRasterizer


class Drawings:
    """Draws one avatar with gsplat. The first two pictures of a kind are drawn plainly, from then on they are replayed.

    What comes out is overwritten by the next picture of the same kind.
    """

    def __init__(self, record: Record = record_cuda) -> None:
        self._record = record
        self._recordings: dict[tuple[int, ...], _Recording] = {}
        self._drawn: dict[tuple[int, ...], int] = {}
        self._lock = threading.Lock()

    def draw(
        self,
        model: AvatarModel,
        rasterizer: RecordableRasterizer,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        cameras: Cameras,
        under: Float[Tensor, "b h w 3"],
    ) -> AvatarImage:
        """As :meth:`AvatarModel.render` does, without gradients."""
        inputs = {"codes": mouth_codes, "upper": upper, "T": cameras.T_camera_world, "K": cameras.K, "under": under}
        key = tuple(under.shape[:3])
        with self._lock, torch.no_grad():
            found = self._recordings.get(key)
            if found is None:
                times = self._drawn[key] = self._drawn.get(key, 0) + 1
                if times <= 2:
                    return _drawn(model, rasterizer, inputs)
                found = self._recorded(key, model, rasterizer, inputs)
                if found is None:
                    return _drawn(model, rasterizer, inputs)
            for name, tensor in inputs.items():
                found.inputs[name].copy_(tensor)
            found.replay()
            if found.rasterizer.overflown():
                # Nearer than ever before: more room next time.
                del self._recordings[key]
                return _drawn(model, rasterizer, inputs)
            return found.image

    def _recorded(
        self, key: tuple[int, ...], model: AvatarModel, rasterizer: RecordableRasterizer, inputs: Inputs
    ) -> _Recording | None:
        """A new recording; None where this device, or the avatar's design, cannot be recorded."""
        kept, unasking = {name: tensor.clone() for name, tensor in inputs.items()}, rasterizer.unasking()
        try:
            replay, image = self._record(lambda: _drawn(model, unasking, kept))
        except RuntimeError:
            # From now on pictures of this kind are drawn plainly.
            self._drawn[key] = -(2**62)
            return None
        while len(self._recordings) >= KEPT:
            del self._recordings[next(iter(self._recordings))]
        self._recordings[key] = _Recording(kept, replay, image, unasking)
        return self._recordings[key]


def _drawn(
    model: AvatarModel, rasterizer: RecordableRasterizer | UnaskingRasterizer, inputs: Mapping[str, Tensor]
) -> AvatarImage:
    under = inputs["under"]
    cameras = Cameras(inputs["T"], inputs["K"], under.shape[2], under.shape[1])
    return model.render(rasterizer, inputs["codes"], inputs["upper"], cameras, under)
