"""Pre-training of the audio network on the device: how fast, and whether it learns there what it learns here."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from runner import Options, Report
from sections.common import made_up, place, recipe

from gaussavatar.audio.pretrain import pretrain_encoder, steps_of
from gaussavatar.native.threads import frame_parallel

WORSE = 0.1
"""How much less what is learnt on the device may agree with held-out codes than what is learnt on the CPU: a
correlation; a rehearsal is too short for it."""


def check(report: Report, options: Options) -> None:
    """Codes that follow the made-up sound, learnt on the CPU and on the device."""
    device = place(options)
    config = recipe("default", options)
    with frame_parallel():
        run = made_up(config, options.work / "audio", 200 if options.small else 600, torch.device("cpu"))
    frames = len(run.clip)
    heard = run.audio.clean(torch.arange(frames)).mean(1).numpy()
    codes = run.encoder.config.n_codes
    heard = heard[:, :codes]
    targets = np.tanh((heard - heard.mean(0)) / heard.std(0)).astype(np.float32)
    steps = 10 if options.small else 300
    wish = replace(config.audio, steps=steps, fold_steps=min(steps, 50), shrink_folds=0, linear=False)
    train = np.arange(frames) < 0.8 * frames
    found_here = None
    for where in dict.fromkeys((torch.device("cpu"), device)):
        said: list[str] = []
        started = time.monotonic()
        done = pretrain_encoder(
            run.audio, targets, train, np.zeros(codes, np.float32), wish, 0, device=where, say=said.append
        )
        seconds = time.monotonic() - started
        with torch.no_grad():
            found = done.encoder(run.audio.clean(torch.from_numpy(np.flatnonzero(~train)))).numpy()
        agreement = float(np.corrcoef(found.ravel(), targets[~train].ravel())[0, 1])
        report.note(where.type, seconds=seconds, steps=steps_of(wish, False), agreement=agreement)
        report.expect(not said, " ".join(said))
        found_here = agreement if found_here is None else found_here
        close = options.small or agreement > found_here - WORSE
        report.expect(close, f"learnt on {where.type}, codes agree by {agreement:.2f}; on the CPU by {found_here:.2f}")
