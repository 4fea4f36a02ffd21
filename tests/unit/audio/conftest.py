from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from gaussavatar.audio.features.registry import open_features


@pytest.fixture(scope="session")
def speech_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models by feature."""
    pytest.importorskip("transformers", reason="the extra asr is not installed")
    from .speech_models import PLACES, save_tiny

    return {place.name: save_tiny(place, tmp_path_factory.mktemp(place.name)) for place in PLACES}


@pytest.fixture
def with_speech_models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    """Environment variables that name the tiny models; False where the extra is not installed."""
    found = find_spec("transformers") is not None
    if found:
        for name, folder in request.getfixturevalue("speech_models").items():
            monkeypatch.setitem(os.environ, f"GAUSSAVATAR_{name.upper()}", str(folder))
    open_features.cache_clear()
    yield found
    open_features.cache_clear()
