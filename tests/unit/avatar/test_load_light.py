"""Loading an avatar imports what playing needs, and nothing of what torch has for compiling.

Any arithmetic on tensors of the meta device, which check shapes before anything of their size is made, would import it.
The design ``vectors`` does such arithmetic.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from dataclasses import replace
import torch
import gaussavatar
from gaussavatar.avatar.load import blank_model
from gaussavatar.model.config import ModelConfig

gaussavatar.load_avatar(sys.argv[1])
shapes = dict(n_mouth=4, n_upper=3, face=40, face_moving=30, mouth=9, mouth_moving=9, face_aside=5)
plain = ModelConfig()
for design in (dict(), dict(deformation="triplane"), dict(deformation="triplane", attention=True)):
    face, mouth = replace(plain.face, **design), replace(plain.mouth, **design)
    with torch.device("meta"):
        blank_model(replace(plain, face=face, mouth=mouth, shading=True, sh_degree=2), shapes)
print(sorted({"sympy", "torch._dynamo", "torch._inductor"} & sys.modules.keys()))
"""


def test_nothing_of_compiling_is_imported(toy_avatar: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(toy_avatar)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
