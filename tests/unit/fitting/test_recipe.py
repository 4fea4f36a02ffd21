"""Recipes: all load, survive a round trip, and refuse what they do not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import dump_config, load_recipe, recipe_names


@pytest.mark.parametrize("name", ["preview", "default", "quality", "talking-gaussian", "few-seconds", "demo"])
def test_recipes_load_and_round_trip(name: str, tmp_path: Path) -> None:
    assert name in recipe_names()
    config = load_recipe(name)
    path = tmp_path / "again.yaml"
    path.write_text(dump_config(config))
    assert load_recipe(str(path)) == config


def test_override_reaches_nested_fields() -> None:
    config = load_recipe("preview", ("model.face.count=777", "training.stages.1.iterations=5"))
    assert config.model.face.count == 777
    assert config.training.stages[1].iterations == 5


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("model.face.cuont=3", "did you mean model.face.count?"),
        ("model.face.count=many", "int"),
        ("training.stages.0.losses.dsim=1", "did you mean"),
        ("training.stages.0.densify.evry=5", "did you mean training.stages.0.densify.every?"),
        ("nonsense", "--set a.b.c=value"),
    ],
)
def test_wrong_overrides_are_refused_with_a_hint(override: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe("preview", (override,))
    assert part in str(caught.value)


def test_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="preview"):
        load_recipe("no-such-recipe")


def test_growing_is_turned_on_by_one_of_its_fields() -> None:
    assert load_recipe("preview").training.stages[0].densify is None
    densify = load_recipe("preview", ("training.stages.0.densify.every=5",)).training.stages[0].densify
    assert densify is not None and (densify.every, densify.start) == (5, 500)
