"""How the demo actor moves: mouth shapes from the phones that it says, blinks, brows, gaze, head and body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from scipy.ndimage import gaussian_filter1d

from gaussavatar.easing import smoothstep
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.synthetic.speech import SILENCE, VOWELS, Phone

STEP = 0.01
"""Seconds between samples of the mouth track before it is read at the video's frames."""

MOUTH_SHAPES: dict[str, dict[str, float]] = {
    "a": {"jawOpen": 0.40, "mouthLowerDown": 0.35, "mouthUpperUp": 0.22, "mouthStretch": 0.10},
    "e": {"jawOpen": 0.22, "mouthLowerDown": 0.35, "mouthUpperUp": 0.22, "mouthStretch": 0.30, "mouthSmile": 0.14},
    "i": {"jawOpen": 0.10, "mouthLowerDown": 0.38, "mouthUpperUp": 0.20, "mouthStretch": 0.36, "mouthSmile": 0.22},
    "o": {"jawOpen": 0.26, "mouthFunnel": 0.62, "mouthPucker": 0.22, "mouthLowerDown": 0.10},
    "u": {"jawOpen": 0.10, "mouthFunnel": 0.30, "mouthPucker": 0.72},
    "@": {"jawOpen": 0.17, "mouthLowerDown": 0.25, "mouthUpperUp": 0.12},
    "closed": {"mouthPress": 0.22, "mouthClose": 0.06, "mouthRollLower": 0.20, "mouthRollUpper": 0.14},
    "f": {"jawOpen": 0.05, "mouthRollLower": 0.62, "mouthUpperUp": 0.34, "mouthShrugLower": 0.15},
    "s": {"jawOpen": 0.035, "mouthLowerDown": 0.42, "mouthUpperUp": 0.26, "mouthStretch": 0.26},
    "S": {"jawOpen": 0.06, "mouthFunnel": 0.62, "mouthLowerDown": 0.30, "mouthUpperUp": 0.28},
    "t": {"jawOpen": 0.09, "mouthLowerDown": 0.28, "mouthUpperUp": 0.14, "mouthStretch": 0.10},
    "k": {"jawOpen": 0.15, "mouthLowerDown": 0.22, "mouthUpperUp": 0.12},
    "r": {"jawOpen": 0.11, "mouthFunnel": 0.36, "mouthPucker": 0.20, "mouthLowerDown": 0.12},
    "w": {"jawOpen": 0.06, "mouthFunnel": 0.15, "mouthPucker": 0.80},
    "h": {"jawOpen": 0.18, "mouthLowerDown": 0.22, "mouthUpperUp": 0.12},
    SILENCE: {},
}
"""ARKit channels of each mouth shape; names without Left or Right stand for both sides where there are two."""

SHAPE_OF_PHONE = {
    **{vowel: vowel for vowel in VOWELS},
    **{"m": "closed", "b": "closed", "p": "closed", "f": "f", "v": "f", "s": "s", "z": "s", "S": "S"},
    **{"t": "t", "d": "t", "n": "t", "l": "t", "j": "i", "k": "k", "g": "k", "r": "r", "w": "w", "h": "h"},
    SILENCE: SILENCE,
}
DOMINANCE = {
    "closed": 5.0,
    "f": 3.2,
    "S": 2.2,
    "w": 2.6,
    "s": 1.8,
    "t": 0.8,
    "k": 0.6,
    "h": 0.3,
    "r": 1.2,
    SILENCE: 1.6,
}
"""How strongly a shape holds against its neighbours; vowels 1."""

OPENING = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel")
"""Channels that part the lips, and that closed lips therefore hold down."""


RESTING_GAZE = 0.03
"""Radians by which the eyes rest below the head's axis: it centres the built-in head's irises between the lids."""


@dataclass(frozen=True)
class ActorMotion:
    """What drives the actor in every frame.

    ``joints`` are the head model's joint rotations (axis-angle); ``body`` is where the
    torso's own frame sits in camera space relative to its rest place, metres.
    """

    expression: Float32[np.ndarray, "n 52"]
    joints: Float32[np.ndarray, "n j 3"]
    body: Float32[np.ndarray, "n 3"]


@dataclass(frozen=True)
class Performance:
    """How the actor moves the head, besides what speech does to it.

    ``turn_deg`` is how far the head turns to either side at most (None: as people do while they speak, about
    10 degrees). From second ``nod_from`` on, for ``nod_seconds``, the head nods ``nod_deg`` to either side of its
    middle, ``nod_hz`` times a second.
    """

    turn_deg: float | None = None
    nod_from: float = 0.0
    nod_seconds: float = 0.0
    nod_hz: float = 3.0
    nod_deg: float = 4.0

    def nod(self, time: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Pitch in radians that the nodding adds, faded in and out over a third of a second."""
        since, left = time - self.nod_from, self.nod_from + self.nod_seconds - time
        envelope = smoothstep(np.clip(np.minimum(since, left) / 0.33, 0, 1))
        return np.deg2rad(self.nod_deg) * envelope * np.sin(2 * np.pi * self.nod_hz * since)


def channels(shape: dict[str, float]) -> Float[np.ndarray, "52"]:
    """A mouth shape as a vector of the 52 ARKit channels."""
    row = np.zeros(len(ARKIT_EXPRESSIONS))
    for name, value in shape.items():
        sides = [name] if name in ARKIT_EXPRESSIONS else [f"{name}Left", f"{name}Right"]
        for side in sides:
            row[ARKIT_EXPRESSIONS.index(side)] = value
    return row


def mouth_track(phones: tuple[Phone, ...], n_frames: int, fps: float) -> Float[np.ndarray, "n 52"]:
    """Mouth channels of every frame, with coarticulation.

    Every phone pulls the mouth towards its shape with a strength that fades around its
    middle, and the mouth takes the weighted mean (Cohen and Massaro, "Modeling
    coarticulation in synthetic visual speech", 1993, eq. 1-3). Closed lips are enforced
    on top: while m, b and p hold, and in silence, nothing parts the lips.
    """
    time = np.arange(0, phones[-1].end + STEP, STEP)
    total, weighted = np.full(len(time), 1e-6), np.zeros((len(time), len(ARKIT_EXPRESSIONS)))
    for phone in phones:
        name = SHAPE_OF_PHONE[phone.symbol]
        half = max(phone.end - phone.start, 0.06) / 2
        beyond = np.clip(np.abs(time - phone.middle) - 0.35 * half, 0, None)
        # Lips move ahead of the sound more than they lag behind it.
        pace = np.where(time < phone.middle, 0.055, 0.045) + 0.15 * half
        pull = DOMINANCE.get(name, 1.0) * np.exp(-((beyond / pace) ** 1.4))
        stress = 0.80 + 0.20 * phone.stress if phone.symbol in VOWELS else 1.0
        weighted += pull[:, None] * (channels(MOUTH_SHAPES[name]) * stress)
        total += pull
    track = weighted / total[:, None]
    held = 1 - _closure(phones, time)
    for name in OPENING:
        for index, channel in enumerate(ARKIT_EXPRESSIONS):
            if channel.startswith(name):
                track[:, index] *= held
    track = gaussian_filter1d(track, 1.2, axis=0)
    frames = np.clip((np.arange(n_frames) + 0.5) / fps, 0, time[-1])
    return np.stack([np.interp(frames, time, track[:, k]) for k in range(track.shape[1])], 1)


def _closure(phones: tuple[Phone, ...], time: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
    """1 while the lips must be closed, with fast ramps into and out of it."""
    closed = np.zeros(len(time))
    for phone in phones:
        name = SHAPE_OF_PHONE[phone.symbol]
        if name == "closed":
            start, end, ramp = phone.start + 0.005, phone.end - 0.022, 0.045
        elif name == SILENCE:
            start, end, ramp = phone.start + 0.06, phone.end - 0.05, 0.07
            if phone.start == 0:
                start = -1.0
        else:
            continue
        outside = np.clip(np.maximum(start - time, time - max(end, start + 0.01)), 0, None)
        closed = np.maximum(closed, np.clip(1 - outside / ramp, 0, 1))
    return smoothstep(closed)


def actor_motion(
    phones: tuple[Phone, ...],
    n_frames: int,
    fps: float,
    seed: int,
    joint_names: tuple[str, ...],
    performance: Performance | None = None,
) -> ActorMotion:
    """The whole motion of a clip: mouth from the phones, and everything that moves besides."""
    random = np.random.default_rng([seed, 71])
    time = (np.arange(n_frames) + 0.5) / fps
    expression = mouth_track(phones, n_frames, fps)
    stress = np.zeros(n_frames)
    for phone in phones:
        if phone.symbol in VOWELS and phone.stress > 1:
            stress += np.exp(-0.5 * ((time - phone.middle) / 0.09) ** 2)
    gaze = _gaze(time, random)
    blink = _blinks(time, phones, random)
    _upper_face(expression, time, stress, blink, gaze, random)
    joints = np.zeros((n_frames, len(joint_names), 3))
    nod = 0.020 * gaussian_filter1d(stress, 2.0) + _wander(time, random, 0.035)
    turn, tilt = _wander(time, random, 0.105), _wander(time, random, 0.040)
    if performance is not None:
        nod = nod + performance.nod(time)
        if performance.turn_deg is not None:
            turn = turn * (np.deg2rad(performance.turn_deg) / max(float(np.abs(turn).max()), 1e-9))
    head = np.stack([nod, turn, tilt], 1)
    joints[:, joint_names.index("neck")] = 0.45 * head
    joints[:, joint_names.index("head")] = 0.55 * head
    joints[:, joint_names.index("torso")] = np.stack(
        [_wander(time, random, 0.008), _wander(time, random, 0.018), _wander(time, random, 0.010)], 1
    )
    for side in ("left", "right"):
        joints[:, joint_names.index(f"eye_{side}"), 0] = gaze[:, 1] + RESTING_GAZE
        joints[:, joint_names.index(f"eye_{side}"), 1] = gaze[:, 0]
    breath = 0.0016 * np.sin(2 * np.pi * time / 3.7)
    body = np.stack(
        [_wander(time, random, 0.0055), _wander(time, random, 0.003) - breath, _wander(time, random, 0.005)], 1
    )
    return ActorMotion(expression.astype(np.float32), joints.astype(np.float32), body.astype(np.float32))


def _wander(time: Float[np.ndarray, "n"], random: np.random.Generator, size: float) -> Float[np.ndarray, "n"]:
    """Slow irregular motion of the given typical size: a few sines of unrelated periods."""
    periods = np.array([2.1, 3.4, 5.3, 8.9]) * random.uniform(0.85, 1.15, 4)
    weights = np.array([0.25, 0.5, 0.75, 0.7])
    phase = random.uniform(0, 2 * np.pi, 4)
    waves = np.sin(2 * np.pi * time[:, None] / periods + phase)
    return size * (waves @ weights) / np.sqrt((weights**2).sum() / 2) * 0.72


def _blinks(time: np.ndarray, phones: tuple[Phone, ...], random: np.random.Generator) -> Float[np.ndarray, "n"]:
    """Lid closure: a blink about every three seconds, gladly in pauses; closes in 80 ms, opens in 160."""
    pauses = [phone for phone in phones if phone.symbol == SILENCE and phone.end - phone.start > 0.3]
    blink = np.zeros(len(time))
    now = float(random.uniform(0.8, 1.8))
    while now < time[-1] + 0.2:
        near = [phone.start + 0.12 for phone in pauses if abs(phone.start + 0.12 - now) < 0.5]
        at = near[0] if near else now
        since = time - at
        shape = np.where(since < 0, 1 + since / 0.085, np.where(since < 0.035, 1, 1 - (since - 0.035) / 0.170))
        blink = np.maximum(blink, smoothstep(np.clip(shape, 0, 1)))
        now += float(random.uniform(1.8, 4.6))
    return blink


def _gaze(time: np.ndarray, random: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Where the eyes look (left-right, up-down, radians): mostly at the camera, with small quick jumps."""
    gaze = np.zeros((len(time), 2))
    now = 0.0
    while now < time[-1]:
        at_camera = random.uniform() < 0.7
        target = random.normal(0, 0.018 if at_camera else 0.10, 2) * [1.0, 0.5]
        gaze[time >= now] = target
        now += float(random.uniform(0.6, 2.4))
    return gaussian_filter1d(gaze, 0.7, axis=0)


def _upper_face(
    expression: np.ndarray,
    time: np.ndarray,
    stress: np.ndarray,
    blink: np.ndarray,
    gaze: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Write lids, brows and squint into the channels."""

    def add(name: str, value: np.ndarray) -> None:
        expression[:, ARKIT_EXPRESSIONS.index(name)] += value

    lifted = gaussian_filter1d(stress, 4.0) * np.clip(0.5 + _wander(time, random, 0.5), 0, 1)
    moods = [np.clip(_wander(time, random, 0.22) - 0.05, 0, 0.6) for _ in range(3)]
    add("browInnerUp", 0.25 * lifted + 0.8 * moods[0])
    for side in ("Left", "Right"):
        add(f"eyeBlink{side}", np.maximum(0.90 * blink, 0.02 + 0.10 * np.clip(gaze[:, 1] / 0.1, 0, 1)))
        add(f"browOuterUp{side}", 0.18 * lifted + 0.6 * moods[0])
        add(f"browDown{side}", 0.5 * moods[1])
        add(f"eyeSquint{side}", 0.04 + 0.4 * moods[2])
        add(f"mouthSmile{side}", 0.05 + 0.10 * moods[2])
        add(f"cheekSquint{side}", 0.2 * moods[2])


def head_pose(
    joints: Float[np.ndarray, "n j 3"],
    positions: Float[np.ndarray, "j 3"],
    parents: tuple[int, ...],
    joint: int,
) -> tuple[Float[np.ndarray, "n 3 3"], Float[np.ndarray, "n 3"]]:
    """Rigid motion of what hangs on one joint: ``x -> R @ x + t`` from rest to posed, in the model's space."""
    chain = []
    while joint >= 0:
        chain.append(joint)
        joint = parents[joint]
    R = np.broadcast_to(np.eye(3), (len(joints), 3, 3)).copy()
    t = np.zeros((len(joints), 3))
    for index in reversed(chain):
        turn = rotation_matrices(torch.as_tensor(np.asarray(joints[:, index], np.float64))).numpy()
        t = t + (R @ (positions[index] - turn @ positions[index])[..., None])[..., 0]
        R = R @ turn
    return R, t
