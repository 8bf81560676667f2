"""Rows of measured power of language models, told as serving rows: engine, lengths, load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.evidence.points import Point
from tokenmill.evidence.power.jobs_rows import is_language
from tokenmill.evidence.serving.predict import predict_serving, predict_setup
from tokenmill.evidence.serving.replay import closed_loop
from tokenmill.evidence.serving.setups import Setup, setup_of
from tokenmill.placement.engines import engine
from tokenmill.simulator.cases import language_model
from tokenmill.work.vision_work import picture_tokens

__all__ = ["Talk", "as_run", "is_talk", "offline_rate", "serving_row", "talk", "talk_of"]

# The data set behind a kind of row, whose lengths are on record; other rows are single questions.
_SETS = {
    "llm_text_generation/code": "code-2024", "llm_text_generation/chat": "chat-2024",
    "mllm_text_generation/chat": "picture-2024", "image-chat": "picture-chat",
    "video-chat": "clip-chat",
}  # fmt: skip
_SINGLE = "single-question"
# Width and height [pixels] of the pictures of a kind of row, and the question beside one [tokens].
_PICTURES = {"picture-chat": (1120, 768), "picture-2024": (640, 480)}
_QUESTION = 60
# Where a publication leaves open which memory its cards had: the one that holds its models.
_LARGER = {"v100-sxm-16gb": "v100-sxm-32gb", "v100-pcie-16gb": "v100-pcie-32gb"}
# Models that stand for those not on record, by the billions of parameters in their names.
_STAND_INS = {3.0: "openllama-3b", 7.0: "llama-2-7b", 13.0: "llama-2-13b", 33.0: "llama-1-33b",
              70.0: "llama-2-70b"}  # fmt: skip
_ROUNDS = {"3.0": "2023-04-05", "3.1": "2023-09-11", "4.0": "2024-03-27", "4.1": "2024-08-28",
           "5.0": "2025-04-02", "5.1": "2025-09-09"}  # fmt: skip
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
    output = _noted(point, "avg_out", "avg_output_len", "response_length", "osl")
    stated = re.search(r"\b(\d{2,6})/(\d{1,6})\b", note)
    lengths = {"length_shape": _SETS.get(workload, _SINGLE), "osl_mean": str(output or "")}
    seen = _picture(point.text("model"), lengths["length_shape"])
    if seen:
        lengths["isl_mean"] = str(seen + _QUESTION)
    if stated:
        lengths = {"isl_mean": stated[1], "osl_mean": stated[2]}
    batch = _noted(point, "max_num_seqs", "maxBS") or point.number("batch", 1.0)
    gpu = point.text("gpu")
    if "variant not stated" in note:
        gpu = _LARGER.get(gpu, gpu)
    cells = {
        "gpu": gpu, "n_gpus": str(gpus), "model": stand_in(point.text("model")),
        "publication": point.text("publication"),
        "weight_dtype": point.text("precision", "bf16" if _noted(point, "TP") else ""),
        "load": "concurrency", "concurrency": str(batch), "engine": _stated(point) or "vllm",
        "kv_dtype": "bf16",
    } | lengths  # fmt: skip
    for key, name in (("tp", "TP"), ("pp", "PP"), ("ep", "EP")):
        value = _noted(point, name)
        if value:
            cells[key] = str(int(value))
    if workload == "llm static batch":
        cells |= {"num_requests": cells["concurrency"], "tp": str(gpus)}
    return Point(point.path, point.line, {key: text for key, text in cells.items() if text})


@lru_cache(maxsize=256)
def _picture(model: str, shape: str) -> int:
    """Tokens that a picture of a kind of row is to a model; 0 where nobody knows."""
    if shape not in _PICTURES or not is_language(model):
        return 0
    tower = language_model(model)[1].vision
    return picture_tokens(tower, *_PICTURES[shape]) if tower else 0


def stand_in(name: str) -> str:
    """The model itself where it is on record, else one of about the size that its name states."""
    size = re.search(r"(?<![\d.])(\d+(?:\.\d+)?)b\b", name.lower())
    if is_language(name) or not size:
        return name
    return _STAND_INS[min(_STAND_INS, key=lambda own: abs(own - float(size[1])))]


def _stated(point: Point) -> str:
    """The engine that a note begins with, blank where it does not."""
    first = point.text("note").split(";")[0].strip().lower()
    return first if first in _ENGINES else ""


def as_run(point: Point) -> Setup:
    """The configuration of a row, on the engine of its day where it names none.

    One request at a time was Transformers of 2023; batches of 2024 were served by vLLM of its day.
    """
    row = serving_row(point)
    if point.text("scope", "gpu") != "gpu" or _stated(point):
        return setup_of(row)
    if _noted(point, "maxBS"):
        pictures = point.text("workload").startswith("mllm")
        name = "vllm-2024-pictures" if pictures else "vllm-2024"
    elif point.text("energy_per") == "response":
        name = "transformers-2023"
    else:
        return setup_of(row)
    return setup_of(row, lambda _: engine(name))


def talk(point: Point) -> Talk:
    """What the twin says of a row. Raises: UnknownName, BadRecord, Unsupported."""
    return talk_of(serving_row(point), as_run(point))


def talk_of(row: Point, setup: Setup) -> Talk:
    """What the twin says of a serving row under a setup of its own."""
    users = max(setup.concurrency, 1.0)
    if row.text("num_requests") or users <= 1:
        seen = closed_loop(setup, users, row.number("num_requests", 3.0))
        rate = seen.requests_per_s
        return Talk(rate * setup.demand.output_mean, rate, seen.watts)
    found = predict_setup(row, setup)
    return Talk(found["output_tokens_per_s"], found["requests_per_s"], found["gpu_power_w"])


def _published(point: Point) -> str:
    """When the round of MLPerf Inference that a row is of was published; blank where unknown."""
    found = re.search(r"v(\d+\.\d+)", point.text("publication"))
    return _ROUNDS.get(found[1], "") if found else ""


def offline_rate(point: Point) -> Talk:
    """An offline or server test of MLPerf: tokens/s and requests/s of the whole machine."""
    mode = "rate" if "server" in point.text("workload") else "offline"
    shape = {"gpt-j-6b": "cnn-dailymail", "mixtral-8x7b": "openorca+gsm8k+mbxp"}
    cells = {
        "gpu": point.text("gpu"), "n_gpus": point.text("n_gpus", "1"), "load": mode,
        "model": point.text("model"), "publication": "MLPerf", "engine": "tensorrt-llm",
        "length_shape": shape.get(point.text("model"), "openorca"), "weight_dtype": "fp16",
        "date": point.text("date", _published(point)),
    }  # fmt: skip
    found = predict_serving(Point(point.path, point.line, cells))
    return Talk(found["output_tokens_per_s"], found["requests_per_s"], found["gpu_power_w"])
