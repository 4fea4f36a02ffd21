"""Several audio networks on several clips, block by block: their figures and their paired differences with errors."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from gaussavatar.audio.features.registry import open_features
from gaussavatar.audio.targets import closed_target
from gaussavatar.bench.lips import LipsBenchConfig, bench_lips
from gaussavatar.capture.layout import CaptureLayout
from gaussavatar.errors import UserError
from gaussavatar.evaluate.speech_closures import lip_range, real_closures
from gaussavatar.evaluate.speech_lips import lip_figures
from gaussavatar.fitting.recipe import FitConfig, load_recipe
from gaussavatar.landmarks.measures import lip_width
from gaussavatar.media.sound_file import read_audio
from gaussavatar.progress import Progress
from gaussavatar.tracking.face.motion import load_motion
from gaussavatar.tracking.poses.fit import load_tracking
from gaussavatar.training.layout import FitLayout

FIGURES = {"aperture_r": 1, "width_r": 1, "drop": 1, "std_ratio": 0, "lmd": -1}
"""Columns of the table: 1 where more is better, -1 where less is, 0 where neither."""

WHOLE = ("closure_recall", "false_closures", "closed_share", "closed_share_real", "lag_frames")
"""Further columns of the means, over all blocks of a clip at once."""


@dataclass(frozen=True)
class LipsRow:
    """One audio network that is tried: what it hears, and fields of the recipe that it changes.

    Without features it is the recipe's own best network, in whose answer the light one has a share.
    """

    features: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As it stands in the table, without what all rows share."""
        return " ".join([",".join(self.features) or "the recipe's", *self.overrides])

    def recipe(self, base: str) -> FitConfig:
        """The recipe with this row's changes.

        Raises:
            UserError: see :func:`gaussavatar.fitting.recipe.load_recipe`.
        """
        alone = (f"audio.features=[{','.join(self.features)}]", "audio.light=[]") if self.features else ()
        return load_recipe(base, (*self.shared, *alone, *self.overrides))


@dataclass(frozen=True)
class LipsTask:
    """One run: a row on a clip with a seed."""

    clip: Path
    row: LipsRow
    seed: int
    recipe: str = "default"
    blocks: int = LipsBenchConfig.blocks


def lips_rows(features: Sequence[str], variants: Sequence[str], shared: Sequence[str], base: str) -> list[LipsRow]:
    """Every set of features with every variant of the recipe; all are checked before any is run.

    Args:
        features: each a list of names with commas, of a network alone; the recipe's blend when there is none.
        variants: each some ``key=value`` with spaces between; one that changes nothing when there is none.
        shared: ``key=value`` of all rows.
        base: the recipe.

    Raises:
        UserError: a feature or a key that is not known, or a feature that is not installed.
    """
    sets = [() if text == "recipe" else tuple(text.split(",")) for text in features] or [()]
    rows = [LipsRow(names, tuple(text.split()), tuple(shared)) for names in sets for text in (variants or [""])]
    for row in rows:
        open_features(row.recipe(base).audio.features)
    return list(dict.fromkeys(rows))


def capture_of(folder: Path) -> CaptureLayout:
    """The capture of an avatar's folder, or the folder itself where it is one.

    Raises:
        UserError: there are no tracked lips in it, or no sound.
    """
    direct = CaptureLayout(folder)
    capture = direct if direct.motion.exists() else FitLayout(folder).capture
    for path, what in ((capture.motion, "tracked lips"), (capture.audio, "a sound")):
        if not path.exists():
            raise UserError(f"{what} in {folder}", "none there", "name an avatar's folder, or a capture's")
    return capture


def run_task(task: LipsTask) -> dict[str, Any]:
    """The figures of one run: those of :func:`gaussavatar.bench.lips.bench_lips`, and what was run.

    Raises:
        UserError: see :func:`capture_of`.
    """
    figures = capture_lips(capture_of(task.clip), task.row.recipe(task.recipe), task.blocks, task.seed)
    return {"clip": str(task.clip), "row": task.row.name, "seed": task.seed, **figures}


def capture_lips(
    capture: CaptureLayout, config: FitConfig, blocks: int, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """:func:`gaussavatar.bench.lips.bench_lips` of a capture, and what can only be told over all its blocks at once.

    Returns:
        Its figures; those of :func:`gaussavatar.evaluate.speech_closures.real_closures`, pauses not gated: in the
        person's own range where the recipe has the network learn it, else with the recipe's gain; and the lag of
        :func:`gaussavatar.evaluate.speech_lips.lip_figures`, with jitter and the ratio of the widths' deviations where
        the gain is used.
    """
    motion, tracking = load_motion(capture.motion), load_tracking(capture.tracking)
    codes = np.empty_like(motion.mouth_codes)

    def keep(start: int, stop: int, targets: np.ndarray) -> None:
        codes[start:stop] = targets[:, : codes.shape[1]]

    bench = LipsBenchConfig(blocks, config.speaking.mouth_gain, config.audio)
    figures = bench_lips(
        read_audio(capture.audio), motion, bench, tracking=tracking, seed=seed, progress=progress, told=keep
    )
    closed = closed_target(motion)[: codes.shape[1]]
    lips = lip_range(motion, tracking.shape, closed, tracking.valid)
    predicted, real = lips.opening(codes), lips.opening(motion.mouth_codes)
    wide, real_wide = (np.asarray(lip_width(lips.points(each))) for each in (codes, motion.mouth_codes))
    whole = lip_figures(predicted, real, wide, real_wide)
    figures |= {name: whole[name] for name in ("lag_frames", "lag_ms")}
    if config.audio.range_folds > 1:
        own: dict[str, float] = figures["own_range"]  # type: ignore[assignment]
        return {**figures, **{name: value for name, value in own.items() if name not in figures}}
    kept = {name: whole[name] for name in ("width_std_ratio", "jitter_ratio")}
    return {**figures, **kept, **real_closures(predicted, real)}


def run_lips_table(
    clips: Sequence[Path],
    rows: Sequence[LipsRow],
    seeds: Sequence[int],
    progress: Progress,
    *,
    recipe: str = "default",
    blocks: int = LipsBenchConfig.blocks,
    jobs: int = 1,
    done: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> list[dict[str, Any]]:
    """Run every row on every clip with every seed.

    Args:
        clips: folders of avatars or of captures.
        rows: the first is what the others are compared with.
        seeds: of the pre-training.
        progress: told one step per run.
        recipe: the rows' base.
        blocks: see :class:`gaussavatar.bench.lips.LipsBenchConfig`.
        jobs: processes, among which the cores are shared out.
        done: told each run's figures as they come.

    Returns:
        The figures of every run, in the order of clips, rows and seeds.
    """
    for clip in clips:
        capture_of(clip)
    tasks = [LipsTask(clip, row, seed, recipe, blocks) for clip in clips for row in rows for seed in seeds]
    records: dict[LipsTask, dict[str, Any]] = {}
    with progress.stage("lips, run by run", len(tasks)) as advance, _runner(min(jobs, len(tasks))) as run:
        for task, record in run(tasks):
            records[task] = record
            done(record)
            advance(1)
    return [records[task] for task in tasks]


_Run = Callable[[Sequence[LipsTask]], Iterator[tuple[LipsTask, dict[str, Any]]]]


@contextmanager
def _runner(jobs: int) -> Iterator[_Run]:
    """Runs tasks here, or in processes that start afresh: a fork would copy torch's threads in whatever state."""
    if jobs <= 1:
        yield lambda tasks: ((task, run_task(task)) for task in tasks)
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (threads,)) as pool:

        def run(tasks: Sequence[LipsTask]) -> Iterator[tuple[LipsTask, dict[str, Any]]]:
            futures = {pool.submit(run_task, task): task for task in tasks}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                for future in futures:
                    future.cancel()

        yield run


def block_figures(records: Sequence[Mapping[str, Any]], figure: str) -> Float[np.ndarray, "seeds blocks"]:
    """One figure of one row on one clip, per seed and block."""
    return np.array([[block[figure] for block in record["blocks"]] for record in records], float)


@dataclass(frozen=True)
class Difference:
    """How one row differs from another: mean, its standard error, and in how many blocks it is better."""

    mean: float
    error: float
    better: int
    blocks: int


def paired_difference(
    row: Sequence[Float[np.ndarray, "_ _"]],
    other: Sequence[Float[np.ndarray, "_ _"]],
    better: int = 1,
) -> Difference:
    """The mean difference over blocks, of every clip alike, and its standard error.

    Seeds are averaged first, since they share a block's speech: what is left between the blocks of a clip is what a
    clip of other words would change. The error of a clip is the standard deviation of its blocks' differences over the
    square root of their number; clips are independent.

    Args:
        row, other: per clip, the figure of every seed and block.
        better: 1 where more is better, -1 where less is.
    """
    differences = [a.mean(0) - b.mean(0) for a, b in zip(row, other, strict=True)]
    errors = [d.std(ddof=1) / np.sqrt(len(d)) if len(d) > 1 else np.nan for d in differences]
    return Difference(
        float(np.mean([d.mean() for d in differences])),
        float(np.sqrt(np.sum(np.square(errors))) / len(errors)),
        sum(int((better * d > 0).sum()) for d in differences),
        sum(len(d) for d in differences),
    )


def summarise_lips(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means per clip and row, and the paired differences of every row from the first, per clip and over all clips.

    Returns:
        ``means``: for each clip and row the mean over seeds and blocks of each of :data:`FIGURES`, with the standard
        deviation over seeds under ``seed_std``, the lips' distance of a still mouth, and in how many of ``blocks`` the
        row's is ``nearer``; ``differences``: clip (``all`` is every clip together), row, figure
        and the fields of :class:`Difference`.
    """
    clips = list(dict.fromkeys(record["clip"] for record in records))
    rows = list(dict.fromkeys(record["row"] for record in records))
    runs = {(c, r): [x for x in records if (x["clip"], x["row"]) == (c, r)] for c in clips for r in rows}
    means = []
    for (clip, row), found in runs.items():
        seeds = {figure: block_figures(found, figure).mean(1) for figure in FIGURES}
        spread = {name: float(v.std(ddof=1)) if len(v) > 1 else None for name, v in seeds.items()}
        plain = {name: float(v.mean()) for name, v in seeds.items()}
        plain |= {name: float(np.mean([record[name] for record in found])) for name in WHOLE}
        still = paired_difference([block_figures(found, "lmd")], [block_figures(found, "lmd_still")], -1)
        plain |= {"lmd_still": float(block_figures(found, "lmd_still").mean()), "nearer": still.better}
        means.append(
            {"clip": clip, "row": row, "seeds": len(found), "blocks": still.blocks, **plain, "seed_std": spread}
        )
    differences = []
    for where, members in [*((clip, [clip]) for clip in clips), *([("all", clips)] if len(clips) > 1 else [])]:
        for row in rows[1:]:
            for figure, better in FIGURES.items():
                pair = [[block_figures(runs[clip, name], figure) for clip in members] for name in (row, rows[0])]
                found = paired_difference(*pair, better or 1)
                differences.append({"clip": where, "row": row, "figure": figure, **vars(found)})
    return {"reference": rows[0], "means": means, "differences": differences}


def format_lips(summary: Mapping[str, Any]) -> str:
    """The summary as text: a line per clip and row, then the differences from the first row."""
    width = max(len(entry["row"]) for entry in summary["means"]) + 2
    lines, clip = [], None
    columns = {name: name for name in FIGURES}
    columns |= dict(zip(WHOLE, ("closures", "invented", "closed", "(real)", "lag"), strict=True))
    head = "".join(f"{title:>12}" for title in columns.values())
    for entry in summary["means"]:
        if entry["clip"] != clip:
            clip = entry["clip"]
            lines.append(f"{clip}, mean of {entry['seeds']} seed{'s' * (entry['seeds'] > 1)}")
            lines.append(f"  {'':<{width}}{head}")
        lines.append(f"  {entry['row']:<{width}}" + "".join(f"{entry[name]:12.3f}" for name in columns))
        nearer = f"nearer in {entry['nearer']} of {entry['blocks']} blocks than a still mouth"
        lines.append(f"  {'':<{width}}lmd {nearer}, which is {entry['lmd_still']:.3f} away")
    found = {(d["clip"], d["row"], d["figure"]): d for d in summary["differences"]}
    for where, row in dict.fromkeys((clip, row) for clip, row, _ in found):
        lines.append(f"{row} against {summary['reference']}, {where}, paired over blocks, with standard errors")
        for figure, better in FIGURES.items():
            entry = found[where, row, figure]
            count = f"   better in {entry['better']} of {entry['blocks']}" if better else ""
            lines.append(f"  {figure:<{width}}{entry['mean']:+.3f} +- {entry['error']:.3f}{count}")
    return "\n".join(lines)
