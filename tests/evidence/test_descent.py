"""Robust descent: it finds constants, and those that the rest of the rows would have given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tokenmill.evidence.descent import Problem, descend, without

Array = NDArray[np.float64]
ROWS = 60
SIDE = np.arange(ROWS) % 3  # three groups
BASE = np.stack([np.ones(ROWS), np.linspace(-1.0, 1.0, ROWS)], axis=1)


def problem(off: Array, pull: float = 1e-9) -> Problem:
    """Residuals that are straight lines in two constants, which are 0.3 and -0.2 but for `off`."""
    target = BASE @ np.array([0.3, -0.2]) + off
    return Problem(
        lambda x: BASE @ x - target, np.ones(ROWS), np.full(2, -3.0), np.full(2, 3.0),
        np.zeros(2), np.full(2, pull),
    )  # fmt: skip


def test_constants_are_found() -> None:
    assert descend(problem(np.zeros(ROWS)), np.zeros(2), 8) == pytest.approx([0.3, -0.2], abs=1e-3)


def test_a_group_left_out_takes_its_bias_with_it() -> None:
    off = np.where(SIDE == 0, 0.1, 0.0)  # below the knee: the first group pulls like any other
    asked = problem(off)
    x = descend(asked, np.zeros(2), 20)
    assert x[0] > 0.32
    first, second = without(asked, x, [SIDE == 0, SIDE == 1])
    assert first == pytest.approx([0.3, -0.2], abs=1e-3)
    assert second[0] > x[0]


def test_without_any_row_constants_stay() -> None:
    asked = problem(np.zeros(ROWS))
    (kept,) = without(asked, np.array([0.1, 0.1]), [np.ones(ROWS, dtype=bool)])
    assert kept.tolist() == [0.1, 0.1]
