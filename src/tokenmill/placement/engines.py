"""Serving engines: limits and host times, as plain floats for the step times.

An engine is a record "engine-NAME"; what an older line of its versions did otherwise is a record
of its own that inherits the rest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.records import Calibration
from tokenmill.errors import UnknownName

__all__ = ["Engine", "apart", "engine", "engine_names"]

_PREFIX = "engine-"
# Lines of versions that work differently: engine -> (first version after it, first date after it,
# record), the oldest first. vLLM rewrote its core with 0.8 (V1) and prepares the next step while
# one runs from 0.14 on; TensorRT-LLM began with fixed batches and sums by NCCL, learned to share
# the cache among queries of more and more groups from 0.8 to 0.13, left its C++ runtime with 0.18,
# heeds windows since 0.21 and runs experts in blocks of 8 bits well on Blackwell from 1.2 on;
# llama.cpp, whose builds have no version of this kind, fuses attention unasked since August 2025;
# SGLang closed most of the gaps between kernels on AMD's GPUs in spring 2026.
_ERAS: Mapping[str, tuple[tuple[tuple[int, ...], str, str], ...]] = {
    "vllm": (((0, 8), "2025-02", "vllm-v0"), ((0, 14), "2026-01", "vllm-sync")),
    "tensorrt-llm": (
        ((0, 5), "2023-10", "tensorrt-llm-2023"),
        ((0, 6), "2023-12", "tensorrt-llm-0.5"),
        ((0, 8), "2024-02", "tensorrt-llm-0.7"),
        ((0, 10), "2024-06", "tensorrt-llm-0.9"),
        ((0, 13), "2024-09", "tensorrt-llm-0.12"),
        ((0, 18), "2025-03", "tensorrt-llm-cpp"),
        ((0, 21), "2025-07", "tensorrt-llm-0.20"),
        ((1, 2), "2026-01-20", "tensorrt-llm-2025"),
    ),
    "sglang": (((0, 5, 10), "2026-04", "sglang-2025"),),
    "llama.cpp": (((0, 9), "2025-08", "llama.cpp-2024"),),
}
# Versions of libraries below the engine, which some publications state instead of its own.
_OTHERS = re.compile(r"(?:tensorrt|cuda|rocm|pytorch|cu|runtime)[ :-]?v?\d[\d.]*", re.IGNORECASE)
_NUMBERS = r"(\d{1,2})\.(\d{1,2})(?:\.(\d{1,2})(?!\d))?"
_NAMED = re.compile(rf"(?:llm|sglang|sgl-dev)\D{{0,12}}?{_NUMBERS}", re.IGNORECASE)
_VERSION = re.compile(rf"(?<![\d.]){_NUMBERS}(?:\.\w|\D|$)")


@dataclass(frozen=True, slots=True)
class Engine:
    """What an engine adds to the kernels, and the limits that it runs with.

    step_tokens [tokens] is the budget of one step, sequences [count] the most that run at once,
    memory_share [1] of the GPU's memory that it may take, reserve_bytes [B] for its runtime,
    buffer_tokens [tokens] the least that its buffers for activations are made for,
    whole_embedding, whether every tensor rank holds all of the embedding,
    host_step_s [s] per step, host_sequence_s [s] per running sequence and step, host_prefill_s
    [s] per operation of a step that prefills, the least that launching its kernels one by one
    takes where no CUDA graph covers them, request_s [s] per request outside
    the steps (HTTP, tokeniser).
    host_floor_s [s] per layer is the least time of a step where the host launches kernels one by
    one, ahead of the GPU as long as that is slower.
    experts_share [1] is the rate of products of experts over that of other products;
    prefill_share [1] is the rate of products in instances that only prefill, with experts spread
    over their GPUs, over that in others;
    tensor_share, stream_share and attention_share [1] are the rates of its own kernels over those
    on record, of products, of reading weights and of prefill attention; 1 for engines that run the
    kernels on record. link_share [1], the same of messages between GPUs. accumulate_bits of its
    products, 16 where all weights are multiplied in 16 bits, which trades accuracy for speed.
    pipelining [1]: how much of a prompt's chunks its pipeline stages work on at once, up to
    in_flight chunks.
    Habits of kernels of its own (`placement.own_kernels`): host_layer_s [s] per layer and step and
    host_stage_s [s] per further pipeline stage, which no CUDA graph covers; activation_passes [1],
    bytes of activations over those of fused 16-bit kernels; score_bytes [B] that attention moves
    per pair and head, 0 where it is fused; unshared [1], share of the queries of a group that read
    the cache for themselves; unpack, whether small weights are unpacked before a large product;
    expert_tile [rows] that experts are padded to and host_expert_s [s] per expert of a layer, in a
    chunk; wide_experts, whether experts are stored and multiplied in 16 bits, by single warps;
    spill_bytes_per_s [B/s] at which layers that the GPU has no room for are computed by the host, 0
    where the engine refuses instead.
    Decode attention multiplies the queries of a group together where their number lies between
    grouped_least and grouped_most, also if it is odd where grouped_odd says so, and those of a beam
    search where grouped_beams does; else one by one, at vector_share [1] of the FP32 peak, 0 where
    it always shares. static_scales, whether kernels leave activations in the narrow format of
    the next product. library_reduce, whether sums of tensor ranks run in the library of
    collectives, not in kernels of its own. beams [count] of a search read one prompt, 1 without a
    search. windows, whether it heeds those of a model's attention. Tokens of a step to the power
    `alike` [1] are distinct and choose their experts by themselves: 1, or less where dummy prompts
    make sequences repeat each other. block_s [s] is what scaling the activations of one product in
    blocks of 8 bits takes, in a kernel of its own; block_experts, whether experts scaled as a whole
    run on the kernels of those of blocks. deep_ep: whether attention ranks send tokens to experts
    by DeepEP's kernels. gap_share [1] of a chip's gaps between kernels that it leaves. sampling
    [1], share of host_sequence_s in which the GPU works, on logits of the whole vocabulary.
    """

    name: str
    step_tokens: int
    sequences: int
    memory_share: float
    reserve_bytes: float
    buffer_tokens: float
    whole_embedding: bool
    host_step_s: float
    host_sequence_s: float
    host_prefill_s: float
    request_s: float
    tensor_share: float
    experts_share: float
    prefill_share: float
    stream_share: float
    attention_share: float
    link_share: float
    accumulate_bits: int
    pipelining: float
    in_flight: float
    host_floor_s: float
    host_layer_s: float
    host_stage_s: float
    activation_passes: float
    score_bytes: float
    unshared: float
    unpack: bool
    expert_tile: float
    host_expert_s: float
    wide_experts: bool
    spill_bytes_per_s: float
    vector_share: float
    grouped_least: float
    grouped_most: float
    grouped_odd: bool
    grouped_beams: bool
    windows: bool
    library_reduce: bool
    static_scales: bool
    beams: float
    alike: float
    block_s: float
    block_experts: bool
    deep_ep: bool
    gap_share: float
    sampling: float
    record: Calibration

    def __hash__(self) -> int:
        return hash(self.record.slug)


def engine_names() -> list[str]:
    """Engines on record."""
    slugs = load.names("calibration")
    return [slug.removeprefix(_PREFIX) for slug in slugs if slug.startswith(_PREFIX)]


@lru_cache(maxsize=256)
def engine(name: str, version: str = "", date: str = "") -> Engine:
    """The engine of that name, in the line of versions that a version or a date belongs to.

    Parameters: name or alias; version as its makers write it; date ("2024-05-01"), where the
    version is not stated. The newest line where neither is.
    Raises: UnknownName.
    """
    record = _record(name)
    own = record.slug.removeprefix(_PREFIX)
    stated = _version(version)
    for first_after, day_after, older in _ERAS.get(own, ()):
        if stated < first_after if stated else date and date < day_after:
            return _engine(own, _record(older))
    return _engine(_base(own), record)


def apart(joint: Engine) -> Engine:
    """An engine with prefill and decode on GPUs of their own, where a record says what differs."""
    slug = f"{_PREFIX}{joint.name}-apart"
    return (
        _engine(joint.name, load.calibration(slug)) if slug in load.names("calibration") else joint
    )


def _version(text: str) -> tuple[int, ...] | None:
    rest = _OTHERS.sub("", text)
    found = _NAMED.search(rest) or _VERSION.search(rest)
    return tuple(int(part) for part in found.groups() if part) if found else None


def _base(slug: str) -> str:
    """The engine whose kernels a record's engine runs."""
    lines = {line: name for name, eras in _ERAS.items() for _, _, line in eras}
    return lines.get(slug, slug)


def _record(name: str) -> Calibration:
    slug = _PREFIX + load.canonical(name).removeprefix("dynamo+")
    try:
        record = load.calibration(slug)
    except UnknownName:
        try:
            record = load.calibration(name)
        except UnknownName:
            raise UnknownName("engine", name, engine_names()) from None
    if record.family != "engine":
        raise UnknownName("engine", name, engine_names())
    return record


def _figures(record: Calibration) -> Mapping[str, Figure]:
    if not record.inherits:
        return record.figures
    return {**_figures(_record(record.inherits)), **record.figures}


def _engine(name: str, record: Calibration) -> Engine:
    figures = _figures(record)

    def value(key: str, default: float = 1.0) -> float:
        return figures[key].value if key in figures else default

    def flag(key: str, default: float = 0.0) -> bool:
        return value(key, default) > 0.5

    return Engine(
        name=name,
        step_tokens=int(value("step_tokens")),
        sequences=int(value("sequences")),
        memory_share=value("memory_share"),
        reserve_bytes=value("reserve"),
        buffer_tokens=value("buffer_tokens", 0.0),
        whole_embedding=flag("whole_embedding"),
        host_step_s=value("host_step"),
        host_sequence_s=value("host_sequence"),
        host_prefill_s=value("host_prefill"),
        request_s=value("request"),
        tensor_share=value("tensor_share"),
        experts_share=value("experts_share"),
        prefill_share=value("prefill_share"),
        stream_share=value("stream_share"),
        attention_share=value("attention_share"),
        link_share=value("link_share"),
        accumulate_bits=int(value("accumulate_bits", 32.0)),
        pipelining=value("pipelining"),
        in_flight=value("in_flight", 1e9),
        host_floor_s=value("host_floor", 0.0),
        host_layer_s=value("host_layer", 0.0),
        host_stage_s=value("host_stage", 0.0),
        activation_passes=value("activation_passes"),
        score_bytes=value("score_bytes", 0.0),
        unshared=value("unshared", 0.0),
        unpack=flag("unpack"),
        expert_tile=value("expert_tile", 0.0),
        host_expert_s=value("host_expert", 0.0),
        wide_experts=flag("wide_experts"),
        spill_bytes_per_s=value("spill", 0.0),
        vector_share=value("vector_share", 0.0),
        grouped_least=value("grouped_least", 1.0),
        grouped_most=value("grouped_most", 1e9),
        grouped_odd=flag("grouped_odd", 1.0),
        grouped_beams=flag("grouped_beams", 1.0),
        windows=flag("windows", 1.0),
        library_reduce=flag("library_reduce"),
        static_scales=flag("static_scales"),
        beams=1.0,
        alike=1.0,
        block_s=value("block", 0.0),
        block_experts=flag("block_experts"),
        deep_ep=flag("deep_ep"),
        gap_share=value("gap_share"),
        sampling=value("sampling", 0.0),
        record=record.model_copy(update={"figures": dict(figures)}),
    )
