"""The person's own head and its motion from a clip's landmarks and poses, for any head model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int

from gaussavatar.errors import UserError
from gaussavatar.head.embedding import LIP_RINGS, camera_yaw
from gaussavatar.head.model import HeadModel
from gaussavatar.landmarks.indices import (
    FACE_OVAL,
    LEFT_BROW,
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from gaussavatar.landmarks.measures import eye_openness
from gaussavatar.tracking.face.motion import head_space_landmarks
from gaussavatar.tracking.face.upper_face import blink_closure
from gaussavatar.tracking.head.expression import (
    ExpressionPrior,
    Faces,
    LandmarkRig,
    Views,
    build_rig,
    make_views,
    solve_faces,
)
from gaussavatar.tracking.head.gaze import EYES, eye_rotations, forward_direction, gaze_directions, look_shapes
from gaussavatar.tracking.head.identity import Placement, calm_face, is_arkit, part_lips, place_head
from gaussavatar.tracking.head.neck import neck_rotations
from gaussavatar.tracking.head.personal import add_personal_modes, personalise
from gaussavatar.tracking.head.track import HeadTrack
from gaussavatar.tracking.head.wrap import WrappedHead, wrap_head
from gaussavatar.tracking.poses.solve import project, visibility
from gaussavatar.types import Landmarks, Tracking

_REFERENCE_SIZE = 512
_UPPER_LIDS = (246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398)


@dataclass(frozen=True)
class HeadFitConfig:
    """Settings of the fit. Pixels are those of a 512 px picture.

    ``sigma_px`` is a landmark's error, ``robust_px`` where it starts to count as astray; ``independent_points`` is
    what a frame's landmarks are worth together, since their errors go together. ``weight_sigma`` is the prior's
    standard deviation of an ARKit weight and ``weight_cost`` what any weight costs besides (it keeps antagonists
    from pulling against each other); principal components have unit variance. ``blink_sigma`` ties a blink's weight
    to how far the lids' landmarks close. ``step_sigma`` ties a weight to the
    mean of its neighbours in time, loosely, so that blinks stay sharp. ``n_personal`` residual modes are added
    where the model's expressions do not reach this person's lips (``personal_from_px``).
    """

    sigma_px: float = 0.7
    robust_px: float = 2.0
    independent_points: float = 120.0
    weight_sigma: float = 0.5
    weight_cost: float = 0.6
    blink_sigma: float = 0.03
    step_sigma: float = 0.15
    n_personal: int = 16
    personal_from_px: float = 0.6
    identity_prior: float = 1.0


def fit_head(
    model: HeadModel, landmarks: Landmarks, tracking: Tracking, config: HeadFitConfig | None = None
) -> HeadTrack:
    """Make a head model the person's own and find its expression, jaw and eyes in every frame.

    The skull's pose is the tracking's and is not changed. The model's identity is fitted to the calm face, then its
    skin is wrapped through the person's landmarks; the expressions go along and are then corrected on what the
    landmarks of all frames show. Expressions are solved for all frames at once.

    Args:
        model: a head with its landmark embedding.
        landmarks: landmarks of every frame.
        tracking: poses and landmark geometry of the same frames.
        config: settings.

    Raises:
        UserError: no frame has a face.
        ValueError: the head has no landmark embedding.
    """
    config = config or HeadFitConfig()
    if not tracking.valid.any():
        raise UserError("a face in the clip", "none in any frame", "film one person from the front, closer")
    wrapped, place = _wrap(model, tracking, config)
    fitter = _Fitter(wrapped, place, landmarks, tracking, config)
    fitter.run()
    return fitter.result(model)


def shape_head(model: HeadModel, tracking: Tracking, config: HeadFitConfig | None = None) -> HeadModel:
    """A head model in the shape of the tracking's calm face, at rest: the first part of :func:`fit_head`.

    Raises:
        ValueError: the head has no landmark embedding.
    """
    return _wrap(model, tracking, config or HeadFitConfig())[0].head


def _wrap(model: HeadModel, tracking: Tracking, config: HeadFitConfig) -> tuple[WrappedHead, Placement]:
    """Identity and wrap onto the calm face."""
    if model.embedding is None:
        raise ValueError(f"the head {model.name} has no landmark embedding")
    target = part_lips(calm_face(tracking))
    yaw = camera_yaw(tracking.R_camera_head[tracking.valid], tracking.t_camera_head[tracking.valid])
    # The rest face's outline is what most frames saw of it.
    seen = replace(model, embedding=model.embedding.seen_from(float(np.median(yaw))))
    place = place_head(seen, target, prior_weight=config.identity_prior)
    wrapped = wrap_head(seen, place, target)
    wrapped = replace(wrapped, head=replace(wrapped.head, embedding=model.embedding))
    return wrapped, place


def arkit_track(track: HeadTrack, landmarks: Landmarks, tracking: Tracking) -> HeadTrack:
    """The track itself where its head has the ARKit shapes, else the built-in head fitted to the same clip.

    That is how the 52 coefficients are read when the head is FLAME: its expressions are principal components, and
    no linear map from them is known to hold for the three versions of the model.

    Raises:
        UserError: the built-in head cannot be made.
    """
    if is_arkit(track.head):
        return track
    from gaussavatar.head.builtin.model import builtin_head

    return fit_head(builtin_head(), landmarks, tracking)


class _Fitter:
    """The state of one fit: the wrapped head as far as it is known, and every frame's face."""

    def __init__(
        self,
        wrapped: WrappedHead,
        place: Placement,
        landmarks: Landmarks,
        tracking: Tracking,
        config: HeadFitConfig,
    ) -> None:
        self.head, self.field, self.place, self.config = wrapped.head, wrapped.field, place, config
        self.landmarks, self.tracking = landmarks, tracking
        self.px = tracking.size / _REFERENCE_SIZE
        self.hinged = "jaw" in self.head.joint_names and not is_arkit(self.head)
        self.points = fitted_points()
        self.turns = self._eyes()
        openness = eye_openness(head_space_landmarks(landmarks, tracking))
        self.shut = np.stack([blink_closure(openness[:, eye], tracking.valid) for eye in (0, 1)], 1)
        n = len(tracking.valid)
        self.faces = Faces(np.zeros((n, len(self.head.expression_names)), np.float32), np.zeros((n, 3), np.float32))

    def _eyes(self) -> Float[np.ndarray, "n 2 3"]:
        """Rotation vectors of right and left eye."""
        n = len(self.tracking.valid)
        if not all(name in self.head.joint_names and self.head.region(ball).any() for name, ball, _ in EYES):
            return np.zeros((n, 2, 3))
        looks = np.stack([gaze_directions(self.head, self.landmarks, self.tracking, eye) for eye in EYES], 1)
        openness = eye_openness(self.landmarks.points)
        openness = openness / np.percentile(openness[self.tracking.valid], 60, axis=0)
        forward = forward_direction(self.head, self.place.R @ np.array([0.0, 0.0, -1.0]))
        return eye_rotations(looks, forward, openness, self.tracking.valid)

    def run(self) -> None:
        self._solve(4)
        for _ in range(2):
            self.head = personalise(self.head, self.field, self._everything(), self.faces, self.tracking.valid)
            self._solve(2)
        if self.config.n_personal and self._inner_rms() > self.config.personal_from_px * self.px:
            before = len(self.head.expression_names)
            self.head = add_personal_modes(
                self.head, self.field, self._everything(), self.faces, self.tracking.valid, self.config.n_personal
            )
            added = len(self.head.expression_names) - before
            more = np.zeros((len(self.faces.expression), added), np.float32)
            self.faces.expression = np.concatenate([self.faces.expression, more], 1)
            self._solve(3)

    def _solve(self, steps: int) -> None:
        config = self.config
        rig = self._rig(self.points)
        importance = point_importance(rig.landmarks, self.head)
        importance *= config.independent_points / (importance.sum() * (config.sigma_px * self.px) ** 2)
        views = self._views(rig, importance)
        self.faces = solve_faces(
            rig, views, self._prior(), self.faces, sigma_px=config.robust_px * self.px, steps=steps
        )

    def _rig(self, points: Int[np.ndarray, "p"]) -> LandmarkRig:
        return build_rig(self.head, points, hinged=self.hinged)

    def _views(self, rig: LandmarkRig, importance: Float[np.ndarray, "p"]) -> Views:
        tracking, scale = self.tracking, self.tracking.size / self.landmarks.size
        views = make_views(
            self.landmarks.points[..., :2] * np.float32(scale), tracking.R_camera_head,
            tracking.t_camera_head, tracking.K, rig, importance,
        )  # fmt: skip
        return replace(views, weights=views.weights * tracking.valid[:, None])

    def _everything(self) -> tuple[LandmarkRig, Views]:
        """All landmarks but the irises, of all frames, at equal weights."""
        rig = self._rig(np.arange(468))
        return rig, self._views(rig, np.ones(len(rig.landmarks)))

    def _prior(self) -> ExpressionPrior:
        config, names = self.config, self.head.expression_names
        n, e = len(self.tracking.valid), len(names)
        personal = np.array([name.startswith("personal_") for name in names])
        arkit = is_arkit(self.head)
        low = np.where(personal | (not arkit), -4.0, 0.0)
        high = np.where(personal | (not arkit), 4.0, 1.2)
        low, high = np.tile(low, (n, 1)).astype(np.float32), np.tile(high, (n, 1)).astype(np.float32)
        sigma = np.where(personal | (not arkit), 1.0, config.weight_sigma)
        # The rest face's lids go with the gaze that the person mostly has.
        turned = self.turns - np.median(self.turns[self.tracking.valid], axis=0)
        for index, weights in look_shapes(names, turned).items():
            low[:, index] = high[:, index] = weights
        mean, cost = np.zeros((n, e), np.float32), np.where(personal | (not arkit), 0.0, config.weight_cost)
        for eye, side in enumerate(("Right", "Left")):
            if f"eyeBlink{side}" in names:
                # A weight of 1 is to mean a closed eye, whatever else moves the lids.
                blink = names.index(f"eyeBlink{side}")
                mean[:, blink], sigma[blink], cost[blink] = self.shut[:, eye], config.blink_sigma, 0.0
        if "tongueOut" in names:
            # No landmark sees the tongue.
            high[:, names.index("tongueOut")] = 0.0
        return ExpressionPrior(
            low=low,
            high=high,
            mean=mean,
            ridge=1 / sigma**2,
            cost=cost,
            tie=np.full(e, 1 / config.step_sigma**2),
        )

    def _inner_rms(self) -> float:
        inner = np.setdiff1d(np.arange(468), FACE_OVAL)
        return float(np.sqrt((self._rms(inner)[self.tracking.valid] ** 2).mean()))

    def _rms(self, points: Int[np.ndarray, "p"]) -> Float32[np.ndarray, "n"]:
        rig = self._rig(points)
        return fit_rms(rig, self._views(rig, np.ones(len(rig.landmarks))), self.faces)

    def result(self, model: HeadModel) -> HeadTrack:
        tracking, head = self.tracking, self.head
        rotations = neck_rotations(head, tracking.R_camera_head, tracking.valid)
        for eye, (name, _, _) in enumerate(EYES):
            if name in head.joint_names:
                rotations[:, head.joint_names.index(name)] = self.turns[:, eye]
        if self.hinged:
            rotations[:, head.joint_names.index("jaw")] = held(self.faces.jaw, tracking.valid)
        return HeadTrack(
            head=head,
            model=model.name,
            identity=self.place.identity.astype(np.float32),
            expression=held(self.faces.expression, tracking.valid).astype(np.float32),
            joint_rotations=rotations.astype(np.float32),
            rms=self._rms(np.arange(468)),
        )


def fitted_points() -> Int[np.ndarray, "p"]:
    """Landmarks that the expressions are solved from: lips, lids and brows all, of the rest every second one."""
    shown = np.unique([*np.ravel(LIP_RINGS), *LEFT_EYE, *RIGHT_EYE, *LEFT_BROW, *RIGHT_BROW, *FACE_OVAL[14:23]])
    others = np.setdiff1d(np.arange(468), shown)[::2]
    return np.setdiff1d(np.union1d(shown, others), [*LEFT_IRIS, *RIGHT_IRIS])


def point_importance(points: Int[np.ndarray, "p"], head: HeadModel) -> Float[np.ndarray, "p"]:
    """Weights of landmarks in the expressions' fit: lips and upper lids high, the sliding outline low."""
    assert head.embedding is not None
    weights = head.embedding.confidence.astype(np.float64).copy()
    weights = 0.2 + 0.8 * weights
    weights[list(FACE_OVAL)] *= 0.25
    weights[[*LEFT_EYE, *RIGHT_EYE]] = 2.0
    weights[list(_UPPER_LIDS)] = 5.0
    weights[list(LIPS_OUTER)] = 2.5
    weights[list(LIPS_INNER)] = 2.0
    weights[head.embedding.confidence == 0] = 0.0
    return weights[points]


def fit_rms(rig: LandmarkRig, views: Views, faces: Faces) -> Float32[np.ndarray, "n"]:
    """Landmarks' distance from the fitted head, pixels, weighted by visibility, in every frame."""
    rms = np.empty(len(views.seen), np.float32)
    for first in range(0, len(rms), 500):
        part = slice(first, first + 500)
        points = rig.points(faces.expression[part], faces.jaw[part], views.slide[part])
        pixels, _ = project(points, views.R[part], views.t[part], views.focal_px)
        weights = visibility(rig.place, views.R[part], views.t[part])
        squared = ((views.seen[part] - pixels) ** 2).sum(-1)
        rms[part] = np.sqrt((weights * squared).sum(1) / np.maximum(weights.sum(1), 1e-9))
    return rms


def held(values: Float[np.ndarray, "n k"], known: np.ndarray) -> Float[np.ndarray, "n k"]:
    """Values of frames without a face, from their neighbours in time."""
    if known.all() or not known.any():
        return values
    frames = np.arange(len(values))
    return np.stack([np.interp(frames, frames[known], values[known, k]) for k in range(values.shape[1])], 1)
