"""The actor's body for drawing: skin, eyes, teeth, shirt and hair as one mesh that a pose moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int32
from scipy.sparse import csr_matrix, vstack
from scipy.spatial import cKDTree

from gaussavatar.head.anatomy.eyeball import eyeball_colour, fit_sphere
from gaussavatar.head.model import HeadModel, landmark_points, pose_vertices
from gaussavatar.synthetic.clothes import make_shirt
from gaussavatar.synthetic.face_hair import bind_to_skin, brow_ribbons, lash_binding
from gaussavatar.synthetic.hair import Ribbons, grow_scalp_hair, keep_strands
from gaussavatar.synthetic.light import seen_triangles, smooth_over_mesh
from gaussavatar.synthetic.look import ActorLook, to_linear
from gaussavatar.synthetic.paint import SkinTexture, paint_skin, skin_tone, value_noise
from gaussavatar.synthetic.subdivide import loop_subdivision, unshrunk

PARTS = ("skin", "mouth", "eyes", "shirt", "lashes", "brows", "hair")
"""What each triangle of the actor's mesh belongs to."""

CORNEA_RADIUS = 0.0078
"""Metres; the textbook radius of the human cornea."""

SMOOTH = ("face", "lips", "inner_mouth", "ear", "scalp", "neck", "torso", "tongue")


@dataclass(frozen=True)
class ActorBody:
    """The actor's mesh at rest and how it moves.

    Vertices are, in this order: ``surface @ head vertices`` (skin, mouth, eyes, lash
    cards), ``bound @ surface + bound_distance * normal`` (shirt, brows), lashes
    (``lashes @ head vertices``) and hair (``hair.vertices``, rigid with the head).
    ``normal_sum`` adds the normals of the triangles around each surface vertex.
    Colours are linear light; ``gloss`` scales the highlights.
    """

    head: HeadModel
    surface: csr_matrix
    surface_triangles: Int32[np.ndarray, "s 3"]
    normal_sum: csr_matrix
    bound: csr_matrix
    bound_distance: Float[np.ndarray, "b"]
    lashes: csr_matrix
    hair: Ribbons
    triangles: Int32[np.ndarray, "t 3"]
    part: Int32[np.ndarray, "t"]
    corner_uv: Float32[np.ndarray, "t 3 2"]
    colour: Float32[np.ndarray, "n 3"]
    gloss: Float32[np.ndarray, "n"]
    corneas: tuple[tuple[Int32[np.ndarray, "e"], Float32[np.ndarray, "e"]], ...]
    texture: SkinTexture
    landmarks: Float[np.ndarray, "478 3"]


@dataclass(frozen=True)
class PosedActor:
    """The actor's vertices in camera space (metres) and their unit normals."""

    vertices: Float32[np.ndarray, "n 3"]
    normals: Float32[np.ndarray, "n 3"]


def shape_head(model: HeadModel, look: ActorLook) -> HeadModel:
    """The head with the look's identity made its template, and no identity axes."""
    row = torch.tensor(model.identity_row(**look.identity))[None]
    template = pose_vertices(model, row, torch.zeros(1, len(model.expression_names)))[0].numpy()
    joints = model.joint_positions + np.einsum("i,ijk->jk", row[0].numpy(), model.joint_identity)
    return replace(
        model,
        template=template,
        identity=np.zeros((0, len(template), 3), np.float32),
        identity_names=(),
        joint_positions=joints.astype(np.float32),
        joint_identity=np.zeros((0, len(joints), 3), np.float32),
    )


@dataclass(frozen=True)
class _Skin:
    """The subdivided head at rest: what hair, clothes and paint are laid on.

    ``share`` says how much each vertex belongs to each smooth region; ``hard`` marks the
    head's triangles that are not subdivided (teeth, eyeballs).
    """

    surface: csr_matrix
    rest: Float[np.ndarray, "s 3"]
    fine: Int32[np.ndarray, "t 3"]
    fine_uv: Float[np.ndarray, "t 3 2"]
    is_skin: Bool[np.ndarray, "t"]
    share: dict[str, Float[np.ndarray, "s"]]
    hard: Bool[np.ndarray, "h"]

    @property
    def triangles(self) -> Int32[np.ndarray, "k 3"]:
        """The skin's triangles, without the mouth's inside."""
        return self.fine[self.is_skin]


def build_actor(model: HeadModel, look: ActorLook, every_strand: bool = False) -> ActorBody:
    """Build the actor: subdivide the head, dress it, grow hair, paint the skin.

    Hair that no camera within 35 degrees of the front sees is left out, but with ``every_strand``.
    """
    random = np.random.default_rng([look.seed, 3])
    head = shape_head(model, look)
    assert head.corner_uv is not None and head.embedding is not None
    landmarks = landmark_points(torch.tensor(head.template)[None], head.triangles, head.embedding)[0].numpy()
    skin = _subdivide(head)
    share, rest = skin.share, skin.rest
    shirt = make_shirt(rest, skin.triangles, (share["torso"] + share["neck"] + share["scalp"]) > 0.5)
    haired = (share["face"] + share["scalp"] + share["neck"] > 0.6)[skin.triangles].all(1)
    hair = grow_scalp_hair(rest, skin.triangles[haired], random)
    hair = hair if every_strand else _without_hidden(hair, rest, skin.triangles)
    brows = brow_ribbons(landmarks, random)
    brow_matrix, brow_distance = bind_to_skin(brows, rest, skin.triangles)
    cards = head.region("lashes")[head.triangles].any(1)
    lashes, lash_triangles, lash_along = lash_binding(
        head.triangles[cards], head.corner_uv[cards], len(head.template), random
    )
    bound = csr_matrix(vstack([shirt.matrix, brow_matrix]), dtype=np.float32)
    n_shirt = len(shirt.distance)
    counts = [len(rest), n_shirt, len(brows.along), len(lash_along)]
    shirt_at, brows_at, lashes_at, hair_at = np.cumsum(counts)
    bare = ~shirt.covered
    pieces = {
        "skin": skin.triangles[bare],
        "mouth": np.concatenate([skin.fine[~skin.is_skin], head.triangles[skin.hard & ~_eyes(head)]]),
        "eyes": head.triangles[skin.hard & _eyes(head)],
        "shirt": shirt.triangles + shirt_at,
        "brows": brows.triangles + brows_at,
        "lashes": lash_triangles + lashes_at,
        "hair": hair.triangles + hair_at,
    }
    skin_uv = skin.fine_uv[skin.is_skin]
    uv = [skin_uv[bare], *(np.full((len(pieces[name]), 3, 2), -1.0) for name in PARTS[1:])]
    colour, gloss = _surface_colours(head, rest, share, look)
    cloth = _cloth_colours(shirt.matrix @ rest, shirt.collar, look)
    dark = to_linear(look.hair)
    shades = [1.2 * brows.shade, 0.25 + 0.1 * lash_along, hair.shade]
    plain = np.full(n_shirt + len(brows.along) + len(lash_along), 0.08)
    surface_triangles = np.concatenate([skin.fine, head.triangles[skin.hard]]).astype(np.int32)
    return ActorBody(
        head=head,
        surface=csr_matrix(skin.surface, dtype=np.float32),
        surface_triangles=surface_triangles,
        normal_sum=_normal_sum(surface_triangles, len(rest)),
        bound=bound,
        bound_distance=np.concatenate([shirt.distance, brow_distance]).astype(np.float32),
        lashes=csr_matrix(lashes, dtype=np.float32),
        hair=_single(hair),
        triangles=np.concatenate([pieces[name] for name in PARTS]).astype(np.int32),
        part=np.repeat(np.arange(len(PARTS), dtype=np.int32), [len(pieces[name]) for name in PARTS]),
        corner_uv=np.concatenate(uv).astype(np.float32),
        colour=np.concatenate([colour, cloth, *(shade[:, None] * dark for shade in shades)]).astype(np.float32),
        gloss=np.concatenate([gloss, plain, hair.along]).astype(np.float32),
        corneas=(_cornea(head, "eyeball_left"), _cornea(head, "eyeball_right")),
        texture=paint_skin(rest, skin.triangles, skin_uv, _lip_share(model, skin), landmarks, look),
        landmarks=landmarks,
    )


def _without_hidden(hair: Ribbons, rest: np.ndarray, skin: np.ndarray) -> Ribbons:
    """The hair without strands that lie below others or behind the head from wherever the camera may look."""
    seen = seen_triangles(np.concatenate([rest, hair.vertices]), np.concatenate([skin, hair.triangles + len(rest)]))
    return keep_strands(hair, seen[len(skin) :].reshape(hair.shape[0], -1).any(1))


def _subdivide(head: HeadModel) -> _Skin:
    """Refine the smooth parts of the head; teeth, eyeballs and lash cards stay as they are."""
    assert head.corner_uv is not None
    cards = head.region("lashes")[head.triangles].any(1)
    smooth = head.region(*SMOOTH)[head.triangles].all(1)
    surface, fine, fine_uv = loop_subdivision(head.triangles[smooth], len(head.template), head.corner_uv[smooth])
    surface = unshrunk(surface)
    share = {name: surface @ head.region(name).astype(float) for name in SMOOTH}
    outside = np.sum([share[name] for name in ("face", "lips", "ear", "scalp", "neck", "torso")], 0)
    return _Skin(surface, surface @ head.template, fine, fine_uv, (outside > 0.5)[fine].all(1), share, ~smooth & ~cards)


def _single(ribbons: Ribbons) -> Ribbons:
    """Ribbons in single precision, as they are drawn."""
    names = ("vertices", "along", "tangent", "normal", "shade")
    return replace(ribbons, **{name: getattr(ribbons, name).astype(np.float32) for name in names})


def _normal_sum(triangles: Int32[np.ndarray, "t 3"], n_vertices: int) -> csr_matrix:
    """The sparse 0/1 matrix from triangles to their corners."""
    columns = np.repeat(np.arange(len(triangles)), 3)
    return csr_matrix(
        (np.ones(3 * len(triangles), np.float32), (triangles.ravel(), columns)), (n_vertices, len(triangles))
    )


def _lip_share(model: HeadModel, skin: _Skin) -> Float[np.ndarray, "s"]:
    """How much each surface vertex belongs to the lips, evened out between left and right and neighbours."""
    symmetric = skin.surface @ model.template
    _, partner = cKDTree(symmetric).query(symmetric * [-1, 1, 1])
    lips = skin.share["lips"]
    return smooth_over_mesh((lips + lips[partner]) / 2, skin.fine, 1)


def _cornea(head: HeadModel, name: str) -> tuple[Int32[np.ndarray, "e"], Float32[np.ndarray, "e"]]:
    """An eyeball's vertices, the pole first, and how much steeper their normals are than the sphere's."""
    eye = np.flatnonzero(head.region(name)).astype(np.int32)
    centre, radius = fit_sphere(head.template[eye])
    away = np.linalg.norm(np.cross((head.template[eye] - centre) / radius, np.array([0.0, 0.0, 1.0])), axis=1) * radius
    front = head.template[eye][:, 2] < centre[2]
    tilt = 1 + (radius / CORNEA_RADIUS - 1) * np.clip((0.0068 - away) / 0.0012, 0, 1) * front
    return eye, tilt.astype(np.float32)


def _eyes(head: HeadModel) -> np.ndarray:
    return head.triangle_region("eyeball_left", "eyeball_right")


def _surface_colours(
    head: HeadModel, rest: np.ndarray, share: dict[str, np.ndarray], look: ActorLook
) -> tuple[Float[np.ndarray, "s 3"], Float[np.ndarray, "s"]]:
    """Colours of the surface vertices: white under the skin texture, skin tone elsewhere, mouth and eyes."""
    n = len(rest)
    assert head.colour is not None
    colour = np.zeros((n, 3))
    colour[: len(head.template)] = to_linear(head.colour)
    wet = share["inner_mouth"] + share["tongue"]
    colour[len(head.template) :] = 0
    soft = np.arange(n) >= len(head.template)
    soft[: len(head.template)] = head.region(*SMOOTH)
    pink = to_linear((0.60, 0.25, 0.24)) * (1 + 0.15 * value_noise(rest, 0.003, 51))[:, None]
    tongue = to_linear((0.74, 0.40, 0.39)) * (1 + 0.12 * value_noise(rest, 0.0016, 52))[:, None]
    body = skin_tone(rest, look)
    in_mouth = (1 - share["tongue"])[:, None] * pink + share["tongue"][:, None] * tongue
    colour[soft] = np.where((wet > 0.5)[:, None], in_mouth, body)[soft]
    gloss = np.where(wet > 0.5, 0.9, 0.34)
    teeth = np.zeros(n, bool)
    teeth[: len(head.template)] = head.region("teeth_upper", "teeth_lower")
    stain = 1 + 0.05 * value_noise(rest[teeth], 0.004, 53)
    colour[teeth] = to_linear((0.90, 0.875, 0.81)) * stain[:, None]
    gloss[teeth] = 1.0
    for name in ("eyeball_left", "eyeball_right"):
        eye = np.flatnonzero(head.region(name))
        centre, radius = fit_sphere(head.template[eye])
        directions = (head.template[eye] - centre) / radius
        colour[eye] = to_linear(eyeball_colour(directions, radius, look.iris))
        gloss[eye] = 1.0
    return colour, gloss


def _cloth_colours(points: np.ndarray, collar: np.ndarray, look: ActorLook) -> Float[np.ndarray, "n 3"]:
    """The shirt: a mottled weave, the collar a little darker."""
    weave = 1 + 0.10 * value_noise(points, 0.006, 61) + 0.08 * value_noise(points, 0.02, 62)
    return to_linear(look.shirt) * (weave * np.where(collar, 0.72, 1.0))[:, None]


def pose_actor(
    body: ActorBody, head_vertices: Float[np.ndarray, "v 3"], R_camera_head: np.ndarray, t_camera_head: np.ndarray
) -> PosedActor:
    """The whole mesh in camera space.

    Args:
        body: the actor.
        head_vertices: the head model's posed vertices in camera space.
        R_camera_head: rotation of the skull.
        t_camera_head: its translation.
    """
    R, t = np.asarray(R_camera_head, np.float32), np.asarray(t_camera_head, np.float32)
    head_vertices = np.asarray(head_vertices, np.float32)
    surface = body.surface @ head_vertices
    a, b, c = (surface[body.surface_triangles[:, k]] for k in range(3))
    normals = _unit(body.normal_sum @ _cross(b - a, c - a))
    _bulge_corneas(body, normals)
    bound_normals = _unit(body.bound @ normals)
    bound = body.bound @ surface + body.bound_distance[:, None] * bound_normals
    lashes = body.lashes @ head_vertices
    hair = body.hair.vertices @ R.T + t
    lash_normals = np.tile(R @ np.float32([0, -0.5, -0.87]), (len(lashes), 1))
    vertices = np.concatenate([surface, bound, lashes, hair])
    return PosedActor(vertices, np.concatenate([normals, bound_normals, lash_normals, body.hair.normal @ R.T]))


def _bulge_corneas(body: ActorBody, normals: Float32[np.ndarray, "s 3"]) -> None:
    """Tilt the eyes' normals outward over the iris as a cornea's are: that is where the eye's glint lies."""
    for eye, tilt in body.corneas:
        axis = normals[eye[0]]
        along = normals[eye] @ axis
        sideways = normals[eye] - along[:, None] * axis
        normals[eye] = _unit(along[:, None] * axis + tilt[:, None] * sideways)


def _cross(a: Float32[np.ndarray, "n 3"], b: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Cross products, without numpy.cross's detours."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], 1)


def _unit(vectors: Float32[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    x, y, z = vectors.T
    return vectors / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-12)[:, None]
