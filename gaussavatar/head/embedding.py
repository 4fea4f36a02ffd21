"""Where MediaPipe's 478 landmarks lie on a head model: found by showing the head to MediaPipe.

The head is rendered from several sides with simple shading, the landmark detector runs on
the pictures, and each landmark is projected back to the triangle that its pixel shows. The
same code serves every head model; no third-party index file is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from scipy.spatial import cKDTree

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.eyeball import eyeball_colour
from gaussavatar.head.model import HeadModel, LandmarkEmbedding, pose_vertices
from gaussavatar.landmarks.indices import MIRROR, OVAL_SIDES
from gaussavatar.mesh.surface import closest_points, vertex_normals
from gaussavatar.mesh.zbuffer import MeshRaster, interpolate, rasterize_mesh
from gaussavatar.motion.rotations import rotation_matrices
from gaussavatar.types import N_LANDMARKS

SIZE = 512
FOCAL = 1400.0
DISTANCE = 0.80
TURNS = ((0, 0), (12, 0), (-12, 0), (25, 0), (-25, 0), (0, 12), (0, -12), (14, 10), (-14, 10))
"""Yaw and pitch of the head in the views, degrees."""

JAW_OPEN = 0.3
LIP_RINGS = (
    (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
    (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 408, 304, 303, 302, 11, 72, 73, 74, 184),
    (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 407, 272, 271, 268, 12, 38, 41, 42, 183),
    (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
"""Landmarks on the lips from outside inwards: corner, lower lip, corner, upper lip."""

IRIS_LEFT = (473, 474, 475, 476, 477)
IRIS_RIGHT = (468, 469, 470, 471, 472)
SNAP_PIXELS = 6
"""A landmark whose pixel shows something else takes the nearest fitting pixel within this distance."""

CONTOUR_YAWS = (-45, -36, -27, -18, -9, 0, 9, 18, 27, 36, 45)
CONTOUR_PITCHES = (-8, 0, 8)
"""Turns and nods of the views that the outline's table is made from, degrees. The camera then stands
as many degrees from the head's front towards its +x: see :func:`camera_yaw`."""

CONTOUR_SNAP = 12
SLIDING = OVAL_SIDES
"""The outline but for forehead and chin."""

CONTOUR_CONFIDENCE = 0.3

FULL_SPREAD = 0.004
"""Scatter in metres at which a landmark's confidence has fallen to a half."""

MIN_VIEWS = 3

Detector = Callable[[np.ndarray], np.ndarray | None]


@dataclass(frozen=True)
class _Hits:
    """Where one view saw the landmarks: points on the unposed template, and weights (0: not seen)."""

    points: Float[np.ndarray, "478 3"]
    weights: Float[np.ndarray, "478"]


def compute_embedding(model: HeadModel, detect: Detector | None = None) -> LandmarkEmbedding:
    """Find MediaPipe's landmarks on a head model.

    Lips are looked at closed and a little open, so that upper and lower are told apart.

    Args:
        model: a head that faces the camera at rest.
        detect: gives the landmarks (478, 3) of an RGB image in pixels, or None; MediaPipe when not given.

    Raises:
        UserError: the detector finds no face in most of the views.
    """
    if detect is not None:
        return _embed(model, detect)
    from gaussavatar.landmarks.detect import FaceMesh

    with FaceMesh(static=True) as mesh:
        return _embed(model, mesh.detect)


def _embed(model: HeadModel, detect: Detector) -> LandmarkEmbedding:
    closed, opened = _view_vertices(model, 0.0), _view_vertices(model, JAW_OPEN)
    allowed = _allowed_triangles(model, opened - closed)
    everything, lips = np.ones(N_LANDMARKS, bool), np.isin(_landmark_kind(), (1, 2, 3))
    hits: list[_Hits] = []
    for yaw, pitch in TURNS:
        hits += _look(model, closed, yaw, pitch, allowed, detect, everything)
        hits += _look(model, opened, yaw, pitch, allowed, detect, lips)
    if len(hits) < 1.2 * len(TURNS):
        raise UserError(
            f"a head in which MediaPipe finds a face from {len(TURNS)} sides",
            f"a face in {len(hits)} of {2 * len(TURNS)} pictures of the head model {model.name}",
            "check that the file is a head in metres, y up and facing +z before conversion",
        )
    points = np.stack([hit.points for hit in hits])
    weights = np.stack([hit.weights for hit in hits])
    if _is_symmetric(model):
        # Every view counts for its mirror image too, so that the landmarks of both sides agree.
        points = np.concatenate([points, points[:, MIRROR] * [-1, 1, 1]])
        weights = np.concatenate([weights, weights[:, MIRROR]])
    mean, spread, n_seen = _robust_mean(points, weights)
    face, barycentrics = _closest_on_mesh(model, mean, n_seen > 0, allowed)
    confidence = np.where(n_seen >= MIN_VIEWS, 1 / (1 + (spread / FULL_SPREAD) ** 2), 0)
    embedding = LandmarkEmbedding(face, barycentrics, confidence.astype(np.float32), spread.astype(np.float32))
    return _add_contour(model, embedding, closed, allowed, detect)


def _add_contour(
    model: HeadModel,
    embedding: LandmarkEmbedding,
    vertices: Float[np.ndarray, "v 3"],
    allowed: Bool[np.ndarray, "5 t"],
    detect: Detector,
) -> LandmarkEmbedding:
    """Add the table of where the outline lies as the head turns (FLAME's dynamic contour, found by looking).

    Every yaw is seen at three pitches. Where a view does not show a landmark on the skin, the yaw next to it
    towards the front says where it is.
    """
    contour = np.array(SLIDING)
    wanted = np.isin(np.arange(N_LANDMARKS), contour)
    points = np.zeros((len(CONTOUR_YAWS), len(CONTOUR_PITCHES), N_LANDMARKS, 3))
    weights = np.zeros(points.shape[:3])
    for row, yaw in enumerate(CONTOUR_YAWS):
        for column, pitch in enumerate(CONTOUR_PITCHES):
            for hit in _look(model, vertices, yaw, pitch, allowed, detect, wanted, CONTOUR_SNAP):
                # Grazing angles are what an outline is made of, so all that is seen counts the same.
                points[row, column], weights[row, column] = hit.points, hit.weights > 0
    if _is_symmetric(model):
        points = np.concatenate([points, points[::-1][:, :, MIRROR] * [-1, 1, 1]], 1)
        weights = np.concatenate([weights, weights[::-1][:, :, MIRROR]], 1)
    places = np.zeros((len(CONTOUR_YAWS), N_LANDMARKS, 3))
    seen = np.zeros(places.shape[:2], bool)
    for row in range(len(CONTOUR_YAWS)):
        places[row], _, counts = _robust_mean(points[row], weights[row])
        seen[row] = counts > 0
    places, seen = _fill_from_front(places[:, contour], seen[:, contour])
    known = seen.any(0)
    if not known.any():
        return embedding
    contour, places = contour[known], places[:, known]
    skin = np.flatnonzero(allowed[0])
    nearest = closest_points(places.reshape(-1, 3), model.template, model.triangles[skin])
    table = skin[nearest.face].reshape(places.shape[:2]).astype(np.int32)
    barycentrics = nearest.barycentrics.reshape(places.shape).astype(np.float32)
    front = CONTOUR_YAWS.index(0)
    face, weight = embedding.face.copy(), embedding.barycentrics.copy()
    face[contour], weight[contour] = table[front], barycentrics[front]
    confidence = embedding.confidence.copy()
    confidence[contour] = np.maximum(confidence[contour], CONTOUR_CONFIDENCE)
    yaws = np.deg2rad(CONTOUR_YAWS).astype(np.float32)
    return LandmarkEmbedding(
        face, weight, confidence, embedding.spread, contour.astype(np.int32), yaws, table, barycentrics
    )


def _fill_from_front(
    places: Float[np.ndarray, "k c 3"], seen: Bool[np.ndarray, "k c"]
) -> tuple[Float[np.ndarray, "k c 3"], Bool[np.ndarray, "k c"]]:
    """Fill what a yaw does not see from its neighbour towards the front, then what is left from any neighbour."""
    places, seen = places.copy(), seen.copy()
    front = CONTOUR_YAWS.index(0)
    outwards = [(row, row - 1) for row in range(front + 1, len(places))]
    outwards += [(row, row + 1) for row in range(front - 1, -1, -1)]
    inwards = [(towards, row) for row, towards in reversed(outwards)]
    for row, source in inwards + outwards:
        empty = ~seen[row] & seen[source]
        places[row, empty], seen[row, empty] = places[source, empty], True
    return places, seen


def camera_yaw(R: Float[np.ndarray, "*b 3 3"], t: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b"]:
    """How far the camera stands from the head's front, radians, positive towards the head's +x.

    ``R`` and ``t`` take template space to camera space.
    """
    place = -(t[..., None, :] @ R)[..., 0, :]
    return np.arctan2(place[..., 0], -place[..., 2])


def _is_symmetric(model: HeadModel) -> bool:
    """Whether every vertex of the template has a mirror image within a millimetre."""
    distance, _ = cKDTree(model.template).query(model.template * [-1, 1, 1])
    return bool(distance.max() < 1e-3)


def _view_vertices(model: HeadModel, opening: float) -> Float[np.ndarray, "v 3"]:
    """The template with its mouth open by a share of the full range, by expression or by the jaw joint."""
    expression = torch.zeros(1, len(model.expression_names))
    rotations = torch.zeros(1, len(model.joint_names), 3)
    if "jawOpen" in model.expression_names:
        expression[0, model.expression_names.index("jawOpen")] = opening
    elif "jaw" in model.joint_names:
        rotations[0, model.joint_names.index("jaw"), 0] = 0.5 * opening
    return pose_vertices(model, torch.zeros(1, len(model.identity_names)), expression, rotations)[0].numpy()


def _allowed_triangles(model: HeadModel, opening: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "5 t"]:
    """Which triangles may carry each kind of landmark (:func:`_landmark_kind`).

    The lips are told apart by how far they move when the mouth opens.
    """
    skin = model.region("face", "ear", "scalp", "neck", "lips")[model.triangles].all(1)
    lips = model.region("lips")[model.triangles].any(1)
    if not lips.any():
        lips = skin
    drop = opening[:, 1][model.triangles].mean(1)
    upper = lips & (drop < 0.4 * np.quantile(drop[lips], 0.98))
    eyes = model.triangle_region("eyeball_left", "eyeball_right")
    return np.stack([skin, lips, upper, lips & ~upper, eyes])


def _landmark_kind() -> np.ndarray:
    """Of every landmark: 0 ordinary, 1 corner of the mouth, 2 upper lip, 3 lower lip, 4 iris."""
    kind = np.zeros(N_LANDMARKS, np.int64)
    for ring in LIP_RINGS:
        kind[[ring[0], ring[10]]] = 1
        kind[list(ring[11:])] = 2
        kind[list(ring[1:10])] = 3
    kind[[*IRIS_LEFT, *IRIS_RIGHT]] = 4
    return kind


def _look(
    model: HeadModel,
    vertices: Float[np.ndarray, "v 3"],
    yaw: float,
    pitch: float,
    allowed: Bool[np.ndarray, "5 t"],
    detect: Detector,
    wanted: Bool[np.ndarray, "478"],
    snap: int = SNAP_PIXELS,
) -> Iterator[_Hits]:
    """Render one view, detect, and project the wanted landmarks back; nothing when no face is found."""
    angles = torch.tensor([[0.0, np.deg2rad(yaw), 0.0], [np.deg2rad(pitch), 0.0, 0.0]])
    turn, nod = rotation_matrices(angles).numpy()
    camera = (vertices @ (nod @ turn).T + [0, -0.03, DISTANCE]).astype(np.float32)
    image, raster, facing = render_plain(model, camera)
    found = detect(image)
    if found is None:
        return
    points, weights = np.zeros((N_LANDMARKS, 3)), np.zeros(N_LANDMARKS)
    for landmark, kind in enumerate(_landmark_kind()):
        pixel = _nearest_pixel(raster, allowed[kind], found[landmark, :2], snap) if wanted[landmark] else None
        if pixel is None:
            continue
        corners = model.triangles[raster.triangle_index[pixel]]
        points[landmark] = raster.barycentrics[pixel] @ model.template[corners]
        weights[landmark] = facing[pixel] ** 2
    yield _Hits(points, weights)


def _nearest_pixel(
    raster: MeshRaster, allowed: Bool[np.ndarray, "t"], position: Float[np.ndarray, "2"], snap: int
) -> tuple[int, int] | None:
    """The pixel nearest to a position that shows an allowed triangle."""
    column, row = np.floor(position).astype(int)
    height, width = raster.triangle_index.shape
    top, left = max(row - snap, 0), max(column - snap, 0)
    window = raster.triangle_index[top : min(row + snap + 1, height), left : min(column + snap + 1, width)]
    if window.size == 0:
        return None
    rows, columns = np.nonzero((window >= 0) & allowed[window])
    if len(rows) == 0:
        return None
    distance = (rows + top + 0.5 - position[1]) ** 2 + (columns + left + 0.5 - position[0]) ** 2
    best = int(distance.argmin())
    if distance[best] > snap**2:
        return None
    return int(rows[best] + top), int(columns[best] + left)


def render_plain(
    model: HeadModel, vertices_camera: Float32[np.ndarray, "v 3"]
) -> tuple[np.ndarray, MeshRaster, Float[np.ndarray, "h w"]]:
    """A plainly shaded picture of a head: RGB uint8, its raster, and the cosine of each pixel's slant."""
    K = np.array([[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]], np.float32)
    # Lashes are cards that stand for single hairs; drawn solid they would be heavy black bars.
    shown = np.flatnonzero(~model.region("lashes")[model.triangles].any(1))
    raster = rasterize_mesh(vertices_camera, model.triangles[shown], K, SIZE, SIZE)
    raster = replace(raster, triangle_index=_original(raster.triangle_index, shown))
    normals = vertex_normals(vertices_camera, model.triangles)
    light = np.array([-0.35, -0.45, -0.82])
    brightness = 0.35 + 0.65 * np.clip(normals @ (light / np.linalg.norm(light)), 0, None)
    toward = -(normals * vertices_camera).sum(1) / np.linalg.norm(vertices_camera, axis=1)
    shaded = np.c_[plain_colour(model) * brightness[:, None], toward]
    picture = interpolate(raster, model.triangles, shaded)
    image = np.where((raster.triangle_index >= 0)[..., None], picture[..., :3], 0.45)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), raster, np.clip(picture[..., 3], 0, 1)


def _original(index: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Indices into the shown triangles as indices into all triangles."""
    return np.where(index < 0, -1, shown[index]).astype(np.int32)


def plain_colour(model: HeadModel) -> Float[np.ndarray, "v 3"]:
    """The head's own colours, or simple ones: skin, red lips, white eyes with dark irises."""
    if model.colour is not None:
        return model.colour
    colour = np.tile(np.array([0.80, 0.60, 0.50]), (len(model.template), 1))
    colour[model.region("lips")] = (0.66, 0.36, 0.34)
    colour[model.region("inner_mouth", "tongue")] = (0.35, 0.12, 0.12)
    colour[model.region("teeth_upper", "teeth_lower")] = (0.9, 0.88, 0.82)
    for name in ("eyeball_left", "eyeball_right"):
        eye = model.region(name)
        if eye.any():
            offset = model.template[eye] - (model.template[eye].min(0) + model.template[eye].max(0)) / 2
            radius = np.linalg.norm(offset, axis=1)
            colour[eye] = eyeball_colour(offset / radius[:, None], float(np.median(radius)), (0.25, 0.18, 0.12))
    return colour


def _robust_mean(
    points: Float[np.ndarray, "n 478 3"], weights: Float[np.ndarray, "n 478"]
) -> tuple[Float[np.ndarray, "478 3"], Float[np.ndarray, "478"], np.ndarray]:
    """Weighted geometric median over the views (Weiszfeld's iteration), its mean scatter, and views seen."""
    seen = weights > 0.02
    weights = np.where(seen, weights, 0)
    total = np.maximum(weights.sum(0), 1e-12)
    centre = (weights[..., None] * points).sum(0) / total[:, None]
    for _ in range(30):
        distance = np.linalg.norm(points - centre, axis=-1)
        pull = weights / np.maximum(distance, 2e-4)
        centre = (pull[..., None] * points).sum(0) / np.maximum(pull.sum(0), 1e-12)[:, None]
    distance = np.linalg.norm(points - centre, axis=-1)
    return centre, (weights * distance).sum(0) / total, seen.sum(0)


def _closest_on_mesh(
    model: HeadModel,
    points: Float[np.ndarray, "478 3"],
    seen: Bool[np.ndarray, "478"],
    allowed: Bool[np.ndarray, "5 t"],
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest allowed surface point of each landmark as triangle and barycentric weights."""
    face = np.zeros(N_LANDMARKS, np.int32)
    barycentrics = np.tile(np.array([1, 0, 0], np.float32), (N_LANDMARKS, 1))
    kinds = _landmark_kind()
    for kind in range(len(allowed)):
        candidates = np.flatnonzero(allowed[kind])
        chosen = np.flatnonzero((kinds == kind) & seen)
        if len(candidates) == 0 or len(chosen) == 0:
            continue
        nearest = closest_points(points[chosen], model.template, model.triangles[candidates])
        face[chosen] = candidates[nearest.face]
        barycentrics[chosen] = nearest.barycentrics
    return face, barycentrics
