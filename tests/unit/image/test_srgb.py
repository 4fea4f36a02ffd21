"""The sRGB curve: known values, and that its two directions undo each other."""

from __future__ import annotations

import numpy as np

from gaussavatar.image.srgb import displayed, linear


def test_light_and_levels_are_those_of_the_standard() -> None:
    levels = np.arange(256) / 255
    np.testing.assert_allclose(displayed(linear(levels)), levels, atol=1e-12)
    known = {0: 0.0, 10: 0.0030353, 128: 0.2158605, 255: 1.0}
    np.testing.assert_allclose(linear(np.array([*known]) / 255), [*known.values()], atol=1e-7)
    np.testing.assert_allclose(displayed(np.array([-0.5, 2.0])), [0.0, 1.0], atol=1e-12)
    assert linear(np.array([-0.2])) == 0
