"""The weights of the phone recogniser ``hama``, read from the file that its package carries.

The pack begins with ``HAMAPK``, two bytes of version and the number of tensors (u32). Each tensor is told by the
length of its name (u16), the name, its type (u8: 0 f32, 1 f16), its axes (u8) and their lengths (u32), its offset and
its bytes (u64). The tensors themselves end the file. What the network is (a conformer, Gulati et al. 2020) is told in
docs/gsa.md.
"""

from __future__ import annotations

import math
import struct

import numpy as np

MAGIC, VERSION = b"HAMAPK", (1, 2)
BLOCKS, HEADS, WIDTH, INNER = 4, 4, 144, 576
_TYPES = (np.dtype("<f4"), np.dtype("<f2"))
_START = 12
_PLACE = "acoustic_model.model."


def read_pack(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a pack by name.

    Raises:
        ValueError: it is none, of another version, or cut short.
    """
    if len(data) < _START or data[:6] != MAGIC or tuple(data[6:8]) != VERSION:
        raise ValueError("not a pack of this version")
    (count,), at, listed = struct.unpack_from("<I", data, 8), _START, []
    try:
        for _ in range(count):
            (length,) = struct.unpack_from("<H", data, at)
            name, at = data[at + 2 : at + 2 + length].decode(), at + 2 + length
            kind, axes = struct.unpack_from("<BB", data, at)
            shape = struct.unpack_from(f"<{axes}I", data, at + 2)
            offset, size = struct.unpack_from("<QQ", data, at + 2 + 4 * axes)
            at += 18 + 4 * axes
            listed.append((name, _TYPES[kind], shape, offset, size))
    except (struct.error, UnicodeDecodeError, IndexError) as error:
        raise ValueError(f"a damaged list of tensors ({error})") from error
    start = len(data) - max((offset + size for *_, offset, size in listed), default=0)
    if start < at or any(math.prod(shape) * kind.itemsize != size for _, kind, shape, _, size in listed):
        raise ValueError("tensors beyond the end, or of another size than their shape")
    return {
        name: np.frombuffer(data, kind, math.prod(shape), start + offset).reshape(shape)
        for name, kind, shape, offset, _ in listed
    }


def hama_shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    """The layers of the network and their shapes, see :func:`network_sections`."""
    d, parts = WIDTH, {"hama.mel": (201, 80), "hama.stem": (241, WIDTH), "hama.out": (WIDTH + 1, tokens)}
    block = {
        "norm": (2, d), "attn.norm": (2, d), "attn.in": (d + 1, 3 * d), "attn.out": (d + 1, d),
        "conv.norm": (2, d), "conv.in": (d + 1, 2 * d), "conv.depth": (32, d), "conv.out": (d + 1, d),
    }  # fmt: skip
    for name in ("ffn1", "ffn2"):
        block |= {f"{name}.norm": (2, d), f"{name}.in": (d + 1, INNER), f"{name}.out": (INNER + 1, d)}
    return parts | {f"hama.{k}.{name}": shape for k in range(BLOCKS) for name, shape in block.items()}


def network_sections(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network of a pack: of each layer one matrix, inputs x outputs, whose last row is the bias.

    Raises:
        KeyError, ValueError: other tensors than those of this network.
    """
    convolutions = [tensors[name] for name in tensors if name.startswith("onnx::Conv")]
    products = [tensors[name] for name in tensors if name.startswith("onnx::MatMul")]
    made = {
        "hama.mel": tensors["mel_fb"],
        "hama.stem": _matrix(convolutions[0].transpose(2, 1, 0).reshape(-1, WIDTH), convolutions[1]),
        "hama.out": _matrix(tensors[f"{_PLACE}proj.weight"][..., 0].T, tensors[f"{_PLACE}proj.bias"]),
    }
    for k in range(BLOCKS):
        depth, depth_bias = convolutions[2 + 2 * k : 4 + 2 * k]
        made |= _block(f"hama.{k}", f"{_PLACE}blocks.{k}", tensors, products[6 * k : 6 * k + 6])
        made[f"hama.{k}.conv.depth"] = _matrix(depth[:, 0].T, depth_bias)
    return made


def _block(name: str, place: str, tensors: dict[str, np.ndarray], products: list[np.ndarray]) -> dict[str, np.ndarray]:
    """One block but for its convolution over time."""

    def norm(part: str) -> np.ndarray:
        return np.stack([tensors[f"{place}.{part}.weight"], tensors[f"{place}.{part}.bias"]])

    ffn1_in, ffn1_out, attn_in, attn_out, ffn2_in, ffn2_out = products
    made = {"norm": norm("norm"), "attn.norm": norm("attn_norm"), "conv.norm": norm("conv.norm")}
    made["attn.in"] = _matrix(attn_in, tensors[f"{place}.attn.in_proj_bias"])
    made["attn.out"] = _matrix(attn_out, tensors[f"{place}.attn.out_proj.bias"])
    for ours, theirs in (("in", "pointwise1"), ("out", "pointwise2")):
        weight, bias = (tensors[f"{place}.conv.{theirs}.{part}"] for part in ("weight", "bias"))
        made[f"conv.{ours}"] = _matrix(weight[..., 0].T, bias)
    for part, inward, outward in (("ffn1", ffn1_in, ffn1_out), ("ffn2", ffn2_in, ffn2_out)):
        made[f"{part}.norm"] = norm(f"{part}.norm")
        made[f"{part}.in"] = _matrix(inward, tensors[f"{place}.{part}.fc1.bias"])
        made[f"{part}.out"] = _matrix(outward, tensors[f"{place}.{part}.fc2.bias"])
    return {f"{name}.{part}": array for part, array in made.items()}


def _matrix(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return np.concatenate([weight, bias[None]])
