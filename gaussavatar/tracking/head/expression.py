"""Expression and jaw of every frame, the skull's pose held: a batched, robust and bounded least-squares problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from gaussavatar.head.embedding import camera_yaw
from gaussavatar.head.model import HeadModel
from gaussavatar.tracking.poses.rotations import cross_matrix, exp_rotation, log_rotation
from gaussavatar.tracking.poses.solve import visibility

_CHUNK = 250
_SWEEPS = 8
_ACTIVE_ROUNDS = 4
_JAW_SIGMAS = np.array([0.20, 0.05, 0.03])
"""Prior of the jaw's rotation about x, y and z, radians."""


@dataclass(frozen=True)
class LandmarkRig:
    """A head cut down to what carries some landmarks: carriers are ``rest + e @ basis``, then turned with the jaw.

    The first carriers are the landmarks that stay in place, one each; then come, for every yaw of the table, those
    of the landmarks that slide along the outline (:class:`LandmarkEmbedding`); ``landmarks`` names both in this
    order and ``place`` says where they lie at rest, seen from the front.

    ``hinged_*`` are the same rows weighted with the jaw's skinning weight, less the joint's place: a jaw rotation R
    adds ``(R - I) @ (hinged_rest + e @ hinged_basis)``, and its entries add ``(R - I) @ corrective`` before. They
    are None for heads whose jaw is an expression.
    """

    landmarks: Int[np.ndarray, "p"]
    place: Float[np.ndarray, "p 3"]
    n_sliding: int
    rest: Float[np.ndarray, "c 3"]
    basis: Float[np.ndarray, "e c 3"]
    yaws: Float[np.ndarray, "k"]
    hinged_rest: Float[np.ndarray, "c 3"] | None = None
    hinged_basis: Float[np.ndarray, "e c 3"] | None = None
    corrective: Float[np.ndarray, "9 c 3"] | None = None

    @property
    def hinged(self) -> bool:
        """Whether the jaw is a joint."""
        return self.hinged_rest is not None

    def slide(self, yaw: Float[np.ndarray, "n"]) -> Float32[np.ndarray, "n k"]:
        """Shares of the table's yaws (linear interpolation) when the camera stands at ``yaw``."""
        if len(self.yaws) < 2:
            return np.ones((len(yaw), len(self.yaws)), np.float32)
        at = np.interp(yaw, self.yaws, np.arange(len(self.yaws)))
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(len(self.yaws)))).astype(np.float32)

    def points(
        self,
        expression: Float[np.ndarray, "n e"],
        jaw: Float[np.ndarray, "n 3"],
        slide: Float[np.ndarray, "n k"],
    ) -> Float[np.ndarray, "n p 3"]:
        """Landmarks of frames in head space, metres."""
        e, c = self.basis.shape[:2]
        points = self.rest + (expression @ self.basis.reshape(e, -1)).reshape(-1, c, 3)
        if self.hinged_rest is not None and self.hinged_basis is not None:
            turn = exp_rotation(jaw) - np.eye(3)
            arm = self.hinged_rest + (expression @ self.hinged_basis.reshape(e, -1)).reshape(-1, c, 3)
            if self.corrective is not None:
                points = points + np.tensordot(turn.reshape(-1, 9), self.corrective, 1)
            points = points + arm @ turn.swapaxes(1, 2)
        return self.gather(points, slide)

    def gather(
        self, carriers: Float[np.ndarray, "n c 3"], slide: Float[np.ndarray, "n k"]
    ) -> Float[np.ndarray, "n p 3"]:
        """Landmarks from carriers: the sliding ones are mixed from the table's yaws."""
        fixed = len(self.landmarks) - self.n_sliding
        if self.n_sliding == 0:
            return carriers
        table = carriers[:, fixed:].reshape(len(carriers), len(self.yaws), -1)
        mixed = (slide[:, None] @ table)[:, 0].reshape(len(carriers), self.n_sliding, 3)
        return np.concatenate([carriers[:, :fixed], mixed], 1)

    def columns(
        self, rows: Float32[np.ndarray, "n 2 p q"], slide: Float[np.ndarray, "n k"], basis: Float[np.ndarray, "e c q"]
    ) -> Float32[np.ndarray, "n 2 p e"]:
        """Products of image rows of every landmark with its carriers' columns."""
        n, p, fixed, q = len(rows), len(self.landmarks), len(self.landmarks) - self.n_sliding, rows.shape[-1]
        spread = rows[:, :, :fixed]
        if self.n_sliding:
            # Few of the table's yaws occur in any stretch of a clip.
            seen = np.flatnonzero(slide.any(0))
            sliding = rows[:, :, None, fixed:] * slide[:, None, seen, None, None]
            spread = np.concatenate([spread, sliding.reshape(n, 2, -1, q)], 2)
            table = basis[:, fixed:].reshape(len(basis), len(self.yaws), -1, q)[:, seen]
            basis = np.concatenate([basis[:, :fixed], table.reshape(len(basis), -1, q)], 1)
        c = spread.shape[2]
        moved = spread.transpose(2, 0, 1, 3).reshape(c, n * 2, q) @ basis.transpose(1, 2, 0)
        out = np.empty((n, 2, p, len(basis)), np.float32)
        out[:, :, :fixed] = moved[:fixed].reshape(fixed, n, 2, -1).transpose(1, 2, 0, 3)
        if self.n_sliding:
            mixed = moved[fixed:].reshape(-1, self.n_sliding, n, 2, len(basis)).sum(0)
            out[:, :, fixed:] = mixed.transpose(1, 2, 0, 3)
        return out


def build_rig(head: HeadModel, landmarks: Int[np.ndarray, "p"], *, hinged: bool) -> LandmarkRig:
    """The rows of a wrapped head (without identity) for some landmarks; those that never were seen are left out.

    Args:
        head: the head, with its embedding.
        landmarks: which landmarks.
        hinged: the jaw moves by its joint, and not by an expression.
    """
    embedding = head.embedding
    assert embedding is not None
    landmarks = landmarks[embedding.confidence[landmarks] > 0]
    face, barycentrics = embedding.face[landmarks], embedding.barycentrics[landmarks]
    place = np.einsum("lck,lc->lk", head.template[head.triangles[face]], barycentrics)
    yaws, n_sliding = np.zeros(1, np.float32), 0
    if embedding.contour is not None and embedding.contour_face is not None:
        assert embedding.contour_yaw is not None and embedding.contour_barycentrics is not None
        slides = np.isin(landmarks, embedding.contour)
        order = np.argsort(slides, kind="stable")
        landmarks, place, n_sliding, yaws = landmarks[order], place[order], int(slides.sum()), embedding.contour_yaw
        fixed = order[: len(order) - n_sliding]
        entries = [int(np.flatnonzero(embedding.contour == point)[0]) for point in landmarks[len(fixed) :]]
        face = np.concatenate([face[fixed], embedding.contour_face[:, entries].ravel()])
        table = embedding.contour_barycentrics[:, entries].reshape(-1, 3)
        barycentrics = np.concatenate([barycentrics[fixed], table])
    corners = head.triangles[face]

    def carry(rows: np.ndarray) -> Float32[np.ndarray, "*b c 3"]:
        return np.einsum("...lck,lc->...lk", rows[..., corners, :], barycentrics, optimize=True).astype(np.float32)

    rest, basis = carry(head.template), carry(head.expression)
    if not hinged:
        return LandmarkRig(landmarks, place, n_sliding, rest, basis, yaws)
    joint = head.joint_names.index("jaw")
    weights = head.skin_weights[:, joint, None]
    share = carry(np.repeat(weights, 3, 1))
    arms = carry(head.expression * weights)
    if head.joint_expression is not None:
        arms = arms - share * head.joint_expression[:, None, joint]
    corrective = None
    if head.pose_correctives is not None:
        corrective = carry(head.pose_correctives[9 * (joint - 1) : 9 * joint])
    arm = carry(head.template * weights) - share * head.joint_positions[joint]
    return LandmarkRig(landmarks, place, n_sliding, rest, basis, yaws, arm, arms, corrective)


@dataclass(frozen=True)
class Views:
    """What the camera saw of the rig's landmarks: pixels from the image's middle, weights, and the skull's poses.

    ``slide`` are the shares of the outline's table (:meth:`LandmarkRig.slide`).
    """

    seen: Float[np.ndarray, "n p 2"]
    weights: Float[np.ndarray, "n p"]
    R: Float[np.ndarray, "n 3 3"]
    t: Float[np.ndarray, "n 3"]
    slide: Float[np.ndarray, "n k"]
    focal_px: float

    def part(self, frames: slice) -> Views:
        """Some of the frames."""
        return Views(
            self.seen[frames],
            self.weights[frames],
            self.R[frames],
            self.t[frames],
            self.slide[frames],
            self.focal_px,
        )


@dataclass(frozen=True)
class ExpressionPrior:
    """What expressions are like: bounds and mean per frame, ridge (1 / variance), cost of any weight, tie in time.

    ``tie`` is the precision with which a weight resembles the mean of its two neighbours in time.
    """

    low: Float[np.ndarray, "#n e"]
    high: Float[np.ndarray, "#n e"]
    mean: Float[np.ndarray, "#n e"]
    ridge: Float[np.ndarray, "e"]
    cost: Float[np.ndarray, "e"]
    tie: Float[np.ndarray, "e"]


@dataclass
class Faces:
    """The unknowns: expression weights and the jaw's rotation vectors of every frame."""

    expression: Float[np.ndarray, "n e"]
    jaw: Float[np.ndarray, "n 3"]


def solve_faces(
    rig: LandmarkRig, views: Views, prior: ExpressionPrior, start: Faces, *, sigma_px: float, steps: int
) -> Faces:
    """Gauss-Newton with Cauchy weights over all frames, in chunks so that memory stays bounded.

    Each step solves every frame's bounded quadratic by projected coordinate descent; neighbours in time enter with
    their values of the step before.

    Args:
        rig: the landmarks as functions of the unknowns.
        views: observations.
        prior: bounds and priors.
        start: where to start.
        sigma_px: scale of the Cauchy weights.
        steps: Gauss-Newton steps.
    """
    n = len(views.seen)
    faces = Faces(start.expression.copy(), start.jaw.copy())
    for _ in range(steps):
        middle, jaw_middle = _neighbour_mean(faces.expression), _neighbour_mean(faces.jaw)
        following = Faces(faces.expression.copy(), faces.jaw.copy())
        for first in range(0, n, _CHUNK):
            part = slice(first, min(first + _CHUNK, n))
            H, g = _normal_equations(rig, views.part(part), faces.expression[part], faces.jaw[part], sigma_px)
            _update(rig, prior, faces, following, part, H, g, middle[part], jaw_middle[part])
        faces = following
    return faces


def _neighbour_mean(values: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n e"]:
    if len(values) < 2:
        return values.copy()
    padded = np.concatenate([values[1:2], values, values[-2:-1]])
    return (padded[:-2] + padded[2:]) / 2


def _normal_equations(
    rig: LandmarkRig, views: Views, expression: np.ndarray, jaw: np.ndarray, sigma_px: float
) -> tuple[Float[np.ndarray, "m u u"], Float[np.ndarray, "m u"]]:
    """Robust normal equations of a chunk's unknowns (expression, then a left turn of the jaw)."""
    m, e, p = len(expression), len(rig.basis), len(rig.landmarks)
    points = rig.points(expression, jaw, views.slide)
    camera = points @ views.R.swapaxes(1, 2) + views.t[:, None]
    inverse = views.focal_px / camera[..., 2]
    pixels = camera[..., :2] * inverse[..., None]
    residual = views.seen - pixels
    weights = views.weights / (1 + (residual**2).sum(-1) / sigma_px**2)
    root = np.sqrt(weights)
    A = np.zeros((m, 2, p, 3), np.float32)
    A[:, 0, :, 0] = A[:, 1, :, 1] = inverse * root
    A[..., 2] = (-pixels * (inverse * root / views.focal_px)[..., None]).swapaxes(1, 2)
    rows = A @ views.R[:, None]
    J = np.empty((m, 2, p, e + 3 * rig.hinged), np.float32)
    if rig.hinged:
        _hinged_columns(rig, rows, views.slide, expression, jaw, J)
    else:
        J[...] = rig.columns(rows, views.slide, rig.basis)
    J = J.reshape(m, 2 * p, -1)
    right = (residual * root[..., None]).swapaxes(1, 2).reshape(m, -1, 1).astype(np.float32)
    transposed = J.swapaxes(1, 2)
    return transposed @ J, (transposed @ right)[..., 0]


def _hinged_columns(
    rig: LandmarkRig, rows: np.ndarray, slide: np.ndarray, expression: np.ndarray, jaw: np.ndarray, J: np.ndarray
) -> None:
    """The columns where the jaw is a joint: the expressions', carried round by it, and its own three."""
    assert rig.hinged_rest is not None and rig.hinged_basis is not None
    m, (e, c) = len(expression), rig.basis.shape[:2]
    R = exp_rotation(jaw).astype(np.float32)
    turned = rows @ (R - np.eye(3, dtype=np.float32))[:, None]
    both = np.concatenate([rig.basis, rig.hinged_basis], -1)
    J[..., :e] = rig.columns(np.concatenate([rows, turned], -1), slide, both)
    arm = rig.hinged_rest + (expression @ rig.hinged_basis.reshape(e, -1)).reshape(-1, c, 3)
    v = (rig.gather(arm, slide) @ R.swapaxes(1, 2))[:, None]
    J[..., e:] = np.cross(np.broadcast_to(v, rows.shape), rows)
    if rig.corrective is not None:
        # A small turn w changes the entries of R by cross(w) @ R.
        slopes = np.stack([(cross_matrix(axis) @ R).reshape(m, 9) for axis in np.eye(3, dtype=np.float32)], 1)
        J[..., e:] += np.einsum("mapq,mwq->mapw", rig.columns(rows, slide, rig.corrective), slopes, optimize=True)


def _update(
    rig: LandmarkRig,
    prior: ExpressionPrior,
    faces: Faces,
    following: Faces,
    part: slice,
    H: np.ndarray,
    g: np.ndarray,
    middle: np.ndarray,
    jaw_middle: np.ndarray,
) -> None:
    """Solve one chunk's quadratic around the present values and write the result into ``following``."""
    now, jaw = faces.expression[part], faces.jaw[part]
    m, e = now.shape
    low, high = (np.broadcast_to(_rows(bound, part), (m, e)) for bound in (prior.low, prior.high))
    diagonal = prior.ridge + prior.tie
    pull = prior.tie * middle + prior.ridge * _rows(prior.mean, part) - prior.cost - diagonal * now
    if rig.hinged:
        hinge = 1 / _JAW_SIGMAS**2
        tie = 0.5 * hinge
        diagonal = np.concatenate([diagonal, hinge + tie])
        pull = np.concatenate([pull, tie * jaw_middle - (hinge + tie) * jaw], 1)
        wide = np.full((m, 3), 0.5)
        low, high = np.concatenate([low - now, -wide], 1), np.concatenate([high - now, wide], 1)
    else:
        low, high = low - now, high - now
    H = H + np.diag(diagonal).astype(H.dtype)
    step = bounded_minimum(H, g + pull, low, high)
    following.expression[part] = now + step[:, :e]
    if rig.hinged:
        following.jaw[part] = log_rotation(exp_rotation(step[:, e:]) @ exp_rotation(jaw))


def _rows(bound: np.ndarray, part: slice) -> np.ndarray:
    return bound if len(bound) == 1 else bound[part]


def bounded_minimum(
    H: Float[np.ndarray, "m u u"],
    g: Float[np.ndarray, "m u"],
    low: Float[np.ndarray, "m u"],
    high: Float[np.ndarray, "m u"],
    sweeps: int = _SWEEPS,
) -> Float[np.ndarray, "m u"]:
    """Minima of ``x H x / 2 - g x`` within bounds, a batch of them, by projected coordinate descent.

    It starts from the unbounded minimum, projected, and so is exact at once where no bound holds. Where some do,
    the unbounded ones are solved again around them first (an active set; Bertsekas 1982), which leaves little to do.
    """
    u = g.shape[1]
    free, x = low < high, np.clip(np.zeros_like(g), low, high)
    for _ in range(_ACTIVE_ROUNDS):
        # Rows and columns of variables at their bounds become the identity's: they stay where they are.
        held = np.where(free, 0, x)
        masked = H * (free[:, :, None] & free[:, None]) + np.eye(u, dtype=H.dtype) * ~free[:, None]
        right = np.where(free, g - (H @ held[..., None])[..., 0], x)
        solved = np.linalg.solve(masked.astype(np.float32), right[..., None].astype(np.float32))[..., 0]
        x = np.clip(solved, low, high)
        still = (solved > low) & (solved < high)
        if (still >= free).all():
            break
        free &= still
    bound = ~free.all(1)
    if bound.any():
        x[bound] = _descend(H[bound], g[bound], low[bound], high[bound], x[bound], sweeps)
    return x


def _descend(
    H: np.ndarray, g: np.ndarray, low: np.ndarray, high: np.ndarray, x: np.ndarray, sweeps: int
) -> Float[np.ndarray, "m u"]:
    """Projected coordinate descent from ``x``, all problems of the batch side by side."""
    H = np.ascontiguousarray(H.transpose(1, 2, 0))
    x, low, high = (np.ascontiguousarray(part.T, H.dtype) for part in (x, low, high))
    slope = np.ascontiguousarray(g.T, H.dtype) - np.einsum("uvm,vm->um", H, x)
    for _ in range(sweeps):
        for k in range(len(x)):
            new = np.clip(x[k] + slope[k] / H[k, k], low[k], high[k])
            slope -= H[k] * (new - x[k])
            x[k] = new
    return x.T


def make_views(
    points: Float[np.ndarray, "n 478 2"],
    R: Float[np.ndarray, "n 3 3"],
    t: Float[np.ndarray, "n 3"],
    K: Float[np.ndarray, "3 3"],
    rig: LandmarkRig,
    importance: Float[np.ndarray, "p"],
) -> Views:
    """Observations of a rig's landmarks; ``points`` in pixels of the image that ``K`` belongs to."""
    seen = (points[:, rig.landmarks, :2] - K[:2, 2]).astype(np.float32)
    weights = np.empty(seen.shape[:2], np.float32)
    for first in range(0, len(seen), 1000):
        part = slice(first, first + 1000)
        weights[part] = importance * visibility(rig.place, R[part], t[part])
    slide = rig.slide(camera_yaw(R, t))
    return Views(seen, weights, R.astype(np.float32), t.astype(np.float32), slide, float(K[0, 0]))
