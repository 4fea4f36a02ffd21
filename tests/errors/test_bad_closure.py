from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.bench.closure import bench_closure
from gaussavatar.errors import UserError


def test_closure_of_an_avatar_whose_capture_was_deleted(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        bench_closure(tmp_path)
    assert "tracked lips" in str(caught.value) and "keep its capture" in str(caught.value)
    assert "\n" not in str(caught.value)
