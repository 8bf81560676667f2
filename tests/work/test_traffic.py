"""Traffic as a value, laws of lengths, open and closed loops, the default profile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.errors import BadRecord, InputError, UnknownName
from tokenmill.work.arrivals import ClosedLoop, OpenLoop, closed_loop, open_loop
from tokenmill.work.lengths import Fixed, LogNormal, Quantiles, Uniform, draw_lengths
from tokenmill.work.profiles import default_traffic, read_profile, traffic_profile
from tokenmill.work.traces import read_trace
from tokenmill.work.traffic import Prefixes, Traffic, concatenate


def traffic(*arrival_s: float, **rest: object) -> Traffic:
    count = len(arrival_s)
    ones = np.arange(1, count + 1)
    return Traffic(np.array(arrival_s, float), ones, ones, **rest)  # type: ignore[arg-type]


def test_arrays_are_read_only() -> None:
    held = traffic(0.0, 1.0)
    with pytest.raises(ValueError, match="read-only"):
        held.arrival_s[0] = 5.0


@pytest.mark.parametrize(
    ("arrival_s", "prompt", "output", "word"),
    [
        ([0.0, np.nan], [1, 1], [1, 1], "finite"),
        ([-1.0, 0.0], [1, 1], [1, 1], "negative"),
        ([1.0, 0.5], [1, 1], [1, 1], "order"),
        ([0.0, 1.0], [1, 0], [1, 1], "prompt"),
        ([0.0, 1.0], [1, 1], [0, 1], "output"),
        ([0.0, 1.0], [1], [1, 1], "arrivals"),
        ([0.0, 1.0], [1.5, 2], [1, 1], "whole"),
        ([], [], [], "at least one"),
        ([[0.0]], [1], [1], "one-dimensional"),
    ],
)
def test_traffic_refuses(arrival_s: list, prompt: list, output: list, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Traffic(np.array(arrival_s), np.array(prompt), np.array(output))


def test_rate_counts_gaps_and_an_instant_has_none() -> None:
    assert traffic(0.0, 1.0, 2.0).rate_per_s == 1.0
    assert traffic(0.0, 0.0).summary().rate_per_s is None
    with pytest.raises(InputError, match="no rate"):
        _ = traffic(0.0, 0.0).rate_per_s


def test_head_stretch_and_rate() -> None:
    held = traffic(0.0, 1.0, 4.0, sessions=np.array([5, 6, 7]))
    assert held.head(2).sessions.tolist() == [5, 6]
    assert held.head(9) is held
    assert held.stretched(2.0).arrival_s.tolist() == [0.0, 2.0, 8.0]
    assert held.at_rate(3.0).rate_per_s == pytest.approx(3.0, rel=1e-12)
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError):
            held.stretched(wrong)
        with pytest.raises(InputError):
            held.at_rate(wrong)


def test_prefixes_follow_their_requests() -> None:
    blocks = Prefixes(np.array([0, 2, 2, 5]), np.array([1, 2, 1, 2, 3]), 512)
    held = traffic(0.0, 1.0, 2.0, prefixes=blocks)
    assert blocks.reuse() == pytest.approx(2 / 5)
    last = held.take(np.array([1, 2])).prefixes
    assert last is not None
    assert last.offsets.tolist() == [0, 0, 3]
    assert last.hashes.tolist() == [1, 2, 3]
    both = concatenate([held, held.take(np.array([2]))])
    assert both.prefixes is not None
    assert both.prefixes.offsets.tolist() == [0, 2, 2, 5, 8]
    with pytest.raises(InputError, match="prefix"):
        concatenate([held, traffic(2.0, 3.0)])
    with pytest.raises(InputError, match="follow"):
        concatenate([held, held])


def test_fixed_and_uniform_lengths() -> None:
    draws = np.random.default_rng(1).standard_normal(200_000)
    assert set(Fixed(7).tokens(draws[:5]).tolist()) == {7}
    lengths, counts = np.unique(Uniform(3, 6).tokens(draws), return_counts=True)
    assert lengths.tolist() == [3, 4, 5, 6]
    assert counts / len(draws) == pytest.approx(np.full(4, 0.25), abs=0.005)
    assert Uniform(3, 6).tokens(np.array([-40.0, 40.0])).tolist() == [3, 6]


def test_lognormal_keeps_its_mean_and_cv() -> None:
    lengths = LogNormal(1000, 0.8).tokens(np.random.default_rng(2).standard_normal(400_000))
    assert lengths.mean() == pytest.approx(1000, rel=0.01)
    assert lengths.std() / lengths.mean() == pytest.approx(0.8, rel=0.02)
    assert LogNormal(50, 0).tokens(np.zeros(3)).tolist() == [50, 50, 50]


def test_quantiles_come_back() -> None:
    law = Quantiles((0, 0.5, 0.9, 1), (10, 100, 1000, 5000))
    lengths = law.tokens(np.random.default_rng(3).standard_normal(400_000))
    below = [(lengths <= value).mean() for value in (55, 100, 1000)]
    assert below == pytest.approx([0.25, 0.5, 0.9], abs=0.01)
    assert lengths.mean() == pytest.approx(law.mean, rel=0.01)


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.5, 1.0])
def test_rank_correlation_is_the_one_asked_for(correlation: float) -> None:
    law = LogNormal(1e6, 1.0)
    pair = draw_lengths(law, law, 50_000, correlation, np.random.default_rng(4))
    ranks = [np.argsort(np.argsort(lengths)) for lengths in pair]
    assert np.corrcoef(*ranks)[0, 1] == pytest.approx(correlation, abs=0.015)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 3.0])
def test_gaps_have_their_mean_and_cv(cv: float) -> None:
    made = open_loop(OpenLoop(20.0, cv), Fixed(1), Fixed(1), requests=300_000, seed=5)
    gaps = np.diff(made.arrival_s)
    assert made.rate_per_s == pytest.approx(20.0, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, abs=0.02 + 0.02 * cv)


@pytest.mark.parametrize("cv", [0.0, 1.0, 2.0])
def test_a_duration_cuts_the_same_arrivals(cv: float) -> None:
    loop = OpenLoop(50.0, cv, profile=(1, 3, 0, 2), period_s=40.0)
    whole = open_loop(loop, Fixed(1), Fixed(1), duration_s=100.0, seed=6)
    assert whole.arrival_s[-1] < 100.0
    assert len(whole) == pytest.approx(50 * 100, rel=0.1)


def test_profile_shapes_the_day() -> None:
    loop = OpenLoop(100.0, profile=(1, 3, 0, 4), period_s=40.0)
    made = open_loop(loop, Fixed(1), Fixed(1), duration_s=4000.0, seed=7)
    part = (made.arrival_s % 40.0 // 10.0).astype(int)
    share = np.bincount(part, minlength=4) / len(made)
    assert share == pytest.approx([1 / 8, 3 / 8, 0, 4 / 8], abs=0.005)
    assert len(made) == pytest.approx(400_000, rel=0.01)


@given(
    rate=st.floats(1e-3, 1e4),
    weights=st.lists(st.floats(0, 10), max_size=5),
    period=st.floats(1, 1e5),
    seed=st.integers(0, 2**32),
)
def test_clock_inverts_expectation(
    rate: float, weights: list[float], period: float, seed: int
) -> None:
    if weights and sum(weights) < 1e-3:
        weights = []
    loop = OpenLoop(rate, profile=tuple(weights), period_s=period)
    arrival_s = loop.first(50, np.random.default_rng(seed))
    due = np.cumsum(np.random.default_rng(seed).standard_exponential(50))
    assert (np.diff(arrival_s) >= 0).all()
    assert [loop._expected(t) for t in arrival_s] == pytest.approx(due.tolist(), rel=1e-6)


def test_same_seed_same_bytes_and_lengths_leave_arrivals_alone() -> None:
    loop = OpenLoop(5.0, 2.0)
    one = open_loop(loop, Fixed(10), LogNormal(100, 1), requests=1000, seed=8)
    two = open_loop(loop, Fixed(10), LogNormal(100, 1), requests=1000, seed=8)
    other = open_loop(loop, Uniform(1, 9), Fixed(3), requests=1000, seed=8)
    assert one.arrival_s.tobytes() == two.arrival_s.tobytes() == other.arrival_s.tobytes()
    assert one.output_tokens.tobytes() == two.output_tokens.tobytes()
    assert open_loop(loop, Fixed(1), Fixed(1), requests=9, seed=9).arrival_s[0] != one.arrival_s[0]


def test_closed_loop_pauses_after_the_first_round() -> None:
    loop = ClosedLoop(users=4, think_s=2.0, think_cv=1.0, ramp_s=8.0)
    made = closed_loop(loop, Fixed(5), Fixed(6), requests=100_000, seed=1)
    assert made.starts_s.tolist() == [0.0, 2.0, 4.0, 6.0]
    assert not made.pause_s[:4].any()
    assert made.pause_s[4:].mean() == pytest.approx(2.0, rel=0.02)
    assert len(made) == 100_000
    assert not closed_loop(ClosedLoop(8), Fixed(5), Fixed(6), requests=3).pause_s.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: OpenLoop(0.0),
        lambda: OpenLoop(float("nan")),
        lambda: OpenLoop(1.0, cv=-1),
        lambda: OpenLoop(1.0, profile=(0.0, 0.0)),
        lambda: OpenLoop(1.0, profile=(1.0, -2.0)),
        lambda: OpenLoop(1.0, period_s=0),
        lambda: ClosedLoop(0),
        lambda: ClosedLoop(1, think_s=-1),
        lambda: Fixed(0),
        lambda: Uniform(5, 4),
        lambda: LogNormal(100, float("inf")),
        lambda: Quantiles((0, 1), (2, 1)),
        lambda: Quantiles((0, 0.5), (1, 2)),
        lambda: open_loop(OpenLoop(1), Fixed(1), Fixed(1)),
        lambda: open_loop(OpenLoop(1), Fixed(1), Fixed(1), requests=1, duration_s=1),
        lambda: open_loop(OpenLoop(1e9), Fixed(1), Fixed(1), duration_s=1e9),
        lambda: open_loop(OpenLoop(1e-6), Fixed(1), Fixed(1), duration_s=1),
        lambda: open_loop(OpenLoop(1), Fixed(1), Fixed(1), requests=1, seed=-1),
        lambda: open_loop(OpenLoop(1), Fixed(1), Fixed(1), requests=1, correlation=1.5),
    ],
)
def test_wrong_questions_are_refused(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]


def test_default_traffic_is_the_published_shape() -> None:
    profile = traffic_profile("default")
    made = default_traffic(requests=200_000, seed=1)
    assert made.rate_per_s == pytest.approx(profile.rate_per_s, rel=0.01)
    assert made.prompt_tokens.mean() == pytest.approx(profile.prompt_mean, rel=0.01)
    assert made.output_tokens.mean() == pytest.approx(profile.output_mean, rel=0.01)
    assert "CC-BY-4.0" in made.source
    assert "synthesised" in made.source
    assert len(default_traffic()) == profile.requests
    assert default_traffic(duration_s=100.0, rate_per_s=50.0).rate_per_s == pytest.approx(
        50, rel=0.1
    )


def test_default_profile_states_the_quantiles_of_the_trace(shared: Path) -> None:
    profile = traffic_profile("azure-2023-conversation")
    trace = read_trace(shared / "traces" / "azure_2023_conv.csv")
    for law, column, step in (
        (profile.prompt, trace.prompt_tokens, 0.5),
        (profile.output, trace.output_tokens, 0.5),
        (profile.gaps, np.diff(trace.arrival_s), 1e-5),
    ):
        assert np.array(law.values) == pytest.approx(np.quantile(column, law.levels), abs=step)
    assert profile.rate_per_s == pytest.approx(trace.rate_per_s, rel=1e-3)
    assert profile.prompt_mean == pytest.approx(trace.prompt_tokens.mean(), abs=0.05)
    assert profile.output_mean == pytest.approx(trace.output_tokens.mean(), abs=0.05)
    assert profile.requests == len(trace)


def test_profiles_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="azure-2023-conversation"):
        traffic_profile("azure-2023-conversatoin")
    good = (Path(__file__).parents[2] / "src/tokenmill/catalog/data/traffic").joinpath(
        "azure-2023-conversation.toml"
    )
    text = good.read_text(encoding="utf-8")
    for old, new, word in (
        ("rate = ", "# ", "figures.rate"),
        ("5.53 req/s", "5.53 W", "figures.rate.value"),
        ("levels = [\n    0,", "levels = [\n    0.2,", "levels must rise"),
        ("gap_s = [", "gap = [", "quantiles.gap_s"),
        ("[quantiles]", "[quantile]", "needs"),
        ("output_tokens = [\n    7,", 'output_tokens = [\n    "x",', "list of numbers"),
    ):
        assert old in text
        path = tmp_path / "profile.toml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(BadRecord, match=word):
            read_profile(path)
