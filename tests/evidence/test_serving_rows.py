"""Any plausible row of the documented schema gets a prediction: other GPUs, models, engines."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tokenmill.catalog import load
from tokenmill.catalog.load import files, read_toml
from tokenmill.evidence.points import Point, read_points
from tokenmill.evidence.serving.predict import predict_serving
from tokenmill.evidence.serving.setups import setup_of

GPUS = load.names("accelerators")
MODELS = [
    slug for slug, path in files("models").items() if read_toml(path)["family"] == "language"
]  # fmt: skip
ENGINES = (
    "vllm", "sglang", "tensorrt-llm", "trtllm", "atom", "aiter", "lmdeploy", "tgi", "ollama",
    "mlx", "llama.cpp", "exllamav2", "exllamav3", "mlc-llm", "deepspeed-mii", "max", "nim",
    "dynamo+sglang", "dynamo+vllm", "dynamo+tensorrt-llm", "dynamo-trt", "mori-sglang", "nobody",
    "",
)  # fmt: skip
WEIGHTS = (
    "mxfp4", "nvfp4", "fp4", "w4a16", "awq", "gptq", "int8", "q4_k_m", "q8_0", "fp16", "bf16",
    "fp8", "int4", "w8a8", "w4a8", "iq4_xs", "exl2-4.0bpw", "q4f16_1", "fp32", "mixed", "nf4", "",
)  # fmt: skip
CACHES = ("", "fp8", "fp8_e4m3", "bf16", "int8", "auto", "nvfp4")
LOADS = ("concurrency", "rate", "offline", "static_batch", "single_stream", "")
COUNTS = ("", "0", "1", "2", "3", "7", "8", "16", "72", "4.0")
LAYOUT = ("tp", "pp", "ep", "dp", "n_gpus", "prefill_gpus", "decode_gpus")


def swapped(point: Point, draw: random.Random) -> Point:
    """A measured row with some of its cells as another publication could have them."""
    choices: dict[str, Sequence[str]] = {
        "gpu": GPUS, "model": MODELS, "engine": ENGINES, "weight_dtype": WEIGHTS,
        "kv_dtype": CACHES, "load": LOADS, "speculative": ("mtp", "eagle", "eagle3", "ngram"),
        "dp_attention": ("true", "false", ""),
    }  # fmt: skip
    cells = dict(point.cells)
    for key in draw.sample(sorted(choices), draw.randint(1, 4)):
        cells[key] = draw.choice(choices[key])
    if draw.random() < 0.3:
        cells |= {key: draw.choice(COUNTS) for key in LAYOUT}
    for key in draw.sample(sorted(set(cells) - {"gpu", "model"}), draw.randint(0, 4)):
        cells[key] = ""
    return Point(point.path, point.line, cells)


def demand_prediction(point: Point) -> None:
    told = predict_serving(point)
    assert told, point.cells
    wrong = {key: value for key, value in told.items() if not math.isfinite(value) or value < 0}
    assert not wrong, (point.cells, wrong)


def rows(shared: Path) -> list[Point]:
    names = ("serving.csv", "serving_aic_sample.csv")
    return [point for name in names for point in read_points(shared / "measurements" / name)]


def test_rows_with_other_hardware_models_and_engines_are_predicted(shared: Path) -> None:
    draw = random.Random(7)
    for point in draw.sample(rows(shared), 150):
        demand_prediction(swapped(point, draw))


@pytest.mark.slow
def test_every_row_with_other_hardware_models_and_engines_is_predicted(shared: Path) -> None:
    draw = random.Random(11)
    for point in rows(shared):
        demand_prediction(swapped(point, draw))


def inferencex(**cells: str) -> Point:
    """A row as InferenceX has them."""
    usual = {
        "publication": "InferenceX result database", "date": "2026-02-01", "gpu": "h200-sxm",
        "n_gpus": "8", "model": "deepseek-r1", "weight_dtype": "fp8", "engine": "tensorrt-llm",
        "mode": "aggregated", "tp": "8", "ep": "8", "isl_mean": "921.6", "osl_mean": "921.6",
        "length_shape": "uniform", "load": "concurrency", "concurrency": "64",
    }  # fmt: skip
    return Point("x", 1, usual | cells)


def test_drafts_make_the_tokens_that_streamed_chunks_show() -> None:
    """2.3 tokens a step for short answers of TensorRT-LLM, 2.9 for long ones, 1.6 of one guess."""
    short = setup_of(inferencex(speculative="mtp")).draft
    long = setup_of(inferencex(speculative="mtp", osl_mean="7372.8")).draft
    shared = setup_of(inferencex(speculative="mtp", dp_attention="true")).draft
    assert short.tokens_per_step == pytest.approx(2.3, abs=0.05)
    assert long.tokens_per_step == pytest.approx(2.87, abs=0.05)
    assert shared.tokens == 1


def test_prefill_instances_share_attention_as_those_that_decode() -> None:
    cells = {"mode": "disaggregated", "prefill_gpus": "8", "decode_gpus": "8", "n_gpus": "16",
             "note": "prefill 1 x tp8 ep8, decode 1 x tp8 ep8"}  # fmt: skip
    plain, shared = (setup_of(inferencex(dp_attention=way, **cells)).prefill for way in
                     ("false", "true"))  # fmt: skip
    assert plain is not None and shared is not None
    assert (plain.tp, plain.dp) == (8, 1)
    assert (shared.tp, shared.dp) == (1, 8)


def test_latent_caches_keep_16_bits_where_those_of_8_read_slower() -> None:
    taken = {
        (gpu, engine): setup_of(inferencex(gpu=gpu, engine=engine)).case.cache.name
        for gpu in ("h200-sxm", "mi355x", "b200-sxm") for engine in ("vllm", "tensorrt-llm")
    }  # fmt: skip
    assert taken["h200-sxm", "vllm"] == taken["mi355x", "vllm"] == "bf16"
    assert taken["b200-sxm", "vllm"] == taken["h200-sxm", "tensorrt-llm"] == "fp8"
    assert setup_of(inferencex(engine="vllm", kv_dtype="fp8")).case.cache.name == "fp8"
