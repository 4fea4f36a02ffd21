"""Recipes: all load, survive a round trip, and refuse what they do not know."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gaussavatar.audio.features.registry import best_features
from gaussavatar.errors import UserError
from gaussavatar.fitting.recipe import FitConfig, dump_config, load_recipe, recipe_names
from gaussavatar.training.config import LossConfig, RateConfig


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
        ("training.stages.0.densify.evry=5", "did you mean training.stages.static.densify.every?"),
        ("training.preview_every=5", "it is progress.preview_every now"),
        ("model.mouth_gain=1.2", "it is speaking.mouth_gain now"),
        ("training.stages.0.train=[face, torso]", "set torso.enabled=true"),
        ("training.stages.static.coarse=0", "of at least 1"),
        ("training.stages.motion.coarse=17", "make coarse smaller"),
        ("training.stages.poses.every=0", "of at least 1"),
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


def written(folder: Path, **recipes: str) -> dict[str, str]:
    """Recipes as files of one folder; returns their paths by name."""
    for name, text in recipes.items():
        (folder / f"{name}.yaml").write_text(text)
    return {name: str(folder / f"{name}.yaml") for name in recipes}


def test_every_default_is_in_the_dump_whether_it_was_said_or_not(tmp_path: Path) -> None:
    said = load_recipe("preview", ("training.clip_gradients=20.0", "audio.batch=" + str(FitConfig().audio.batch)))
    assert dump_config(said) == dump_config(load_recipe("preview"))
    assert "clip_gradients: 20.0" in dump_config(load_recipe("preview"))


def test_what_the_recipes_differ_in() -> None:
    names = ("default", "preview", "quality", "few-seconds", "demo")
    default, preview, quality, few, demo = map(load_recipe, names)
    assert (default.image_size, preview.image_size, quality.image_size, few.image_size) == (512, 256, 512, 256)
    assert [load_recipe(name).model.face.count for name in names] == [18000, 9000, 40000, 12000, 9000]
    assert [load_recipe(name).training.backing for name in names] == [800, 800, 800, 0, 800]
    stages = {name: {stage.name: stage for stage in load_recipe(name).training.stages} for name in names}
    assert (
        list(stages["default"]) == list(stages["preview"]) == ["static", "motion", "poses", "joint", "poses2", "fuse"]
    )
    assert list(stages["few-seconds"]) == list(stages["demo"]) == ["static", "motion", "poses", "joint"]
    assert list(stages["quality"])[4:] == ["poses2", "refine", "poses3", "fuse"]
    assert [stage.name for stage in quality.training.stages if stage.densify is not None] == ["motion"]
    assert stages["default"]["fuse"].rates == stages["preview"]["fuse"].rates
    # The recipe for a GPU keeps the rates and the motion that were measured there.
    assert stages["quality"]["joint"].rates == stages["quality"]["motion"].rates == RateConfig()
    assert default.model.face.moves == demo.model.mouth.moves == ("position", "color")
    assert few.model.face.moves == quality.model.face.moves == ("position", "rotation", "scale", "color")
    assert stages["quality"]["fuse"].rates != stages["quality"]["refine"].rates
    assert stages["default"]["poses"].batch == 4 and stages["preview"]["poses"].batch == 8
    assert {stage.batch for stage in quality.training.stages if stage.kind == "fit"} == {4}
    assert few.audio.ridge == 5.0 and preview.audio == quality.audio == default.audio
    assert default.audio.features == best_features() and default.audio.light == ("mel", "viseme")
    assert demo.audio.features == ("mel", "viseme") and demo.audio.light == ()
    fitted = {name: [stage.train for stage in stages[name].values() if stage.kind == "fit"] for name in names}
    assert [name for name in names if any("audio" in parts for parts in fitted[name])] == ["demo"]
    assert all(stage.losses.motion == 0 for stage in default.training.stages if stage.name == "static")
    preview_again = replace(
        preview,
        image_size=512,
        model=default.model,
        training=replace(preview.training, stages=default.training.stages),
    )
    assert preview_again == default, "otherwise they are the same"


def test_a_child_changes_what_it_names(tmp_path: Path) -> None:
    parent = """
      image_size: 128
      model: {shading: true, face: {count: 7, hidden: 8}}
      training: {stages: [{name: a, iterations: 1, losses: {dssim: 0.5, codes: 0.5}}, {name: b, iterations: 2}]}
    """
    child = """
      extends: parent.yaml
      model: {face: {count: 9}}
      training: {stages: [{name: c, iterations: 3}, {name: a, losses: {codes: 0.25}}]}
    """
    config = load_recipe(written(tmp_path, parent=parent, child=child)["child"])
    assert config.image_size == 128 and config.model.shading
    assert (config.model.face.count, config.model.face.hidden) == (9, 8)
    assert [(stage.name, stage.iterations) for stage in config.training.stages] == [("a", 1), ("b", 2), ("c", 3)]
    assert config.training.stages[0].losses == replace(LossConfig(), dssim=0.5, codes=0.25)
    grandchild = "extends: child.yaml\ntraining: {order: [c, a]}"
    config = load_recipe(written(tmp_path, grandchild=grandchild)["grandchild"])
    assert [stage.name for stage in config.training.stages] == ["c", "a"]
    assert config.training.stages[1].losses.codes == 0.25 and config.model.face.count == 9


def test_a_recipe_of_one_s_own_extends_one_that_comes_with_the_package(tmp_path: Path) -> None:
    path = written(tmp_path, mine="extends: preview\nmodel: {face: {count: 5}}")["mine"]
    ours, preview = load_recipe(path), load_recipe("preview")
    assert ours.model.face.count == 5
    assert replace(ours, model=preview.model) == preview


@pytest.mark.parametrize(
    ("recipes", "part"),
    [
        (
            {"a": "extends: b.yaml", "b": "extends: c.yaml", "c": "extends: a.yaml"},
            "a.yaml extends b.yaml extends c.yaml",
        ),
        ({"a": "extends: a.yaml"}, "a.yaml extends a.yaml"),
        ({"a": "extends: nobody"}, "'nobody' (a.yaml extends it)"),
        ({"a": "extends: b.yaml"}, "(a.yaml extends it)"),
        ({"a": "extends: [preview, default]"}, "extends of a.yaml"),
        ({"a": "extends: b.yaml", "b": "- 1"}, "a mapping of keys in b.yaml"),
        ({"a": "extends: preview\ntraining: {order: [fuse, foose]}"}, "'foose'"),
        ({"a": "extends: preview\ntraining: {order: [fuse, fuse]}"}, "'fuse' twice"),
        ({"a": "extends: preview\ntraining: {order: fuse}"}, "a list"),
        ({"a": "training: {stages: [{name: x, iterations: 1}, {name: x, iterations: 2}]}"}, "2 stages named x"),
        ({"a": "extends: preview\ntraining: {stages: [{iterations: 2}]}"}, "a name of its own"),
        ({"a": "extends: preview\ntraining: {stages: [{name: new, iteration: 2}]}"}, "training.stages.new.iterations"),
    ],
)
def test_what_cannot_be_extended_is_refused_in_a_line(recipes: dict[str, str], part: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_recipe(written(tmp_path, **recipes)["a"])
    assert part in str(caught.value) and "\n" not in str(caught.value)


def test_a_stage_is_overridden_by_name_or_number() -> None:
    by_name = load_recipe("preview", ("training.stages.fuse.iterations=5", "training.stages.fuse.rates.means=0.5"))
    assert by_name == load_recipe("preview", ("training.stages.5.iterations=5", "training.stages.5.rates.means=0.5"))
    plain = load_recipe("preview").training.stages
    assert by_name.training.stages[5].iterations == 5 and by_name.training.stages[:5] == plain[:5]
    short = load_recipe("preview", ("training.order=[static, motion]", "training.stages.fuse.iterations=5"))
    assert short.training.stages == plain[:2]


@pytest.mark.parametrize("word", ["foose", "6"])
def test_an_unknown_stage_is_refused_with_the_names(word: str) -> None:
    with pytest.raises(UserError, match="static, motion, poses, joint, poses2, fuse"):
        load_recipe("preview", (f"training.stages.{word}.iterations=5",))


def test_overriding_one_stage_leaves_those_that_share_its_values() -> None:
    before = load_recipe("talking-gaussian").training.stages
    after = load_recipe("talking-gaussian", ("training.stages.static.losses.codes=0.5",)).training.stages
    assert after[0].losses.codes == 0.5 and after[1:] == before[1:]


def test_audio_features_are_named_in_the_recipe_and_unknown_ones_refused() -> None:
    assert load_recipe("preview", ("audio.features=[mel]",)).audio.features == ("mel",)
    assert load_recipe("preview", ("audio.features=[best]",)) == load_recipe("preview")
    with pytest.raises(UserError, match="'lips'"):
        load_recipe("preview", ("audio.light=[mel, lips]",))
    for value, part in (
        ("[mel, lips]", "an audio feature: mel.*'lips'"),
        ("[]", "at least one"),
        ("[mel, mel]", "twice"),
    ):
        with pytest.raises(UserError, match=part):
            load_recipe("preview", (f"audio.features={value}",))


@pytest.mark.parametrize(("text", "value"), [("4e-5", 4e-5), ("4.0e-5", 4e-5), ("1E3", 1000.0), ("2e+1", 20.0)])
def test_a_number_with_an_exponent_is_a_number(text: str, value: float) -> None:
    config = load_recipe("preview", (f"training.stages.fuse.rates.means={text}",))
    fuse = next(stage for stage in config.training.stages if stage.name == "fuse")
    assert fuse.rates.means == value


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.held_out=1.5", "training.held_out"),
        ("training.held_out=0", "training.held_out"),
        ("image_size=-5", "image_size"),
        ("capture.size=100000", "capture.size"),
        ("model.face.count=0", "model.face.count"),
        ("training.stages=[]", "trains something"),
        ("training.order=[]", "trains something"),
        ("training.stages.joint.iterations=-5", "training.stages.joint.iterations"),
        ("training.stages.joint.name=motion", "motion twice"),
        ("training.stages.fuse.audio_share=3", "training.stages.fuse.audio_share"),
        ("training.stages.fuse.batch=0", "training.stages.fuse.batch"),
        ("training.backing=-1", "training.backing"),
        ("speaking.mouth_gain=.nan", "speaking.mouth_gain"),
        ("speaking.mouth_gain=-5", "speaking.mouth_gain"),
        ("audio.steps=-1", "audio.steps"),
        ("progress.checkpoint_every=0", "progress.checkpoint_every"),
        ("training.stages.².iterations=5", "a stage of the recipe"),
        ("training.stages.fuse.iteration=5", "training.stages.fuse.iterations"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused_before_the_hours(override: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        load_recipe("preview", (override,))
    assert "\n" not in str(caught.value)


def test_a_negative_threshold_of_the_gate_is_meant() -> None:
    assert load_recipe("preview", ("speaking.gate.threshold=-1.5",)).speaking.gate is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [*a]", "holds itself"),
        ("", "trains something"),
        ("extends: preview\ntraining: {order: [[a]]}", "training.order"),
        ("training: {stages: [{name: [a], iterations: 3}]}", "a text as name"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(UserError, match=re.escape(said)):
        load_recipe(str(tmp_path / "mine.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(UserError, match="a folder"):
        load_recipe(str(tmp_path / "folder.yaml"))
