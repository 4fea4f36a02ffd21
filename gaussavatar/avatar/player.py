"""A loaded avatar: codes for a sound, images for codes and cameras, Gaussians for a viewer."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from gaussavatar.audio.blend import Blend
from gaussavatar.audio.drive import codes_for_audio
from gaussavatar.audio.encoder import AudioEncoder
from gaussavatar.audio.normalise import AudioStatistics
from gaussavatar.avatar.accents import Accents
from gaussavatar.avatar.arkit import ArkitMap
from gaussavatar.avatar.drawings import Drawings
from gaussavatar.avatar.folder import MATTE, UNDER
from gaussavatar.avatar.record import AvatarRecord
from gaussavatar.avatar.torso import LoadedTorso, joined
from gaussavatar.errors import UserError
from gaussavatar.media.frames import read_frames
from gaussavatar.model.avatar import AvatarModel
from gaussavatar.motion.edit import wide_open
from gaussavatar.motion.track import FaceState, MotionTrack
from gaussavatar.render.api import Rasterizer
from gaussavatar.render.semantics import RecordableRasterizer
from gaussavatar.storage import FrameStore, frame_writer
from gaussavatar.types import Activated, Cameras, Rendered, Waveform


@dataclass(frozen=True)
class LoadedAvatar:
    """An avatar in memory. ``K`` projects to pixels of a square image of side ``size``.

    Model and rasterizer are on one device, which :attr:`device` names; arrays come in, and pictures go out, as numpy.
    """

    path: Path
    record: AvatarRecord
    model: AvatarModel
    encoder: AudioEncoder | Blend
    rasterizer: Rasterizer
    closed: Tensor
    """Codes of the closed mouth (m,), on the CPU."""
    mouth_open_direction: Float32[np.ndarray, "m"]
    filmed: MotionTrack
    """A stretch of the person's own motion, with the torso's pictures to go with it."""
    K: Float32[np.ndarray, "3 3"]
    plate: UInt8[np.ndarray, "h w 3"]
    torso: LoadedTorso | None = None
    arkit: ArkitMap | None = None
    """The person's own map from ARKit's shapes; None in an avatar that was fitted before there was one."""
    accents: Accents | None = None
    """What of brows and head follows the stress of speech; None in an avatar that was fitted before that was asked."""
    voice: AudioStatistics | None = None
    """The person's own voice, over all features that its networks hear; None in an avatar from before it was kept."""
    hearing: str = "best"
    """Which of its audio networks ``encoder`` is: ``best`` or ``light``."""
    drawings: Drawings = field(default_factory=Drawings, repr=False, compare=False)
    """Draws it on a GPU."""

    @property
    def device(self) -> torch.device:
        """Where the model is, and where everything has to be that is rendered with it."""
        return self.model.face.gaussians.means.device

    def tensor(self, array: Float[np.ndarray, "..."]) -> Float32[Tensor, "..."]:
        """An array as a tensor of the avatar's device."""
        return torch.from_numpy(array).to(self.device, torch.float32)

    @property
    def size(self) -> int:
        """Side of the avatar's square pictures, pixels."""
        return self.record.image_size

    @property
    def upper_names(self) -> tuple[str, ...]:
        """Names of the upper-face channels, in order."""
        return self.record.upper_names

    @property
    def wide_open(self) -> Float32[np.ndarray, "m"]:
        """What opens the closed mouth as wide as this person does: see :func:`gaussavatar.motion.edit.wide_open`."""
        return wide_open(self.filmed.mouth_codes, self.closed.cpu().numpy(), self.mouth_open_direction)

    @property
    def resting_upper(self) -> Float32[np.ndarray, "u"]:
        """The upper face as the person mostly holds it."""
        return np.median(self.filmed.upper, axis=0)

    @property
    def fixed_plate(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """The plate where the camera stood still; a moving camera's background is another one in every frame."""
        return self.plate if self.record.static_camera else None

    def codes_for_audio(self, waveform: Waveform, n_frames: int | None = None) -> Float32[np.ndarray, "n m"]:
        """Mouth codes of every video frame of a sound."""
        drive, closed = self.record.drive, self.closed.numpy()
        return codes_for_audio(self.encoder, waveform, closed=closed, n_frames=n_frames, config=drive)

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
        plain = not still and expression is None and T_light_world is None
        if plain and isinstance(self.rasterizer, RecordableRasterizer):
            return self.drawings.draw(self.model, self.rasterizer, mouth_codes, upper, cameras, under).image.clamp(0, 1)
        rasterizer, codes = self.rasterizer, (mouth_codes, upper)
        with torch.no_grad():
            drawn = self.model.render(rasterizer, *codes, cameras, under, still, expression, T_light_world)
        return drawn.image.clamp(0, 1)

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Movements that can be asked for by name; () where the avatar is not bound to a head."""
        return self.model.expression_names

    def render_over(
        self,
        mouth_codes: Float[Tensor, "b m"],
        upper: Float[Tensor, "b u"],
        cameras: Cameras,
        behind: Rendered,
        expression: Float[Tensor, "b n"] | None = None,
        T_light_world: Float[Tensor, "b 4 4"] | None = None,
    ) -> Rendered:
        """The head over a layer that may be transparent, of any device; colour premultiplied, 0..1.

        ``T_light_world``: see :meth:`AvatarModel.activate`.
        """
        rasterizer, codes = self.rasterizer, (mouth_codes, upper)
        rgb, below = behind.rgb.to(self.device), behind.alpha.to(self.device)
        if isinstance(rasterizer, RecordableRasterizer) and expression is None and T_light_world is None:
            drawn = self.drawings.draw(self.model, rasterizer, *codes, cameras, rgb)
        else:
            with torch.no_grad():
                drawn = self.model.render(rasterizer, *codes, cameras, rgb, False, expression, T_light_world)
        alpha = 1 - (1 - drawn.face.alpha) * (1 - drawn.mouth.alpha) * (1 - below)
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
            behind = torch.full((count, size, size, 3), 0.85, device=self.device)
        else:
            behind = torch.from_numpy(under).to(self.device).float() / 255
        cameras = Cameras(self.tensor(T_camera_world), self.tensor(K), size, size)
        codes, channels = self.tensor(mouth_codes), self.tensor(upper)
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
        if not isinstance(values, Mapping):
            raise UserError("movements by name, such as {'jawOpen': 1.0}", type(values).__name__, "give a mapping")
        row = torch.zeros(len(names))
        for name, value in values.items():
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                do = f"did you mean {close[0]}?" if close else "name one of its channels, or fit with binding = head"
                raise UserError(f"one of the avatar's {len(names)} expression channels", repr(name), do)
            row[names.index(name)] = value
        return row.to(self.device).expand(count, -1)

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
        codes, channels = self.tensor(mouth_code)[None], self.tensor(upper)[None]
        with torch.no_grad():
            face, mouth, _ = self.model.activate(codes, channels, expression=self.expression_rows(expression, 1))
        pairs = ((getattr(face, n), getattr(mouth, n)) for n in ("means", "quats", "scales", "opacities", "colors"))
        return Activated(*(torch.cat(pair, dim=1)[0] for pair in pairs))

    def gaussians(
        self,
        face: FaceState,
        expression: Mapping[str, float] | None = None,
        place: int = 0,
        T_camera_head: Float32[np.ndarray, "4 4"] | None = None,
    ) -> Activated:
        """All Gaussians of one state in head space, without batch dimension: face, mouth, torso where there is one.

        Args:
            face: codes and channels.
            expression: movements by name, 1 being full.
            place: the frame of the filmed track whose torso it is.
            T_camera_head: pose of the head that the torso is seen with; None is that of the filmed track's ``place``.

        Raises:
            UserError: ``expression`` names a movement that the avatar does not have.
        """
        head = self.activated(face.mouth_codes, face.upper, expression)
        if self.torso is None:
            return head
        pose = self.filmed.T_camera_world[place] if T_camera_head is None else T_camera_head
        return joined(head, self.torso.under_head(pose, place))

    def under_frames(self, folder: Path) -> FrameStore:
        """Decode the filmed track's torso video into a frame store in ``folder``."""
        return self._decoded(UNDER, folder / "under.u8", 3)

    def matte_frames(self, folder: Path) -> FrameStore:
        """Decode the torso's share of every torso frame into a frame store of one channel in ``folder``.

        Raises:
            UserError: the avatar was fitted before there were mattes.
        """
        if not self.record.has(MATTE):
            raise UserError(f"{MATTE} in {self.path}", "an avatar of an older version", "fit it again for a background")
        return self._decoded(MATTE, folder / "matte.u8", 1)

    def _decoded(self, name: str, path: Path, channels: int) -> FrameStore:
        with frame_writer(path, (self.size, self.size, channels), lasting=False) as writer:
            for frame in read_frames(self.path / name, width=self.size, height=self.size, fps=None):
                writer.append(frame[..., :channels])
        if writer.count != len(self.filmed):
            expected = f"{len(self.filmed)} pictures in {self.path / name}, one per frame of the track"
            raise UserError(expected, f"{writer.count}", "fetch the avatar again, or fit it anew")
        return FrameStore(path)


def to_bytes(image: Float[Tensor, "b h w c"]) -> UInt8[np.ndarray, "b h w c"]:
    """Images in 0..1 to 8 bits, rounded."""
    return (image * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
