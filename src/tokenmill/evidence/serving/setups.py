"""Measured rows as configurations: which case, which layout, which demand a row describes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.records import Calibration, Model
from tokenmill.errors import UnknownName
from tokenmill.evidence.hardware import as_noted, platform_named, power_limit_w
from tokenmill.evidence.points import Point
from tokenmill.evidence.serving.clients import Client, client_of, engine_named, version_of
from tokenmill.placement import memory
from tokenmill.placement.engines import Engine, apart, engine
from tokenmill.placement.layout import Layout, LayoutGrid
from tokenmill.placement.platform import Platform, by_die, limited
from tokenmill.simulator.cases import Case, language_model, memory_need
from tokenmill.work import language
from tokenmill.work.architecture import Architecture, LatentAttention
from tokenmill.work.ops import Attend
from tokenmill.work.precision import CacheFormat, WeightFormat, cache_format, weight_format
from tokenmill.work.workload import Demand, fixed_demand

__all__ = ["SINGLE_USER", "Draft", "Setup", "room", "setup_of", "spilled_bytes"]

SINGLE_USER = ("llama.cpp", "ollama", "exllama", "exllamav2", "mlc-llm")
_BY_LAYERS = ("llama.cpp", "ollama", "exllama", "exllamav2")  # one GPU works at a time
_PREFILL = re.compile(r"prefill \d+ x tp(\d+) ep(\d+)")
# Architectures where engines read latent caches of 8 bits slower than those of 16: time per token
# of SGLang at long contexts.
_SLOW_LATENT = ("hopper", "cdna")
_LARGE_BYTES = 70 * 2**30  # from here on vLLM takes larger limits, but not on the A100


@dataclass(frozen=True, slots=True)
class Draft:
    """Speculative decoding: tokens guessed before each step, and the chance that one holds."""

    tokens: int = 0
    acceptance: float = 0.0

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens of a sequence in one step (Leviathan et al. 2023, arXiv:2211.17192)."""
        return sum(self.acceptance**guess for guess in range(self.tokens + 1))


@dataclass(frozen=True, slots=True)
class Setup:
    """A row as a case, a layout and the load that instances share.

    replicas [count, whole or not]; concurrency [requests] in flight over all of them, 0 where the
    row is silent; prefill_gpus [count], 0 where prefill and decode share their GPUs.
    """

    case: Case
    layout: Layout
    replicas: float
    demand: Demand
    concurrency: float
    draft: Draft
    prefill_gpus: int
    client: Client
    shape: str  # of the lengths: fixed, uniform, or a data set
    prefill: Layout | None = None  # of one prefill instance, where the publication tells


@lru_cache(maxsize=1)
def _datasets() -> Calibration:
    return load.calibration("dataset-lengths")


def _length(point: Point, side: str) -> float:
    """Mean prompt or output tokens: the row's own, else those of its data set."""
    own = point.number("isl_mean" if side == "prompt" else "osl_mean")
    if own == own and own >= 1:
        return own
    known = _datasets().figures
    return known.get(f"{point.text('length_shape')}/{side}", known[f"other/{side}"]).value


def _engine_of(point: Point, where: Platform) -> Engine:
    # those who compete serve with more than kernels launched one by one
    silent = "vllm" if point.text("publication").lower().startswith("mlperf") else "unstated"
    name = engine_named(point.text("engine", silent))
    try:
        found = engine(name, version_of(point), point.text("date"))
    except UnknownName:  # servers of our days resemble each other
        found = engine("vllm", "", point.text("date"))
    if point.text("mode") == "disaggregated":
        found = apart(found)
    large = where.chip.memory_bytes >= _LARGE_BYTES and where.chip.architecture != "ampere"
    if found.name == "vllm" and not large:
        return replace(found, step_tokens=2048, sequences=256)
    return found


def _as_started(engine: Engine, client: Client) -> Engine:
    """An engine as a client's launch script sets it and its load finds it."""
    return replace(
        engine, step_tokens=client.step_tokens or engine.step_tokens,
        host_step_s=engine.host_step_s + client.step_s, beams=client.beams,
        buffer_tokens=max(engine.buffer_tokens, client.buffer_tokens), alike=client.alike,
    )  # fmt: skip


def _layout_of(point: Point, gpus: int, by_layers: bool) -> tuple[Layout, float]:
    """(layout of one instance, instances) of a row; blanks mean tensor parallel over all GPUs."""
    if by_layers:
        return Layout(1, gpus), 1.0
    tp = point.count("tp", 0) or 0
    pp = point.count("pp", 1)
    shared = point.flag("dp_attention")
    dp = point.count("dp", 1) if shared else 1
    if shared and point.count("ep", 1) == gpus == tp * dp and gpus > 1:
        # counted as TP x EP, as InferenceX does: attention ranks of one GPU, experts over them
        gpus, dp = tp, 1
    if not point.text("tp"):
        tp = 1 if point.text("load") in ("offline", "rate") and not point.text("dp") else gpus
    tp = max(tp, 1)
    if shared and dp == 1 and gpus >= tp * pp:
        # "attention data parallel" without a degree: every tensor rank is a data-parallel one
        dp, tp = tp, 1
    ep = point.count("ep", 1)
    if tp * dp < ep <= gpus:
        tp = ep // dp  # experts over all GPUs: what is not an expert is split over them too
    one = Layout(tp, pp, dp, min(ep, tp * dp))
    return one, max(gpus / one.gpus, 1.0)


def _prefill_layout(point: Point) -> Layout | None:
    """The layout of prefill instances, as InferenceX notes it ("prefill 2 x tp8 ep8")."""
    found = _PREFILL.search(point.text("note"))
    if not found:
        return None
    tp, ep = int(found[1]), int(found[2])
    if point.flag("dp_attention") and ep == tp > 1:  # as those that decode
        return Layout(1, 1, tp, ep)
    return Layout(tp, 1, 1, min(ep, tp)) if tp else None


def _cache(
    point: Point, weights: WeightFormat, client: Client, engine_name: str, *, slow: bool
) -> str:
    """The cache format: stated, or what engines and clients do with small weights.

    Parameters: slow, whether caches of 8 bits have slow kernels in vLLM and its like, as latent
    ones do on some architectures: nobody takes them there.
    """
    small = weights.attention in ("fp8", "fp8_block", "fp4") or weights.experts != "bf16"
    both = small and engine_name == "tensorrt-llm" and weights.attention != "bf16"
    wanted = both or (small and client.small_cache and not slow)
    return point.text("kv_dtype", "fp8" if wanted else "bf16")


def _is_latent(arch: Architecture) -> bool:
    """Whether a model's attention reads latent caches."""
    return any(
        isinstance(op, Attend) and isinstance(op.mixer, LatentAttention)
        for op in language.operations(arch)
    )


def _joined(where: Platform, gpus: int) -> Platform:
    """A platform whose links reach all GPUs of a measured instance, whatever is on record."""
    fabric = where.fabric
    if gpus <= fabric.domain_gpus or (fabric.outside and fabric.scaleout_bytes_per_s > 0.0):
        return where
    return replace(where, fabric=replace(fabric, domain_gpus=gpus))


def _weights_named(name: str, usual: str) -> WeightFormat:
    """The format of that name, or the usual one of its width where the name is not on record."""
    try:
        return weight_format(name)
    except UnknownName:
        bits = next((bits for bits in ("4", "8", "3", "6", "5", "2") if bits in name), "")
        likely = {"4": "int4", "3": "int4", "2": "int4", "8": "fp8" if "fp" in name else "int8"}
        return weight_format(likely.get(bits, usual))


def _cache_named(name: str) -> CacheFormat:
    """The cache format of that name, or the usual one of its width, 16 bits where it tells none."""
    try:
        return cache_format(name)
    except UnknownName:
        return cache_format("q4_0" if "4" in name and "8" not in name else
                            "fp8" if "8" in name else "bf16")  # fmt: skip


def _fitting(case: Case, layout: Layout) -> WeightFormat:
    """The format of a case's weights, or a narrower one where they could not have run as stated."""
    has = case.platform.chip.memory_bytes * case.engine.memory_share
    grid = LayoutGrid.of((layout,))
    if case.engine.name in SINGLE_USER:  # which leave layers to the host
        return case.weights
    for name in (case.weights.name, "fp8", "int4"):
        weights = weight_format(name)
        if float(memory.weight_bytes(case.arch, weights, grid)[0, 0]) < has:
            return weights
    return case.weights


def _narrowest(where: Platform, stated: str) -> str:
    """The narrowest float that a chip multiplies, or the stated one where that is 16 bits."""
    peaks = where.accelerator.peaks
    return "nvfp4" if "fp4" in peaks else "fp8" if "fp8" in peaks else stated


def _as_it_is(engine: Engine) -> Engine:
    return engine


def setup_of(point: Point, tune: Callable[[Engine], Engine] = _as_it_is) -> Setup:
    """The configuration and load that a row describes.

    Parameters: point; tune, what to change in its engine.
    Raises: UnknownName for a GPU or model that is not on record, BadRecord for bad cells.
    """
    note = point.text("note")
    where = platform_named(as_noted(point.text("gpu"), note))
    where = by_die(limited(where, power_limit_w(note, where.chip.tdp_w)))  # notes tell of cards
    model, arch = language_model(point.text("model"))
    client = client_of(point, where.chip.architecture)
    runs_on = _as_started(tune(_engine_of(point, where)), client)
    arch = arch if runs_on.windows else arch.windowless()
    weights = _weights(point, where, model, client, runs_on.name)
    slow = _is_latent(arch) and where.chip.architecture.startswith(_SLOW_LATENT)
    cache = _cache_named(_cache(point, weights, client, runs_on.name, slow=slow))
    prefill_gpus, gpus = 0, point.count("n_gpus", 1)
    if point.text("mode") == "disaggregated" and point.text("decode_gpus"):
        prefill_gpus, gpus = point.count("prefill_gpus", 1), point.count("decode_gpus", 1)
    layout, replicas = _layout_of(point, gpus, runs_on.name in _BY_LAYERS)
    # where no degree is stated, a model may have been split over all GPUs
    widest = layout if point.text("tp") or layout.pp > 1 else Layout(gpus)
    weights = _fitting(Case(where, model, arch, weights, cache, runs_on), widest)
    weights = weights.wide_experts() if runs_on.wide_experts else weights
    where = _joined(where, max(layout.gpus, min(point.count("n_gpus", 1), 8)))
    case = Case(where, model, arch, weights, cache, runs_on)
    demand = _demand(point, client)
    draft = _draft(point.text("speculative"), runs_on.name, demand.output_mean)
    drafts = client.shared_drafts if layout.dp > 1 else client.drafts
    if drafts and draft.tokens:
        draft = replace(draft, tokens=drafts)
    shape = "uniform" if client.shortest < 1.0 else point.text("length_shape", "fixed")
    return Setup(
        case, layout, replicas, demand, point.number("concurrency", 0.0), draft, prefill_gpus,
        client, shape, _prefill_layout(point) if prefill_gpus else None,
    )  # fmt: skip


def _weights(
    point: Point, where: Platform, model: Model, client: Client, engine_name: str
) -> WeightFormat:
    """The format of a row's weights: stated, or as engines and makers ship the model."""
    native, by_layers = model.native_dtype or "bf16", engine_name in ("ollama", "llama.cpp")
    # Ollama and llama.cpp ship their models in Q4_K_M unless asked otherwise
    usual = "q4_k_m" if by_layers and native != "mxfp4" else native
    stated = point.text("weight_dtype", usual)
    if stated == "mxfp4" and by_layers:
        stated = "mxfp4_moe"
    weights = _weights_named(_narrowest(where, stated) if client.narrow else stated, native)
    blocks = native == "fp8_block" or (
        model.slug.startswith("qwen3") and engine_name in ("vllm", "sglang")
    )
    # as their makers publish 8-bit weights of these models
    return weight_format("fp8_block") if weights.name == "fp8" and blocks else weights


def _demand(point: Point, client: Client) -> Demand:
    """Lengths of a row's requests as its client sends them [tokens]."""
    scale = 0.5 * (1.0 + client.shortest) if point.text("length_shape") == "fixed" else 1.0
    # the sequences of a beam search share the prompt
    prompt = _length(point, "prompt") * scale * client.padding / client.beams
    output = max(_length(point, "output") * scale, client.runs_to, 1.0)
    return fixed_demand(max(prompt, 1.0), output)


def _draft(method: str, engine_name: str, output: float) -> Draft:
    """Drafts as publications run them; none where the method is unknown.

    Long answers repeat themselves, and more of what is guessed holds.
    """
    known = _datasets().figures
    key = f"speculation/{method}"
    if f"{key}_tokens" not in known:
        return Draft()
    own = known.get(f"{key}.{engine_name}_acceptance", known[f"{key}_acceptance"])
    usual, gain = own.value, known["speculation/gain"].value
    acceptance = usual + gain * math.log2(max(output, 1.0) / 1024.0)
    return Draft(int(known[f"{key}_tokens"].value), min(max(acceptance, 0.3), 0.9))


def spilled_bytes(setup: Setup) -> float:
    """Weights that the GPUs of an instance have no memory for [B], and the host must hold."""
    times = setup.case.times((setup.layout,))
    needs, _, has = memory_need(setup.case, times, setup.demand)
    return max(float(needs[0, 0] - has), 0.0) * setup.layout.gpus


def room(setup: Setup) -> float:
    """Mean sequences that memory holds at once in one instance.

    A measured row did run: where our memory says no, what was left out is a cache of one batch.
    """
    times = setup.case.times((setup.layout,))
    needs, each, has = memory_need(setup.case, times, setup.demand)
    return max(float((has - needs[0, 0]) / each[0, 0]) + 1.0, 1.0) * setup.layout.dp
