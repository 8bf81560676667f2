"""The closed form: laws of queues, what the parts add up to, and refusals in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tokenmill.catalog.figure import KINDS
from tokenmill.errors import DoesNotFit, InputError, TokenmillError
from tokenmill.planner.single import estimate
from tokenmill.simulator.outcome import Outcome

LLAMA = {"model": "llama-3.1-8b", "on": "h100"}
LOADS = [
    {"concurrency": 1}, {"concurrency": 1, "prompt_tokens": 30000, "output_tokens": 16},
    {"concurrency": 7, "prompt_tokens": 8000, "output_tokens": 100}, {"concurrency": 64},
    {"concurrency": 5000}, {"rate_per_s": 0.01}, {"rate_per_s": 1}, {"rate_per_s": "10 req/s"},
    {"rate_per_s": 2, "prompt_tokens": 3000, "output_tokens": 2},
    {"concurrency": 32, "on": "rtx-4090", "weights": "q4_k_m", "engine": "llama.cpp"},
    {"concurrency": 256, "model": "deepseek-v3", "on": "h200", "tp": 1, "dp": 8, "ep": 8},
    {"rate_per_s": 3, "model": "llama-3.3-70b", "on": "l40s", "tp": 2, "pp": 4},
    {"concurrency": 16, "model": "nemotron-nano-9b-v2", "on": "a100"},
]  # fmt: skip


def answer(load: dict[str, object]) -> Outcome:
    return estimate(**{**LLAMA, **load})  # type: ignore[arg-type]


@pytest.mark.parametrize("load", LOADS, ids=str)
def test_an_outcome_hangs_together(load: dict[str, object]) -> None:
    found = answer(load)
    for spread in (found.ttft_s, found.tpot_s, found.e2e_s):
        tail = [spread.p50, spread.p90, spread.p95, spread.p99, spread.p999]
        assert tail == sorted(tail)
        assert 0 < spread.mean < math.inf
        assert [spread.at(p) for p in (50, 90, 95, 99, 99.9)] == tail
    # INV-7
    assert 0 < found.utilisation <= 1
    assert found.gpu_watts * found.gpus < found.watts
    # energy of a token is power over rate
    assert found.joules_per_output_token == pytest.approx(found.watts / found.output_tokens_per_s)
    prompts = load.get("prompt_tokens", 1024)
    assert found.input_tokens_per_s == pytest.approx(found.requests_per_s * prompts)
    total = found.input_tokens_per_s + found.output_tokens_per_s
    assert found.to_dict()["total_tokens_per_s"] == found.total_tokens_per_s == total
    assert found.memory.used_bytes <= found.memory.capacity_bytes
    assert found.memory.free_bytes >= 0
    assert found.figures
    assert found.kind == max((use.kind for use in found.figures), key=KINDS.index)


@pytest.mark.parametrize("load", [x for x in LOADS if "concurrency" in x], ids=str)
def test_littles_law_for_users_who_wait(load: dict[str, object]) -> None:
    """Requests in flight = rate x time in the system, also where some wait for a place."""
    found = answer(load)
    assert found.requests_per_s * found.e2e_s.mean == pytest.approx(load["concurrency"], rel=0.01)


@pytest.mark.parametrize("load", [x for x in LOADS if "rate_per_s" in x], ids=str)
def test_what_is_offered_is_served(load: dict[str, object]) -> None:
    found = answer(load)
    offered = float(str(load["rate_per_s"]).split()[0])
    assert found.requests_per_s == pytest.approx(offered, rel=1e-12)
    # decoding at once = rate x time of decoding
    decoding_s = found.tpot_s.mean * found.output_tokens_per_s / offered
    assert found.batch == pytest.approx(offered * decoding_s / found.replicas, rel=0.03)


def test_a_lone_user_waits_for_nobody() -> None:
    found = answer({"concurrency": 1})
    assert found.tpot_s.p99 == pytest.approx(found.tpot_s.mean, rel=1e-6)
    assert found.ttft_s.p99 == pytest.approx(found.ttft_s.p50, rel=0.01)
    decode_s = sum(share.seconds for share in found.decode)
    assert found.tpot_s.mean == pytest.approx(decode_s, rel=1e-6)


def test_a_decode_step_reads_the_weights_once() -> None:
    """16 GB over 3.35 TB/s are 4.8 ms, which nothing can beat; and it is not twice that."""
    found = answer({"concurrency": 1})
    assert 16.06e9 / 3.35e12 < found.tpot_s.mean < 2 * 16.06e9 / 3.35e12
    assert "memory" in found.limiting


def test_shares_of_a_step_are_all_of_it() -> None:
    for load in LOADS:
        found = answer(load)
        for step in (found.decode, found.prefill):
            assert sum(share.share for share in step) == pytest.approx(1.0)
            assert all(0 <= share.roofline_share <= 1 for share in step)
            assert [x.seconds for x in step] == sorted((x.seconds for x in step), reverse=True)
            bounds = {"compute", "memory", "network", "launch", "host"}
            assert {share.bound for share in step} <= bounds


def test_long_prompts_are_bound_by_arithmetic_and_tensor_ranks_by_links() -> None:
    found = answer({"concurrency": 1, "prompt_tokens": 8000})
    largest = next(share for share in found.prefill if share.name == "mlp up")
    assert largest.bound == "compute"
    assert 0.4 < largest.roofline_share <= 1
    apart = answer({"concurrency": 64, "on": "l40s", "tp": 8})
    assert next(x for x in apart.decode if x.name == "all-reduce").bound in ("network", "launch")


def test_more_than_it_can_do_is_said() -> None:
    found = answer({"rate_per_s": 1000})
    assert found.requests_per_s < 100
    assert found.utilisation == pytest.approx(1.0)
    assert "overloaded: 1000 requests/s come" in found.notes[0]
    assert not answer({"rate_per_s": 1}).notes


def test_replicas_share_the_load() -> None:
    one, four = answer({"rate_per_s": 2}), answer({"rate_per_s": 8, "replicas": 4})
    assert four.gpus == 4 * one.gpus
    assert four.tpot_s == one.tpot_s
    assert four.requests_per_s == pytest.approx(4 * one.requests_per_s)
    assert four.watts == pytest.approx(4 * one.watts, rel=1e-9)


def test_the_cache_bounds_the_batch() -> None:
    long = answer({"concurrency": 500, "prompt_tokens": 30000, "output_tokens": 1000})
    assert "memory for the KV cache bounds the batch" in long.limiting
    held = long.batch * 131_072 * (30000 + 500)
    assert long.memory.cache_bytes == pytest.approx(held, rel=0.01)
    fewer = answer({"concurrency": 500, "prompt_tokens": 30000, "output_tokens": 1000,
                    "cache": "fp8"})  # fmt: skip
    assert fewer.batch > 1.9 * long.batch


def test_the_format_is_the_most_faithful_that_fits() -> None:
    assert answer({}).weights == "bf16"
    assert answer({"on": "rtx-4060-ti-16gb"}).weights == "fp8"
    assert answer({"on": "rtx-3060-12gb"}).weights in ("int8_wo", "int4")
    assert answer({"model": "gpt-oss-20b"}).weights == "mxfp4"


def test_batches_may_be_evaluated_together() -> None:
    from tokenmill.placement.engines import engine
    from tokenmill.placement.layout import Layout
    from tokenmill.placement.platform import platform
    from tokenmill.simulator.cases import Case, language_model
    from tokenmill.simulator.estimate import steady
    from tokenmill.work.precision import cache_format, weight_format
    from tokenmill.work.workload import fixed_demand

    record, shape = language_model("qwen3-30b-a3b")
    case = Case(platform("h100"), record, shape, weight_format("fp8"), cache_format("bf16"),
                engine("vllm"))  # fmt: skip
    demand, batches = fixed_demand(700, 300, rate_per_s=1.0), np.array([0.1, 1.0, 9.0, 200.0])
    layouts = (Layout(1), Layout(2), Layout(4, 2), Layout(2, 1, 2, 4))
    together = steady(case.times(layouts), demand, batches[None, :])
    for row, layout in enumerate(layouts):
        for column, batch in enumerate(batches):
            alone = steady(case.times((layout,)), demand, np.array([[batch]]))
            for name in ("tpot_s", "ttft_s", "requests_per_s", "busy"):
                whole = np.broadcast_to(getattr(together, name), (4, 4))
                assert whole[row, column] == pytest.approx(getattr(alone, name)[0, 0])


WRONG: list[tuple[dict[str, object], type[TokenmillError], str]] = [
    ({"model": "lama-3.1-8b"}, InputError, "did you mean .*llama-3.1-8b"),
    ({"on": "h10"}, InputError, "did you mean .*h100"),
    ({"weights": "int5"}, InputError, "unknown weight format"),
    ({"cache": "int3"}, InputError, "unknown KV cache format"),
    ({"engine": "vlm"}, InputError, "did you mean vllm"),
    ({"tp": 0}, InputError, "tp must be a whole number"),
    ({"tp": 1.5}, InputError, "tp must be a whole number"),
    ({"tp": 3}, InputError, "do not divide"),
    ({"dp": 2}, InputError, "mixture of experts"),
    ({"replicas": -1}, InputError, "replicas must be"),
    ({"replicas": 10**12}, InputError, "not modelled"),
    ({"prompt_tokens": 0}, InputError, "prompt length must be"),
    ({"prompt_tokens": math.nan}, InputError, "prompt length must be"),
    ({"output_tokens": 1e99}, InputError, "output length must be"),
    ({"rate_per_s": 0}, InputError, "rate must be above 0"),
    ({"rate_per_s": -5}, InputError, "rate must be above 0"),
    ({"rate_per_s": math.inf}, InputError, "finite"),
    ({"rate_per_s": "5 tokens/s"}, InputError, "token rate"),
    ({"rate_per_s": 1, "concurrency": 1}, InputError, "not both"),
    ({"concurrency": 0}, InputError, "concurrency must be"),
    ({"concurrency": math.nan}, InputError, "concurrency must be"),
    ({"currency": "GBP"}, InputError, "currency"),
    ({"region": "atlantis", "on": "rtx-4090"}, InputError, "region"),
    ({"prices": ("h100",)}, InputError, "price"),
    ({"model": "llama-3.1-405b", "weights": "bf16"}, DoesNotFit, "needs .* GB, has .* GB"),
    ({"model": "flux.1-dev"}, InputError, "name a language model"),
]


@pytest.mark.parametrize(("load", "kind", "said"), WRONG, ids=[str(load) for load, *_ in WRONG])
def test_wrong_questions_are_refused_in_a_line(
    load: dict[str, object], kind: type[TokenmillError], said: str
) -> None:
    with pytest.raises(kind, match=said) as refusal:
        answer(load)
    assert str(refusal.value).isprintable()
