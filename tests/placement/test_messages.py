"""Attention ranks: their messages, their prompts and their hosts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tokenmill.placement.engines import Engine, engine
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.placement.steps import StepTimes
from tokenmill.simulator.cases import Case, language_model
from tokenmill.work.precision import cache_format, weight_format

TENSOR, SHARED = Layout(8, 1, 1, 8), Layout(1, 1, 8, 8)


def times_of(layout: Layout, runs_on: Engine, gpu: str = "b200-sxm") -> StepTimes:
    model, arch = language_model("deepseek-r1")
    case = Case(
        platform(gpu), model, arch, weight_format("fp8_block"), cache_format("fp8"), runs_on
    )
    return case.times((layout,))


def seconds_of(times: StepTimes, name: str, tokens: float) -> float:
    parts = times.linear_parts(np.array([[tokens]]))
    return sum(float(np.ravel(part.seconds)[0]) for part in parts if part.name == name)


def test_prompts_of_attention_ranks_are_prefilled_side_by_side() -> None:
    """Eight ranks with a prompt each need no longer than eight tensor ranks with all of them."""
    sglang = engine("sglang")
    pairs = [float(np.ravel(times_of(lay, sglang).prefill_coefficients()[2])[0])
             for lay in (TENSOR, SHARED)]  # fmt: skip
    assert pairs[1] == pytest.approx(pairs[0], rel=0.3)


def test_attention_ranks_have_a_scheduler_each() -> None:
    slow = replace(engine("sglang"), host_step_s=0.0, host_sequence_s=1e-3)
    hosts = [
        sum(float(np.ravel(part.seconds)[0]) for part in
            times_of(lay, slow).sequence_parts(np.array([[64.0]])) if part.name == "host")
        for lay in (TENSOR, SHARED)
    ]  # fmt: skip
    assert hosts[0] == pytest.approx(8 * hosts[1])


def test_the_librarys_exchange_costs_its_launches() -> None:
    """Its few kernels launch slower than an all-to-all of a few tokens, by what was measured."""
    plain = replace(engine("sglang"), deep_ep=False)
    ways = [seconds_of(times_of(SHARED, replace(plain, deep_ep=deep)), "expert dispatch", 64.0)
            for deep in (False, True)]  # fmt: skip
    assert ways[0] < ways[1] < 10 * ways[0]


def test_the_library_sends_eight_bits_out_and_sixteen_back() -> None:
    deep = times_of(SHARED, replace(engine("sglang"), deep_ep=True))
    out, back = (
        next(np.sum(part.link_bytes) for part in deep.linear_parts(np.array([[64.0]]))
             if part.name == name)
        for name in ("expert dispatch", "expert combine")
    )  # fmt: skip
    assert back == 2.0 * out > 0.0


def test_tensor_ranks_exchange_nothing() -> None:
    assert seconds_of(times_of(TENSOR, engine("sglang")), "expert dispatch", 64.0) == 0.0
