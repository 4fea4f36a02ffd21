"""Pictures are packed without loss, by both forms to the same bytes, and broken bytes are refused."""

from __future__ import annotations

import numpy as np
import pytest

from gaussavatar.native.packing import pack_cpu, pack_twin, unpack_cpu, unpack_twin

SHAPES = [(0, 5, 3), (3, 0, 2), (1, 1, 1), (5, 7, 3), (3, 100, 2), (4, 129, 4)]


def picture(shape: tuple[int, int, int], spread: float) -> np.ndarray:
    """A slope with noise; a spread of 99 is noise alone."""
    random = np.random.default_rng(int(spread))
    if spread == 99:
        return random.integers(0, 256, shape, np.uint8)
    slope = 3 * np.arange(shape[1])[:, None] + np.arange(shape[0])[:, None, None]
    return (slope + random.normal(100, spread, shape)).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_packed_comes_back_and_both_forms_agree(shape: tuple[int, int, int]) -> None:
    for spread in (0.0, 0.6, 4.0, 99.0):
        image = picture(shape, spread)
        partly = image.copy()
        partly[:, : shape[1] // 2] += 1
        for beside in (None, partly, image):
            packed = pack_cpu(image, beside)
            assert packed.tobytes() == pack_twin(image, beside).tobytes()
            for unpack in (unpack_cpu, unpack_twin):
                np.testing.assert_array_equal(unpack(packed, shape, beside), image)
                for channel in range(shape[2]):
                    alone = unpack(packed, shape, beside, channel)
                    np.testing.assert_array_equal(alone, image[..., channel : channel + 1])


def test_what_is_smooth_or_the_same_takes_little() -> None:
    shape = (64, 128, 3)
    noise, smooth = picture(shape, 99.0), picture(shape, 0.6)
    assert len(pack_cpu(noise)) < 1.05 * noise.size
    assert len(pack_cpu(smooth)) < 0.5 * smooth.size
    assert len(pack_cpu(noise, noise)) < 0.01 * noise.size


def test_broken_bytes_are_refused_or_another_picture() -> None:
    shape = (9, 70, 3)
    image = picture(shape, 4.0)
    packed, random = pack_cpu(image), np.random.default_rng(3)
    for wrong in (packed[:-1], packed[:3], packed[:0], np.append(packed, np.uint8(0))):
        with pytest.raises(ValueError, match="no packed picture"):
            unpack_cpu(np.ascontiguousarray(wrong), shape)
    with pytest.raises(ValueError, match="no packed picture"):
        unpack_cpu(pack_cpu(image, image), shape)
    for _ in range(200):
        spoilt = packed.copy()
        spoilt[random.integers(0, len(packed), 3)] ^= random.integers(1, 256, 3, np.uint8)
        try:
            assert unpack_cpu(spoilt, shape).shape == shape
        except ValueError as error:
            assert "no packed picture" in str(error)
