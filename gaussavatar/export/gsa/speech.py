"""What an avatar hears with, as sections of a ``.gsa`` file: its light network, and the best where that is wanted."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from torch import nn

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.registry import BEST, LIGHT
from gaussavatar.audio.features.viseme_network import LAYERS, network_arrays, viseme_network
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError
from gaussavatar.export.gsa.hama import hama_sections


def light_network(avatar: LoadedAvatar) -> AudioEncoder:
    """The network that a page can run: the light one, or the best of an older avatar that hears mel alone.

    Raises:
        UserError: there is none.
    """
    if isinstance(avatar.encoder, Blend):
        return avatar.encoder.second
    if avatar.record.light is not None:
        light = load_avatar(avatar.path, hearing="light").encoder
        assert isinstance(light, AudioEncoder)
        return light
    heard = avatar.encoder.config.features
    if set(heard) - set(LIGHT):
        came = f"an avatar that hears with {' and '.join(heard)} only"
        raise UserError(f"an avatar with a light audio network ({', '.join(LIGHT)})", came, "fit it again")
    return avatar.encoder


def speech_sections(avatar: LoadedAvatar) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``meta.speech`` and the sections ``speech.*`` and ``viseme.*``; weights are of half precision.

    Raises:
        UserError: see :func:`light_network`.
    """
    network = light_network(avatar)
    meta, sections = _network("speech", network, avatar)
    if "viseme" in network.config.features:
        sections |= {f"viseme.{name}": array for name, array in network_arrays(viseme_network())[0].items()}
        meta["viseme_layers"] = [[layer.dilation, layer.causal] for layer in LAYERS]
    return meta, sections


def best_sections(avatar: LoadedAvatar) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """``meta.best`` and ``meta.hama`` by their names, and the sections ``best.*`` and ``hama.*``.

    Args:
        avatar: loaded with its best network.

    Raises:
        UserError: that is none which a page can run besides the light one, or hama is not installed.
    """
    network = avatar.encoder.first if isinstance(avatar.encoder, Blend) else avatar.encoder
    if network.config.features != BEST:
        came = f"an avatar that hears with {' and '.join(network.config.features)}"
        do = f"leave out --features best, or fit it again with audio.features=[{','.join(BEST)}]"
        raise UserError(f"an avatar whose best network hears with {' and '.join(BEST)}", came, do)
    facts, sections = hama_sections()
    meta, own = _network("best", network, avatar)
    if isinstance(avatar.encoder, Blend):
        # How wide the person moves is known of both together.
        own = {name: array for name, array in own.items() if not name.startswith("best.range.")}
        own |= _arrays("best.range", avatar.encoder.range)
        meta["own_range"] = True
    meta["share"] = avatar.encoder.share if isinstance(avatar.encoder, Blend) else 0.0
    return {"best": meta, "hama": facts}, own | sections


def _network(name: str, network: AudioEncoder, avatar: LoadedAvatar) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the header says of a network, and its sections; weights are of half precision."""
    config, drive = network.config, avatar.record.drive
    return {
        **{key: getattr(config, key) for key in ("window", "width", "members", "hidden", "n_codes", "linear")},
        "features": list(config.features),
        "own_range": config.own_range,
        "gate": None if drive.gate is None else msgspec.to_builtins(drive.gate),
        "mouth_gain": drive.mouth_gain,
        "ood": drive.ood,
    }, _arrays(name, network)


def _arrays(name: str, module: nn.Module) -> dict[str, np.ndarray]:
    return {
        f"{name}.{part}": tensor.cpu().numpy().astype(np.float16 if part.endswith(".weight") else np.float32)
        for part, tensor in module.state_dict().items()
    }
