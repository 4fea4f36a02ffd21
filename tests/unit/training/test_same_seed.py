"""The same seed gives the same weights, whatever has used torch's global generator before."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gaussavatar.model.config import BranchConfig, ModelConfig
from gaussavatar.storage import read_arrays, write_arrays
from gaussavatar.training.config import StageConfig
from gaussavatar.training.data import Clip

from .tiny_runs import make_run, run_stages

STAGES = (StageConfig("joint", 4, audio_share=0.5),)


@pytest.mark.parametrize("deformation", ["blendshapes", "triplane", "vectors"])
def test_every_design_is_a_function_of_the_seed(tiny_clip: Clip, tmp_path: Path, deformation: str) -> None:
    branch = BranchConfig(count=200, deformation=deformation)  # type: ignore[arg-type]
    model = ModelConfig(face=branch, mouth=BranchConfig(count=60))
    runs = []
    for number, (chance, seed) in enumerate(((1, 0), (2, 0), (1, 5))):
        torch.manual_seed(chance)
        runs.append(run_stages(make_run(tiny_clip, tmp_path / str(number), seed, model=model), STAGES))
    same, other = runs[1], runs[2]
    assert all(torch.equal(tensor, same[name]) for name, tensor in runs[0].items())
    assert any(not torch.equal(tensor, other[name]) for name, tensor in runs[0].items() if ".motion." in name)


WRITE = """
import sys
from pathlib import Path
import numpy as np
from gaussavatar.storage import write_arrays
write_arrays(Path(sys.argv[1]), {"b": np.arange(3), "a": np.zeros((2, 2))}, {f"kéy{i}": "ü\\n" * i for i in range(9)})
"""


def test_files_of_two_processes_are_equal_byte_for_byte(tmp_path: Path) -> None:
    digests = set()
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    arrays, metadata = read_arrays(tmp_path / "0.safetensors")
    assert arrays["b"].tolist() == [0, 1, 2] and metadata["kéy2"] == "ü\nü\n" and len(metadata) == 9


def test_a_file_without_metadata_reads_again(tmp_path: Path) -> None:
    import numpy as np

    write_arrays(tmp_path / "a.safetensors", {"a": np.eye(2)})
    arrays, metadata = read_arrays(tmp_path / "a.safetensors")
    assert metadata == {} and (arrays["a"] == np.eye(2)).all()
