"""Pictures of bytes, packed without loss: native, and the twin in numpy.

Frames of a clip take a third of their bytes, masks a twentieth, and unpacking one takes about a millisecond: a training
step reads them as if they were not packed. Of each channel (of three, the first and the last as differences from the
second) every sample is predicted by those to its left, above it and between the two, ``left + above - corner``; zero
lies beyond the edges. What is left over (modulo 256, from -128 to 127) is written as ``2 r`` where ``r`` is not
negative, ``-2 r - 1`` where it is, with as many bits as the largest of :data:`BLOCK` samples of the row needs. All is
little-endian:

- four bytes per channel: how many the channel has; then the channels, each of them
- two bits per group of :data:`GROUP` blocks, row by row, which are 0 where nothing is left over, 2 where the samples
  are those of the picture beside, else 1; filled up to whole bytes
- for every group with 1: four bits per block, the width, or :data:`SAME_BLOCK` where its samples are those of the
  picture beside; then the blocks of widths 1 to 8, eight numbers after the other in as many bytes as they have bits.

Rows are filled up to whole groups, as if a picture went on with zeros.
"""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
from jaxtyping import UInt8

from gaussavatar.native import abi
from gaussavatar.native.library import load_library

BLOCK, GROUP, SAME_BLOCK = 16, 4, 9
_SPAN = BLOCK * GROUP
_STILL, _MIXED, _SAME = 0, 1, 2


@cache
def _library() -> abi.Library:
    """The library as it is: reading frames beside a training step must not set that step's threads."""
    return load_library()


def pack_cpu(
    image: UInt8[np.ndarray, "h w c"], beside: UInt8[np.ndarray, "h w c"] | None = None
) -> UInt8[np.ndarray, "bytes"]:
    """Pack a contiguous picture; where it agrees with ``beside``, which unpacking is to be given too, it costs nothing.

    Raises:
        ValueError: the pictures differ in shape.
    """
    if beside is not None and beside.shape != image.shape:
        raise ValueError(f"pictures of {image.shape} and {beside.shape}")
    height, width, channels = image.shape
    groups = height * -(-width // _SPAN)
    packed = np.empty(channels * (4 + -(-groups // 4) + (2 + _SPAN) * groups) + 8, np.uint8)
    size = ctypes.c_int64()
    _library().ga_pack(image, beside, height, width, channels, len(packed), packed, size)
    return packed[: size.value].copy()


def unpack_cpu(
    packed: UInt8[np.ndarray, "bytes"],
    shape: tuple[int, int, int],
    beside: UInt8[np.ndarray, "h w c"] | None = None,
    channel: int | None = None,
) -> UInt8[np.ndarray, "h w k"]:
    """The picture of ``shape`` that was packed, or one ``channel`` of it alone.

    Raises:
        ValueError: the bytes are not of such a picture, or ``beside`` is not.
    """
    if beside is not None and beside.shape != shape:
        raise ValueError(f"pictures of {shape} and {beside.shape}")
    image = np.empty((*shape[:2], shape[2] if channel is None else 1), np.uint8)
    try:
        _library().ga_unpack(packed, len(packed), beside, *shape, -1 if channel is None else channel, image)
    except RuntimeError as error:
        raise ValueError(f"{len(packed)} bytes that are no packed picture of {shape}") from error
    return image


def pack_twin(
    image: UInt8[np.ndarray, "h w c"], beside: UInt8[np.ndarray, "h w c"] | None = None
) -> UInt8[np.ndarray, "bytes"]:
    """:func:`pack_cpu` in numpy."""
    others = None if beside is None else _planes(beside)
    channels = [
        _pack_channel(plane, None if others is None else others[number]) for number, plane in enumerate(_planes(image))
    ]
    sizes = b"".join(len(each).to_bytes(4, "little") for each in channels)
    return np.frombuffer(sizes + b"".join(channels), np.uint8)


def unpack_twin(
    packed: UInt8[np.ndarray, "bytes"],
    shape: tuple[int, int, int],
    beside: UInt8[np.ndarray, "h w c"] | None = None,
    channel: int | None = None,
) -> UInt8[np.ndarray, "h w k"]:
    """:func:`unpack_cpu` in numpy."""
    height, width, channels = shape
    others = None if beside is None else _planes(beside)
    data, at, planes = packed.tobytes(), 4 * channels, []
    for number in range(channels):
        size = int.from_bytes(data[4 * number : 4 * number + 4], "little")
        other = None if others is None else others[number]
        planes.append(_unpack_channel(data[at : at + size], (height, -(-width // _SPAN) * _SPAN), other)[:, :width])
        at += size
    if at != len(data):
        raise ValueError(f"{len(data)} bytes that are no packed picture of {shape}")
    if channels == 3:
        planes = [planes[0] + planes[1], planes[1], planes[2] + planes[1]]
    return np.stack(planes if channel is None else planes[channel : channel + 1], axis=-1)


def _planes(image: UInt8[np.ndarray, "h w c"]) -> list[UInt8[np.ndarray, "h p"]]:
    """Channels by themselves, less the second where there are three, filled up to whole groups."""
    planes = list(np.moveaxis(image, -1, 0))
    if len(planes) == 3:
        planes = [planes[0] - planes[1], planes[1], planes[2] - planes[1]]
    return [np.pad(plane, ((0, 0), (0, -plane.shape[1] % _SPAN))) for plane in planes]


def _pack_channel(plane: UInt8[np.ndarray, "h p"], other: UInt8[np.ndarray, "h p"] | None) -> bytes:
    left_over = np.diff(np.diff(plane, axis=0, prepend=np.uint8(0)), axis=1, prepend=np.uint8(0)).view(np.int8)
    numbers = np.where(left_over < 0, -2 * left_over.astype(int) - 1, 2 * left_over.astype(int)).reshape(
        -1, GROUP, BLOCK
    )
    same = np.zeros(numbers.shape[:2], bool)
    if other is not None:
        same = (plane == other).reshape(numbers.shape).all(axis=-1)
    codes, content = [], bytearray()
    for group, known in zip(numbers, same, strict=True):
        widths = [int(block.max()).bit_length() for block in group]
        codes.append(_MIXED if any(widths) and not known.all() else _SAME if any(widths) else _STILL)
        if codes[-1] != _MIXED:
            continue
        written = [SAME_BLOCK if there and width else width for there, width in zip(known, widths, strict=True)]
        content += sum(width << (4 * place) for place, width in enumerate(written)).to_bytes(2, "little")
        for block, width in zip(group, written, strict=True):
            for half in block.reshape(2, 8) if 0 < width < SAME_BLOCK else ():
                content += sum(int(value) << (width * place) for place, value in enumerate(half)).to_bytes(
                    width, "little"
                )
    packed = bytearray(-(-len(codes) // 4))
    for place, code in enumerate(codes):
        packed[place // 4] |= code << (2 * (place % 4))
    return bytes(packed + content)


def _unpack_channel(
    data: bytes, shape: tuple[int, int], other: UInt8[np.ndarray, "h p"] | None
) -> UInt8[np.ndarray, "h p"]:
    plane = np.zeros((shape[0] + 1, shape[1]), np.uint8)
    per_row = shape[1] // _SPAN
    at = -(-shape[0] * per_row // 4)
    for row in range(shape[0]):
        for block in range(per_row * GROUP):
            group, place = divmod(block, GROUP)
            number = row * per_row + group
            code = data[number // 4] >> (2 * (number % 4)) & 3
            if code == _MIXED and place == 0:
                widths = int.from_bytes(data[at : at + 2], "little")
                at += 2
            width = widths >> (4 * place) & 15 if code == _MIXED else (0, 0, SAME_BLOCK)[code]
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            if width == SAME_BLOCK:
                assert other is not None
                plane[row + 1, part] = other[row, part]
                continue
            values = []
            for _ in range(2 if width else 0):
                word = int.from_bytes(data[at : at + width], "little")
                values += [word >> (width * k) & ((1 << width) - 1) for k in range(8)]
                at += width
            numbers = np.array(values or [0] * BLOCK)
            left_over = np.where(numbers % 2, -(numbers + 1) // 2, numbers // 2)
            last = int(plane[row + 1, part.start - 1]) - int(plane[row, part.start - 1]) if block else 0
            plane[row + 1, part] = (plane[row, part] + last + np.cumsum(left_over)).astype(np.uint8)
    if at != len(data):
        raise ValueError(f"{len(data)} bytes where a channel has {at}")
    return plane[1:]
