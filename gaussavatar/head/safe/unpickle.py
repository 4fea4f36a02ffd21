"""The one place that reads a pickle: FLAME's files, by an unpickler that knows a handful of inert names.

A pickle is a program that may call whatever it names. Here it can name only the entries of
:data:`ALLOWED`, each of them a function or class of this module that checks what it is
given and does nothing but keep it. Neither chumpy nor scipy is imported, and no array of
Python objects can come into being. What the pickle's opcodes themselves can waste, time
and memory, is bounded by the process that :mod:`gaussavatar.head.safe.sandbox` runs this in.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np

from gaussavatar.errors import UserError

MAX_DIMENSIONS = 8
MAX_SPARSE_ENTRIES = 1 << 26
"""Entries of a sparse matrix once it is written out; FLAME's has 5 x 5023."""

INSTEAD = "use the original file from the FLAME website; this one was not opened further"


class _Sealed(type):
    """A class that the pickle cannot give new attributes."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise AttributeError(f"{cls.__name__}.{name} cannot be set")


class _Function:
    """A function that the pickle can call but not change."""

    __slots__ = ("_work",)

    def __init__(self, work: Any) -> None:
        object.__setattr__(self, "_work", work)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} cannot be set")

    def __call__(self, *arguments: Any) -> Any:
        return self._work(*arguments)


class _Object(metaclass=_Sealed):
    """Stands for ``object``, the base that old pickles name when they make an instance."""

    __slots__ = ("state",)
    state: dict[str, Any]

    def __new__(cls, *arguments: Any) -> _Object:
        # Pickles make instances without calling __init__.
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}


class _Ch(_Object):
    """Stands for ``chumpy.ch.Ch``: its value is the entry ``x`` of its state."""

    __slots__ = ()


class _Csc(_Object):
    """Stands for scipy's compressed sparse column matrix."""

    __slots__ = ()


class _Csr(_Object):
    """Stands for scipy's compressed sparse row matrix."""

    __slots__ = ()


class _Dtype(metaclass=_Sealed):
    """Stands for ``numpy.dtype``: numbers and truth values only, in either byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        del align, copy
        text = code.decode("latin1") if isinstance(code, bytes) else code
        sizes = {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
        plain = text.lstrip("<>|=") if isinstance(text, str) else ""
        if plain[:1] not in sizes or not plain[1:].isdecimal() or int(plain[1:]) not in sizes[plain[0]]:
            raise _refused(f"an array of type {text!r:.40}")
        self.dtype = np.dtype(plain)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class _Array(metaclass=_Sealed):
    """Stands for ``numpy.ndarray``; holds a real array once its state has come and was checked."""

    __slots__ = ("array",)
    array: np.ndarray

    def __new__(cls, *arguments: Any) -> _Array:
        made = super().__new__(cls)
        made.array = np.zeros(0)
        return made

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _refused("an array without shape and type")
        shape, dtype, fortran, raw = state[-4:]
        self.array = _from_bytes(raw, dtype, shape, "F" if fortran else "C")


def _from_bytes(raw: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    """An array of checked type and shape from exactly as many bytes as it needs."""
    if not isinstance(dtype, _Dtype):
        raise _refused("an array without a type")
    if (
        not isinstance(shape, tuple)
        or len(shape) > MAX_DIMENSIONS
        or any(type(size) is not int or size < 0 for size in shape)
    ):
        raise _refused("an array of impossible shape")
    if isinstance(raw, str):
        # Python 2 wrote bytes as text; the unpickler has read them as latin-1.
        raw = raw.encode("latin1")
    if not isinstance(raw, (bytes, bytearray)):
        raise _refused("an array of Python objects")
    if len(raw) != math.prod(shape) * dtype.dtype.itemsize:
        raise _refused(f"an array of shape {shape} in {len(raw)} bytes")
    return np.frombuffer(bytes(raw), dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _reconstruct(kind: Any, shape: Any = (0,), code: Any = b"b") -> _Array:
    del shape, code
    if kind is not _Array:
        raise _refused("numpy's _reconstruct of something that is no array")
    return _Array()


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
    result = _Array()
    result.array = _from_bytes(raw, dtype, shape, order)
    return result


def _scalar(dtype: Any, raw: Any = b"") -> _Array:
    return _frombuffer(raw, dtype, (), "C")


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    """What copyreg does under protocols 0 and 1: a new instance of a class whose base is ``object``."""
    if not (isinstance(kind, _Sealed) and issubclass(kind, _Object) and base is _Object and state is None):
        raise _refused("copyreg._reconstructor of something else than a chumpy or scipy array")
    return kind()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """What ``_codecs.encode`` does where Python 3 wrote bytes under protocols 0 to 2."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1"):
        raise _refused("_codecs.encode with another encoding than latin1")
    return text.encode("latin1")


def _set(items: Any = ()) -> list[Any]:
    """Sets occur in chumpy's notes about itself, which are not read."""
    return list(items) if isinstance(items, (list, tuple)) else []


def _empty_bytes(*arguments: Any) -> bytes:
    """Python 3 writes empty bytes under protocols 0 to 2 as a call of ``bytes`` without arguments."""
    if arguments:
        raise _refused("a call of bytes with arguments")
    return b""


_SPARSE = {"csc_matrix": _Csc, "csr_matrix": _Csr, "csc_array": _Csc, "csr_array": _Csr}
ALLOWED: dict[tuple[str, str], Any] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Function(_reconstruct) for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _Function(_scalar) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _Function(_frombuffer) for core in ("core", "_core")},
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{(module, "_reconstructor"): _Function(_reconstructor) for module in ("copy_reg", "copyreg")},
    **{(module, "object"): _Object for module in ("__builtin__", "builtins")},
    **{(module, "set"): _Function(_set) for module in ("__builtin__", "builtins")},
    **{(module, "bytes"): _Function(_empty_bytes) for module in ("__builtin__", "builtins")},
    ("_codecs", "encode"): _Function(_encode),
    ("chumpy.ch", "Ch"): _Ch,
    **{
        (f"scipy.sparse.{mark}{name[:3]}", name): stub
        for mark in ("", "_")
        for name, stub in _SPARSE.items()
    },
}  # fmt: skip
"""Every name that a file may use, and what of ours it gets for it."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return ALLOWED[module, name]
        except KeyError:
            raise _refused(f"the name {module}.{name}"[:160]) from None

    def persistent_load(self, pid: Any) -> Any:
        raise _refused("a reference to something outside the file")


def _refused(came: str) -> UserError:
    return UserError("nothing but numbers in a FLAME pickle", came, INSTEAD)


def read_pickle(data: bytes) -> dict[str, Any]:
    """Read a pickled dictionary of arrays under any pickle protocol.

    Args:
        data: the bytes of the file.

    Returns:
        The dictionary; values that are arrays, chumpy arrays or sparse matrices become numpy arrays, texts and
        numbers stay, anything else becomes None.

    Raises:
        UserError: the pickle names anything but arrays, is damaged, or holds no dictionary.
    """
    try:
        found = _Unpickler(io.BytesIO(data), encoding="latin1", fix_imports=False).load()
    except UserError:
        raise
    except MemoryError as error:
        raise _refused("a pickle that asks for more memory than any head needs") from error
    except Exception as error:
        # Damaged opcodes surface as almost any exception; all of them mean the same here.
        raise UserError(
            "a whole FLAME pickle",
            f"a damaged one ({type(error).__name__}: {str(error)[:120]})",
            "download the file again",
        ) from error
    if type(found) is not dict:
        raise UserError("a dictionary of arrays in a FLAME pickle", f"a {type(found).__name__.strip('_')}", INSTEAD)
    return {key: _plain(value) for key, value in found.items() if isinstance(key, str)}


def _plain(value: Any) -> Any:
    """A stub's content as a numpy array."""
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, _Ch):
        inner = value.state.get("x")
        return inner.array if isinstance(inner, _Array) else None
    if isinstance(value, (_Csc, _Csr)):
        return _dense(value)
    return value if isinstance(value, (str, int, float)) else None


def _dense(matrix: _Object) -> np.ndarray:
    """A sparse matrix written out, after a check of its index arrays."""
    state = matrix.state
    parts = [state.get(name) for name in ("data", "indices", "indptr")]
    shape = state.get("_shape", state.get("shape"))
    if not all(isinstance(part, _Array) and part.array.ndim == 1 for part in parts):
        raise _refused("a sparse matrix without data, indices and indptr")
    if (
        not isinstance(shape, tuple)
        or len(shape) != 2
        or any(type(size) is not int or size < 0 for size in shape)
        or math.prod(shape) > MAX_SPARSE_ENTRIES
    ):
        raise _refused("a sparse matrix of impossible shape")
    data, indices, indptr = (part.array for part in parts if isinstance(part, _Array))
    columns = isinstance(matrix, _Csc)
    n_major, n_minor = (shape[1], shape[0]) if columns else shape
    if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu" or data.dtype.kind not in "fiu":
        raise _refused("a sparse matrix with indices that are no integers")
    starts, entries = indptr.astype(np.int64), indices.astype(np.int64)
    if (
        len(starts) != n_major + 1
        or len(entries) != len(data)
        or starts[0] != 0
        or starts[-1] != len(entries)
        or (np.diff(starts) < 0).any()
        or (entries.size and (entries.min() < 0 or entries.max() >= n_minor))
    ):
        raise _refused("a sparse matrix whose indices are out of range")
    major = np.repeat(np.arange(n_major), np.diff(starts))
    dense = np.zeros((n_major, n_minor))
    np.add.at(dense, (major, entries), data)
    return dense.T if columns else dense
