from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gaussavatar.batch.jobs import Row, read_jobs
from gaussavatar.cli.batch import Checked, verb_options


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[str], list[Row]]:
    """Rows of a YAML text, all of which have to be right."""

    def read(text: str, base: str | None = None) -> list[Row]:
        path = tmp_path / "jobs.yaml"
        path.write_text(text)
        found, wrong = read_jobs(path, verb_options(), base or str(tmp_path), Checked())
        assert not wrong, wrong
        return found

    return read
