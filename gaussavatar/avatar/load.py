"""Loading an avatar from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.features.registry import LIGHT
from gaussavatar.avatar.accents import stored_accents
from gaussavatar.avatar.arkit import stored_map
from gaussavatar.avatar.checked import (
    DO,
    check_besides,
    check_branches,
    check_numbers,
    check_record,
    check_track,
    check_video,
    check_weights,
    encoder_shapes,
)
from gaussavatar.avatar.finding import HEADER
from gaussavatar.avatar.folder import MATTE, PLATE, TRACK, UNDER, WEIGHTS, open_folder
from gaussavatar.avatar.mark import mark_of
from gaussavatar.avatar.player import LoadedAvatar
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.avatar.torso import LoadedTorso, load_torso
from gaussavatar.avatar.voice import stored_voice
from gaussavatar.errors import UserError
from gaussavatar.media.images import read_image
from gaussavatar.model.aside import Aside
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.binding import blank_binding, rig_shapes
from gaussavatar.model.config import ModelConfig
from gaussavatar.model.gaussians import InitialBranch, RawGaussians
from gaussavatar.motion.track import MotionTrack
from gaussavatar.render.api import get_rasterizer
from gaussavatar.render.device import DeviceWish, choose_device
from gaussavatar.storage import read_arrays

Hearing = Literal["best", "light"]
"""Which of its audio networks an avatar speaks with."""


def blank_branch(n: int, n_moving: int, n_codes: int) -> InitialBranch:
    """A branch of the right shapes, to be filled from a file."""
    raw = RawGaussians(torch.zeros(n, 3), torch.zeros(n, 4), torch.zeros(n, 3), torch.zeros(n), torch.zeros(n, 3))
    return InitialBranch(raw, n_moving, torch.zeros(n_codes, n_moving, 3))


def blank_model(config: ModelConfig, shapes: dict[str, int], names: Sequence[str] = ()) -> AvatarModel:
    """An untrained model of the shapes that ``model_shapes`` gave; ``names`` are the movements of a bound one."""
    n_mouth, n_upper = shapes["n_mouth"], shapes["n_upper"]
    model = AvatarModel(
        config,
        n_mouth,
        n_upper,
        blank_branch(shapes["face"], shapes["face_moving"], n_mouth + n_upper),
        blank_branch(shapes["mouth"], shapes["mouth_moving"], n_mouth),
        blank_binding(names, n_mouth + n_upper, shapes) if config.binding == "head" else None,
    )
    if shapes.get("face_aside"):
        model.face.aside = Aside(shapes["face_aside"])
    return model


def model_shapes(model: AvatarModel) -> dict[str, int]:
    """The numbers that fix every tensor's shape besides the config."""
    face, mouth = model.face.gaussians, model.mouth.gaussians
    return {
        "n_mouth": model.n_mouth,
        "n_upper": model.n_upper,
        "face": len(face),
        "face_moving": face.n_moving,
        "mouth": len(mouth),
        "mouth_moving": mouth.n_moving,
        **({} if model.face.aside is None else {"face_aside": len(model.face.aside.change)}),
        **({} if model.rig is None else rig_shapes(model.rig)),
    }


def _under(prefix: str, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}


def _hearing(
    record: AvatarRecord, best: AudioEncoder, weights: Mapping[str, torch.Tensor], hearing: Hearing, path: Path
) -> AudioEncoder | Blend:
    """The network that was asked for.

    Raises:
        UserError: it is the light one, and there is none where the best one needs more than comes with the program; or
            what the best one hears is not installed here.
    """
    if record.light is None:
        if hearing == "light" and set(record.encoder.features) - set(LIGHT):
            do = "fit it with audio.light=[mel,viseme], or leave --features at best"
            raise UserError(f"an avatar with a light audio network in {path}", "one without", do)
        return best
    light = AudioEncoder(record.light)
    light.load_state_dict(_under("light.", weights))
    if hearing == "light" or record.light_share == 0:
        return (light if hearing == "light" else best).eval().requires_grad_(False)
    blend = Blend(best, light, record.light_share)
    known = _under("blend.", weights)
    if known:
        blend.range.load_state_dict(known)
    return blend.eval().requires_grad_(False)


def _checked_arrays(path: Path, record: AvatarRecord) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The arrays of an avatar's weights and of its track, which go with its header.

    Raises:
        UserError: they do not; nothing of the size that the header speaks of was made.
    """
    check_record(record, path / HEADER)
    arrays, _ = read_arrays(path / WEIGHTS)
    check_numbers(arrays, path / WEIGHTS)
    with torch.device("meta"):
        model = blank_model(record.model, record.shapes, record.expression_names)
    check_weights(arrays, model.state_dict(), path / WEIGHTS, "model.avatar.")
    check_weights(arrays, encoder_shapes(record.encoder), path / WEIGHTS, "model.encoder.")
    if record.light is not None:
        check_weights(arrays, encoder_shapes(record.light), path / WEIGHTS, "light.")
    check_branches(arrays, "model.avatar.", path / WEIGHTS, record.shapes.get("rig_vertices", 0))
    check_besides(arrays, record, path / WEIGHTS)
    track, _ = read_arrays(path / TRACK)
    check_track(track, record, path / TRACK)
    for name in (UNDER, MATTE):
        if name == UNDER or record.has(name):
            check_video(path / name, record)
    return arrays, track


def filmed_track(arrays: Mapping[str, np.ndarray], record: AvatarRecord) -> MotionTrack:
    """The track of an avatar's own file: each frame is its own place."""
    places = np.arange(len(arrays["upper"]))
    moved = (arrays["mouth_codes"], arrays["upper"], arrays["T_camera_world"])
    said = {"avatar": record.identity, "about": mark_of(record).about}
    return MotionTrack(*moved, places, upper_names=record.upper_names, **said)


def load_avatar(
    path: Path,
    prefer: str = "auto",
    hearing: Hearing = "best",
    ood: float | None = None,
    device: DeviceWish = "cpu",
) -> LoadedAvatar:
    """Load a fitted avatar.

    Args:
        path: its folder.
        prefer: see :func:`gaussavatar.render.api.get_rasterizer`.
        hearing: ``best``, or ``light``: needs nothing installed and little look-ahead, and hears less.
        ood: how far sound of a kind that its network never heard is brought to what it did hear, 0 to 1; as its record
            says when None.
        device: where it is drawn; ``auto`` is a GPU where one can be used.

    Raises:
        UserError: see :func:`gaussavatar.avatar.folder.open_folder`; or the weights are of a design that has changed;
            or it has no light network; or ``ood`` is out of range; or there is no such device.
    """
    place = choose_device(device)
    if ood is not None and not 0 <= ood <= 1:
        raise UserError("an ood of 0 to 1", f"{ood}", "0 hears a sound as it is, 1 as near as can be to what is known")
    record = open_folder(path).record
    if ood is not None:
        record = replace(record, drive=replace(record.drive, ood=float(ood)))
    arrays, track = _checked_arrays(path, record)
    model = blank_model(record.model, record.shapes, record.expression_names)
    encoder = AudioEncoder(record.encoder)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    try:
        modules.load_state_dict(_under("model.", weights))
        heard = _hearing(record, encoder, weights, hearing, path)
    except RuntimeError as error:
        raise UserError(
            f"the tensors of this program's avatars in {path / WEIGHTS}",
            "other names or shapes",
            "fit the avatar again",
        ) from error
    modules.eval().requires_grad_(False)
    return LoadedAvatar(
        path=path,
        record=record,
        model=model.to(place),
        encoder=heard,
        rasterizer=get_rasterizer(place, prefer),  # type: ignore[arg-type]
        closed=weights["closed"],
        mouth_open_direction=arrays["mouth_open_direction"],
        filmed=filmed_track(track, record),
        K=track["K"],
        plate=_plate(path / PLATE, record),
        torso=_placed(load_torso(path, record, len(track["T_camera_world"])), place),
        arkit=stored_map(arrays),
        accents=stored_accents(arrays),
        voice=stored_voice(arrays),
        hearing=hearing,
    )


def _placed(torso: LoadedTorso | None, place: torch.device) -> LoadedTorso | None:
    return None if torso is None else replace(torso, torso=torso.torso.to(place))


def _plate(path: Path, record: AvatarRecord) -> UInt8[np.ndarray, "h w 3"]:
    plate = read_image(path)
    if plate.shape[:2] != (record.image_size, record.image_size):
        came = f"one of {plate.shape[1]} x {plate.shape[0]}"
        raise UserError(f"a picture of {record.image_size} x {record.image_size} at {path}", came, DO)
    return plate


def hearing_of(avatar: LoadedAvatar, hearing: Hearing) -> AudioEncoder | Blend:
    """The wished-for audio network of an avatar that is loaded: its own, or read from its folder.

    Raises:
        UserError: it is the light one, and there is none; or the folder is gone or damaged.
    """
    if avatar.hearing == hearing:
        return avatar.encoder
    arrays, _ = read_arrays(avatar.path / WEIGHTS)
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    best = AudioEncoder(avatar.record.encoder)
    best.load_state_dict(_under("model.encoder.", weights))
    return _hearing(avatar.record, best.eval().requires_grad_(False), weights, hearing, avatar.path)
