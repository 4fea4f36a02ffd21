"""Pickles that act, that waste, and that hold numbers which are no head."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.errors.hostile_heads import CASES, case, written
from tests.unit.head.synthetic_flame import fake_modules


def called(module: str, name: str, *arguments: str, protocol: int = 2) -> bytes:
    """A pickle that calls ``module.name`` with texts."""
    body = b"".join(b"X" + struct.pack("<I", len(text)) + text.encode() for text in arguments)
    return b"\x80" + bytes([protocol]) + f"c{module}\n{name}\n(".encode() + body + b"tR."


def acting(name: str, module: str, function: str, *arguments: str) -> None:
    """Register a pickle that calls a function; ``{canary}`` stands for the canary's path."""

    def build(folder: Path) -> Path:
        canary = str(folder / "canary")
        texts = [text.replace("{canary}", canary) for text in arguments]
        return written(folder, called(module, function, *texts))

    CASES[name] = build


acting("pickle_os_system", "os", "system", "touch {canary}")
acting("pickle_posix_system", "posix", "system", "touch {canary}")
acting("pickle_eval", "builtins", "eval", "open('{canary}', 'w')")
acting("pickle_exec_python2", "__builtin__", "execfile", "{canary}")
acting("pickle_getattr", "builtins", "getattr", "os", "system")
acting("pickle_import", "builtins", "__import__", "os")
acting("pickle_popen", "subprocess", "Popen", "touch {canary}")
acting("pickle_numpy_savetxt", "numpy", "savetxt", "{canary}", "1")
acting("pickle_numpy_load", "numpy", "load", "{canary}")
acting("pickle_numpy_memmap", "numpy", "memmap", "{canary}", "u1", "w+")
acting("pickle_runstring", "numpy.testing._private.utils", "runstring", "open('{canary}','w')")
acting("pickle_torch_storage", "torch.storage", "_load_from_bytes", "x")
acting("pickle_our_own_module", "gaussavatar.head.safe.unpickle", "read_pickle", "x")
acting("pickle_codec", "_codecs", "encode", "x", "zip")
acting("pickle_dtype_object", "numpy", "dtype", "O")
acting("pickle_dtype_void", "numpy", "dtype", "V1000000000")
acting("pickle_dtype_text", "numpy", "dtype", "S2000000000")
acting("pickle_dtype_structured", "numpy", "dtype", "f8,O")
acting("pickle_bytes_of_size", "builtins", "bytes", "x")


@case
def pickle_dotted_name(folder: Path) -> Path:
    """Protocol 4 may name attributes of attributes."""
    text = b"\x8c\x09chumpy.ch\x8c\x1aCh.__new__.__globals__.pop\x93."
    return written(folder, b"\x80\x04" + text)


@case
def pickle_inst_opcode(folder: Path) -> Path:
    return written(folder, f"(S'touch {folder / 'canary'}'\nios\nsystem\n.".encode())


@case
def pickle_obj_opcode(folder: Path) -> Path:
    return written(folder, f"(cos\nsystem\nS'touch {folder / 'canary'}'\no.".encode())


@case
def pickle_changes_a_stub(folder: Path) -> Path:
    """BUILD on a class would set its attributes."""
    return written(folder, b"\x80\x02cchumpy.ch\nCh\nN}X\x0c\x00\x00\x00__setstate__c_codecs\nencode\ns\x86b.")


@case
def pickle_changes_a_function(folder: Path) -> Path:
    return written(folder, b"\x80\x02c_codecs\nencode\nN}X\x05\x00\x00\x00_workN\x73\x86b.")


@case
def pickle_reconstructor_of_a_number(folder: Path) -> Path:
    return written(folder, b"ccopy_reg\n_reconstructor\n(c__builtin__\nset\nc__builtin__\nobject\nNtR.")


@case
def pickle_persistent_id(folder: Path) -> Path:
    return written(folder, b"\x80\x02X\x01\x00\x00\x00xQ.")


@case
def pickle_persistent_id_text(folder: Path) -> Path:
    return written(folder, b"Psomewhere\n.")


@case
def pickle_extension_code(folder: Path) -> Path:
    return written(folder, b"\x80\x02\x82\x01.")


@case
def pickle_out_of_band_buffer(folder: Path) -> Path:
    return written(folder, b"\x80\x05\x97.")


@case
def pickle_memo_bomb(folder: Path) -> Path:
    """The memo is an array; an index near 2^31 asks for 16 GiB of it."""
    return written(folder, b"\x80\x02}r\xff\xff\xff\x7f.")


@case
def pickle_bytes_bomb(folder: Path) -> Path:
    return written(folder, b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.")


@case
def pickle_bytearray_bomb(folder: Path) -> Path:
    return written(folder, b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.")


@case
def pickle_long_bomb(folder: Path) -> Path:
    return written(folder, b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x.")


@case
def pickle_decimal_bomb(folder: Path) -> Path:
    """A number of three million digits takes quadratic time to read."""
    return written(folder, b"\x80\x02L" + b"9" * 3_000_000 + b"L\n.")


@case
def pickle_deep_nesting(folder: Path) -> Path:
    return written(folder, b"\x80\x02" + b"]" * 300_000 + b"a" * 299_999 + b".")


@case
def pickle_deep_tuples_as_key(folder: Path) -> Path:
    """Hashing a deeply nested tuple recurses in C."""
    return written(folder, b"\x80\x02}" + b"N" + b"\x85" * 2_000_000 + b"Ns.")


@case
def pickle_exponential_hash(folder: Path) -> Path:
    """A tuple of the same tuple twice, 60 levels deep, as a key: hashing it takes 2^60 steps."""
    return written(folder, b"\x80\x02}N" + b"2\x86" * 60 + b"Ns.")


@case
def pickle_many_objects(folder: Path) -> Path:
    """Every byte makes an object of 64 bytes."""
    return written(folder, b"\x80\x02(" + b"}" * 30_000_000 + b"l.")


@case
def pickle_truncated(folder: Path) -> Path:
    data = flame_pickle()
    return written(folder, data[: len(data) // 2])


@case
def pickle_unknown_protocol(folder: Path) -> Path:
    return written(folder, b"\x80\xc8}.")


@case
def pickle_unknown_opcode(folder: Path) -> Path:
    return written(folder, b"\x80\x02}\xff.")


@case
def pickle_empty_stack(folder: Path) -> Path:
    return written(folder, b"\x80\x02R.")


@case
def pickle_list(folder: Path) -> Path:
    return written(folder, pickle.dumps([1, 2, 3], 2))


@case
def empty_file(folder: Path) -> Path:
    return written(folder, b"")


def small_flame() -> dict[str, Any]:
    """Arrays that pass every check of a FLAME file, of 150 vertices."""
    random = np.random.default_rng(0)
    n = 150
    weights = random.uniform(0.1, 1, (n, 5))
    regressor = random.uniform(0.1, 1, (5, n))
    vertices = random.uniform(-0.15, 0.15, (n, 3))
    vertices[:2, 1] = -0.15, 0.15
    return {
        "v_template": vertices,
        "f": random.integers(0, n, (200, 3)).astype(np.uint32),
        "shapedirs": random.normal(0, 1e-3, (n, 3, 400)),
        "posedirs": random.normal(0, 1e-3, (n, 3, 36)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
    }


def flame_pickle(protocol: int = 2, **changes: Any) -> bytes:
    values = small_flame()
    for key, value in changes.items():
        values[key] = value
    return pickle.dumps({key: value for key, value in values.items() if value is not None}, protocol)


def wrong(name: str, **changes: Callable[[np.ndarray], Any]) -> None:
    """Register a FLAME pickle with changed arrays."""

    def build(folder: Path) -> Path:
        values = small_flame()
        return written(folder, flame_pickle(**{key: change(values[key]) for key, change in changes.items()}))

    CASES[name] = build


wrong("flame_without_weights", weights=lambda a: None)
wrong("flame_text_for_an_array", weights=lambda a: "weights")
wrong("flame_object_array", weights=lambda a: a.astype(object))
wrong("flame_complex_array", weights=lambda a: a.astype(complex))
wrong("flame_nan", v_template=lambda a: np.where(a == a[7, 1], np.nan, a))
wrong("flame_infinite_basis", shapedirs=lambda a: np.full_like(a, np.inf))
wrong("flame_wrong_shape", posedirs=lambda a: a[:, :, :35])
wrong("flame_flat_template", v_template=lambda a: a.ravel())
wrong("flame_no_vertices", v_template=lambda a: a[:0])
wrong("flame_weights_of_two", weights=lambda a: 2 * a)
wrong("flame_negative_weights", weights=lambda a: a + np.array([1, -1, 0, 0, 0]))
wrong("flame_parents_in_a_loop", kintree_table=lambda a: a[[0, 1]] * 0 + np.array([[1, 2, 0, 1, 1], [0, 1, 2, 3, 4]]))
wrong("flame_triangle_out_of_range", f=lambda a: np.where(a == a[3, 1], 2**32 - 1, a).astype(np.uint32))
wrong("flame_fractional_triangles", f=lambda a: a.astype(np.float64))
wrong("flame_giant", v_template=lambda a: 100 * a)
wrong("flame_regressor_of_zeros", J_regressor=lambda a: 0 * a)


@case
def flame_random_mesh(folder: Path) -> Path:
    """All sums and shapes are right, but it is no head: there are no eyeballs."""
    return written(folder, flame_pickle())


@case
def flame_array_of_impossible_shape(folder: Path) -> Path:
    """The shape says eight terabytes, the bytes are eight."""
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        b"(K\x01\x8a\x06\x00\x00\x00\x00\x00\x01\x85cnumpy\ndtype\nX\x02\x00\x00\x00f8K\x00K\x01\x87R"
        b"\x89C\x08\x00\x00\x00\x00\x00\x00\x00\x00tb"
    )
    return written(folder, b"\x80\x03}X\x0a\x00\x00\x00v_template" + array + b"s.")


def sparse(**state: Any) -> bytes:
    with fake_modules(csc_matrix="scipy.sparse.csc") as stubs:
        whole = {
            "_shape": (5, 150),
            "data": np.full(150, 0.2),
            "indices": np.zeros(150, np.int32),
            "indptr": np.arange(151, dtype=np.int32),
        }
        return flame_pickle(J_regressor=stubs["csc_matrix"](**(whole | state)))


@case
def flame_sparse_index_out_of_range(folder: Path) -> Path:
    return written(folder, sparse(indices=np.full(150, 1 << 30, np.int32)))


@case
def flame_sparse_of_impossible_shape(folder: Path) -> Path:
    return written(folder, sparse(_shape=(1 << 30, 1 << 30)))


@case
def flame_sparse_starts_backwards(folder: Path) -> Path:
    return written(folder, sparse(indptr=np.r_[0, 150, np.arange(149)].astype(np.int32)))
