"""Where the package of the best features is missing, fit goes on with less and says so."""

from __future__ import annotations

import pytest

from gaussavatar.audio.features import registry
from gaussavatar.errors import UserError
from gaussavatar.fitting import fit as fitting
from gaussavatar.fitting.preparation import Job
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.progress import QuietProgress
from gaussavatar.training.layout import FitLayout


class Heard(QuietProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize("there", [True, False])
def test_a_missing_package_is_said_once_and_is_no_obstacle(there: bool, monkeypatch, tmp_path) -> None:
    real = registry.find_spec
    monkeypatch.setattr(
        registry, "find_spec", lambda name: (object() if there else None) if name == "hama" else real(name)
    )
    config, heard = load_recipe("preview"), Heard()
    assert config.audio.features == (("mel", "hama") if there else ("mel",))
    fitting._say_what_is_missing(Job(FitRequest(tmp_path / "a.mp4"), config, FitLayout(tmp_path), heard))
    assert heard.lines == ([] if there else ["lips would follow the sound better with hama: pip install hama==1.7.0"])
    chosen = load_recipe("preview", ("audio.features=[mel,viseme]",))
    fitting._say_what_is_missing(Job(FitRequest(tmp_path / "a.mp4"), chosen, FitLayout(tmp_path), heard))
    assert len(heard.lines) == (0 if there else 1)
    if not there:
        registry.open_features.cache_clear()
        with pytest.raises(UserError, match="--features light"):
            registry.open_features(("mel", "hama"))
