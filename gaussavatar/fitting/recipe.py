"""A recipe: every knob of ``fit`` as frozen dataclasses, read from YAML."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass, field
from typing import Any

import msgspec
import yaml

from gaussavatar.audio.drive import DriveConfig
from gaussavatar.audio.features.registry import best_features, check_features
from gaussavatar.audio.pretrain import AudioPretrainConfig
from gaussavatar.capture.video import CaptureConfig
from gaussavatar.errors import UserError
from gaussavatar.fitting.inherit import read_recipe, recipe_names
from gaussavatar.fitting.ranges import check_ranges
from gaussavatar.model.config import ModelConfig
from gaussavatar.segmentation.records import SegmentationConfig
from gaussavatar.tracking.face.appearance import AppearanceConfig
from gaussavatar.tracking.face.motion import MotionConfig
from gaussavatar.tracking.head.fit import HeadFitConfig
from gaussavatar.tracking.poses.fit import TrackingConfig
from gaussavatar.tracking.poses.photometric import PhotometricConfig
from gaussavatar.training.config import ProgressConfig, TorsoConfig, TrainingConfig

__all__ = ["FitConfig", "build_config", "dump_config", "load_recipe", "recipe_names"]

MOVED = {
    "model.mouth_gain": "speaking.mouth_gain",
    "training.checkpoint_every": "progress.checkpoint_every",
    "training.preview_every": "progress.preview_every",
}
"""Where keys of former recipes are."""


@dataclass(frozen=True)
class FitConfig:
    """All of ``fit``."""

    image_size: int = 256
    """Side of the square images that the avatar is trained at, pixels."""
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    photometric: PhotometricConfig = field(default_factory=PhotometricConfig)
    head: HeadFitConfig = field(default_factory=HeadFitConfig)
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    audio: AudioPretrainConfig = field(default_factory=AudioPretrainConfig)
    speaking: DriveConfig = field(default_factory=DriveConfig)
    """How sound becomes motion when the avatar speaks; nothing is trained again for it."""
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    torso: TorsoConfig = field(default_factory=TorsoConfig)
    progress: ProgressConfig = field(default_factory=ProgressConfig)
    """How often training keeps and shows where it is; nothing is done again for it."""


def load_recipe(name: str, overrides: tuple[str, ...] = ()) -> FitConfig:
    """Read a recipe by name or path and apply ``a.b.c=value`` overrides; see :mod:`gaussavatar.fitting.inherit`.

    Raises:
        UserError: unknown recipe, unknown key (with a suggestion) or a value of the wrong type.
    """
    return build_config(*read_recipe(name, overrides))


def build_config(values: Any, source: str) -> FitConfig:
    """Plain data to a :class:`FitConfig`.

    Raises:
        UserError: an unknown key, a value of the wrong type or out of range, an unknown audio feature, or a stage that
            names the torso, which has one of its own; the message names it.
    """
    if not isinstance(values, dict):
        raise UserError(f"a mapping of keys in {source}", type(values).__name__, "see recipes/ for examples")
    _check_keys(values, FitConfig, source, "")
    try:
        config = _filled(msgspec.convert(values, FitConfig))
    except msgspec.ValidationError as error:
        raise UserError(f"valid values in {source}", str(error), "mend the value") from error
    if config.audio.features == ("best",):
        config = dataclasses.replace(config, audio=dataclasses.replace(config.audio, features=best_features()))
    check_features(config.audio.features)
    if config.audio.light:
        check_features(config.audio.light)
    for stage in config.training.stages:
        if "torso" in stage.train:
            do = "leave it out and set torso.enabled=true, which adds a stage of the torso's own"
            raise UserError("parts of the head in a stage's train", f"torso in stage {stage.name}", do)
    check_ranges(msgspec.to_builtins(config), source)
    return config


def _filled(value: Any) -> Any:
    """The same value with every default written into it.

    msgspec leaves them to the class, and then they are in no dump, record or key, and change with the program.
    """
    if isinstance(value, tuple):
        return tuple(map(_filled, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = {field.name: _filled(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return dataclasses.replace(value, **fields)


def dump_config(config: FitConfig) -> str:
    """The config as YAML that :func:`load_recipe` reads again."""
    return yaml.safe_dump(msgspec.to_builtins(config), sort_keys=False)


def _check_keys(values: Any, kind: Any, source: str, prefix: str) -> None:
    """Refuse keys that no dataclass field has; msgspec would ignore them."""
    import typing

    hints = typing.get_type_hints(kind)
    known = [f.name for f in dataclasses.fields(kind)]
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"the keys are {', '.join(known)}"
            if moved := MOVED.get(f"{prefix}{key}"):
                hint = f"it is {moved} now"
            raise UserError(f"a known key in {source}", f"{prefix}{key}", hint)
        inner = hints[key]
        options = [option for option in typing.get_args(inner) if dataclasses.is_dataclass(option)]
        inner = options[0] if len(options) == 1 and typing.get_origin(inner) is not tuple else inner
        if dataclasses.is_dataclass(inner) and isinstance(value, dict):
            _check_keys(value, inner, source, f"{prefix}{key}.")
        elif typing.get_origin(inner) is tuple and isinstance(value, list):
            element = typing.get_args(inner)[0]
            for index, item in enumerate(value):
                if dataclasses.is_dataclass(element) and isinstance(item, dict):
                    _check_keys(item, element, source, f"{prefix}{key}.{item.get('name', index)}.")
