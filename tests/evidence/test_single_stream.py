"""Single-stream rows: prompts and generation of engines that serve one user."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest

from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of, spilled_bytes


def point(**cells: str) -> Point:
    usual = {
        "gpu": "rtx-4090", "n_gpus": "1", "model": "llama-3-8b", "weight_dtype": "q4_k_m",
        "engine": "llama.cpp", "load": "single_stream", "isl_mean": "512", "osl_mean": "128",
        "length_shape": "fixed", "date": "2024-05",
    }  # fmt: skip
    return Point("one.csv", 1, {**usual, **cells})


def rate(**cells: str) -> dict[str, float]:
    return predict_serving(point(**cells))


def test_layers_that_do_not_fit_run_on_the_host() -> None:
    fits, spills = point(model="llama-3-8b"), point(model="llama-3-70b")
    assert spilled_bytes(setup_of(fits)) == 0.0
    assert 15e9 < spilled_bytes(setup_of(spills)) < 25e9
    slow = predict_serving(spills)["decode_tokens_per_s"]
    assert slow < 0.1 * rate(model="llama-3-8b")["decode_tokens_per_s"]


def test_more_gpus_of_a_layer_split_generate_no_faster() -> None:
    one, four = rate(n_gpus="1"), rate(n_gpus="4")
    assert 0.85 * one["decode_tokens_per_s"] < four["decode_tokens_per_s"]
    assert four["decode_tokens_per_s"] < one["decode_tokens_per_s"]


def test_pipelines_help_prompts_of_several_chunks_only() -> None:
    def speedup(tokens: str) -> float:
        return (
            rate(n_gpus="4", isl_mean=tokens)["prefill_tokens_per_s"]
            / rate(n_gpus="1", isl_mean=tokens)["prefill_tokens_per_s"]
        )

    assert speedup("512") < 1.05 < 1.5 < speedup("8192") < 4.0


def test_long_prompts_cost_more_where_scores_go_through_memory() -> None:
    def drop(date: str) -> float:
        near, far = (rate(date=date, isl_mean=n)["prefill_tokens_per_s"] for n in ("512", "8192"))
        return near / far

    assert drop("2024-05") > 1.3 > drop("2026-01")


@pytest.mark.parametrize(("metric", "limit"), [("decode", 0.12), ("prefill", 0.12)])
def test_median_error_on_consumer_cards(shared: Path, metric: str, limit: float) -> None:
    errors = []
    for row in read_points(shared / "measurements" / "serving.csv"):
        key = f"{metric}_tokens_per_s"
        if row.text("load") == "single_stream" and row.text(key) and row.line % 3 == 0:
            errors.append(abs(predict_serving(row)[key] / row.number(key) - 1.0))
    assert median(errors) <= limit
