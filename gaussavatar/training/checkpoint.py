"""Everything a run needs to go on after a kill, in one safetensors file; the one before it is kept as well.

Random numbers need no state: every step draws from generators seeded by its own position.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gaussavatar.errors import UserError
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.progress import Progress
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.training.resample import resize

NAME, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"
"""Files of the head's checkpoints; another task's have another stem."""


@dataclass(frozen=True)
class Position:
    """Where in the recipe a run stands: ``iteration`` steps of stage number ``stage`` are done."""

    stage: int
    iteration: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint as read: tensors by name, ``n_moving`` by branch."""

    position: Position
    tensors: dict[str, Tensor]
    moving: dict[str, int]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with ``prefix``, without it."""
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}


def save_checkpoint(
    folder: Path,
    key: str,
    position: Position,
    modules: nn.ModuleDict,
    optimizer: torch.optim.Optimizer,
    extra: Mapping[str, Tensor],
    name: str = NAME,
) -> None:
    """Write weights, optimiser state, position and ``extra``; the checkpoint before becomes the previous one.

    ``modules`` holds the avatar, where there is one, as ``avatar``.
    """
    tensors = {f"model.{name}": value for name, value in modules.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for field, value in state.items():
            tensors[f"optimizer.{index}.{field}"] = torch.as_tensor(value)
    tensors.update({f"extra.{label}": value for label, value in extra.items()})
    moving = {}
    if "avatar" in modules:
        avatar: AvatarModel = modules["avatar"]  # type: ignore[assignment]
        moving = {"face": avatar.face.gaussians.n_moving, "mouth": avatar.mouth.gaussians.n_moving}
    metadata = {
        "key": key,
        "position": json.dumps([position.stage, position.iteration]),
        "moving": json.dumps(moving),
    }
    if (folder / name).exists():
        os.replace(folder / name, folder / previous_name(name))
    write_arrays(folder / name, {label: value.detach().cpu().numpy() for label, value in tensors.items()}, metadata)


def previous_name(name: str) -> str:
    """File of the checkpoint before the one in ``name``."""
    return f"{name.removesuffix('.safetensors')}.previous.safetensors"


def read_checkpoint(folder: Path, key: str | None, progress: Progress | None = None, name: str = NAME) -> Saved | None:
    """The newest checkpoint of the same run (same ``key``; any where it is None) that can be read; None without one.

    A damaged file is passed over with one line on ``progress``.
    """
    for file, then in ((name, "the one before it"), (previous_name(name), "the beginning of training")):
        path = folder / file
        if not path.exists():
            continue
        try:
            arrays, metadata = read_arrays(path)
            if key is not None and metadata.get("key") != key:
                return None
            stage, iteration = json.loads(metadata["position"])
            moving = json.loads(metadata["moving"])
        except (UserError, KeyError, ValueError) as error:
            if progress is not None:
                reason = error.came if isinstance(error, UserError) else "a file without a position"
                progress.say(f"the checkpoint {path} cannot be read ({reason}); going back to {then}")
            continue
        tensors = {label: torch.from_numpy(array) for label, array in arrays.items()}
        return Saved(Position(int(stage), int(iteration)), tensors, moving)
    return None


def restore_weights(saved: Saved, modules: nn.ModuleDict) -> None:
    """Put a checkpoint's weights into ``modules``, whose branches take the checkpoint's number of Gaussians.

    Parameters may be replaced, so an optimiser has to be made after this.
    """
    weights = saved.part("model.")
    avatar: AvatarModel = modules["avatar"]  # type: ignore[assignment]
    for name, branch in (("face", avatar.face), ("mouth", avatar.mouth)):
        resize(branch, len(weights[f"avatar.{name}.gaussians.means"]), saved.moving[name])
    modules.load_state_dict(weights)


def restore_optimizer(saved: Saved, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's moments into an optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.part("optimizer.").items():
        index, field = name.split(".", 1)
        state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
