"""Jobs: samples a second and draw from what a sample takes, on any card."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.errors import NoPeak
from tokenmill.physics.jobs import Job, batch_seconds, peak, run_batch
from tokenmill.physics.power import PowerConstants

NET = Job(flop=2e10, memory_bytes=1e9, load=0.8, host_s=0.03, host_sample_s=1e-5, waiting=0.2)
positive = st.floats(1e9, 1e16)


def card() -> PowerConstants:
    return PowerConstants(
        limit_w=300.0, idle_w=50.0, active_w=0.0, flop_j=(), memory_j=0.0, cache_j=0.0, link_j=0.0,
        bend=12.0, voltage_floor=0.86, knee=0.84, leakage=0.0, static_share=0.9,
    )  # fmt: skip


@pytest.fixture
def chip() -> PowerConstants:
    return card()


@given(batch=st.floats(1.0, 1e4), flops=positive, bandwidth=positive, faster=st.floats(1.0, 10.0))
def test_a_better_card_is_never_slower(
    batch: float, flops: float, bandwidth: float, faster: float
) -> None:
    step_s, gpu_s = batch_seconds(NET, batch, flops, bandwidth)
    assert step_s >= max(gpu_s, NET.host_s)
    for better in ((flops * faster, bandwidth), (flops, bandwidth * faster)):
        assert batch_seconds(NET, batch, *better)[0] <= step_s * (1 + 1e-12)


def test_large_batches_hide_the_host_and_small_ones_wait_for_it() -> None:
    rates = [b / float(batch_seconds(NET, b, 1e13, 1e12)[0]) for b in (1.0, 8.0, 64.0, 512.0)]
    assert rates == sorted(rates)
    step_s, gpu_s = batch_seconds(NET, 512.0, 1e13, 1e12)
    assert gpu_s == pytest.approx(step_s, rel=0.01)
    assert float(batch_seconds(NET, 1.0, 1e15, 1e14)[0]) == pytest.approx(NET.host_s, rel=0.01)


def test_the_draw_lies_between_idle_and_what_the_job_asks(chip: PowerConstants) -> None:
    watts = [float(run_batch(NET, batch, 1e13, 1e12, chip)[1]) for batch in (0.01, 8.0, 512.0)]
    assert watts == sorted(watts)
    assert watts[0] == pytest.approx(50.0 + 0.2 * 0.8 * 250.0, rel=0.01)
    assert watts[2] == pytest.approx(50.0 + 0.8 * 250.0, rel=0.1)


@given(cap=st.floats(60.0, 300.0), less=st.floats(0.0, 100.0), batch=st.floats(1.0, 1e3))
def test_a_lower_cap_is_never_faster(cap: float, less: float, batch: float) -> None:
    chip = card()
    step_s, _ = run_batch(NET, batch, 1e13, 1e12, chip, cap)
    slower_s, lower_w = run_batch(NET, batch, 1e13, 1e12, chip, cap - less)
    assert slower_s >= step_s * (1 - 1e-9)
    assert chip.static_share * chip.idle_w <= lower_w <= chip.limit_w


def test_kernels_that_differ_keep_the_mean_below_the_cap(chip: PowerConstants) -> None:
    steady = replace(NET, waiting=1.0)
    swinging = replace(steady, swing=0.4)
    cap = float(run_batch(steady, 512.0, 1e13, 1e12, chip)[1])
    assert float(run_batch(steady, 512.0, 1e13, 1e12, chip, cap)[1]) == pytest.approx(cap)
    assert float(run_batch(swinging, 512.0, 1e13, 1e12, chip, cap)[1]) < 0.95 * cap


def test_formats_go_by_what_a_card_multiplies() -> None:
    assert peak({"fp32": 1.0, "tf32": 8.0}, "train") == 8.0
    assert peak({"fp32": 1.0, "fp16": 8.0}, "train") == 1.0
    assert peak({"fp32": 1.0, "fp16": 8.0, "int8": 16.0}, "infer") == 16.0
    with pytest.raises(NoPeak):
        peak({"fp64": 1.0}, "half")
