"""Real traffic: the four trace files, whole, through one replica or a small fleet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simulator.scenarios import step_table
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.policies import Pool, Router, Scheduling, Status
from tokenmill.simulator.requests import Requests
from tokenmill.work.traces import read_trace

FILES = {
    "azure_2023_conv.csv": (19_366, False),
    "azure_2023_code.csv": (8_819, False),
    "mooncake_conversation.jsonl": (12_031, True),
    "mooncake_synthetic.jsonl": (3_993, True),
}


def requests_of(path: Path) -> Requests:
    return Requests.of(read_trace(path))


@pytest.mark.parametrize("name", FILES)
def test_every_request_of_a_trace_is_served(shared: Path, name: str) -> None:
    rows, prefixed = FILES[name]
    requests = requests_of(shared / "traces" / name)
    assert len(requests) == rows
    limits = Scheduling(8192, 256, 40_000, prefix_cache=prefixed)
    table = step_table(8192, 256)
    table.linear_s = 0.01 + np.arange(8193) * 1e-5
    table.decode_ctx_s, table.prefill_pair_s = np.full(257, 1e-7), 1e-10
    table.prefill_key_s = 1e-8
    pool = Pool("a", table, limits, replicas=4, router=Router.PREFIX_AWARE)
    played = play(requests, [pool], Run(seed=1))
    assert played.count(Status.DONE) == rows
    assert (played.replicas.cached_tokens.sum() > 0) == prefixed
    assert played.replicas.prefill_tokens.sum() >= (
        requests.prompt_tokens.sum() - played.replicas.cached_tokens.sum()
    )
    assert played.energy_j.sum() == pytest.approx(played.replicas.work_j.sum())
