"""What each design choice is worth: one clip, one preparation, one fit per variant, one table."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml

from gaussavatar import __version__
from gaussavatar.errors import UserError
from gaussavatar.fitting.fit import fit
from gaussavatar.fitting.preparation import PREPARED
from gaussavatar.fitting.recipe import load_recipe
from gaussavatar.fitting.request import FitRequest
from gaussavatar.fitting.speech import NETWORKS
from gaussavatar.fitting.stages import write_manifest
from gaussavatar.progress import Progress
from gaussavatar.resources import resource
from gaussavatar.storage import atomic_path, read_json, write_json
from gaussavatar.training.layout import FitLayout

COLUMNS = (
    ("head", "audio", "psnr_head", 2),
    ("full", "audio", "psnr_full", 2),
    ("SSIM", "audio", "ssim_full", 4),
    ("mouth", "audio", "psnr_mouth", 2),
    ("head, oracle", "oracle", "psnr_head", 2),
    ("mouth, oracle", "oracle", "psnr_mouth", 2),
    ("LMD", "audio", "lmd", 2),
    ("LMD, oracle", "oracle", "lmd", 2),
    ("lip r", "audio", "lip_r", 3),
    ("drop", "audio", "lip_r_drop", 3),
    ("blink r", "audio", "blink_r", 3),
    ("aperture std", "audio", "aperture_std_ratio", 2),
    ("jitter", "audio", "jitter_ratio", 2),
)
"""Heading, drive, figure and decimals of the table's columns."""


@dataclass(frozen=True)
class Variant:
    """One row: what it is called, what it shows, and how its recipe differs from the base."""

    name: str
    about: str
    set: tuple[str, ...] = ()
    recipe: str | None = None
    """Another recipe than the base."""

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return self.name.replace(" ", "-").replace("+", "and")


def load_variants() -> tuple[Variant, ...]:
    """The rows of the table, from ``assets/ablations.yaml``."""
    return msgspec.convert(yaml.safe_load((resource("assets") / "ablations.yaml").read_text()), tuple[Variant, ...])


def chosen_variants(only: tuple[str, ...]) -> tuple[Variant, ...]:
    """All rows, or the named ones; the first row, the base, always.

    Raises:
        UserError: a name that no row has.
    """
    variants = load_variants()
    names = [variant.name for variant in variants]
    for name in only:
        if name not in names:
            raise UserError(f"rows among {', '.join(names)}", repr(name), "name one of these")
    return tuple(v for v in variants if not only or v.name in only or v.name == names[0])


def run_ablations(
    video: Path,
    out: Path,
    recipe: str,
    overrides: tuple[str, ...],
    seeds: int,
    only: tuple[str, ...],
    table: Path | None,
    progress: Progress,
) -> dict[str, Any]:
    """Fit every variant (going on where a former call stopped) and write the table.

    All variants share one capture, by hard links, and one seed's audio networks wherever they would be the same. The
    figures of each fit stay in its folder below ``out``; rows that a former call with the same ``out`` measured stay in
    the table.

    Args:
        video: the clip.
        out: folder of the fits.
        recipe: what the variants change.
        overrides: changes of the recipe for all rows, before each row's own.
        seeds: fits per row, with seeds 0, 1, ...
        only: names of rows; all when empty.
        table: Markdown file to write.
        progress: told what each fit does.

    Returns:
        Rows by variant name: the mean over the seeds of every column, and their spread.

    Raises:
        UserError: whatever is wrong with the video, a variant's name or its overrides.
    """
    if seeds < 1:
        raise UserError("at least one seed", str(seeds), "give --seeds 1 or more")
    variants = chosen_variants(only)
    for variant in variants:
        load_recipe(variant.recipe or recipe, overrides + variant.set)
    first = out / f"{variants[0].slug}_0"
    rows: dict[str, Any] = read_json(out / "ablations.json") if (out / "ablations.json").exists() else {}
    for variant in variants:
        runs = []
        for seed in range(seeds):
            folder = out / f"{variant.slug}_{seed}"
            if folder != first:
                link_capture(first, folder)
            link_networks(out / f"{variants[0].slug}_{seed}", folder)
            progress.say(f"{variant.name}, seed {seed}: {variant.about}")
            fit(FitRequest(video, folder, variant.recipe or recipe, overrides + variant.set, seed=seed), progress)
            runs.append(_figures(folder))
        rows[variant.name] = {"about": variant.about, **summarise(runs)}
        write_json(out / "ablations.json", rows)
        if table is not None:
            write_table(table, rows, video.name, recipe, overrides, seeds)
    return rows


def link_capture(source: Path, target: Path) -> None:
    """Give ``target`` the prepared capture of ``source`` without copying the frames; a target that has one keeps it."""
    theirs, ours = FitLayout(source).capture, FitLayout(target).capture
    if ours.manifest.exists():
        return
    shutil.rmtree(ours.folder, ignore_errors=True)
    shutil.copytree(theirs.folder, ours.folder, copy_function=os.link)
    # Stage marks are written anew by each fit; a link would change those of the source.
    manifest = read_json(theirs.manifest)
    ours.manifest.unlink()
    write_manifest(ours.manifest, {name: entry for name, entry in manifest.items() if name in PREPARED})


def link_networks(source: Path, target: Path) -> None:
    """Lend ``target`` what the same seed of the base has heard; it is kept where a variant hears and says the same."""
    theirs, ours = FitLayout(source), FitLayout(target)
    if source == target or ours.train.exists():
        return
    ours.train.mkdir(parents=True)
    for file, link in ((theirs.voices, ours.voices), *((theirs.encoder(n), ours.encoder(n)) for n in NETWORKS)):
        if file.exists():
            os.link(file, link)


def _figures(folder: Path) -> dict[str, float]:
    layout = FitLayout(folder)
    metrics = read_json(layout.metrics)
    figures = {title: float(metrics[drive][key]) for title, drive, key, _ in COLUMNS}
    stages = read_json(layout.capture.manifest)
    figures["minutes"] = stages["training"]["seconds"] / 60
    figures["Gaussians"] = float(sum(metrics["gaussians"].values()))
    return figures


def summarise(runs: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and half the range of every figure over the seeds."""
    mean = {name: float(np.mean([run[name] for run in runs])) for name in runs[0]}
    spread = {name: float(np.ptp([run[name] for run in runs]) / 2) for name in runs[0]}
    return {"mean": mean, "spread": spread}


def write_table(
    path: Path, rows: dict[str, Any], clip: str, recipe: str, overrides: tuple[str, ...], seeds: int
) -> None:
    """The rows as a Markdown page that says how it was made."""
    changes = f" --set {' '.join(overrides)}" if overrides else ""
    decimals = {title: places for title, _, _, places in COLUMNS} | {"minutes": 1, "Gaussians": 0}
    spread = f", mean of {seeds} seeds" if seeds > 1 else ", one seed"
    lines = [
        "# Ablations",
        "",
        f"Made by `gaussavatar bench ablations --video {clip} --recipe {recipe}{changes} --seeds {seeds} --table PATH`"
        f" (version {__version__}){spread}. Held-out last eleventh of the clip; PSNR in dB, LMD in pixels at 512;"
        " driven by the sound unless a column says oracle (the real mouth's codes). Minutes are those of training"
        " alone, on a machine that other work shares: compare them roughly.",
        "",
        "| variant | " + " | ".join(decimals) + " |",
        "|---|" + "---|" * len(decimals),
    ]
    order = [variant.name for variant in load_variants() if variant.name in rows]
    for name, row in ((name, rows[name]) for name in order):
        cells = [f"{row['mean'][title]:.{places}f}" for title, places in decimals.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if seeds > 1:
        spreads = {title: float(np.mean([rows[name]["spread"][title] for name in order])) for title, *_ in COLUMNS}
        noise = ", ".join(f"{title} {spreads[title]:.{places}f}" for title, _, _, places in COLUMNS)
        lines += ["", f"Noise, half the range of a row's seeds, the mean of all rows: {noise}."]
    lines += ["", *(f"- **{name}**: {row['about']}" for name, row in ((name, rows[name]) for name in order)), ""]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines))
