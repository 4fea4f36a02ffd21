"""Files in the formats of ICT-FaceKit and GNM whose head is the built-in one, for tests without the models."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gaussavatar.head.builtin.model import builtin_head

AXES = np.array([1.0, -1.0, -1.0])
SHOWN = ("jawOpen", "browInnerUp", "cheekPuff", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker")
MATERIALS = (
    *("M_Face", "M_Teeth", "M_GumsTongue", "M_EyeLashes", "M_ScleraLeft", "M_ScleraRight", "M_IrisLeft"),
    *("M_EyeOcclusion", "M_BackHead"),
)


def ict_arrays() -> dict[str, np.ndarray]:
    """The built-in head as ICT-FaceKit's arrays: centimetres, materials, halves of two expressions."""
    head = builtin_head(embedded=False)
    material = np.zeros(len(head.template), np.int64)
    for name, regions in (
        ("M_Teeth", ("teeth_upper", "teeth_lower")),
        ("M_GumsTongue", ("tongue",)),
        ("M_EyeLashes", ("lashes",)),
        ("M_ScleraLeft", ("eyeball_left",)),
        ("M_ScleraRight", ("eyeball_right",)),
        ("M_BackHead", ("scalp",)),
    ):
        material[head.region(*regions)] = MATERIALS.index(name)
    corners = material[head.triangles]
    face_mat = np.where((corners == corners[:, :1]).all(1), corners[:, 0], 0)
    triangles = np.c_[head.triangles, np.full(len(head.triangles), -1)]
    ball = np.flatnonzero(head.region("eyeball_left"))
    shell = head.triangles[np.isin(head.triangles, ball).all(1)]
    inner = 0.95 * (head.template[ball] - head.joint_positions[4]) + head.joint_positions[4]
    shell = np.searchsorted(ball, shell) + len(head.template)
    triangles = np.concatenate([triangles, np.c_[shell, np.full(len(shell), -1)]])
    # Two triangles side by side make one face of four corners; the clear layer before the eye is such a face.
    triangles = np.concatenate([triangles, [[*ball[:4]]]])
    face_mat = np.concatenate(
        [face_mat, np.full(len(shell), MATERIALS.index("M_IrisLeft")), [MATERIALS.index("M_EyeOcclusion")]]
    )
    rows: dict[str, np.ndarray] = {}
    left = (head.template[:, :1] > 0).astype(np.float32)
    for name in SHOWN:
        shape = head.expression[head.expression_names.index(name)]
        if name in ("browInnerUp", "cheekPuff"):
            rows |= {f"{name}_L": left * shape, f"{name}_R": (1 - left) * shape}
        else:
            rows[name.replace("Left", "_L").replace("Right", "_R")] = shape
    rows |= {"cheekRaiser_L": 0.5 * rows["mouthSmile_L"], "PupilDilate_L": 0 * rows["jawOpen"]}

    def with_inner(fields: np.ndarray) -> np.ndarray:
        return np.concatenate([fields, np.zeros((len(fields), len(ball), 3))], 1)

    return {
        "v": (100 * np.concatenate([head.template, inner]) * AXES).astype(np.float32),
        "faces": triangles.astype(np.int32),
        "face_mat": face_mat.astype(np.uint8),
        "mats": np.array(MATERIALS),
        "identity": (100 * with_inner(head.identity[:3]) * AXES).astype(np.float16),
        "identity_scale": np.float32(1),
        "expr": (100 * with_inner(np.stack(list(rows.values()))) * AXES).astype(np.float16),
        "expr_names": np.array(list(rows)),
    }


def write_ict_folder(folder: Path) -> Path:
    """The same as a folder of OBJ files."""
    arrays = ict_arrays()
    inner = folder / "FaceXModel"
    inner.mkdir(parents=True)

    def write(name: str, vertices: np.ndarray, faces: str = "") -> None:
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
        (inner / f"{name}.obj").write_text("# made up\n" + "\n".join(lines) + "\nvt 0 0\n" + faces)

    lines = []
    order = np.argsort(arrays["face_mat"], kind="stable")
    last = -1
    for index in order:
        if arrays["face_mat"][index] != last:
            last = arrays["face_mat"][index]
            lines.append(f"usemtl {MATERIALS[last]}")
        lines.append("f " + " ".join(f"{corner + 1}/1" for corner in arrays["faces"][index] if corner >= 0))
    write("generic_neutral_mesh", arrays["v"], "\n".join(lines) + "\n")
    for index, shape in enumerate(arrays["identity"]):
        write(f"identity{index:03d}", arrays["v"] + shape)
    for name, shape in zip(arrays["expr_names"], arrays["expr"], strict=True):
        write(str(name), arrays["v"] + shape)
    return inner


def gnm_arrays() -> dict[str, np.ndarray]:
    """The built-in head as GNM's arrays: nameless expression directions, four joints, correctives for all of them."""
    head = builtin_head(embedded=False)
    random = np.random.default_rng(0)
    n = len(head.template)
    weights = np.zeros((4, n), np.float32)
    torso, neck, skull, jaw, left, right = head.skin_weights.T
    weights[0], weights[1], weights[2], weights[3] = torso + neck, skull + jaw, left, right
    joints = head.joint_positions[[1, 2, 4, 5]]
    groups = {
        "skin": head.region("face", "lips", "ear", "scalp", "neck", "torso"),
        "mouth_sock": head.region("inner_mouth"),
        "tongue": head.region("tongue"),
        "teeth": head.region("teeth_upper", "teeth_lower"),
        "upper_teeth_and_gums": head.region("teeth_upper"),
        "lower_teeth_and_gums": head.region("teeth_lower"),
        "left_eye": head.region("eyeball_left"),
        "right_eye": head.region("eyeball_right"),
    }
    mixing = np.linalg.qr(random.normal(size=(52, 52)))[0]
    expression = np.einsum("ab,bvc->avc", mixing, head.expression)
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (head.template * AXES + [0, 0.1, 0.02]).astype(np.float32),
        "template_joint_positions": (joints * AXES + [0, 0.1, 0.02]).astype(np.float32),
        "vertex_identity_basis": (0.2 * head.identity[:6] * AXES).astype(np.float32),
        "joint_identity_basis": (0.2 * head.joint_identity[:6][:, [1, 2, 4, 5]] * AXES).astype(np.float32),
        "expression_basis": (expression * AXES).astype(np.float32),
        "identity_names": np.array([f"head_{k:03d}" for k in range(6)]),
        "expression_names": np.array([f"lower_face_region_{k:03d}" for k in range(52)]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "joint_parent_indices": np.array([0, 0, 1, 1]),
        "skinning_weights": weights,
        "triangles": head.triangles,
        "quads": np.c_[head.triangles, head.triangles[:, :1]],
        "triangle_uvs": random.uniform(0, 1, (len(head.triangles), 3, 2)).astype(np.float32),
        "pose_correctives_regressor": random.normal(0, 1e-4, (36, 3 * n)).astype(np.float32),
        "vertex_groups": np.stack(list(groups.values())).astype(np.float32),
        "vertex_group_names": np.array(list(groups)),
    }
