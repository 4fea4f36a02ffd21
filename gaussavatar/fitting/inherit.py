"""Recipes as plain data before they are a config: what one takes from another, stages by name, values from ``--set``.

A recipe that says ``extends: NAME`` begins as that recipe. Mappings are merged, at any depth; every other value takes
the place of the parent's. Stages are merged by their names: one that the parent has changes the fields that it gives
and stays where it is, a new one comes after the others. ``training.order``, a list of names, puts the stages into
another order and leaves out those that it does not name. An override ``a.b.c=value`` names a stage by its name or its
number, from 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gaussavatar.errors import UserError
from gaussavatar.fitting.plain_yaml import read_yaml
from gaussavatar.resources import resource
from gaussavatar.storage import require_plain

MOST_BYTES = 1 << 16
"""Of a recipe; the longest of the package has 4 kB."""


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    return sorted(path.stem for path in resource("recipes").glob("*.yaml"))


def read_recipe(name: str, overrides: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
    """The values of a recipe with all that it extends, overridden; and its file's name, for messages.

    Args:
        name: A name that comes with the package, or the path of a YAML file.
        overrides: Each ``a.b.c=value``, the value in YAML.

    Raises:
        UserError: an unknown recipe or stage, no YAML, recipes that extend each other in a circle, a wrong override.
    """
    path = _path_of(name, Path())
    values = _resolved(path, ())
    for override in overrides:
        _override(values, override)
    _put_in_order(values, "--set")
    return values, path.name


def _path_of(name: str, folder: Path) -> Path:
    return folder / name if name.endswith((".yaml", ".yml")) else resource("recipes") / f"{name}.yaml"


def _resolved(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    """The values of a file with those of its parents; ``children`` are the files that extend it, nearest last."""
    road = (*children, path.resolve())
    if path.resolve() in children:
        raise UserError(
            "a recipe that extends another one",
            f"a circle: {' extends '.join(each.name for each in road)}",
            "take one `extends` out",
        )
    values = _read(path, children)
    parent = values.pop("extends", None)
    if parent is not None and not (isinstance(parent, str) and parent.isprintable()):
        raise UserError(f"the name of a recipe in extends of {path.name}", repr(parent), "name one recipe")
    _check_stages(values, path.name)
    if parent is not None:
        values = _merged(_resolved(_path_of(parent, path.parent), road), values)
    _put_in_order(values, path.name)
    return values


def _read(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    require_plain(path, MOST_BYTES)
    try:
        values = _unshared(read_yaml(path.read_text()))
    except FileNotFoundError as error:
        came = repr(path.stem if path.parent == resource("recipes") else str(path))
        came += f" ({children[-1].name} extends it)" if children else ""
        raise UserError(f"a recipe: {', '.join(recipe_names())} or a .yaml file", came, "name one of these") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"YAML in {path}", str(error).replace("\n", " "), "mend the file") from error
    if not isinstance(values, dict | None):
        raise UserError(f"a mapping of keys in {path.name}", type(values).__name__, "see recipes/ for examples")
    return values or {}


def _unshared(value: Any) -> Any:
    """A copy in which nothing occurs twice: YAML's aliases are one object, and overriding one would change all."""
    if isinstance(value, dict):
        return {key: _unshared(inner) for key, inner in value.items()}
    return [_unshared(inner) for inner in value] if isinstance(value, list) else value


def _stages(values: dict[str, Any]) -> list[Any]:
    training = values.get("training")
    stages = training.get("stages") if isinstance(training, dict) else None
    return stages if isinstance(stages, list) else []


def _names(stages: list[Any]) -> list[str]:
    return [str(stage.get("name")) for stage in stages if isinstance(stage, dict)]


def _check_stages(values: dict[str, Any], source: str) -> None:
    """Refuse stages that cannot be told apart by their names."""
    names = _names(_stages(values))
    for stage in _stages(values):
        if isinstance(stage, dict) and not isinstance(stage.get("name"), str | None):
            raise UserError(f"a text as name of every stage in {source}", repr(stage["name"]), "quote it")
    for name in names:
        if names.count(name) > 1 or name == "None":
            came = f"{names.count(name)} stages named {name}" if name != "None" else "a stage without one"
            raise UserError(f"a name of its own for every stage in {source}", came, "name each as no other")


def _merged(parent: Any, child: Any) -> Any:
    """The child's values over the parent's."""
    if isinstance(parent, dict) and isinstance(child, dict):
        return {
            **parent,
            **{key: _merged(parent[key], value) if key in parent else value for key, value in child.items()},
        }
    if isinstance(parent, list) and isinstance(child, list) and _named(parent) and _named(child):
        changes = {stage["name"]: stage for stage in child}
        kept = [_merged(stage, changes.pop(stage["name"], {})) for stage in parent]
        return [*kept, *changes.values()]
    return child


def _named(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) and "name" in value for value in values)


def _put_in_order(values: dict[str, Any], source: str) -> None:
    """Do what ``training.order`` says, and take it out."""
    training = values.get("training")
    order = training.pop("order", None) if isinstance(training, dict) else None
    if order is None:
        return
    stages = {stage["name"]: stage for stage in _stages(values) if isinstance(stage, dict) and "name" in stage}
    expected = f"names of stages in training.order of {source}: {', '.join(stages)}"
    if not isinstance(order, list):
        raise UserError(expected, repr(order), "write a list")
    for name in map(str, order):
        if name not in stages or order.count(name) > 1:
            raise UserError(
                expected, f"{name!r}{' twice' if name in stages else ''}", "name each of these at most once"
            )
    values["training"]["stages"] = [stages[str(name)] for name in order]


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise UserError("--set a.b.c=value", repr(override), "write the key, an equals sign and the value")
    try:
        value = read_yaml(text)
    except yaml.YAMLError as error:
        raise UserError(f"a YAML value after {key}=", repr(text), "quote it") from error
    *parents, last = key.split(".")
    place: Any = values
    for parent in parents:
        if isinstance(place, list) and _named(place):
            place = _stage(place, parent, key)
        elif isinstance(place, dict):
            if place.get(parent) is None:
                place[parent] = {}
            place = place[parent]
        else:
            place = None
    if not isinstance(place, dict):
        raise UserError("a key of the recipe", repr(key), "see recipes/ for the keys")
    place[last] = value


def _stage(stages: list[Any], word: str, key: str) -> Any:
    """The stage of a name or a number."""
    names = _names(stages)
    if word in names:
        return stages[names.index(word)]
    if word.isdecimal() and word.isascii() and int(word) < len(stages):
        return stages[int(word)]
    raise UserError(f"a stage of the recipe in {key}: {', '.join(names)}", repr(word), "name one of these")
