"""Rows of measured power of language models, told as serving rows: engine, lengths, load."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from tokenmill.evidence.points import Point
from tokenmill.evidence.replay import Replay, closed_loop
from tokenmill.evidence.serving import predict_serving
from tokenmill.evidence.setups import Setup, setup_of

__all__ = ["Talk", "is_talk", "talk"]

# Mean tokens of prompts that publications do not state, and of a picture or a clip among them.
_PROMPTS = {
    "llm_text_generation/code": 150.0, "llm_text_generation/chat": 200.0,
    "mllm_text_generation/chat": 700.0, "image-chat": 1500.0, "video-chat": 4000.0,
}  # fmt: skip
_PROMPT = 100.0
_ENGINES = {"deepspeed-mii", "vllm", "tensorrt-llm", "llama.cpp", "sglang", "ollama"}


@dataclass(frozen=True, slots=True)
class Talk:
    """What a language model does: output tokens/s and requests/s, and watts of all its GPUs."""

    tokens_per_s: float
    requests_per_s: float
    watts: float


def is_talk(point: Point) -> bool:
    """Whether a row is a language model that answers (not one that trains)."""
    workload, unit = point.text("workload").lower(), point.text("energy_per").lower()
    if "train" in workload or "diffusion" in workload or workload.startswith("inference"):
        return False
    return "token" in unit or unit in ("response", "request") or "chat" in workload


def _noted(point: Point, *names: str) -> float | None:
    """A number that follows one of some words in the note."""
    for name in names:
        found = re.search(rf"(?<![\w]){name}\s*=?\s*([\d.]+)", point.text("note"), re.IGNORECASE)
        if found:
            return float(found[1])
    return None


def serving_row(point: Point) -> Point:
    """The row in the columns of a serving file; what its publication leaves open, by its kind."""
    workload, note = point.text("workload").lower(), point.text("note")
    gpus = point.count("n_gpus", 1)
    output = _noted(point, "avg_out", "avg_output_len", "response_length", "osl") or 256.0
    stated = re.search(r"\b(\d{2,6})/(\d{1,6})\b", note)
    prompt = float(stated[1]) if stated else _PROMPTS.get(workload, _PROMPT)
    if stated:
        output = float(stated[2])
    batch = _noted(point, "max_num_seqs", "maxBS") or point.number("batch", 1.0)
    cells = {
        "gpu": point.text("gpu"), "n_gpus": str(gpus), "model": point.text("model"),
        "publication": point.text("publication"),
        "weight_dtype": point.text("precision", "bf16" if _noted(point, "TP") else ""),
        "isl_mean": str(prompt), "osl_mean": str(output), "load": "concurrency",
        "concurrency": str(batch), "engine": _engine(point), "engine_version": "",
    }  # fmt: skip
    for key, name in (("tp", "TP"), ("pp", "PP"), ("ep", "EP")):
        value = _noted(point, name)
        if value:
            cells[key] = str(int(value))
    if workload == "llm static batch":
        cells |= {"num_requests": cells["concurrency"], "tp": str(gpus)}
    cells["kv_dtype"] = "bf16"
    return Point(point.path, point.line, {key: text for key, text in cells.items() if text})


def _engine(point: Point) -> str:
    first = point.text("note").split(";")[0].strip().lower()
    if first in _ENGINES:
        return first
    # one request at a time is Transformers; batches of 2024 were served by vLLM of its day
    return "vllm-2024" if _noted(point, "maxBS") else "unstated"


def talk(point: Point) -> Talk:
    """What the twin says of a row. Raises: UnknownName, BadRecord, Unsupported."""
    row = serving_row(point)
    setup = setup_of(row)
    batch = setup.concurrency
    if point.text("workload") == "llm static batch" or batch <= 1:
        seen = closed_loop(setup, max(batch, 1.0), max(batch, 1.0) * (3.0 if batch <= 1 else 1.0))
        return _told(setup, seen)
    found = predict_serving(row)
    return Talk(found["output_tokens_per_s"], found["requests_per_s"], found["gpu_power_w"])


def _told(setup: Setup, seen: Replay) -> Talk:
    rate = seen.requests_per_s
    return Talk(rate * setup.demand.output_mean, rate, seen.watts)


def offline_rate(point: Point) -> Talk:
    """An offline or server test of MLPerf: tokens/s and requests/s of the whole machine."""
    mode = "rate" if "server" in point.text("workload") else "offline"
    shape = {"gpt-j-6b": "cnn-dailymail", "mixtral-8x7b": "openorca+gsm8k+mbxp"}
    cells = {
        "gpu": point.text("gpu"), "n_gpus": point.text("n_gpus", "1"), "load": mode,
        "model": point.text("model"), "publication": "MLPerf", "engine": "tensorrt-llm",
        "length_shape": shape.get(point.text("model"), "openorca"), "weight_dtype": "fp16",
        "date": point.text("date"),
    }  # fmt: skip
    found = predict_serving(Point(point.path, point.line, cells))
    return Talk(found["output_tokens_per_s"], found["requests_per_s"], found["gpu_power_w"])
