"""The table of operations chooses a form by device and type."""

from __future__ import annotations

import numpy as np
import torch

from gaussavatar.native.operations import OPERATIONS, Operation


def test_the_form_follows_device_and_type() -> None:
    operation = Operation(torch=lambda *_: "torch", cpu=lambda *_: "cpu", cuda=lambda *_: "cuda")
    single, double, index = torch.zeros(2), torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    elsewhere = torch.zeros(2, device="meta")
    for inputs, form in (
        ((single, 3, None, index), "cpu"),
        ((single, (single, (double,))), "torch"),
        ((elsewhere, elsewhere), "torch"),
        ((single, elsewhere), "torch"),
        ((np.zeros(2, np.float32), np.zeros(2, np.uint8)), "cpu"),
        ((np.zeros(2),), "torch"),
    ):
        assert operation.backend(*inputs) == operation(*inputs) == form
    assert Operation(torch=lambda *_: "torch")(single) == "torch"


def test_every_operation_has_a_twin_and_a_form_for_the_cpu() -> None:
    assert all(operation.torch is not None and operation.cpu is not None for operation in OPERATIONS.values())
