"""simulate(): every request accounted for, every joule counted, the same truth as the estimate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.services import ONE, case, chat
from tokenmill.errors import DoesNotFit, InputError, UnknownName, Unsupported
from tokenmill.placement.layout import Layout
from tokenmill.simulator.cases import language_model
from tokenmill.simulator.describe import outcome
from tokenmill.simulator.load import Stage, chain, load, side_by_side
from tokenmill.simulator.play import Run
from tokenmill.simulator.policies import Autoscaling, Failures, Handoff, Preemption, Router
from tokenmill.simulator.run import simulate, simulate_services
from tokenmill.simulator.service import LINKS, Prefill, Service, Speculation, pools_of
from tokenmill.simulator.simulated import Counts, Simulated, Slo
from tokenmill.work.arrivals import ClosedLoop, OpenLoop, closed_loop, open_loop
from tokenmill.work.lengths import Fixed, LogNormal
from tokenmill.work.traces import read_trace
from tokenmill.work.traffic import Prefixes, Traffic
from tokenmill.work.workload import fixed_demand


def conserved(counts: Counts, offered: int) -> None:
    assert counts.requests + counts.unsent == offered
    parts = counts.done + counts.rejected + counts.timed_out + counts.running
    assert counts.requests == parts


def powers(result: Simulated) -> None:
    """INV-7 and INV-8: idle <= power <= limit, and energy is the integral of power."""
    lines = result.timeline
    length_s = np.diff(lines.time_s, prepend=0.0)
    assert np.isclose((lines.gpu_watts * length_s).sum(), result.energy_j, rtol=1e-9)
    constants = case().platform.power
    gpus = result.outcome.gpus
    inside = lines.gpu_watts[length_s > 0]
    assert (inside >= constants.idle_w * gpus * (1 - 1e-9)).all()
    assert (inside <= constants.limit_w * gpus * (1 + 1e-9)).all()


@pytest.mark.parametrize("runs_on", ["vllm", "sglang", "tensorrt-llm"])
def test_requests_and_joules_are_conserved(runs_on: str) -> None:
    result = simulate(case(runs_on=runs_on), ONE, chat())
    conserved(result.counts, 300)
    assert result.counts.done == 300 and result.finished and result.notes == ()
    powers(result)
    # all work is for somebody: steps' energy = sum over requests
    work_j = result.per_request.played.replicas.work_j.sum()
    assert np.isclose(result.per_request.played.energy_j.sum(), work_j, rtol=1e-6)


def test_energy_at_the_wall_is_watts_over_time_and_above_that_of_the_gpus() -> None:
    result = simulate(case(), ONE, chat(), replicas=2, router="least-outstanding")
    told = result.outcome
    assert result.wall_j > result.energy_j
    assert np.isclose(told.watts * result.end_s, result.wall_j)
    tokens = result.per_request.played.generated_tokens.sum()
    assert np.isclose(told.joules_per_output_token, result.wall_j / tokens)
    assert np.isclose(result.services[0].joules_per_request, result.wall_j / 300)
    length_s = np.diff(result.timeline.time_s, prepend=0.0)
    assert np.isclose((result.timeline.watts * length_s).sum(), result.wall_j, rtol=1e-6)


def test_littles_law() -> None:
    traffic = chat(2000, 6.0)
    result = simulate(
        case(), ONE, traffic, run=Run(sample_s=traffic.duration_s / 50_000, sample_rows=1 << 16)
    )
    lines, played = result.timeline, result.per_request.played
    length_s = np.diff(lines.time_s, prepend=0.0)
    inside = float(((lines.running + lines.waiting) * length_s).sum())
    stays = float((played.done_s - played.arrival_s).sum())
    assert inside == pytest.approx(stays, rel=1e-3)


def test_order_of_times_of_each_request() -> None:
    result = simulate(case(), ONE, chat(500, 12.0), slo=Slo(ttft_s=0.5))
    each, played = result.per_request, result.per_request.played
    assert (each.sent_s <= played.arrival_s).all()
    assert (played.arrival_s <= played.schedule_s).all()
    assert (played.schedule_s < played.first_token_s).all()
    assert (played.first_token_s <= played.done_s).all()
    told = result.outcome
    for spread in (told.ttft_s, told.tpot_s, told.e2e_s, result.services[0].queue_s):
        assert spread.p50 <= spread.p90 <= spread.p95 <= spread.p99 <= spread.p999
    inside = np.mean(each.ttft_s <= 0.5)
    assert result.services[0].within_slo == pytest.approx(inside)
    assert result.services[0].goodput_per_s == pytest.approx(inside * told.requests_per_s)


def test_one_user_at_a_time_is_what_the_estimate_says() -> None:
    """The closed form and the run read the same step times."""
    loop = closed_loop(ClosedLoop(1), Fixed(1000), Fixed(200), requests=20)
    told = simulate(case(), ONE, loop).outcome
    estimated = outcome(case(), ONE, fixed_demand(1000, 200, concurrency=1), 1, batch=1.0)
    # between two tokens of one user no other's prompt is computed
    step_s = sum(share.seconds for share in estimated.decode)
    assert told.tpot_s.mean == pytest.approx(step_s, rel=1e-3)
    assert told.ttft_s.mean == pytest.approx(estimated.ttft_s.mean, rel=0.1)


def test_a_closed_loop_keeps_its_users_busy() -> None:
    loop = closed_loop(ClosedLoop(16), Fixed(500), LogNormal(100, 0.5), requests=1600)
    result = simulate(case(), ONE, loop)
    conserved(result.counts, 1600)
    lines = result.timeline
    assert (lines.running + lines.waiting).max() <= 16
    # users = rate x (time of a request), as no one ever pauses; the end of the run idles
    users = result.outcome.requests_per_s * result.outcome.e2e_s.mean
    assert users == pytest.approx(16, rel=0.05)


def test_think_time_comes_between_requests_of_a_user() -> None:
    loop = closed_loop(ClosedLoop(3, think_s=5.0), Fixed(300), Fixed(50), requests=30)
    each = simulate(case(), ONE, loop).per_request
    done_s = np.sort(each.played.done_s)
    sent_s = np.sort(each.sent_s)
    assert np.allclose(sent_s[3:], done_s[:-3] + 5.0)


def test_same_seed_same_bytes_and_another_seed_others() -> None:
    def bytes_of(seed: int) -> bytes:
        result = simulate(
            case(), ONE, chat(), replicas=3, router="random", run=Run(seed=seed)
        )  # fmt: skip
        columns = result.per_request.columns()
        text = json.dumps(result.to_dict(timeline=True)).encode()
        return b"".join(column.tobytes() for column in columns.values()) + text

    assert bytes_of(1) == bytes_of(1)
    assert bytes_of(1) != bytes_of(2)


def test_blocks_of_kv_memory() -> None:
    demand = load(chat()).demand(0)
    (pool,) = pools_of(Service(case(), ONE), demand, prefixed=False)
    # 8 KV heads of 128 x 2 (K, V) x 2 B x 32 layers = 131,072 B a token
    left = pool.scheduling.kv_blocks * 16 * 131_072.0
    chip = case().platform.chip.memory_bytes
    assert 0.5 * chip < left < 0.8 * chip
    (halves,) = pools_of(Service(case(), Layout(tp=2)), demand, prefixed=False)
    assert halves.scheduling.kv_blocks > 2 * pool.scheduling.kv_blocks


def test_a_model_that_does_not_fit_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="needs"):
        simulate(case("llama-3.3-70b"), ONE, chat(5))


@pytest.mark.parametrize(
    "model", ["gpt-oss-20b", "deepseek-v2-lite", "nemotron-nano-9b-v2", "gemma-3-4b"]
)
def test_windows_latent_caches_and_states(model: str) -> None:
    record = language_model(model)[0]
    wanted = case(model, weights=record.native_dtype or "bf16")
    result = simulate(wanted, ONE, chat(60))
    assert result.counts.done == 60
    assert 0 < result.services[0].kv_peak <= 1


def test_more_bandwidth_is_not_slower() -> None:
    slow = simulate(case(on="h100"), ONE, chat(200, 8.0)).outcome
    fast = simulate(case(on="h200"), ONE, chat(200, 8.0)).outcome
    assert fast.tpot_s.mean < slow.tpot_s.mean and fast.e2e_s.p99 < slow.e2e_s.p99


def test_what_can_never_fit_is_rejected_and_counted() -> None:
    traffic = replace(chat(20), prompt_tokens=np.array([900] * 19 + [50_000_000]))
    result = simulate(case(), ONE, traffic)
    assert (result.counts.done, result.counts.rejected) == (19, 1)
    conserved(result.counts, 20)


def test_million_token_prompts_and_one_token_answers() -> None:
    traffic = Traffic(
        np.zeros(3), np.array([1_000_000, 1, 1]), np.array([1, 1, 5]), name="odd"
    )  # fmt: skip
    result = simulate(case(on="b200"), Layout(tp=8), traffic)
    assert result.counts.done == 3
    tpot = result.per_request.tpot_s
    assert np.isnan(tpot[:2]).all() and tpot[2] > 0


def test_queue_limits_and_time_outs_are_counted() -> None:
    crowd = chat(400, 200.0)
    result = simulate(
        case(on="l4", weights="fp8"), ONE, crowd, queue_limit=50, timeout_s=20.0, max_sequences=8
    )  # fmt: skip
    conserved(result.counts, 400)
    assert result.counts.rejected > 0 and result.counts.timed_out > 0 and result.counts.done > 0
    dropped = result.counts.rejected + result.counts.timed_out
    assert result.services[0].within_slo == pytest.approx(1 - dropped / 400)


@pytest.mark.parametrize("preemption", list(Preemption))
def test_short_memory_preempts_and_still_finishes(preemption: Preemption) -> None:
    result = simulate(case(), ONE, chat(200, 50.0), kv_blocks=800, preemption=preemption)
    assert result.counts.done == 200 and result.counts.preemptions > 0
    assert result.services[0].kv_peak <= 1.0
    powers(result)


def test_prefixes_are_found_again() -> None:
    blocks = 4
    named = Prefixes(np.arange(51) * blocks, np.tile(np.arange(blocks), 50), 256)
    traffic = Traffic(
        np.arange(50.0), np.full(50, 256 * blocks + 10), np.full(50, 20), prefixes=named
    )
    with_cache = simulate(case(), ONE, traffic)
    without = simulate(case(), ONE, traffic, prefix_cache=False)
    assert with_cache.services[0].prefix_hits == pytest.approx(49 * 1024 / (50 * 1034))
    assert without.services[0].prefix_hits == 0
    assert with_cache.outcome.ttft_s.mean < without.outcome.ttft_s.mean


def test_prefill_and_decode_apart() -> None:
    apart = simulate(
        case(), ONE, chat(), replicas=2,
        prefill=Prefill(ONE, replicas=1, link_bytes_per_s=50e9, latency_s=0.001),
    )  # fmt: skip
    assert apart.counts.done == 300
    told = apart.outcome
    assert (told.gpus, told.layout) == (3, "1 × TP1 → 2 × TP1")
    powers(apart)
    # no prompt is computed between two tokens of a decoding replica
    together = simulate(case(), ONE, chat(), replicas=3)
    assert told.tpot_s.p99 < together.outcome.tpot_s.p99
    bare = Service(case(on="rtx-4090"), ONE, prefill=Prefill(ONE))
    with pytest.raises(Unsupported, match="scale-out"):
        pools_of(bare, load(chat()).demand(0), prefixed=False)


def test_kv_goes_over_the_link_that_is_named() -> None:
    demand = load(chat()).demand(0)

    def handoff(prefill: Prefill, replicas: int = 1) -> Handoff:
        service = Service(case(), ONE, replicas, prefill=prefill)
        sent = pools_of(service, demand, prefixed=False)[0].handoff
        assert sent is not None
        return sent

    named = {link: handoff(Prefill(ONE, link=link)) for link in LINKS}
    assert [one.link for one in named.values()] == list(LINKS)
    assert named["gpu-links"].token_s < named["pcie"].token_s
    assert named["gpu-links"].token_s < named["network"].token_s
    token_bytes = named["pcie"].token_s * case().platform.accelerator.value("pcie_bandwidth")
    assert token_bytes == pytest.approx(2 * 32 * 8 * 128 * 2)  # keys and values of Llama 3.1 8B
    assert handoff(Prefill(ONE, link_bytes_per_s=1e9)).token_s == pytest.approx(token_bytes / 1e9)
    with pytest.raises(InputError, match="links between GPUs join 8"):
        handoff(Prefill(ONE, link="gpu-links"), replicas=8)
    with pytest.raises(UnknownName, match="gpu-links"):
        handoff(Prefill(ONE, link="gpulinks"))


def test_guesses_that_hold_save_time() -> None:
    plain = simulate(case(), ONE, chat(50, 0.5)).outcome
    guessed = simulate(case(), ONE, chat(50, 0.5), speculation=Speculation(4, 0.8)).outcome
    assert guessed.tpot_s.mean < 0.5 * plain.tpot_s.mean
    slow = simulate(case(), ONE, chat(50, 0.5), speculation=Speculation(4, 0.8, case()))
    assert slow.outcome.tpot_s.mean > plain.tpot_s.mean


def test_replicas_come_and_go_with_the_load() -> None:
    wave = open_loop(
        OpenLoop(6.0, profile=(0.1, 1.9), period_s=600.0), Fixed(500), Fixed(200), requests=4000
    )
    result = simulate(
        case(), ONE, wave,
        autoscaling=Autoscaling(1, 4, target=4.0, startup_s=10.0, cooldown_s=30.0),
        router="least-outstanding",
    )  # fmt: skip
    assert result.counts.done == 4000
    assert result.timeline.serving.min() >= 1 and result.timeline.serving.max() > 1
    fixed = simulate(case(), ONE, wave, replicas=4, router="least-outstanding")
    assert result.energy_j < fixed.energy_j


def test_failures_lose_nothing() -> None:
    result = simulate(
        case(), ONE, chat(400), replicas=3, failures=Failures(60.0, 10.0),
        router="least-outstanding",
    )  # fmt: skip
    assert result.counts.done == 400
    assert result.timeline.serving.min() < 3


def test_a_power_cap_holds_and_slows() -> None:
    free = simulate(case(), ONE, chat(200, 8.0), replicas=2)
    capped = simulate(case(), ONE, chat(200, 8.0), replicas=2, run=Run(power_cap_w=800.0))
    assert capped.timeline.gpu_watts.max() <= 800.0 * (1 + 1e-9)
    assert capped.outcome.tpot_s.mean > free.outcome.tpot_s.mean
    with pytest.raises(InputError, match="not above"):
        simulate(case(), ONE, chat(5), run=Run(power_cap_w=10.0))


def test_two_models_on_one_fleet_do_not_mix() -> None:
    small = chat(100, 3.0, seed=1)
    alone = simulate(case(), ONE, small)
    services = [Service(case(), ONE), Service(case(on="h200"), ONE, name="other")]
    both = simulate_services(services, side_by_side([small, chat(80, 2.0, seed=2)]))
    assert [s.counts.done for s in both.services] == [100, 80]
    assert both.services[0].outcome.ttft_s == alone.outcome.ttft_s
    assert both.counts.requests == 180
    assert both.wall_j == pytest.approx(
        sum(s.outcome.watts for s in both.services) * both.end_s
    )  # fmt: skip


def test_a_chain_goes_through_its_stages() -> None:
    stages = [
        Stage(None, delay_s=0.2),
        Stage(0, prompt_tokens=300, output_tokens=20),
        Stage(None, delay_s=0.3),
        Stage(1, turns=2, added_tokens=50, delay_s=0.1),
    ]
    services = [Service(case(), ONE), Service(case(on="h200"), ONE, name="agent")]
    traffic = chat(40, 2.0)
    wanted = chain(traffic, stages)
    result = simulate_services(services, wanted)
    assert result.counts.done == 120 and result.chain_s is not None
    sent_s = result.per_request.sent_s.reshape(3, 40)
    done_s = result.per_request.played.done_s.reshape(3, 40)
    assert np.allclose(sent_s[0], traffic.arrival_s + 0.2)
    assert np.allclose(sent_s[1], done_s[0] + 0.4)
    assert np.allclose(sent_s[2], done_s[1] + 0.1)
    assert result.chain_s.mean == pytest.approx((done_s[2] - sent_s[0]).mean())
    prompts = wanted.requests.prompt_tokens.reshape(3, 40)
    assert (prompts[2] == traffic.prompt_tokens + traffic.output_tokens + 50).all()


def test_a_run_stops_at_its_budgets_and_says_so() -> None:
    for run, word in (
        (Run(until_s=20.0), "time was limited"), (Run(events=50), "budget of events"),
    ):  # fmt: skip
        result = simulate(case(), ONE, chat(400), run=run)
        conserved(result.counts, 400)
        assert not result.finished and result.counts.done < 400
        assert any(word in note for note in result.notes)


def test_options_that_contradict_are_one_line() -> None:
    for wrong in (
        {"router": "wheel"}, {"nonsense": 1}, {"slowness": (0.0,)}, {"timeout_s": 0.0},
        {"prefill": Prefill(ONE, link_bytes_per_s=1e9), "autoscaling": Autoscaling(1, 2, 3.0)},
    ):  # fmt: skip
        with pytest.raises(InputError) as refusal:
            simulate(case(), ONE, chat(5), **wrong)
        assert "\n" not in str(refusal.value)


TRACES = (
    "azure_2023_conv.csv", "azure_2023_code.csv", "mooncake_conversation.jsonl",
    "mooncake_synthetic.jsonl",
)  # fmt: skip


@pytest.mark.parametrize("name", TRACES)
def test_replay_of_real_traffic(name: str, shared: Path) -> None:
    path = shared / "traces" / name
    if not path.exists():
        pytest.skip(f"no {name} in ../shared/traces")
    traffic = read_trace(path)
    result = simulate(
        case(), ONE, traffic, replicas=4, router="prefix-aware", slo=Slo(5.0, 0.1)
    )  # fmt: skip
    conserved(result.counts, len(traffic))
    assert result.counts.done == len(traffic)
    assert result.per_request.played.generated_tokens.sum() == traffic.output_tokens.sum()
    powers(result)
    service = result.services[0]
    if traffic.prefixes is not None:
        assert 0 < service.prefix_hits <= traffic.prefixes.reuse()
    assert 0 < service.within_slo <= 1


POLICIES = st.fixed_dictionaries(
    {
        "replicas": st.integers(1, 4),
        "router": st.sampled_from([router.value for router in Router]),
        "queue_limit": st.sampled_from([0, 1, 20]),
        "timeout_s": st.sampled_from([float("inf"), 0.05, 3.0]),
        "kv_blocks": st.sampled_from([None, 600, 5000]),
        "max_sequences": st.sampled_from([None, 1, 7]),
        "priorities": st.integers(1, 3),
    }
)


@settings(max_examples=25)
@given(
    policies=POLICIES, runs_on=st.sampled_from(["vllm", "sglang", "tensorrt-llm"]),
    rate=st.sampled_from([0.5, 20.0]), seed=st.integers(0, 9),
)  # fmt: skip
def test_any_policies_conserve(
    policies: dict[str, Any], runs_on: str, rate: float, seed: int
) -> None:
    traffic = chat(60, rate, seed)
    wanted = load(traffic, priority=(np.arange(60) % 3).astype(np.int8))
    result = simulate(case(runs_on=runs_on), ONE, wanted, run=Run(seed=seed), **policies)
    conserved(result.counts, 60)
    assert result.counts.running == 0 and result.finished
    powers(result)
    done = result.per_request.played.done
    assert (
        result.per_request.played.generated_tokens[done] == traffic.output_tokens[done]
    ).all()  # fmt: skip
