"""Charts show what they are given, inside their frame."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gaussavatar.pages.charts import binned, curve_svg, pose_svg, ticks, timeline_svg


def points_of(svg: str) -> np.ndarray:
    found = re.search(r'<polyline class="line" points="([^"]+)"', svg)
    assert found
    return np.array([pair.split(",") for pair in found[1].split()], float)


def test_a_curve_goes_the_right_way_and_stays_inside() -> None:
    drawn = points_of(curve_svg("psnr", [(0, 20), (50, 25), (100, 28)]))
    assert (np.diff(drawn[:, 0]) > 0).all() and (np.diff(drawn[:, 1]) < 0).all(), "higher values are further up"
    assert drawn.min() >= 0 and drawn[:, 0].max() <= 340 and drawn[:, 1].max() <= 170


def test_a_wide_positive_range_is_drawn_logarithmically() -> None:
    drawn = points_of(curve_svg("loss", [(step, 10.0**-step) for step in range(5)]))
    assert np.allclose(np.diff(drawn[:, 1]), np.diff(drawn[:, 1])[0], atol=0.2)


def test_curves_of_bad_numbers() -> None:
    assert curve_svg("none", [(0, float("nan"))]) == ""
    assert len(points_of(curve_svg("gap", [(0, 1.0), (1, float("inf")), (2, 3.0)]))) == 2
    assert len(points_of(curve_svg("flat", [(0, 0.0), (1, 0.0)]))) == 2


def test_binning_keeps_mean_and_end() -> None:
    points = [(float(step), float(step % 2)) for step in range(1001)]
    kept = binned(points, 100)
    assert len(kept) <= 100 and kept[-1] == points[-1]
    assert np.mean([y for _, y in kept[:-1]]) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 17), (1e-5, 2e-5), (99, 100.5)])
def test_ticks_are_round_and_enclose_the_range(low: float, high: float) -> None:
    found = ticks(low, high, 4)
    assert found[0] <= low + 1e-12 and found[-1] >= high - 1e-12 and 2 <= len(found) <= 7
    assert np.allclose(np.diff(found), found[1] - found[0])


def test_a_timeline_keeps_its_gaps_and_shades_what_is_lost() -> None:
    values = np.concatenate([np.full(50, 1.0), np.full(50, np.nan), np.full(100, 3.0)])
    drawn = timeline_svg("gap", values, [(2.0, 4.0)])
    line = points_of(drawn)
    assert (np.diff(line[:, 0]) > 0).all() and set(line[:50, 1]) != set(line[50:, 1])
    assert line[0, 1] > line[-1, 1], "higher values are further up"
    shade = re.search(r'<rect class="lost" x="([\d.]+)" y="8" width="([\d.]+)"', drawn)
    assert shade and float(shade[1]) == pytest.approx(44 + 288 / 4, abs=0.1) and float(shade[2]) == 72.0
    inside = (line[:, 0] > float(shade[1])) & (line[:, 0] < float(shade[1]) + 72)
    assert not inside.any()
    assert timeline_svg("none", np.full(9, np.nan), []) == ""


def test_head_directions_beyond_the_edge_are_in_the_last_cell() -> None:
    drawn = pose_svg(np.array([0.0, 0.0, 80.0]), np.array([0.0, 0.0, 0.0]))
    assert re.findall(r"<title>([\d.]+) %</title>", drawn) == ["66.7", "33.3"]
