"""Pipelines whose micro-batches differ."""

from __future__ import annotations

import numpy as np
import pytest

from tokenmill.placement.engines import engine
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.placement.stages import slowed, uneven_stages
from tokenmill.placement.steps import StepTimes
from tokenmill.placement.table import step_table
from tokenmill.simulator.cases import Case, language_model
from tokenmill.work.precision import cache_format, weight_format


def times(stages: int) -> StepTimes:
    model, arch = language_model("llama-2-70b")
    case = Case(
        platform("h100-sxm"), model, arch, weight_format("fp8"), cache_format("fp8"),
        engine("tensorrt-llm"),
    )  # fmt: skip
    return case.times((Layout(1, stages),))


def test_more_stages_wait_longer_for_the_slowest() -> None:
    two, four = (uneven_stages(times(n), 600.0 * n, 300.0, 300.0) for n in (2, 4))
    assert 1.05 < two < 1.4
    assert two < four < 1.8


def test_short_prompts_and_long_answers_leave_micro_batches_alike() -> None:
    assert uneven_stages(times(2), 1200.0, 10.0, 1000.0) == pytest.approx(1.0, abs=0.01)


def test_lengths_that_vary_make_stages_wait_longer() -> None:
    even, drawn = (uneven_stages(times(2), 1200.0, 300.0, 300.0, v) for v in (0.0, 1.0))
    assert drawn > even


def test_waiting_draws_idle_power() -> None:
    table = step_table(times(2), platform("h100-sxm").power, max_tokens=64, max_sequences=8)
    later = slowed(table, 1.5)
    added_s = later.linear_s - table.linear_s
    np.testing.assert_allclose(added_s, 0.5 * table.linear_s)
    np.testing.assert_allclose(later.linear_j - table.linear_j, added_s * table.idle_w)
