"""Can it run? Yes with room and speed, or no with numbers and a change that was tried."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tokenmill.errors import DoesNotFit, InputError
from tokenmill.placement.platform import hardware_names
from tokenmill.planner.single import Fit, can_run, estimate
from tokenmill.work.precision import weight_format
from work.models import SLUGS, arch


@pytest.mark.parametrize(
    ("model", "on", "gpus", "runs", "weights"),
    [
        ("llama-3.1-8b", "rtx-4090", 1, True, "bf16"),
        ("llama-3.1-8b", "rtx-3060-12gb", 1, True, "int4"),
        ("llama-3.3-70b", "rtx-4090", 1, False, "q4_k_m"),
        ("llama-3.3-70b", "rtx-4090", 2, True, "q4_k_m"),
        ("llama-3.3-70b", "h100", 2, True, "bf16"),
        ("gpt-oss-20b", "rtx-4060-ti-16gb", 1, True, "mxfp4"),
        ("gpt-oss-120b", "h100", 1, True, "mxfp4"),
        ("deepseek-v3", "h100", 8, True, "int4"),
        ("deepseek-v3", "h200", 8, True, "fp8_block"),
        ("llama-3.1-405b", "rtx-4090", 4, False, "int4"),
    ],
)
def test_what_is_known_to_run_runs(
    model: str, on: str, gpus: int, runs: bool, weights: str
) -> None:
    answer = can_run(model, on=on, gpus=gpus)
    assert (answer.runs, answer.weights) == (runs, weights)


def tried(change: str, like: Fit) -> Fit:
    """The change in words, done."""
    found = re.fullmatch(r"(\d+) x (\S+) in (\S+)", change)
    assert found
    return can_run(
        like.model, on=found[2], gpus=int(found[1]), weights=found[3],
        context_tokens=like.context_tokens,
    )  # fmt: skip


@settings(max_examples=150)
@given(
    st.sampled_from(SLUGS), st.sampled_from(hardware_names()), st.sampled_from([1, 2, 4, 8, 100]),
    st.sampled_from([None, "bf16", "q4_k_m", "int4"]), st.sampled_from([None, 100.0, 100_000.0]),
)  # fmt: skip
def test_every_answer_hangs_together(
    model: str, on: str, gpus: int, weights: str | None, context: float | None
) -> None:
    most = arch(model).max_context or 1e8
    assume(context is None or context <= most)
    answer = can_run(model, on=on, gpus=gpus, weights=weights, context_tokens=context)
    assert 1 <= answer.gpus <= gpus
    assert answer.context_tokens <= most
    if answer.runs:
        assert answer.requests >= 1
        assert answer.tokens_per_s > 0
        assert 0 < answer.ttft_s < 1e6
        assert answer.memory.free_bytes >= 0
        assert (answer.reason, answer.change) == ("", "")
    else:
        needs, has = (float(x) for x in re.findall(r"([\d.]+) GB", answer.reason))
        assert needs >= has
        assert weight_format(answer.weights).name in answer.reason
        if answer.change:
            assert tried(answer.change, answer).runs


@pytest.mark.parametrize("model", ["llama-3.3-70b", "deepseek-v3", "gpt-moe-1.8t"])
def test_a_change_is_offered_and_works(model: str) -> None:
    answer = can_run(model, on="rtx-4090")
    assert not answer.runs
    assert answer.change
    assert tried(answer.change, answer).runs


def test_room_is_what_memory_holds() -> None:
    """85.9 GB less a tenth and 2 GB, less 16.1 GB of weights: requests of 8,192 tokens."""
    answer = can_run("llama-3.1-8b", on="h100", context_tokens=8192)
    free = 0.9 * answer.memory.capacity_bytes - 2e9 - 16.06e9 - answer.memory.workspace_bytes
    assert answer.requests == pytest.approx(free / (131_072 * 8192), abs=2)
    longer = can_run("llama-3.1-8b", on="h100", context_tokens=16384)
    assert longer.requests == pytest.approx(answer.requests / 2, abs=2)


def test_it_agrees_with_estimate() -> None:
    answer = can_run("llama-3.3-70b", on="h100", gpus=2)
    outcome = estimate("llama-3.3-70b", on="h100", tp=2, weights=answer.weights)
    assert outcome.memory.weights_bytes > 0
    alone = estimate("llama-3.3-70b", on="h100", weights="q4_k_m", engine="llama.cpp")
    fit = can_run("llama-3.3-70b", on="h100", weights="q4_k_m", context_tokens=1280)
    assert 1.0 / fit.tokens_per_s == pytest.approx(alone.tpot_s.mean, rel=0.02)
    with pytest.raises(DoesNotFit):
        estimate("llama-3.3-70b", on="h100", weights="bf16")


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"model": "lama-3-8b"}, "did you mean"),
        ({"on": "h10"}, "did you mean"),
        ({"gpus": 0}, "gpus must be"),
        ({"gpus": 1.5}, "gpus must be"),
        ({"weights": "q4_k_n"}, "q4_k_m"),
        ({"cache": "nothing"}, "KV cache format"),
        ({"engine": "nothing"}, "engine"),
        ({"context_tokens": 1}, "context must be"),
        ({"context_tokens": float("nan")}, "context must be"),
        ({"context_tokens": 1e6}, "reads 131,072 tokens at most, not 1,000,000"),
    ],
)
def test_wrong_questions_are_refused(given_: dict[str, object], said: str) -> None:
    values: dict[str, object] = {"model": "llama-3.1-8b", "on": "h100", **given_}
    with pytest.raises(InputError, match=said):
        can_run(**values)  # type: ignore[arg-type]


def test_attention_over_compressed_entries_needs_little_cache() -> None:
    answer = can_run("deepseek-v4-flash", on="h200", context_tokens=100_000)
    assert answer is not None
