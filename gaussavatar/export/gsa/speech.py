"""What an avatar hears with, as sections of a ``.gsa`` file: its light network, and the one of ``viseme``."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.registry import LIGHT
from gaussavatar.audio.features.viseme_network import LAYERS, network_arrays, viseme_network
from gaussavatar.avatar.load import load_avatar
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.errors import UserError


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
    config, drive = network.config, avatar.record.drive
    sections = {}
    for name, tensor in network.state_dict().items():
        kind = np.float16 if name.endswith(".weight") else np.float32
        sections[f"speech.{name}"] = tensor.cpu().numpy().astype(kind)
    meta = {
        **{name: getattr(config, name) for name in ("window", "width", "members", "hidden", "n_codes", "linear")},
        "features": list(config.features),
        "own_range": config.own_range,
        "gate": None if drive.gate is None else msgspec.to_builtins(drive.gate),
        "mouth_gain": drive.mouth_gain,
        "ood": drive.ood,
    }
    if "viseme" in config.features:
        sections |= {f"viseme.{name}": array for name, array in network_arrays(viseme_network())[0].items()}
        meta["viseme_layers"] = [[layer.dilation, layer.causal] for layer in LAYERS]
    return meta, sections
