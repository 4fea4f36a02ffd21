"""The linear algebra of numpy, scipy and OpenCV on one thread: its sums do not depend on the number of cores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_info, threadpool_limits

VARIABLE = "OPENBLAS_NUM_THREADS"


@contextmanager
def steady_sums() -> Iterator[None]:
    """Inside, every BLAS of this process, and of those that it starts, works on one thread.

    A BLAS adds up in another order with another number of threads, and the last digit of a sum decides over all that a
    training makes of it. The command line asks for one thread before numpy is loaded; a program that calls ``fit``
    has loaded it.
    """
    import cv2  # noqa: F401 - limits hold for what is loaded when they are set
    import scipy.linalg  # noqa: F401

    asked = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        if asked is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = asked


def blas_threads() -> dict[str, int]:
    """Threads of every BLAS that is loaded, by its file."""
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
