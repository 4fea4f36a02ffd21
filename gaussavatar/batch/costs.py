"""What rows take before any of them has run: seconds, memory, disk; it gives way to what they are seen to take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gaussavatar.batch.jobs import Row
from gaussavatar.batch.journal import Done
from gaussavatar.batch.places import is_remote
from gaussavatar.errors import UserError

MIB = 1 << 20

ANY_SECONDS = 60.0
"""Length that is expected of a clip or sound that is short, or that does not say its own."""

LOOKED_AT = 1 << 19
"""Bytes of a clip or sound in a store from which on its length is asked for; three minutes have more."""

STARTED = 700.0
"""What it takes to start any command and load an avatar, in small scenes (:mod:`gaussavatar.fitting.pace`)."""

SPOKEN = {256: 2.0, 512: 7.0}
"""What a frame of speech takes on one core, heard, drawn and written, in small scenes, by the side of the picture."""

ONE_CORE = 1.7
"""How many times longer a fit takes on one core than on the two that its paces were measured on."""

MEMORY = {"fit": (900, 8.0), "evaluate": (800, 5.0), "speak": (550, 2.0), "export": (650, 2.0)}
"""MiB by verb: of any size, and for each 1000 pixels of the picture."""

VIDEO_BYTES, SOUND_BYTES = 0.35, 16_000.0
"""Of a video's pictures, by pixel and second, and of its sound, by second."""

FIT_BYTES = 5.0
"""Of a fit's folder, by pixel and frame that it keeps of its clip."""

GPU_SHARE = {"fit": 0.5, "speak": 0.25, "evaluate": 0.25, "export": 0.25}
"""Part of a GPU that a row asks for where there are any."""


def scene_seconds() -> float:
    """What this machine takes for the small scene when nothing else runs on it: by processor time."""
    from gaussavatar.fitting.pace import TIMED, WARM_UP, small_scene_seconds

    small_scene_seconds()
    began = time.process_time()
    small_scene_seconds()
    return (time.process_time() - began) / (WARM_UP + TIMED) / ONE_CORE


@dataclass(frozen=True)
class Costs:
    """What a unit is expected to take."""

    seconds: float
    """On one core."""
    memory: int
    """Bytes."""
    disk: int
    """Bytes that it leaves."""
    gpu: float = 0.0
    """Part of one, where there are any."""
    known: bool = True
    """Whether somebody looked at how long its clip or sound is, or that does not matter."""


@dataclass(frozen=True)
class Facts:
    """What is known of a row's inputs."""

    size: int
    """Side of the avatar's pictures."""
    seconds: float | None
    """Of its clip or sound; None where nobody has looked."""
    sources: float = 1.0
    """Pixels of a frame of its clip over those of 1920 x 1080."""
    captured: int = 0
    """Side of the pictures that a fit keeps of its clip."""


def facts_of(row: Row, sizes: Mapping[str, int]) -> Facts:
    """What is known of a row's inputs.

    Args:
        row: whose.
        sizes: sides of the pictures of the avatars that are known, by place.

    Raises:
        UserError: a clip or sound is there and is none, or a recipe is wrong.
    """
    if row.verb == "fit":
        from gaussavatar.fitting.recipe import load_recipe

        recipe, overrides = row.value("recipe") or "default", row.values.get("set", ())
        assert isinstance(overrides, tuple)
        config = load_recipe(recipe, overrides)
        found = _looked_at(row, row.value("video"), config.image_size, video=True)
        return replace(found, captured=config.capture.size)
    size = sizes.get(row.value("avatar") or "", 256)
    said = row.value("audio") or row.value("video")
    return _looked_at(row, said, size, video=False) if said else Facts(size, None)


def _looked_at(row: Row, place: str | None, size: int, *, video: bool) -> Facts:
    from gaussavatar.media.given import require_file
    from gaussavatar.media.probe import probe, require_sound, require_video

    if place is None:
        return Facts(size, None)
    try:
        if is_remote(place):
            return Facts(size, seconds_in_store(place))
        require_file(Path(place))
        info = probe(Path(place))
        if video:
            require_video(info)
        else:
            require_sound(info)
    except UserError as error:
        raise UserError(f"{row.where}: {error.expected}", error.came, error.do) from error
    return Facts(size, info.seconds, info.width * info.height / (1920 * 1080) if video else 1.0)


def seconds_in_store(place: str) -> float | None:
    """How long a clip or sound in a store is, by its first bytes; None for one that is short, or that does not say.

    Raises:
        UserError: it is not there.
    """
    import av
    from av.error import FFmpegError

    from gaussavatar.batch.store import explained, opened

    fs, path = opened(place)
    with explained(place):
        if fs.info(path)["size"] < LOOKED_AT:
            return None
        with fs.open(path, "rb", block_size=LOOKED_AT) as file:
            try:
                with av.open(file) as container:
                    return None if container.duration is None else container.duration / av.time_base
            # What is no media file is said by the command that reads it.
            except FFmpegError:
                return None


def size_of_avatar(folder: str) -> int | None:
    """The side of an avatar's pictures; None where its header cannot be read here."""
    from gaussavatar.avatar.finding import HEADER
    from gaussavatar.storage import read_json

    if is_remote(folder):
        return None
    try:
        size = read_json(Path(folder) / HEADER).get("image_size")
    except (UserError, AttributeError):
        return None
    return size if isinstance(size, int) else None


def costs_of_row(row: Row, facts: Facts, unit: float) -> Costs:
    """What a row is expected to take, as a whole, on one core of a machine that draws the small scene in ``unit`` s."""
    pixels, seconds = facts.size**2, ANY_SECONDS if facts.seconds is None else facts.seconds
    base, more = MEMORY[row.verb]
    memory = int((base + more * pixels / 1000) * MIB)
    started = STARTED * unit
    speaks = row.verb == "speak" or (row.verb == "export" and row.value("format") in ("mp4", "mov", "webm"))
    by_length = speaks or row.verb != "export"
    if row.verb == "fit":
        took = ONE_CORE * _fit_seconds(row, facts, seconds, unit)
        disk = int(FIT_BYTES * facts.captured**2 * seconds * 25)
    else:
        took = started + (seconds * 25 * _by_area(facts.size) * unit if by_length else 0.0)
        disk = int((VIDEO_BYTES * pixels + SOUND_BYTES) * seconds) if speaks else 8 * MIB
    wants_gpu = row.value("device") == "cuda" or (row.verb == "fit" and row.value("device") in (None, "auto"))
    return Costs(
        took, memory, disk, GPU_SHARE[row.verb] if wants_gpu else 0.0, facts.seconds is not None or not by_length
    )


def _by_area(size: int) -> float:
    low, high = SPOKEN[256], SPOKEN[512]
    return low * min(1.0, (size / 256) ** 2) + max(0.0, (size**2 - 256**2) / (512**2 - 256**2)) * (high - low)


def _fit_seconds(row: Row, facts: Facts, seconds: float, unit: float) -> float:
    """As ``fit --minutes`` plans it."""
    minutes = row.value("minutes")
    if minutes is not None:
        return 60 * float(minutes)
    from gaussavatar.fitting.pace import expected_pace
    from gaussavatar.fitting.plan import ClipFacts, costs_of
    from gaussavatar.fitting.recipe import load_recipe

    overrides = row.values.get("set", ())
    assert isinstance(overrides, tuple)
    config = load_recipe(row.value("recipe") or "default", overrides)
    clip = ClipFacts(round(seconds * 25), facts.sources, config.training.held_out)
    return sum(costs_of(config, clip, expected_pace(config.image_size, unit)).values())


@dataclass(frozen=True)
class Seen:
    """What units of a kind were seen to take."""

    peak: int
    """Bytes at most."""
    ratio: float
    """Seconds over those that were expected."""


def learned(done: Iterable[tuple[Done, float]]) -> dict[str, Seen]:
    """What units were seen to take, by kind.

    Args:
        done: units that ended well, and the seconds that were expected of each.
    """
    groups: dict[str, list[tuple[Done, float]]] = defaultdict(list)
    for one, expected in done:
        groups[one.kind].append((one, expected))
    return {
        kind: Seen(
            max(one.peak for one, _ in group),
            sum(one.seconds for one, _ in group) / max(1e-9, sum(expected for _, expected in group)),
        )
        for kind, group in groups.items()
    }


def room_for(costs: Costs, seen: Seen | None) -> int:
    """Bytes of memory that a unit asks for: what its kind was seen to need and a sixth more, or what is expected."""
    return costs.memory if seen is None or seen.peak == 0 else int(seen.peak * 7 / 6) + 64 * MIB
