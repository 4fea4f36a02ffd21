"""The mouth is opened by hand as far as this person's clip shows, and not to pieces."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gaussavatar.motion.edit import FARTHER, OPEN_APERTURE, opened, wide_open

CLOSED = np.array([-0.5, 0.25, 0.0], np.float32)
OPENS = np.array([4.0, -2.0, 0.0], np.float32)
"""Codes per unit of lip aperture."""
BLOCK = Path(__file__).parents[3] / "assets/web/viewer/motion_block.js"


def filmed(widest: float) -> np.ndarray:
    """Codes of a mouth that opens up to an aperture of ``widest``, and does something else besides."""
    openings = np.linspace(0, widest, 200)
    beside = np.random.default_rng(0).standard_normal((200, 1)) * [0, 0, 1.0]
    return (CLOSED + openings[:, None] * OPENS + beside).astype(np.float32)


@pytest.mark.parametrize(("widest", "wanted"), [(0.1, 0.1 * FARTHER), (0.9, OPEN_APERTURE), (0.0, 0.1 * OPEN_APERTURE)])
def test_wide_is_as_wide_as_in_the_clip_and_a_little_more(widest: float, wanted: float) -> None:
    assert np.allclose(wide_open(filmed(widest), CLOSED, OPENS), wanted * OPENS, rtol=0.02)
    assert not wide_open(filmed(0.1), CLOSED, 0 * OPENS).any()


def test_a_slider_stops_at_wide_and_at_closed_but_takes_nothing_from_the_motion() -> None:
    wide = 0.2 * OPENS
    spoken = np.stack([CLOSED + share * wide + [0, 0, 3] for share in (-0.2, 0.0, 0.5, 0.9, 1.3)]).astype(np.float32)

    def shares(opening: float) -> list[float]:
        return ((opened(spoken, opening, CLOSED, wide) - CLOSED) @ wide / (wide @ wide)).tolist()

    assert np.array_equal(opened(spoken, 0.0, CLOSED, wide), spoken)
    assert shares(0.3) == pytest.approx([0.1, 0.3, 0.8, 1.0, 1.3])
    assert shares(-0.7) == pytest.approx([-0.2, 0.0, 0.0, 0.2, 0.6])
    assert np.array_equal(opened(spoken, 0.3, CLOSED, wide)[:, 2], spoken[:, 2]), "what is not opening stays"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_the_page_opens_the_mouth_alike() -> None:
    rows = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)
    wide, shares = 0.2 * OPENS, (-0.7, 0.0, 0.4, 1.0)
    asked = json.dumps({"rows": rows.tolist(), "closed": CLOSED.tolist(), "wide": wide.tolist(), "shares": shares})
    script = (
        f"import {{ opened }} from {json.dumps(BLOCK.as_uri())};"
        f"const {{ rows, closed, wide, shares }} = {asked};"
        "console.log(JSON.stringify(shares.map((share) => rows.map((row) => opened(row, share, closed, wide)))));"
    )
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, timeout=60
    )
    wanted = [opened(rows, share, CLOSED, wide) for share in shares]
    assert np.allclose(json.loads(done.stdout), wanted, atol=1e-5)
