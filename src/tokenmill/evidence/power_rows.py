"""Measured GPU power of language models as activity: rates of kernels, FLOPs and bytes.

Activity comes from model sizes by simple formulas, since the publications state throughput and
batch but neither kernel times nor traffic.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.power_shared import FIGURES

__all__ = ["CHIPS", "Activity", "read_activity"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Chip:
    """Spec sheet of a measured GPU: family, memory type, B/s, dense 16-bit FLOP/s, limit [W]."""

    family: str
    memory_type: str
    bytes_per_s: float
    flop_per_s: float
    limit_w: float


CHIPS: Mapping[str, _Chip] = {
    "h100-sxm": _Chip("power-hopper", "HBM3", 3.35e12, 989e12, 700.0),
    "a100-sxm-40gb": _Chip("power-ampere", "hbm2e", 1.555e12, 312e12, 400.0),
    "a40": _Chip("power-ampere-samsung", "gddr6", 0.696e12, 149.7e12, 300.0),
    "v100-sxm-16gb": _Chip("power-volta", "hbm2", 0.9e12, 125e12, 300.0),
}


@dataclass(frozen=True, slots=True)
class _Model:
    """Sizes of a language model: parameters, those of a token, and of routed experts [1e9],
    layers, values cached for a token and layer, and the window of part of the layers."""

    total: float
    active: float
    layers: int
    cached: int
    routed: float = 0.0
    experts: int = 1
    top_k: int = 1
    windowed: float = 0.0
    window: int = 0


def _llama(billions: float, layers: int, cached: int) -> _Model:
    return _Model(billions, billions, layers, cached)


_QWEN3_MOE = _Model(30.5, 3.3, 48, 1024, 29.0, 128, 8)
_MODELS: Mapping[str, _Model] = {
    "gemma-3-12b": _Model(11.8, 11.8, 48, 4096, windowed=5 / 6, window=1024),
    "gemma-3-27b": _Model(27.0, 27.0, 62, 4096, windowed=5 / 6, window=1024),
    "gemma-2-2b": _Model(2.6, 2.6, 26, 2048, windowed=0.5, window=4096),
    "gemma-2-9b": _Model(9.2, 9.2, 42, 4096, windowed=0.5, window=4096),
    "gemma-2-27b": _Model(27.2, 27.2, 46, 4096, windowed=0.5, window=4096),
    "codegemma-7b": _llama(8.5, 28, 8192),
    "codegemma-1.1-2b": _llama(2.5, 18, 512),
    "llama-2-7b": _llama(6.7, 32, 8192),
    "llama-3-8b": _llama(8.0, 32, 2048),
    "llama-3.1-8b": _llama(8.0, 32, 2048),
    "llama-3.1-70b": _llama(70.6, 80, 2048),
    "llama-3.3-70b": _llama(70.6, 80, 2048),
    "llama-3.1-405b": _llama(405.0, 126, 2048),
    "llama-4-scout": _Model(107.0, 17.0, 48, 2048, 96.6, 16, 1, 0.75, 8192),
    "llama-4-maverick": _Model(400.0, 17.0, 48, 2048, 386.0, 128, 1, 0.75, 8192),
    "codellama-7b": _llama(6.7, 32, 8192),
    "codellama-13b": _llama(13.0, 40, 10240),
    "codellama-34b": _llama(33.7, 48, 2048),
    "codellama-70b": _llama(69.0, 80, 2048),
    "mistral-7b": _llama(7.2, 32, 2048),
    "mistral-nemo-instruct-2407": _llama(12.2, 40, 2048),
    "mistral-large-instruct-2407": _llama(122.6, 88, 2048),
    "mixtral-8x7b": _Model(46.7, 12.9, 32, 2048, 45.1, 8, 2),
    "mixtral-8x22b": _Model(141.0, 39.0, 56, 2048, 135.0, 8, 2),
    "phi-3-mini-4k": _llama(3.8, 32, 6144),
    "phi-3-small-8k": _llama(7.4, 32, 2048),
    "phi-3-medium-4k": _llama(14.0, 40, 2560),
    "starcoder2-3b": _llama(3.0, 30, 512),
    "starcoder2-7b": _llama(7.2, 32, 1024),
    "starcoder2-15b": _llama(16.0, 40, 1024),
    "qwen3-8b": _llama(8.2, 36, 2048),
    "qwen3-14b": _llama(14.8, 40, 2048),
    "qwen3-32b": _llama(32.8, 64, 2048),
    "qwen3-30b-a3b": _QWEN3_MOE,
    "qwen3-coder-30b-a3b": _QWEN3_MOE,
    "qwen3-235b-a22b": _Model(235.0, 22.0, 94, 1024, 227.0, 128, 8),
    "nemotron-nano-9b-v2": _llama(8.9, 56, 146),  # 4 of its layers attend, 6 of the next one's
    "nemotron-nano-12b-v2": _llama(12.3, 62, 198),
    "gpt-oss-20b": _Model(20.9, 3.6, 24, 1024, 19.1, 32, 4, 0.5, 128),
    "gpt-oss-120b": _Model(116.8, 5.1, 36, 1024, 114.7, 128, 4, 0.5, 128),
}
# Chat models of 2023 were all of Llama's or GPT-NeoX's shape: sizes by the number in the name.
_BY_SIZE = {
    "3": _llama(3.4, 26, 6400), "6": _llama(6.2, 32, 8192), "7": _llama(6.7, 32, 8192),
    "12": _llama(12.0, 36, 10240), "13": _llama(13.0, 40, 10240),
}  # fmt: skip
_WIDTH = {"bf16": (2.0, 2.0), "fp16": (2.0, 2.0), "fp8": (1.0, 1.0), "mxfp4": (2.0, 0.53)}
_PROMPT = {"lm-arena-chat": 150.0, "gpqa": 250.0, "sourcegraph-fim": 2000.0}

# Kernel times of the estimate: shares of the rated rates, and seconds of a layer's small kernels.
_DENSE_BANDWIDTH, _EXPERT_BANDWIDTH, _ATTENTION_BANDWIDTH = 0.85, 0.35, 0.7
_DECODE_RATE, _PREFILL_RATE = 0.7, 0.6
_FP8_PEAK = 1.8  # over the 16-bit peak, as kernels reach it
_LAYER_S, _EXPERT_LAYER_S = 30e-6, 60e-6


@dataclass(frozen=True)
class Activity:
    """Rows of measured power: per GPU and second.

    busy: share of the time that kernels run; flop16: 16-bit-equivalent FLOP/s; memory and cache
    [B/s]; measured [W] per GPU.
    """

    publication: NDArray[np.str_]
    gpu: NDArray[np.str_]
    model: NDArray[np.str_]
    busy: Array
    flop16: Array
    memory_bytes: Array
    cache_bytes: Array
    measured_w: Array

    def where(self, mask: NDArray[np.bool_]) -> Activity:
        """The rows of a mask."""
        return Activity(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


@dataclass(frozen=True, slots=True)
class _Row:
    publication: str
    gpu: str
    model: str
    dtype: str
    gpus: float
    batch: float
    prompt: float
    answer: float
    tokens_per_s: float
    watts: float


def read_activity(measurements: Path) -> Activity:
    """Every measured GPU power of a language model whose size is known.

    Parameters: measurements, folder with serving.csv and power.csv.
    """
    rows = [*_serving(measurements / "serving.csv"), *_power(measurements / "power.csv")]
    known = [(row, model) for row in rows if (model := _sizes(row.model)) and row.gpu in CHIPS]
    numbers = np.array([_activity(row, model) for row, model in known])
    names = [[getattr(row, key) for row, _ in known] for key in ("publication", "gpu", "model")]
    return Activity(*(np.array(name) for name in names), *numbers.T)


def _sizes(name: str) -> _Model | None:
    if name in _MODELS:
        return _MODELS[name]
    size = re.search(r"-(\d+)b", name)
    return _BY_SIZE.get(size[1]) if size else None


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern + r"([\d.]+)", text)
    return float(found[1]) if found else float("nan")


def _serving(path: Path) -> Iterator[_Row]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            batch = _number("average running batch ", row["note"])
            task = re.search(r"tasks/([\w-]+)\.json", row["locator"])
            if row["gpu_power_w"] and task and np.isfinite(batch):
                gpus = float(row["n_gpus"])
                yield _Row(
                    row["publication"], row["gpu"], row["model"], row["weight_dtype"], gpus, batch,
                    _PROMPT[task[1]], float(row["osl_mean"]), float(row["output_tokens_per_s"]),
                    float(row["gpu_power_w"]) / gpus,
                )  # fmt: skip


def _power(path: Path) -> Iterator[_Row]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            kind, note = row["workload"], row["note"]
            if row["energy_per"] == "output token" and kind == "llm static batch":
                yield _energy_row(row, 1024.0, 1024.0, float(row["power_w"]))
            elif row["energy_per"] == "response":
                answer = _number("response_length=", note)
                yield _energy_row(row, 100.0, answer, _watts(row, answer))
            elif row["energy_per"] == "request" and kind.startswith("llm_text"):
                answer = _number("avg_out=", note)
                prompt = 150.0 if kind.endswith("code") else 250.0
                yield _energy_row(row, prompt, answer, _watts(row, answer))


def _watts(row: Mapping[str, str], answer: float) -> float:
    return float(row["energy_j"]) * float(row["throughput"]) / answer / float(row["n_gpus"])


def _energy_row(row: Mapping[str, str], prompt: float, answer: float, watts: float) -> _Row:
    return _Row(
        row["publication"], row["gpu"], row["model"], "bf16", float(row["n_gpus"]),
        float(row["batch"] or 1.0), prompt, answer, float(row["throughput"]), watts,
    )  # fmt: skip


def _activity(row: _Row, model: _Model) -> tuple[float, float, float, float, float]:
    """(busy share, 16-bit FLOP/s, memory B/s, cache B/s, W) of one GPU."""
    chip = CHIPS[row.gpu]
    plain, routed = _WIDTH[row.dtype]
    steps = row.tokens_per_s / row.batch / row.gpus  # of this GPU's share of a step, a second
    touched = 1.0 - (1.0 - model.top_k / model.experts) ** row.batch
    dense_bytes = steps * (model.total - model.routed) * 1e9 * plain
    expert_bytes = steps * model.routed * 1e9 * routed * touched
    context = row.prompt + row.answer / 2.0
    seen = context - model.windowed * max(context - model.window, 0.0)
    cache = steps * row.batch * model.layers * model.cached * 2.0 * seen
    decode = 2.0 * model.active * 1e9 * row.tokens_per_s / row.gpus
    prefill = decode * row.prompt / row.answer
    peak = chip.flop_per_s * (_FP8_PEAK if row.dtype == "fp8" else 1.0)
    weights = dense_bytes / _DENSE_BANDWIDTH + expert_bytes / _EXPERT_BANDWIDTH
    busy = max(weights / chip.bytes_per_s, decode / peak / _DECODE_RATE)
    busy += prefill / peak / _PREFILL_RATE + cache / chip.bytes_per_s / _ATTENTION_BANDWIDTH
    layer_s = _LAYER_S + _EXPERT_LAYER_S * (model.routed > 0.0)
    busy += steps * row.gpus * model.layers * layer_s
    flop16 = (decode + prefill) * (FIGURES["format_fp8"] if row.dtype == "fp8" else 1.0)
    return min(busy, 1.0), flop16, dense_bytes + expert_bytes + cache, cache, row.watts
