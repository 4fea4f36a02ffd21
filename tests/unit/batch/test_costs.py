"""What rows are expected to take grows with what takes time, and says where nobody looked."""

from __future__ import annotations

from collections.abc import Callable

from gaussavatar.batch.costs import Facts, costs_of_row
from gaussavatar.batch.jobs import Row

TABLE = """
rows:
  - {verb: speak, avatar: anna, audio: hello.wav, out: a.mp4}
  - {verb: evaluate, avatar: anna}
  - {verb: export, avatar: anna, format: web, out: page.html}
  - {verb: export, avatar: anna, format: mp4, out: b.mp4}
"""


def test_length_counts_where_pictures_are_drawn_and_is_asked_for_only_there(rows: Callable[[str], list[Row]]) -> None:
    for row, drawn in zip(rows(TABLE), (True, True, False, True), strict=True):
        short, long, unknown = (costs_of_row(row, Facts(256, seconds), 1e-3) for seconds in (10.0, 100.0, None))
        assert (long.seconds > 1.5 * short.seconds) == drawn, row.name
        assert (long.seconds == short.seconds) != drawn
        assert short.known and unknown.known != drawn
    larger = costs_of_row(row, Facts(512, 10.0), 1e-3)
    assert larger.seconds > 2 * short.seconds and larger.memory > short.memory and larger.disk > 2 * short.disk
