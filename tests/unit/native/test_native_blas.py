from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import hashlib, json, os
import numpy as np
from gaussavatar.native.blas import VARIABLE, blas_threads, steady_sums

def sums():
    import scipy.linalg
    drawn = np.random.default_rng(0).normal(size=(2, 400, 400)).astype(np.float32)
    found = drawn[0] @ drawn[1], scipy.linalg.solve(*drawn), np.linalg.svd(drawn[0])[0]
    return hashlib.sha256(b"".join(each.tobytes() for each in found)).hexdigest()

before, loose = blas_threads(), sums()
try:
    with steady_sums():
        inside, asked, steady = blas_threads(), os.environ[VARIABLE], sums()
        raise KeyboardInterrupt
except KeyboardInterrupt:
    after, left = blas_threads(), os.environ.get(VARIABLE)
print(json.dumps(dict(before=before, inside=inside, after=after, asked=asked, left=left, loose=loose, steady=steady)))
"""


def told(threads: str) -> dict[str, Any]:
    """What the program finds in an environment that asks for a number of threads."""
    environment = {"OPENBLAS_NUM_THREADS": threads}
    command = [sys.executable, "-c", PROGRAM]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="loaded libraries are found in /proc")
def test_sums_are_the_same_for_every_number_of_threads() -> None:
    many, one = told("2"), told("1")
    assert many["steady"] == one["steady"] == one["loose"]
    for found in (many, one):
        assert len(found["inside"]) >= 2 and set(found["inside"].values()) == {1} and found["asked"] == "1"
        assert found["before"] and found["before"].items() <= found["after"].items()
    assert (many["left"], one["left"]) == ("2", "1")
