"""Traffic as a scenario asks for it: lengths, rates, users, and traces larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tokenmill.errors import BadRecord, InputError
from tokenmill.planner import sources
from tokenmill.planner.scenario import TrafficTable
from tokenmill.planner.sources import read_within, traffic_from
from tokenmill.work.arrivals import ClosedTraffic
from tokenmill.work.traces import read_trace
from tokenmill.work.traffic import Traffic

ROWS = 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    times = np.cumsum(random.exponential(0.5, ROWS))
    lines = [f"{t:.3f},{random.integers(1, 999)},{random.integers(1, 99)}" for t in times]
    target = tmp_path / "t.csv"
    target.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *lines]) + "\n")
    return target


def opened(**keys: Any) -> Traffic:
    found = traffic_from(TrafficTable(**keys), 0)
    assert isinstance(found, Traffic)
    return found


def closed(**keys: Any) -> ClosedTraffic:
    found = traffic_from(TrafficTable(**keys), 0)
    assert isinstance(found, ClosedTraffic)
    return found


@pytest.mark.parametrize("streamed", [False, True])
def test_a_trace_is_cut_where_memory_ends_and_says_so(
    path: Path, streamed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if streamed:
        monkeypatch.setattr(sources, "_STREAM_BYTES", 100)
        monkeypatch.setattr(sources, "read_trace", None)  # may not be used
        monkeypatch.setattr(
            sources, "stream_trace", lambda file: stream(file, chunk_bytes=2000)
        )  # fmt: skip
    whole = read_trace(path)
    for limit in (1, 7, ROWS - 1):
        part = read_within(path, limit)
        assert len(part) == limit and f"cut after {limit:,} requests" in part.notes[-1]
        assert (part.prompt_tokens == whole.prompt_tokens[:limit]).all()
    for limit in (ROWS, 10 * ROWS):
        part = read_within(path, limit)
        assert len(part) == ROWS and part.notes == ()
        assert np.allclose(part.arrival_s, whole.arrival_s)
    headed = read_within(path, 100, head=20)
    assert len(headed) == 20 and headed.notes == ()
    assert len(read_within(path, 100, head=900)) == 100


def stream(file: Path, chunk_bytes: int) -> Any:
    from tokenmill.work.traces import stream_trace

    return stream_trace(file, chunk_bytes=chunk_bytes)


def test_a_trace_at_another_rate_stretch_and_length(path: Path) -> None:
    whole = opened(trace=str(path))
    assert opened(trace=str(path), rate_per_s="10 req/s").rate_per_s == pytest.approx(10)
    twice = opened(trace=str(path), stretch=2.0)
    assert np.allclose(twice.arrival_s, 2 * whole.arrival_s)
    assert opened(trace=str(path), duration_s="60 s").arrival_s.max() < 60
    assert len(opened(trace=str(path), requests=9)) == 9


def test_synthetic_traffic() -> None:
    fixed = opened(prompt_tokens=100, output_tokens=10, rate_per_s=5.0, requests=2000)
    assert set(fixed.prompt_tokens) == {100} and set(fixed.output_tokens) == {10}
    assert fixed.rate_per_s == pytest.approx(5, rel=0.1)
    varied = opened(prompt_tokens=100, prompt_cv=1.0, cv=3.0, rate_per_s=5.0, requests=5000)
    assert varied.prompt_tokens.std() == pytest.approx(100, rel=0.3)
    gaps = np.diff(varied.arrival_s)
    assert gaps.std() / gaps.mean() == pytest.approx(3.0, rel=0.2)
    assert opened(prompt_tokens=9, duration_s="30 s", rate_per_s=4.0).arrival_s.max() < 30
    day = opened(prompt_tokens=9, rate_per_s=1.0, hourly=[0.0] * 12 + [2.0] * 12, requests=500)
    assert day.arrival_s.min() >= 12 * 3600
    assert len(opened(requests=30)) == 30 and opened(profile="default", head=7).name


def test_users_ask_with_the_lengths_of_a_trace(path: Path) -> None:
    whole = read_trace(path)
    asked = closed(trace=str(path), users=10, think_s="5 s")
    assert len(asked) == ROWS and len(asked.starts_s) == 10
    assert (asked.prompt_tokens == whole.prompt_tokens).all()
    assert asked.starts_s.max() < 5 and asked.pause_s[10:].mean() == pytest.approx(5, rel=0.2)
    more = closed(trace=str(path), concurrency=3, requests=2 * ROWS)
    assert (more.output_tokens[ROWS:] == whole.output_tokens).all()
    assert (more.pause_s == 0).all()
    assert len(closed(prompt_tokens=10, users=5000)) == 50_000


def test_what_cannot_be_is_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="cannot be read"):
        opened(trace=str(tmp_path / "none.csv"))
    for keys in (
        {"prompt_tokens": 5, "requests": 1000}, {"users": 10, "requests": 1000}, {},
        {"trace": str(path), "users": 10, "requests": 1000}, {"duration_s": 1e6},
        {"prompt_tokens": 5, "duration_s": 2000.0},
    ):  # fmt: skip
        with pytest.raises(InputError, match="memory budget"):
            traffic_from(TrafficTable(**keys), 0, limit=999)
