"""Training runs: time to a target by batch, GPUs and machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.physics.runs import Run, run_seconds

RUN = Run(flop=2.5e18, memory_bytes=2.5e15, noise_batch=2e4, network=4e4)
CARD = (1e15, 3e12)


def test_one_machine_spends_its_time_on_arithmetic_and_memory() -> None:
    alone = float(run_seconds(RUN, 1.0, 8, 1, *CARD))
    assert alone == pytest.approx((2500.0**2 + (2.5e15 / 3e12) ** 2) ** 0.5 / 8, rel=1e-4)
    assert float(run_seconds(RUN, 2e4, 8, 1, *CARD)) == pytest.approx(2 * alone, rel=1e-3)


@given(batch=st.floats(1.0, 1e5), gpus=st.integers(8, 4096), faster=st.floats(1.0, 10.0))
def test_more_of_anything_is_never_slower(batch: float, gpus: int, faster: float) -> None:
    seconds = run_seconds(RUN, batch, gpus, 2, *CARD)
    flops, size = CARD
    assert run_seconds(RUN, batch, gpus, 2, flops * faster, size) <= seconds * (1 + 1e-12)
    assert run_seconds(RUN, batch, gpus, 2, flops, size * faster) <= seconds * (1 + 1e-12)
    assert run_seconds(RUN, batch, 2 * gpus, 2, *CARD) < seconds


def test_machines_that_talk_need_large_batches() -> None:
    seconds = [float(run_seconds(RUN, batch, 3472, 434, *CARD)) for batch in (256, 13888, 1e6)]
    assert seconds[1] < seconds[0]
    assert seconds[1] < seconds[2]
