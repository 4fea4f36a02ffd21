"""The actor seen from where the clip never looked: the truth that views of an avatar are measured against."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from gaussavatar.head.builtin.model import builtin_head
from gaussavatar.motion.viewpoint import orbited
from gaussavatar.synthetic.actor import ActorTruth, Film, Stage
from gaussavatar.synthetic.body import PARTS, ActorBody, PosedActor, pose_actor
from gaussavatar.synthetic.motion import ActorMotion, actor_motion, head_pose
from gaussavatar.synthetic.picture import OVERSAMPLE, draw_actor
from gaussavatar.synthetic.speech import babble
from gaussavatar.types import Camera

CHIN, JAW_ANGLES = 152, [58, 288]
BELOW = 0.003
"""Metres below the line of the jaw that still are head."""


def is_of_seed(truth: ActorTruth, seed: int) -> bool:
    """Whether the actor of a seed turns its head as the clip's does."""
    head = builtin_head()
    joints = _motion(truth, seed).joints
    R, _ = head_pose(joints, head.joint_positions, head.joint_parents, head.joint_names.index("head"))
    return bool(np.allclose(R, truth.R_camera_head, atol=1e-5))


def _motion(truth: ActorTruth, seed: int) -> ActorMotion:
    n_frames = len(truth.aperture)
    phones = babble(n_frames / truth.fps, seed)
    return actor_motion(phones, n_frames, round(truth.fps), seed, builtin_head().joint_names)


class ActorSides:
    """Draws any frame of an actor's clip from any side, with all of its hair; the light stays where it is."""

    def __init__(self, truth: ActorTruth, seed: int) -> None:
        """Build the actor anew.

        Args:
            truth: of the clip.
            seed: what the clip was made with; see :func:`is_of_seed`.
        """
        self._stage = Stage.build(seed, truth.size, every_strand=True)
        self._film, self._truth = Film(self._stage, _motion(truth, seed)), truth
        self._is_head = head_triangles(self._stage.body)

    def point(self, frame: int, landmarks: list[int]) -> Float[np.ndarray, "3"]:
        """The middle of some of MediaPipe's landmarks in a frame, in the filming camera's space, metres."""
        seen = self._truth.landmarks[frame, landmarks].astype(float)
        pixels = np.column_stack([seen[:, :2], np.ones(len(seen))])
        return (pixels @ np.linalg.inv(self._truth.K.astype(float)).T * seen[:, 2:]).mean(axis=0)

    def draw(
        self,
        frame: int,
        K: Float[np.ndarray, "3 3"],
        size: int,
        centre: Float[np.ndarray, "3"],
        yaw: float,
        pitch: float,
    ) -> tuple[UInt8[np.ndarray, "s s 3"], Bool[np.ndarray, "s s"], Bool[np.ndarray, "s s"]]:
        """The picture, the mask of the head and that of neck and clothes, by a camera that is turned about ``centre``.

        Args:
            frame: of the clip.
            K: of the picture.
            size: its side, pixels.
            centre: in the filming camera's space, metres.
            yaw: radians; see :func:`gaussavatar.motion.viewpoint.orbited`.
            pitch: radians.
        """
        body, film = self._stage.body, self._film
        vertices = film.pose(film.head, slice(frame, frame + 1))[0]
        posed = pose_actor(body, vertices, film.R[frame], film.t[frame])
        T = orbited(Camera(np.eye(4, dtype=np.float32), K.astype(np.float32), size, size), centre, yaw, pitch)
        R, t = T.T_camera_world[:3, :3], T.T_camera_world[:3, 3]
        turned = PosedActor((posed.vertices @ R.T + t).astype(np.float32), (posed.normals @ R.T).astype(np.float32))
        wall = np.full((size, size, 3), 0.2, np.float32)
        picture = draw_actor(body, turned, self._stage.seen, K, wall, R)
        index = picture.raster.triangle_index
        head = (index >= 0) & self._is_head[index.clip(0)]
        return picture.rgb, _mostly(head), _mostly((index >= 0) & ~head)


def _mostly(fine: Bool[np.ndarray, "f f"]) -> Bool[np.ndarray, "s s"]:
    size = len(fine) // OVERSAMPLE
    return fine.reshape(size, OVERSAMPLE, size, OVERSAMPLE).mean(axis=(1, 3)) > 0.5


def head_triangles(body: ActorBody) -> Bool[np.ndarray, "t"]:
    """Which triangles of an actor's mesh are its head: all but shirt, and skin below the line of the jaw."""
    rest = body.surface @ body.head.template
    chin, angle = body.landmarks[CHIN], body.landmarks[JAW_ANGLES].mean(axis=0)
    slope = (angle[1] - chin[1]) / (angle[2] - chin[2])
    below = rest[:, 1] > chin[1] + BELOW + slope * np.maximum(rest[:, 2] - chin[2], 0)
    skin = body.part == PARTS.index("skin")
    head = body.part != PARTS.index("shirt")
    head[skin] = below[body.triangles[skin]].sum(axis=1) < 2
    return head
