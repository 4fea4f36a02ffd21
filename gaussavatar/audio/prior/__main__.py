"""``python -m gaussavatar.audio.prior`` makes ``assets/viseme.safetensors`` anew."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import tyro

from gaussavatar.audio.features.viseme_network import WEIGHTS, network_arrays, read_network
from gaussavatar.audio.prior.corpus import make_corpus
from gaussavatar.audio.prior.espeak import Espeak
from gaussavatar.audio.prior.flite import Flite
from gaussavatar.audio.prior.training import PriorConfig, scores, split, train_prior
from gaussavatar.errors import EXIT_USER_ERROR, UserError
from gaussavatar.progress import TerminalProgress
from gaussavatar.resources import resource
from gaussavatar.storage import write_arrays


@dataclass(frozen=True)
class Make:
    """Let speech engines speak, and train the speech encoder of the audio feature viseme on them."""

    seconds: float = 200.0
    """Seconds of training on one core or more."""
    steps: int = 0
    """This many steps of training instead, if not 0: the same machine then makes the same weights again."""
    minutes: float = 60.0
    """Minutes of synthetic speech."""
    seed: int = 0
    """Of what is said, by which voices, and of the training."""
    out: Path | None = None
    """Where the weights go; by default, where the program reads them."""

    def run(self) -> None:
        """Make the weights, and print what they understand of utterances that were held out."""
        out = self.out or resource("assets") / WEIGHTS
        progress = TerminalProgress()
        engines = (Espeak(), Flite())
        corpus = make_corpus(engines, self.minutes, self.seed, progress)
        config = PriorConfig(seconds=self.seconds, steps=self.steps)
        learn, held = split(corpus, config, self.seed)
        network, steps = train_prior(learn, config, self.seed, progress)
        voices = ", ".join(engine.name for engine in engines)
        made = f"{self.minutes:g} min of {voices}; {steps} steps, seed {self.seed}; {date.today():%Y-%m-%d}"
        write_arrays(out, *network_arrays(replace(network, made=made)))
        for engine, score in scores(read_network(out), held, config, self.seed).items():
            print(
                f"{engine}: frames right {score.frames:.3f} ({score.noisy:.3f} in other rooms), p b m found "
                f"{score.closures_found:.3f}, right {score.closures_right:.3f}, opening r {score.opening:.3f}"
            )
        print(f"{out}: {out.stat().st_size} bytes; {made}")


if __name__ == "__main__":
    try:
        tyro.cli(Make).run()
    except UserError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_USER_ERROR) from None
