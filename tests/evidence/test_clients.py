"""Benchmark clients: whose habits a row has, and what they do to its predictions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tokenmill.evidence.held_out import held_out
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.serving.clients import client_of, engine_named
from tokenmill.evidence.serving.lengths import drawn
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of
from tokenmill.placement.engines import engine
from tokenmill.work.launches import launches
from tokenmill.work.precision import weight_format
from work.models import arch

ROW = {
    "publication": "InferenceX result database", "date": "2026-03-01", "gpu": "b200-sxm",
    "n_gpus": "8", "model": "deepseek-r1", "weight_dtype": "fp8", "engine": "sglang", "tp": "8",
    "isl_mean": "7372.8", "osl_mean": "921.6", "length_shape": "uniform", "load": "concurrency",
    "concurrency": "32",
}  # fmt: skip


def row(**cells: str) -> Point:
    return Point("rows.csv", 2, {**ROW, **cells})


@pytest.mark.parametrize(
    ("name", "meant"),
    [("dynamo-trt", "tensorrt-llm"), ("mori-sglang", "sglang"), ("vLLM", "vllm")],
)  # fmt: skip
def test_engines_are_known_by_the_names_of_publications(name: str, meant: str) -> None:
    assert engine_named(name) == meant


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("rocm/7.0:rocm7.0_ubuntu_22.04_vllm_0.10.1_instinct", "engine-vllm-sync"),
        ("vllm/vllm-openai:v0.15.1", "engine-vllm"),
        ("0.6.3", "engine-vllm-v0"),
    ],
)  # fmt: skip
def test_an_image_tells_the_version_of_its_engine(version: str, line: str) -> None:
    assert engine("vllm", version).record.slug == line


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("lmsysorg/sglang:v0.5.9-rocm700-mi30x", "engine-sglang-2025"),
        ("lmsysorg/sglang:v0.5.12-rocm700-mi30x", "engine-sglang"),
        ("0.5.5.post1", "engine-sglang-2025"),
        ("", "engine-sglang"),
    ],
)  # fmt: skip
def test_versions_differ_in_their_third_number(version: str, line: str) -> None:
    assert engine("sglang", version).record.slug == line


def test_gaps_between_kernels_have_closed_on_one_makers_gpus() -> None:
    """SGLang of spring 2026 answers faster on AMD's GPUs, and as fast as before on others."""
    usual = {"engine": "sglang", "tp": "8", "n_gpus": "8", "concurrency": "4"}
    for gpu, least in (("mi300x", 1.3), ("h200-sxm", 1.0)):
        old, new = (
            predict_serving(row(**usual, gpu=gpu, engine_version=version))["tpot_p50_s"]
            for version in ("0.5.9", "0.5.12")
        )
        assert least <= old / new < least + 0.5


def test_habits_of_a_year_end_with_it() -> None:
    stalled, later = client_of(row(date="2025-12-01"), "blackwell"), client_of(row(), "blackwell")
    assert stalled.compile_s > 10.0 * max(later.compile_s, 1.0)
    slow, fast = predict_serving(row(date="2025-12-01")), predict_serving(row())
    assert slow["ttft_p99_s"] - fast["ttft_p99_s"] == pytest.approx(stalled.compile_s, rel=0.05)
    assert slow["ttft_p50_s"] == pytest.approx(fast["ttft_p50_s"], rel=0.05)


BATCH = {
    "publication": "Argonne LLM-Inference-Bench", "engine": "tensorrt-llm", "gpu": "a100-sxm-40gb",
    "n_gpus": "4", "tp": "4", "weight_dtype": "fp16", "length_shape": "fixed", "date": "2024-10-01",
    "load": "static_batch", "isl_mean": "1024", "osl_mean": "1024",
}  # fmt: skip


def test_dummy_prompts_choose_few_experts() -> None:
    cells = {**BATCH, "model": "mixtral-8x7b", "concurrency": "32"}
    alike, apart = (row(**{**cells, "engine": name}) for name in ("tensorrt-llm", "vllm"))
    assert client_of(alike, "ampere").alike < client_of(apart, "ampere").alike == 1.0
    overview = row(**{**cells, "publication": "TensorRT-LLM performance overview 0.9.0"})
    assert client_of(overview, "ampere").alike < 1.0


def test_buffers_of_a_build_leave_less_room_for_the_cache() -> None:
    cells = {**BATCH, "model": "llama-3-70b", "concurrency": "16"}
    built = predict_serving(row(**cells))["total_tokens_per_s"]
    half = predict_serving(row(**{**cells, "concurrency": "8"}))["total_tokens_per_s"]
    roomy = predict_serving(row(**{**cells, "gpu": "a100-sxm-80gb"}))["total_tokens_per_s"]
    assert built < 1.2 * half < roomy


def test_batches_of_2023_end_together() -> None:
    cells = {
        "publication": "MLPerf Inference v3.1 datacenter, closed", "gpu": "h100-sxm", "n_gpus": "1",
        "engine": "tensorrt-llm", "model": "gpt-j-6b", "load": "offline", "tp": "",
        "length_shape": "cnn-dailymail", "isl_mean": "", "osl_mean": "", "weight_dtype": "",
    }  # fmt: skip
    then, later = (
        predict_serving(row(**{**cells, "date": date}))["requests_per_s"]
        for date in ("2023-09-11", "2024-03-27")
    )
    assert then < 0.7 * later


def test_answers_of_a_power_of_two_all_reach_their_limit() -> None:
    cells = {**BATCH, "model": "llama-3-8b", "length_shape": "sharegpt", "load": "offline"}
    rng = np.random.default_rng(0)
    for length, spread in (("256", False), ("214", True)):
        prompts, outputs = drawn(setup_of(row(**{**cells, "osl_mean": length})), 64, rng)
        assert (len(set(outputs.tolist())) > 1) == spread
        assert len(set(prompts.tolist())) > 1


def test_ranks_that_wait_for_each_other_answer_later() -> None:
    cells = {"engine": "tensorrt-llm", "ep": "8"}
    alone = predict_serving(row(**cells))
    ranks = predict_serving(row(**cells, dp_attention="true"))
    assert ranks["ttft_p50_s"] > 2.0 * alone["ttft_p50_s"]


def test_latent_attention_and_experts_launch_more_kernels_a_layer() -> None:
    block, plain = weight_format("fp8_block"), weight_format("bf16")
    each = {slug: launches(arch(slug), plain) / arch(slug).layer_count
            for slug in ("qwen3-8b", "deepseek-r1")}  # fmt: skip
    assert each["deepseek-r1"] > 2.0 * each["qwen3-8b"]
    assert launches(arch("deepseek-r1"), block) > launches(arch("deepseek-r1"), plain)


def test_every_row_is_predicted_without_its_group(shared: Path) -> None:
    points = list(read_points(shared / "measurements" / "serving_aic_sample.csv"))[::12]
    told = dict(held_out(points, ("isl_mean", "publication")))
    for score in told.values():
        assert {item.id for item in score.scored} == {point.id for point in points}
        assert all(math.isfinite(item.ratio) for item in score.scored)
    short, all_ = ([item.ratio for item in score.scored] for score in told.values())
    assert short != all_  # rows of other lengths move constants, where none is left they stay


THOUGHTS = 'section "vLLM"; vllm serve Qwen/Qwen3.5-9B --reasoning-parser=qwen3'


def test_a_client_that_sees_no_thoughts_takes_the_first_chunk_for_the_answer() -> None:
    cells = {
        "publication": "GPUStack performance lab", "gpu": "h100-sxm", "n_gpus": "1", "tp": "1",
        "model": "qwen3.5-9b", "weight_dtype": "bf16", "engine": "vllm", "concurrency": "32",
        "engine_version": "0.17.1", "isl_mean": "300", "osl_mean": "300",
    }  # fmt: skip
    open_, hidden = (predict_serving(row(**cells, note=note)) for note in ("", THOUGHTS))
    assert hidden["ttft_p50_s"] == open_["ttft_p50_s"]
    assert hidden["tpot_p50_s"] == pytest.approx(hidden["ttft_p50_s"] / 300, rel=0.2)
    assert hidden["tpot_p50_s"] < 0.1 * open_["tpot_p50_s"]
    assert hidden["tpot_p99_s"] == pytest.approx(open_["tpot_p99_s"], rel=0.2)
    labelled = THOUGHTS.replace("vLLM", "SGLang")  # the command above a block of another engine
    assert predict_serving(row(**cells, note=labelled)) == open_
