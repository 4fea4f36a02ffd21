"""The demo actor: a made-up person who speaks a made-up language, drawn with its own truth beside it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8

from gaussavatar.errors import UserError
from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.head.model import (
    REGIONS,
    HeadModel,
    landmark_head,
    landmark_points,
    pose_vertices,
)
from gaussavatar.media.writing import write_video
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.parallel import ordered_map
from gaussavatar.progress import Progress, QuietProgress
from gaussavatar.storage import FrameWriter, frame_writer, read_arrays, write_arrays
from gaussavatar.synthetic.body import PARTS, ActorBody, build_actor, pose_actor
from gaussavatar.synthetic.light import SeenLight, bake_light, smooth_over_mesh
from gaussavatar.synthetic.look import ActorLook, look_of_seed
from gaussavatar.synthetic.motion import ActorMotion, Performance, actor_motion, head_pose
from gaussavatar.synthetic.picture import OVERSAMPLE, Picture, draw_actor, paint_wall
from gaussavatar.synthetic.speech import babble
from gaussavatar.synthetic.voice import speak_phones, write_wave

FOCAL_SHARE = 2.25
"""Focal length over the picture's side (a portrait lens, 25 degrees across)."""

PLACE = (0.0, -0.012, 0.84)
"""Where the head's origin rests in camera space, metres."""

WORKERS = 2
BLOCK = 8
"""Frames that are posed at once."""

MASKS = ("person", "head", "face", "inner_mouth")
"""Channels of the masks, each 0..255 coverage."""

MOUTH_GLOW = 0.07
"""Share of the sky that the deepest corner of the mouth still gets, through its own walls."""

RESTING_MOUTH = {"mouthClose": 0.065, "mouthPressLeft": 0.08, "mouthPressRight": 0.08}
"""What brings the built-in head's lips together at rest."""


@dataclass(frozen=True)
class ActorTruth:
    """What the actor did: the files, and per frame the pose, the 52 expressions and the lips' opening.

    A point of the rigid head (head space, metres) is at ``R_camera_head[i] @ x +
    t_camera_head[i]``; ``K`` projects it to pixels. ``aperture`` is the inner-lip gap,
    beyond that of closed lips, over the distance of the outer eye corners. ``landmarks`` are MediaPipe's points on the
    surface, in pixels, with camera z in metres as the third number.
    """

    video: Path
    sound: Path
    fps: float
    size: int
    R_camera_head: Float32[np.ndarray, "n 3 3"]
    t_camera_head: Float32[np.ndarray, "n 3"]
    K: Float32[np.ndarray, "3 3"]
    expression: Float32[np.ndarray, "n 52"]
    expression_names: tuple[str, ...]
    aperture: Float32[np.ndarray, "n"]
    landmarks: Float32[np.ndarray, "n 478 3"]
    masks: Path | None


def make_actor_clip(
    folder: Path,
    seconds: float,
    seed: int,
    size: int = 512,
    fps: int = 25,
    *,
    masks: bool = False,
    performance: Performance | None = None,
    progress: Progress | None = None,
) -> ActorTruth:
    """Make a clip of a person who does not exist: ``actor.mp4`` with sound, and ``truth.safetensors``.

    Args:
        folder: where the files go.
        seconds: length of the clip.
        seed: which actor, sentences and motion; the same seed gives the same clip.
        size: side of the square picture in pixels.
        fps: frames per second.
        masks: also write ``masks.u8``, a frame store of coverage masks (:data:`MASKS`).
        performance: how the head moves besides speaking; as people do when not given.
        progress: where to report.

    Raises:
        UserError: a length or size that makes no clip, or a folder that cannot be written.
    """
    if seconds < 1 or size < 64 or fps < 1:
        raise UserError(
            "a clip of at least 1 second, 64 pixels and 1 frame per second",
            f"{seconds} s, {size} pixels, {fps} frames per second",
            "give larger numbers",
        )
    report = progress or QuietProgress()
    n_frames = round(seconds * fps)
    stage = Stage.build(seed, size)
    phones = babble(n_frames / fps, seed)
    sound = folder / "actor.wav"
    write_wave(sound, speak_phones(phones, seed))
    motion = actor_motion(phones, n_frames, fps, seed, stage.body.head.joint_names, performance)
    film = Film(stage, motion)
    video, masks_path = folder / "actor.mp4", folder / "masks.u8" if masks else None
    with report.stage("actor", n_frames) as advance, ExitStack() as open_files:
        writer = open_files.enter_context(frame_writer(masks_path, (size, size, len(MASKS)))) if masks_path else None
        frames = _frames(film, n_frames, writer, advance)
        write_video(video, frames, fps, (size, size), audio=sound, seconds=n_frames / fps)
    truth = ActorTruth(
        video, sound, fps, size, film.R, film.t, stage.K, film.expression, ARKIT_EXPRESSIONS,
        *film.landmarks(), masks_path,
    )  # fmt: skip
    save_truth(folder / "truth.safetensors", truth)
    return truth


def actor_head(seed: int) -> HeadModel:
    """The head of the actor with this seed, at rest, with its landmark embedding."""
    return build_actor(builtin_head(), look_of_seed(seed)).head


def save_truth(path: Path, truth: ActorTruth) -> None:
    """Write the truth's arrays, atomically."""
    names = ("R_camera_head", "t_camera_head", "K", "expression", "aperture", "landmarks")
    write_arrays(
        path,
        {name: getattr(truth, name) for name in names},
        {
            "expression_names": " ".join(truth.expression_names),
            "fps": str(truth.fps),
            "size": str(truth.size),
            "video": truth.video.name,
            "sound": truth.sound.name,
            "masks": truth.masks.name if truth.masks else "",
        },
    )


def load_truth(path: Path) -> ActorTruth:
    """Read the truth of a clip from its folder.

    Raises:
        UserError: the file is missing or damaged.
    """
    arrays, facts = read_arrays(path)
    return ActorTruth(
        video=path.parent / facts["video"],
        sound=path.parent / facts["sound"],
        fps=float(facts["fps"]),
        size=int(facts["size"]),
        expression_names=tuple(facts["expression_names"].split()),
        masks=path.parent / facts["masks"] if facts["masks"] else None,
        **arrays,
    )


@dataclass(frozen=True)
class Stage:
    """The dressed actor under the light, the wall behind, and the camera."""

    body: ActorBody
    seen: SeenLight
    wall: np.ndarray
    K: Float32[np.ndarray, "3 3"]

    @staticmethod
    def build(seed: int, size: int, look: ActorLook | None = None, every_strand: bool = False) -> Stage:
        """Dress and light the actor of a seed, or of a look; ``every_strand``: see :func:`build_actor`."""
        look = look or look_of_seed(seed)
        body = build_actor(builtin_head(), look, every_strand)
        focal = FOCAL_SHARE * size
        K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], np.float32)
        return Stage(body, light_at_rest(body), paint_wall(size, look), K)


def light_at_rest(body: ActorBody) -> SeenLight:
    """Bake the light: everything with the mouth closed, the mouth's inside with the mouth open."""

    def bake(n_sky: int, n_key: int, **weights: float) -> SeenLight:
        row = torch.tensor(body.head.expression_row(**weights))[None]
        vertices = pose_vertices(body.head, torch.zeros(1, 0), row)[0].numpy()
        posed = pose_actor(body, vertices, np.eye(3), np.zeros(3))
        return bake_light(posed.vertices, posed.normals, body.triangles, n_sky=n_sky, n_key=n_key, threads=WORKERS)

    closed = bake(56, 16)
    opened = bake(40, 8, jawOpen=0.35, mouthUpperUpLeft=0.3, mouthUpperUpRight=0.3)
    mouth = np.unique(body.triangles[body.part == PARTS.index("mouth")])
    sky, key = closed.sky.copy(), closed.key.copy()
    sky[mouth], key[mouth] = np.maximum(opened.sky[mouth], MOUTH_GLOW), opened.key[mouth]
    # An eye's glint is the lamp's mirror image: lids and brows dim it less than they dim diffuse light.
    eyes = np.unique(body.triangles[body.part == PARTS.index("eyes")])
    key[eyes] = np.maximum(key[eyes], 0.6)
    solid = body.triangles[body.part <= PARTS.index("shirt")]
    return SeenLight(smooth_over_mesh(sky, solid, 2), smooth_over_mesh(key, solid, 3))


class Film:
    """Draws any frame of a motion; frames are independent of each other."""

    def __init__(self, stage: Stage, motion: ActorMotion) -> None:
        self._stage, self._motion = stage, motion
        head = stage.body.head
        R, t = head_pose(motion.joints, head.joint_positions, head.joint_parents, head.joint_names.index("head"))
        self._place = (motion.body + np.array(PLACE)).astype(np.float32)
        self.R, self.t = R.astype(np.float32), (t + self._place).astype(np.float32)
        opening = np.clip(motion.expression[:, ARKIT_EXPRESSIONS.index("jawOpen")] / 0.06, 0, 1)
        self.expression = motion.expression + (1 - opening)[:, None] * head.expression_row(**RESTING_MOUTH)

        self._closed_lips = stage.body.landmarks[[13, 14]]

    @property
    def head(self) -> HeadModel:
        """The actor's head model."""
        return self._stage.body.head

    def pose(self, head: HeadModel, frames: slice) -> np.ndarray:
        """Vertices (f, v, 3) of the head model, or of a part of it, in camera space."""
        rows, joints = torch.tensor(self.expression[frames]), torch.tensor(self._motion.joints[frames])
        return pose_vertices(head, torch.zeros(1, 0), rows, joints, torch.tensor(self._place[frames])).numpy()

    def draw(self, frame: int, vertices: Float32[np.ndarray, "v 3"]) -> Picture:
        """Draw one frame from its head vertices in camera space."""
        stage = self._stage
        posed = pose_actor(stage.body, vertices, self.R[frame], self.t[frame])
        return draw_actor(stage.body, posed, stage.seen, stage.K, stage.wall)

    def masks(self, picture: Picture) -> UInt8[np.ndarray, "s s 4"]:
        """Coverage masks of a drawn frame (:data:`MASKS`)."""
        return coverage_masks(self._stage.body, picture)

    def landmarks(self) -> tuple[np.ndarray, np.ndarray]:
        """The lips' opening and the landmarks in pixels, for every frame."""
        head = landmark_head(self.head)
        assert head.embedding is not None
        vertices = torch.tensor(self.pose(head, slice(None)))
        points = landmark_points(vertices, head.triangles, head.embedding).numpy()
        gap = np.linalg.norm(points[:, 13] - points[:, 14], axis=1)
        closed = np.linalg.norm(self._closed_lips[0] - self._closed_lips[1])
        aperture = np.maximum(gap - closed, 0) / np.linalg.norm(points[:, 33] - points[:, 263], axis=1)
        projected = points @ self._stage.K.T
        return aperture, np.concatenate([projected[..., :2] / projected[..., 2:], points[..., 2:]], -1)


def _frames(film: Film, n_frames: int, masks: FrameWriter | None, advance: object) -> Iterator[np.ndarray]:
    """Draw frames in order, a few at a time in threads: the native code releases the interpreter's lock."""

    def posed() -> Iterator[tuple[int, np.ndarray]]:
        # Posing here, in blocks, keeps torch's own threads out of the workers.
        for first in range(0, n_frames, BLOCK):
            yield from enumerate(film.pose(film.head, slice(first, first + BLOCK)), first)

    def draw(item: tuple[int, np.ndarray]) -> Picture:
        return film.draw(*item)

    with ThreadPoolExecutor(WORKERS) as pool:
        for picture in ordered_map(pool, draw, islice(posed(), n_frames), BLOCK):
            if masks is not None:
                masks.append(film.masks(picture))
            advance(1)  # type: ignore[operator]
            yield picture.rgb


def coverage_masks(body: ActorBody, picture: Picture) -> UInt8[np.ndarray, "s s 4"]:
    """How much of each pixel is person, head (with hair and ears, without neck), face skin, inside of the mouth."""
    classes = _triangle_classes(body)
    index = picture.raster.triangle_index
    seen = np.where(index < 0, 0, classes[index])
    size = index.shape[0] // OVERSAMPLE
    layers = [np.isin(seen, values).astype(np.float32) for values in ((1, 2, 3, 4), (2, 3, 4), (3,), (4,))]
    small = [cv2.resize(layer, (size, size), interpolation=cv2.INTER_AREA) for layer in layers]
    return (np.stack(small, -1) * 255 + 0.5).astype(np.uint8)


def _triangle_classes(body: ActorBody) -> np.ndarray:
    """0 wall, 1 body, 2 head besides the face, 3 face, 4 inside of the mouth, for every triangle."""
    share = np.asarray(body.surface @ np.eye(len(REGIONS), dtype=np.float32)[body.head.regions])
    vertex = share.argmax(1)
    face = np.isin(vertex, [REGIONS.index(name) for name in ("face", "lips")])
    neck = np.isin(vertex, [REGIONS.index(name) for name in ("neck", "torso")])
    classes = np.full(len(body.part), 2, np.int8)
    skin = body.part == PARTS.index("skin")
    corners = body.triangles[skin]
    classes[skin] = np.where(neck[corners].sum(1) >= 2, 1, np.where(face[corners].sum(1) >= 2, 3, 2))
    classes[body.part == PARTS.index("mouth")] = 4
    classes[body.part == PARTS.index("shirt")] = 1
    for name in ("eyes", "brows", "lashes"):
        classes[body.part == PARTS.index(name)] = 3
    return classes
