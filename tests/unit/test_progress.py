from __future__ import annotations

import time

import pytest

from gaussavatar.progress import TerminalProgress


@pytest.mark.parametrize("begun", [0, 2200])
def test_time_left_goes_by_the_steps_of_this_run(
    begun: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on from a checkpoint did not do in no time what lies before it."""
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with TerminalProgress().stage("motion", 47_000, begun) as advance:
        for _ in range(120):
            now += 0.1
            advance(1)
    told = capsys.readouterr().err.splitlines()
    done = begun + 101
    assert f"motion: {done}/47000, {(47_000 - done) * 0.1:.0f} s left" in told
