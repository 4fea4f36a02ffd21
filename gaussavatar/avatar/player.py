"""A loaded avatar: codes for a sound, images for codes and cameras, Gaussians for a viewer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor, nn

from gaussavatar.audio.drive import DriveConfig, codes_for_audio
from gaussavatar.audio.encoder import AudioEncoder, EncoderConfig
from gaussavatar.avatar.folder import MATTE, PLATE, TRACK, UNDER, WEIGHTS, has_file, open_folder
from gaussavatar.avatar.torso import LoadedTorso, joined, load_torso
from gaussavatar.errors import UserError
from gaussavatar.media.ffmpeg import read_frames
from gaussavatar.media.images import read_image
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.model.binding import blank_binding, rig_shapes
from gaussavatar.model.config import ModelConfig
from gaussavatar.model.gaussians import InitialBranch, RawGaussians
from gaussavatar.render.api import Rasterizer, get_rasterizer
from gaussavatar.storage import FrameStore, frame_writer, read_arrays
from gaussavatar.types import Activated, Cameras, Rendered, Waveform


@dataclass(frozen=True)
class PoseTrack:
    """A stretch of the person's own head and upper-face motion, with the torso to go with it."""

    T_camera_world: Float32[np.ndarray, "n 4 4"]
    upper: Float32[np.ndarray, "n u"]
    mouth_codes: Float32[np.ndarray, "n m"]

    def __len__(self) -> int:
        return len(self.upper)


@dataclass(frozen=True)
class LoadedAvatar:
    """An avatar in memory. ``K`` projects to pixels of a square image of side ``size``."""

    path: Path
    header: dict[str, Any]
    model: AvatarModel
    encoder: AudioEncoder
    rasterizer: Rasterizer
    closed: Tensor
    mouth_open_direction: Float32[np.ndarray, "m"]
    pose_track: PoseTrack
    K: Float32[np.ndarray, "3 3"]
    size: int
    upper_names: tuple[str, ...]
    plate: UInt8[np.ndarray, "h w 3"]
    torso: LoadedTorso | None = None

    @property
    def fixed_plate(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The plate where the camera stood still; a moving camera's background is another one in every frame."""
        return self.plate if self.header.get("static_camera", True) else None

    def codes_for_audio(self, waveform: Waveform, n_frames: int | None = None) -> Float32[np.ndarray, "n m"]:
        """Mouth codes of every video frame of a sound."""
        count = n_frames if n_frames is not None else max(1, round(waveform.seconds * 25))
        drive = DriveConfig(mouth_gain=self.model.config.mouth_gain)
        return codes_for_audio(self.encoder, waveform, closed=self.closed.numpy(), n_frames=count, config=drive)

    def render_float(
        self,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        cameras: Cameras,
        under: Float[Tensor, "b h w 3"],
        still: bool = False,
        expression: Float[Tensor, "b n"] | None = None,
        T_light_world: Float[Tensor, "b 4 4"] | None = None,
    ) -> Float[Tensor, "b h w 3"]:
        """Composited images in 0..1 over ``under``. ``T_light_world``: see :meth:`AvatarModel.activate`."""
        rasterizer, codes = self.rasterizer, (mouth_codes, upper)
        with torch.no_grad():
            drawn = self.model.render(rasterizer, *codes, cameras, under, still, expression, T_light_world)
        return drawn.image.clamp(0, 1)

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Movements that can be asked for by name; () where the avatar is not bound to a head."""
        return self.model.expression_names

    def render_over(
        self, mouth_codes: Float[Tensor, "b m"], upper: Float[Tensor, "b u"], cameras: Cameras, behind: Rendered
    ) -> Rendered:
        """The head over a layer that may be transparent; colour premultiplied, 0..1."""
        with torch.no_grad():
            drawn = self.model.render(self.rasterizer, mouth_codes, upper, cameras, behind.rgb)
        alpha = 1 - (1 - drawn.face.alpha) * (1 - drawn.mouth.alpha) * (1 - behind.alpha)
        return Rendered(drawn.image.clamp_min(0).minimum(alpha[..., None]), alpha)

    def render(
        self,
        mouth_codes: Float32[np.ndarray, "b m"],
        upper: Float32[np.ndarray, "b u"],
        T_camera_world: Float32[np.ndarray, "b 4 4"],
        K: Float32[np.ndarray, "b 3 3"],
        size: int,
        under: UInt8[np.ndarray, "b h w 3"] | None = None,
        expression: Mapping[str, float] | None = None,
    ) -> UInt8[np.ndarray, "b h w 3"]:
        """8-bit images; without ``under`` over a neutral grey. ``expression`` adds movements by name, 1 being full.

        Raises:
            UserError: ``expression`` names a movement that the avatar does not have (see ``expression_names``).
        """
        count = len(mouth_codes)
        if under is None:
            behind = torch.full((count, size, size, 3), 0.85)
        else:
            behind = torch.from_numpy(under).float() / 255
        cameras = Cameras(torch.from_numpy(T_camera_world).float(), torch.from_numpy(K).float(), size, size)
        codes, channels = torch.from_numpy(mouth_codes), torch.from_numpy(upper)
        movements = self.expression_rows(expression, count)
        image = self.render_float(codes, channels, cameras, behind, expression=movements)
        return to_bytes(image)

    def expression_rows(self, values: Mapping[str, float] | None, count: int) -> Float[Tensor, "b n"] | None:
        """Named movements as ``count`` rows of the model's channels; None where there are none.

        Raises:
            UserError: a name that the avatar does not have.
        """
        if not values:
            return None
        names = self.model.expression_names
        row = torch.zeros(len(names))
        for name, value in values.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                do = f"did you mean {close[0]}?" if close else "name one of its channels, or fit with binding = head"
                raise UserError(f"one of the avatar's {len(names)} expression channels", repr(name), do)
            row[names.index(name)] = value
        return row.expand(count, -1)

    def activated(
        self,
        mouth_code: Float32[np.ndarray, "m"],
        upper: Float32[np.ndarray, "u"],
        expression: Mapping[str, float] | None = None,
    ) -> Activated:
        """Both branches' Gaussians of one state, mouth after face; seen from the front where that matters.

        Raises:
            UserError: ``expression`` names a movement that the avatar does not have.
        """
        codes, channels = torch.from_numpy(mouth_code)[None], torch.from_numpy(upper)[None]
        with torch.no_grad():
            face, mouth, _ = self.model.activate(codes, channels, expression=self.expression_rows(expression, 1))
        pairs = ((getattr(face, n), getattr(mouth, n)) for n in ("means", "quats", "scales", "opacities", "colors"))
        return Activated(*(torch.cat(pair, dim=1)[0] for pair in pairs))

    def frame_gaussians(
        self,
        mouth_code: Float32[np.ndarray, "m"],
        upper: Float32[np.ndarray, "u"],
        expression: Mapping[str, float] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Means (n, 3), covariances (n, 3, 3), colours (n, 3) in 0..1 and opacities (n, 1) for a splat viewer."""
        import roma

        gaussians = self.activated(mouth_code, upper, expression)
        if self.torso is not None:
            gaussians = joined(gaussians, self.torso.at_rest(self.pose_track.T_camera_world[0]))
        R = roma.unitquat_to_rotmat(gaussians.quats[:, [1, 2, 3, 0]])
        spread = R * gaussians.scales[:, None, :]
        covariances = spread @ spread.transpose(1, 2)
        colors = gaussians.colors.clamp(0, 1)
        return gaussians.means.numpy(), covariances.numpy(), colors.numpy(), gaussians.opacities[:, None].numpy()

    def under_frames(self, folder: Path) -> FrameStore:
        """Decode the pose track's torso video into a frame store in ``folder``."""
        return self._decoded(UNDER, folder / "under.u8", 3)

    def matte_frames(self, folder: Path) -> FrameStore:
        """Decode the torso's share of every torso frame into a frame store of one channel in ``folder``.

        Raises:
            UserError: the avatar was fitted before there were mattes.
        """
        if not has_file(self.header, MATTE):
            raise UserError(f"{MATTE} in {self.path}", "an avatar of an older version", "fit it again for a background")
        return self._decoded(MATTE, folder / "matte.u8", 1)

    def _decoded(self, name: str, path: Path, channels: int) -> FrameStore:
        with frame_writer(path, (self.size, self.size, channels)) as writer:
            for frame in read_frames(self.path / name, width=self.size, height=self.size, fps=None):
                writer.append(frame[..., :channels])
        return FrameStore(path)


def to_bytes(image: Float[Tensor, "b h w 3"]) -> UInt8[np.ndarray, "b h w 3"]:
    """Images in 0..1 to 8 bits, rounded."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def blank_branch(n: int, n_moving: int, n_codes: int) -> InitialBranch:
    """A branch of the right shapes, to be filled from a file."""
    raw = RawGaussians(torch.zeros(n, 3), torch.zeros(n, 4), torch.zeros(n, 3), torch.zeros(n), torch.zeros(n, 3))
    return InitialBranch(raw, n_moving, torch.zeros(n_codes, n_moving, 3))


def blank_model(config: ModelConfig, shapes: dict[str, int], names: Sequence[str] = ()) -> AvatarModel:
    """An untrained model of the shapes that ``model_shapes`` gave; ``names`` are the movements of a bound one."""
    n_mouth, n_upper = shapes["n_mouth"], shapes["n_upper"]
    return AvatarModel(
        config,
        n_mouth,
        n_upper,
        blank_branch(shapes["face"], shapes["face_moving"], n_mouth + n_upper),
        blank_branch(shapes["mouth"], shapes["mouth_moving"], n_mouth),
        blank_binding(names, n_mouth + n_upper, shapes) if config.binding == "head" else None,
    )


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
        **({} if model.rig is None else rig_shapes(model.rig)),
    }


def load_avatar(path: Path, prefer: str = "auto") -> LoadedAvatar:
    """Load a fitted avatar.

    Raises:
        UserError: see :func:`gaussavatar.avatar.folder.open_folder`; or the weights are of a design that has changed.
    """
    header = open_folder(path).header
    arrays, _ = read_arrays(path / WEIGHTS)
    track, _ = read_arrays(path / TRACK)
    model = blank_model(
        msgspec.convert(header["model"], ModelConfig), header["shapes"], header.get("expression_names", ())
    )
    encoder = AudioEncoder(msgspec.convert(header["encoder"], EncoderConfig))
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    modules = nn.ModuleDict({"avatar": model, "encoder": encoder})
    try:
        modules.load_state_dict({n.removeprefix("model."): t for n, t in weights.items() if n.startswith("model.")})
    except RuntimeError as error:
        raise UserError(
            f"the tensors of this program's avatars in {path / WEIGHTS}",
            "other names or shapes",
            "fit the avatar again",
        ) from error
    modules.eval().requires_grad_(False)
    return LoadedAvatar(
        path=path,
        header=header,
        model=model,
        encoder=encoder,
        rasterizer=get_rasterizer("cpu", prefer),  # type: ignore[arg-type]
        closed=weights["closed"],
        mouth_open_direction=arrays["mouth_open_direction"],
        pose_track=PoseTrack(track["T_camera_world"], track["upper"], track["mouth_codes"]),
        K=track["K"],
        size=header["image_size"],
        upper_names=tuple(header["upper_names"]),
        plate=read_image(path / PLATE),
        torso=load_torso(path, header),
    )
