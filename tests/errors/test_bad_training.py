"""What a user reads when training cannot begin, or goes wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gaussavatar.cli.common import run_verb
from gaussavatar.training.config import StageConfig
from gaussavatar.training.guards import Guard


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(message, media: Path) -> None:
    line = message("fit", media / "faceless.mp4", "--device", "cuda")
    assert "a GPU for --device cuda" in line and "--device cpu" in line


def test_training_that_went_wrong_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.Adam([{"params": [parameter], "name": "face:scales"}])
    guard = Guard("training.stages.motion", StageConfig("motion", 10), optimizer, 20.0)

    def work() -> None:
        parameter.grad = torch.full((1,), float("nan"))
        guard.gradients(7, np.array([12, 90]))

    assert run_verb(work) == 2
    assert capsys.readouterr().err == (
        "error: expected numbers in training stage motion, step 7, got a gradient that is not a number: face:scales, "
        "in frames 12, 90; lower the rates, for example --set training.stages.motion.rates.scales=0.004; the same "
        "command as before goes on from the last checkpoint\n"
    )
