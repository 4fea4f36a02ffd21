"""Everything a run needs to go on after a kill, in one safetensors file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from gaussavatar.storage import read_arrays, write_arrays


@dataclass(frozen=True)
class Position:
    """Where in the recipe a run stands: ``iteration`` steps of stage number ``stage`` are done."""

    stage: int
    iteration: int


def save_checkpoint(
    path: Path, key: str, position: Position, modules: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write weights, optimiser state and position; random numbers need no state, see ``loop``."""
    arrays = {f"model.{name}": value.numpy() for name, value in modules.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            arrays[f"optimizer.{index}.{name}"] = torch.as_tensor(value).numpy()
    metadata = {"key": key, "position": json.dumps([position.stage, position.iteration])}
    write_arrays(path, arrays, metadata)


def load_checkpoint(path: Path, key: str, modules: nn.Module, optimizer: torch.optim.Optimizer) -> Position | None:
    """Restore a checkpoint of the same run (same ``key``); None when there is none."""
    if not path.exists():
        return None
    arrays, metadata = read_arrays(path)
    if metadata.get("key") != key:
        return None
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    modules.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, field = name.split(".", 2)
            state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    stage, iteration = json.loads(metadata["position"])
    return Position(stage, iteration)
