"""The native libraries' C interface, the one place of ctypes: structs, argument types, pointers, statuses.

Mirrors ``cuda_ext/include/*.h``; a test compares sizes and constants with what the library itself says of them
(``ga_fact``). Arguments are numpy arrays and torch tensors as they are: a declared array is checked for its type and
for being contiguous, and ``None`` is the null pointer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

OK, OUT_OF_MEMORY, NOT_AVAILABLE, BAD_ARGUMENT, DEVICE_ERROR = 0, -1, -2, -3, -4
"""What native functions return (``GaStatus``)."""

Library = ctypes.CDLL
"""A loaded library, whose functions are declared: they raise instead of returning a status."""

ARRAYS = ("means", "quats", "scales", "opacities", "colors")
"""Of activated Gaussians, in the order of ``GaActivated``."""


def _fields(kind: Any, *names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names]


class GaScene(ctypes.Structure):
    """A batch of frames to rasterize."""

    _fields_ = [
        *_fields(ctypes.c_void_p, *ARRAYS, "T", "K"),
        *_fields(ctypes.c_int64, *(f"{name}_stride" for name in (*ARRAYS, "T", "K"))),
        *_fields(ctypes.c_int32, "batch", "count", "width", "height"),
    ]


class GaSceneGradients(ctypes.Structure):
    """Where the gradients of a :class:`GaScene` go."""

    _fields_ = _fields(ctypes.c_void_p, *ARRAYS, "T")


class GaRaw(ctypes.Structure):
    """Raw Gaussians and their motion."""

    _fields_ = [
        *_fields(ctypes.c_void_p, "means", "quats", "log_scales", "logits", "colors", "motion"),
        *_fields(ctypes.c_int32, "batch", "count", "moving", "width"),
        ("offset", ctypes.c_int32 * 5),
        ("unit", ctypes.c_float * 5),
    ]


class GaActivated(ctypes.Structure):
    """Activated Gaussians, or gradients."""

    _fields_ = _fields(ctypes.c_void_p, *ARRAYS)


class GaBlend(ctypes.Structure):
    """Blend weights and the basis that they weigh."""

    _fields_ = [*_fields(ctypes.c_void_p, "weights", "basis"), *_fields(ctypes.c_int32, "shapes")]


class GaAdam(ctypes.Structure):
    """What of a step of Adam is the same for all numbers."""

    _fields_ = _fields(ctypes.c_double, "step_size", "root_scale", "keep_mean", "keep_square", "epsilon")


class GaSkinScene(ctypes.Structure):
    """Frames, poses, cameras and the surface that they show."""

    _fields_ = [
        *_fields(ctypes.c_void_p, "images", "poses", "cameras", "surface"),
        *_fields(ctypes.c_int32, "frames", "height", "width", "points"),
    ]


class GaMeshLight(ctypes.Structure):
    """A directional light."""

    _fields_ = [("direction", ctypes.c_float * 3), ("colour", ctypes.c_float * 3)]


class GaMeshMaterial(ctypes.Structure):
    """How one part of a mesh answers light."""

    _fields_ = [
        ("wrap", ctypes.c_float * 3),
        *_fields(ctypes.c_float, "broad", "tight"),
        *_fields(ctypes.c_int32, "emissive", "textured"),
    ]


class GaMeshScene(ctypes.Structure):
    """Lights and texture of a mesh's picture."""

    _fields_ = [
        *_fields(GaMeshLight, "key", "fill", "rim"),
        *_fields(ctypes.c_float * 3, "sky", "ground"),
        ("texture", ctypes.c_void_p),
        *_fields(ctypes.c_float, "left", "top", "scale", "exposure"),
        *_fields(ctypes.c_int32, "texture_width", "texture_height"),
    ]


STRUCTS = (
    GaScene,
    GaSceneGradients,
    GaRaw,
    GaActivated,
    GaBlend,
    GaAdam,
    GaSkinScene,
    GaMeshLight,
    GaMeshMaterial,
    GaMeshScene,
)


def address(array: np.ndarray | torch.Tensor | None) -> int | None:
    """Where an array's memory begins; None for None. The caller keeps the array alive."""
    if array is None:
        return None
    return array.data_ptr() if isinstance(array, torch.Tensor) else array.ctypes.data


def queue(tensor: torch.Tensor) -> tuple[int, int | None]:
    """Device and stream of the work on a tensor, the last arguments of a function of the CUDA library.

    Memory of the host, as in the tests' build of the kernels, has neither.
    """
    if tensor.device.type != "cuda":
        return 0, None
    return tensor.device.index, torch.cuda.current_stream(tensor.device).cuda_stream


class _Array:
    """An argument that is an array of one type in C order, or None."""

    def __init__(self, dtype: str) -> None:
        self._torch, self._numpy = getattr(torch, dtype), np.dtype(dtype)

    def from_param(self, array: np.ndarray | torch.Tensor | None) -> ctypes.c_void_p:
        """What ctypes passes for ``array``."""
        if isinstance(array, torch.Tensor):
            fits = array.dtype == self._torch and array.is_contiguous()
        else:
            fits = array is None or (array.dtype == self._numpy and array.flags.c_contiguous)
        if not fits:
            raise TypeError(f"a contiguous array of {self._numpy} is needed, not {type(array)} of {array.dtype}")  # type: ignore[union-attr]
        return ctypes.c_void_p(address(array))


_f32, _f64, _i32, _u8 = (_Array(dtype) for dtype in ("float32", "float64", "int32", "uint8"))
_int, _long, _float, _double = ctypes.c_int32, ctypes.c_int64, ctypes.c_float, ctypes.c_double
_handle, _text = ctypes.c_void_p, ctypes.c_char_p


def _to(kind: Any) -> Any:
    return ctypes.POINTER(kind)


_CPU: dict[str, Sequence[Any]] = {
    "ga_isa": [_to(_text)],
    "ga_force_isa": [_text],
    "ga_isa_available": [_text, _to(_int)],
    "ga_set_threads": [_int],
    "ga_get_threads": [_to(_int)],
    "ga_sources": [_to(_text)],
    "ga_fact": [_int, _to(_text), _to(_double)],
    "ga_raster_forward": [_to(GaScene), _f32, _f32, _to(_handle)],
    "ga_raster_backward": [_to(GaScene), _handle, _f32, _f32, _to(GaSceneGradients)],
    "ga_raster_free": [_handle],
    "ga_photometric": [_f32, _f32, _f32, _int, _int, _int, _double, _to(_double), _f32],
    "ga_ssim": [_f32, _f32, _int, _int, _int, _f32],
    "ga_composite_forward": [_f32, _f32, _f32, _f32, _f32, _long, _f32],
    "ga_composite_backward": [_f32, _f32, _f32, _f32, _f32, _long, _f32, _f32, _f32, _f32],
    "ga_activate": [_to(GaRaw), _to(GaActivated)],
    "ga_activate_backward": [_to(GaRaw), _to(GaActivated), _to(GaActivated), _to(GaActivated), _f32],
    "ga_outer_adam": [_f32, _f32, _int, _int, _long, _to(GaAdam), _f32, _f32, _f32],
    "ga_other_background": [_f32, _f32, _f32, _u8, _f32, _int, _long, _f32, _f32],
    "ga_coverage": [_f32, _f32, _f32, _f32, _long, ctypes.c_double * 2],
    "ga_coverage_backward": [_f32, _f32, _f32, _long, _f32, _f32, _f32],
    "ga_rasterize_mesh": [_f32, _i32, _f32, _int, _int, _int, _int, _int, _float, _int, _i32, _f32, _f32],
    "ga_interpolate_mesh": [_i32, _f32, _i32, _f32, _long, _int, _f32],
    "ga_shade_mesh": [_i32, _f32, _i32, _i32, _f32, _f32, _to(GaMeshMaterial), _to(GaMeshScene), _f32, _int, _int, _u8],
    "ga_shade_strands": [_f32, _f32, _f32, _f32, _f32, _to(GaMeshScene), _int, _int, _f32],
    "ga_skin_template": [_to(GaSkinScene), _f32, _float, _f64, _f32, _f32],
    "ga_skin_normal": [_to(GaSkinScene), _f32, _float, _f64, _f64],
    "ga_pack": [_u8, _u8, _int, _int, _int, _long, _u8, _to(_long)],
    "ga_unpack": [_u8, _long, _u8, _int, _int, _int, _int, _u8],
}
_CUDA: dict[str, Sequence[Any]] = {
    "ga_cuda_usable": [_int],
    "ga_cuda_blendshapes": [_to(GaRaw), _to(GaBlend), _to(GaActivated), _f32, _int, _handle],
    "ga_cuda_blendshapes_backward": [
        *(_to(GaRaw), _to(GaBlend), _to(GaActivated), _to(GaActivated), _f32),
        *(_to(GaActivated), _f32, _f32, _f32, _f32, _int, _handle),
    ],
    "ga_cuda_photometric": [_f32, _f32, _f32, _int, _int, _int, _float, _f32, _f32, _f32, _int, _handle],
    "ga_cuda_photometric_loss": [_f32, _f32, _int, _handle],
    "ga_cuda_photometric_backward": [
        *(_f32, _f32, _f32, _int, _int, _int),
        *(_f32, _f32, _f32, _f32, _f32, _int, _handle),
    ],
    "ga_cuda_ssim": [_f32, _f32, _int, _int, _int, _f32, _f32, _int, _handle],
    "ga_cuda_composite": [_f32, _f32, _f32, _f32, _f32, _long, _f32, _int, _handle],
    "ga_cuda_composite_backward": [_f32, _f32, _f32, _f32, _f32, _long, _f32, _f32, _f32, _f32, _int, _handle],
}
FUNCTIONS: dict[str, dict[str, Sequence[Any]]] = {"cpu": _CPU, "cuda": _CUDA}
"""Of each backend: every function and the types of its arguments. All return a status."""


def open_library(path: Path, backend: str) -> Library:
    """Load a library of a backend and declare its functions.

    Raises:
        OSError: it cannot be loaded.
    """
    library = ctypes.CDLL(str(path))
    for name, arguments in FUNCTIONS[backend].items():
        function = getattr(library, name)
        function.argtypes, function.restype, function.errcheck = arguments, ctypes.c_int, _check
    return library


def _check(status: int, function: Any, _arguments: Any) -> int:
    """Raise for a status other than :data:`OK`."""
    if status == OUT_OF_MEMORY:
        raise MemoryError(f"out of memory in {function.__name__}")
    if status != OK:
        why = {NOT_AVAILABLE: "not available", BAD_ARGUMENT: "an argument out of range", DEVICE_ERROR: "device error"}
        raise RuntimeError(f"{function.__name__} failed: {why.get(status, f'status {status}')}")
    return status


def floats(values: Sequence[float] | np.ndarray) -> ctypes.Array:
    """A ``float[n]`` to put into a struct."""
    return (ctypes.c_float * len(values))(*values)


def integers(values: Sequence[int]) -> ctypes.Array:
    """An ``int32_t[n]`` to put into a struct."""
    return (ctypes.c_int32 * len(values))(*values)


def records(rows: Sequence[ctypes.Structure]) -> ctypes.Array:
    """An array of structs of one kind, one at least."""
    return (type(rows[0]) * len(rows))(*rows)


def out_integer(function: Any, *arguments: Any) -> int:
    """Call a function whose last argument receives an integer."""
    value = ctypes.c_int32()
    function(*arguments, value)
    return value.value


def out_double(function: Any, *arguments: Any, last: Sequence[Any] = ()) -> float:
    """Call a function with an argument that receives a number, before the arguments ``last``."""
    value = ctypes.c_double()
    function(*arguments, value, *last)
    return value.value


def out_text(function: Any, *arguments: Any) -> str:
    """Call a function whose last argument receives a text."""
    value = ctypes.c_char_p()
    function(*arguments, value)
    assert value.value is not None
    return value.value.decode()


def facts(library: Library) -> Iterator[tuple[str, float]]:
    """The constants and sizes that the library was built with."""
    index, name, value = 0, ctypes.c_char_p(), ctypes.c_double()
    while True:
        try:
            library.ga_fact(index, name, value)
        except RuntimeError:
            return
        assert name.value is not None
        yield name.value.decode(), value.value
        index += 1


class RasterHandle:
    """Owns what the library keeps of a rasterization between forward and backward."""

    def __init__(self, library: Library) -> None:
        self.pointer = ctypes.c_void_p()
        self._free = library.ga_raster_free

    def __del__(self) -> None:
        if self.pointer:
            self._free(self.pointer)
