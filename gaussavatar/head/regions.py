"""Which part of a face each vertex belongs to, found from the landmarks: no model's own mask files are needed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, UInt8
from scipy.spatial import ConvexHull, cKDTree

from gaussavatar.head.embedding import LIP_RINGS
from gaussavatar.head.model import REGIONS, HeadModel
from gaussavatar.mesh.components import adjacency, component_labels
from gaussavatar.mesh.surface import area_normals

OVAL = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149),
    *(150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
"""MediaPipe's landmarks around the face, from the forehead's middle by the person's left."""

CHIN, CHEEKBONES, BROWS, NOSE_BASE = 152, (234, 454), (105, 334), 2
LIP_DEPTH = 0.006
"""Metres behind the lips' front within which a vertex is still lip and not inside the mouth."""

MOUTH_DEPTH = 0.06
EAR_FOLD = 0.35
"""How folded (one minus evenness) the surface of an ear is at the least."""

FOLD_BALL = 0.009
"""Metres around a vertex within which folds are looked for."""

EAR_REACH = 0.042
"""Metres from the middle of an ear to its farthest part, seen from the side."""

JAW_BEND = 0.012
"""Metres by which the edge of the jaw hangs below the straight line from chin to lobe."""

NECK_FLARE = 1.35
"""Where the body is this much wider than the neck, the torso begins."""


def landmark_positions(head: HeadModel) -> Float[np.ndarray, "478 3"]:
    """Where the embedded landmarks lie on the template, metres; NaN where one is not on the head."""
    embedding = head.embedding
    assert embedding is not None
    points = (embedding.barycentrics[..., None] * head.template[head.triangles[embedding.face]]).sum(1)
    return np.where(embedding.confidence[:, None] > 0, points, np.nan)


def skin_regions(head: HeadModel) -> UInt8[np.ndarray, "v"]:
    """The regions of a head whose skin is all called "face" so far: lips, mouth, ears, scalp, neck and torso found.

    Args:
        head: a head with a landmark embedding; regions other than "face" stay as they are.
    """
    points = landmark_positions(head)
    skin = head.region("face")
    vertices = head.template.astype(np.float64)
    regions = head.regions.copy()

    def mark(name: str, where: Bool[np.ndarray, "v"]) -> None:
        regions[where & skin] = REGIONS.index(name)

    ears = _ears(head, points)
    before_ears = vertices[:, 2] < (np.quantile(vertices[ears, 2], 0.05) if ears.any() else -np.inf)
    mark("scalp", ~(_within_oval(vertices, points) | (before_ears & (vertices[:, 1] > 0))))
    neck = _neck(vertices, points, ears & skin)
    mark("neck", neck)
    mark("ear", ears)
    lips, mouth = _mouth(head, points)
    mark("inner_mouth", mouth)
    mark("lips", lips)
    if not head.region("torso").any():
        mark("torso", _torso(vertices, neck & skin, points))
    return regions


def _within(points: Float[np.ndarray, "n 2"], polygon: Float[np.ndarray, "m 2"]) -> Bool[np.ndarray, "n"]:
    """Whether points lie inside a polygon: an odd number of its edges to their right."""
    polygon = polygon[np.isfinite(polygon).all(1)]
    inside = np.zeros(len(points), bool)
    x, y = points.T
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return inside


def _within_oval(vertices: Float[np.ndarray, "v 3"], points: Float[np.ndarray, "478 3"]) -> Bool[np.ndarray, "v"]:
    """Whether a vertex, seen from the middle of the head, lies inside the face's oval.

    Stereographic projection about the forward axis, so that the sides of the face count as they should.
    """
    middle = np.array([0.0, 0.02, float(np.nanmean(points[list(CHEEKBONES), 2]))])

    def project(places: np.ndarray) -> np.ndarray:
        ray = places - middle
        ray = ray / np.maximum(np.linalg.norm(ray, axis=1, keepdims=True), 1e-9)
        return ray[:, :2] / np.maximum(1 - ray[:, 2:], 1e-3)

    # A side that the landmarks place too far in is as wide as its mirror image.
    oval = project(points[list(OVAL)])
    return _within(project(vertices), oval) | _within(project(vertices * [-1, 1, 1]), oval)


def _neck(
    vertices: Float[np.ndarray, "v 3"], points: Float[np.ndarray, "478 3"], ears: Bool[np.ndarray, "v"]
) -> Bool[np.ndarray, "v"]:
    """Below the jaw's edge, a bent line from the chin to the lobes of the ears; behind those, below their height."""
    chin = points[CHIN]
    lobes = vertices[ears]
    if len(lobes):
        low = lobes[:, 1] > np.quantile(lobes[:, 1], 0.9)
        lobe = lobes[low].mean(0)
    else:
        lobe = np.nanmean(points[list(CHEEKBONES)], 0) + [0, 0.025, 0.03]
    along = np.clip((vertices[:, 2] - chin[2]) / max(lobe[2] - chin[2], 0.03), 0, 1)
    line = chin[1] + (lobe[1] - chin[1]) * along + 4 * JAW_BEND * along * (1 - along)
    return vertices[:, 1] > line + 0.003


def _torso(
    vertices: Float[np.ndarray, "v 3"], neck: Bool[np.ndarray, "v"], points: Float[np.ndarray, "478 3"]
) -> Bool[np.ndarray, "v"]:
    """Below the height at which the body gets clearly wider than the neck."""
    start = float(points[CHIN, 1]) + 0.01
    heights = np.arange(start, float(vertices[:, 1].max()), 0.005)
    widths = []
    for height in heights:
        near = neck & (np.abs(vertices[:, 1] - height) < 0.008)
        widths.append(np.abs(vertices[near, 0]).max() if near.any() else np.nan)
    if len(heights) < 3 or np.isnan(widths).all():
        return np.zeros(len(vertices), bool)
    flared = np.flatnonzero(np.array(widths) > NECK_FLARE * np.nanmin(widths))
    flared = flared[flared > np.nanargmin(widths)]
    return vertices[:, 1] > (heights[flared[0]] if len(flared) else np.inf)


def _ears(head: HeadModel, points: Float[np.ndarray, "478 3"]) -> Bool[np.ndarray, "v"]:
    """Where the skin at the sides of the head is folded, at the height of nose and brows."""
    vertices = head.template.astype(np.float64)
    skin = head.region("face")
    top = float(np.nanmean(points[list(BROWS), 1])) - 0.012
    bottom = float(points[NOSE_BASE, 1]) + 0.025
    level = skin & (vertices[:, 1] > top) & (vertices[:, 1] < bottom)
    around = adjacency(head.triangles, len(vertices))
    ears = np.zeros(len(vertices), bool)
    for side in (-1, 1):
        width = float(np.quantile(side * vertices[level, 0], 0.98))
        beside = level & (side * vertices[:, 0] > 0.70 * width) & (vertices[:, 2] > points[BROWS[0], 2] + 0.035)
        if not beside.any():
            continue
        folded = 1 - _evenness(vertices, head.triangles, beside)
        # The middle of the ear is where the surface is folded all around.
        centre = np.average(vertices[beside], axis=0, weights=np.maximum(folded[beside] - EAR_FOLD, 0) ** 2 + 1e-9)
        near_ear = beside.copy()
        beside &= np.linalg.norm((vertices - centre)[:, 1:], axis=1) < EAR_REACH
        found = beside & (folded > EAR_FOLD)
        found |= beside & (around @ found.astype(np.float32) > 0)
        if found.sum() >= 3:
            # The hollow of the ear is within its outline as it is seen from the side.
            outline = vertices[found][:, 1:]
            found |= near_ear & _within(vertices[:, 1:], outline[ConvexHull(outline).vertices])
        ears |= found
    return ears


def _evenness(
    vertices: Float[np.ndarray, "v 3"], triangles: Int[np.ndarray, "t 3"], wanted: Bool[np.ndarray, "v"]
) -> Float64[np.ndarray, "v"]:
    """How much the surface within a ball around wanted vertices faces one way: 1 flat, 0 folded; 1 for the others."""
    corners = vertices[triangles]
    normals = area_normals(corners)
    areas = np.linalg.norm(normals, axis=1)
    tree = cKDTree(corners.mean(1))
    even = np.ones(len(vertices))
    for vertex, near in zip(np.flatnonzero(wanted), tree.query_ball_point(vertices[wanted], FOLD_BALL), strict=True):
        if near:
            even[vertex] = np.linalg.norm(normals[near].sum(0)) / max(float(areas[near].sum()), 1e-12)
    return even


def _mouth(head: HeadModel, points: Float[np.ndarray, "478 3"]) -> tuple[Bool[np.ndarray, "v"], Bool[np.ndarray, "v"]]:
    """Lips, and what lies behind them: inside the outer ring of lip landmarks as the face is seen from the front."""
    vertices = head.template.astype(np.float64)
    rings = points[[index for ring in LIP_RINGS for index in ring]]
    rings = rings[np.isfinite(rings).all(1)]
    outline = points[list(LIP_RINGS[0])][:, :2]
    inside = _within(vertices[:, :2], outline)
    _, nearest = cKDTree(rings[:, :2]).query(vertices[:, :2])
    depth = vertices[:, 2] - rings[nearest, 2]
    lips = inside & (np.abs(depth) <= LIP_DEPTH)
    mouth = inside & (depth > LIP_DEPTH) & (depth < MOUTH_DEPTH)
    # The walls of a mouth reach farther to the sides than the lips. Where the lips part the mesh in two, all that
    # hangs together with what lies behind them is the inside of the mouth.
    skin = head.region("face")
    around = adjacency(head.triangles, len(vertices))
    fence = lips | (around @ lips.astype(np.float32) > 0)
    open_triangles = head.triangles[(skin & ~fence)[head.triangles].all(1)]
    labels = component_labels(open_triangles, len(vertices))
    outer = np.bincount(labels[skin & ~fence]).argmax()
    walls = np.isin(labels, np.unique(labels[mouth & ~fence])) & (labels != outer) & skin & ~fence
    walls |= fence & ~lips & (around @ walls.astype(np.float32) > 0)
    return lips, mouth | walls
