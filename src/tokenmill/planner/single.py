"""Single answers: one configuration in closed form, and whether a model runs on a card at all."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from tokenmill.errors import InputError, UnknownName
from tokenmill.placement import layout as layouts
from tokenmill.placement.engines import engine as engine_of
from tokenmill.placement.layout import Layout, LayoutGrid, legal_layouts
from tokenmill.placement.memory import cache_size
from tokenmill.placement.platform import Platform, check_span, platform
from tokenmill.planner.here import engine_here
from tokenmill.planner.pricing import price_book
from tokenmill.planner.tell import priced
from tokenmill.simulator.cases import Case, language_model, memory_need, usual_formats
from tokenmill.simulator.describe import memory_use, outcome
from tokenmill.simulator.outcome import MemoryUse, Outcome
from tokenmill.units import parse
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.workload import Demand, fixed_demand

__all__ = ["Fit", "can_run", "estimate"]

_LARGER = (
    "rtx-3060-12gb", "rtx-4060-ti-16gb", "rtx-4090", "rtx-5090", "rtx-pro-6000-workstation",
    "h200-sxm", "b200-sxm", "b300-sxm",
)  # fmt: skip

_CONTEXT = 4096.0  # tokens, where a person does not say


def estimate(
    model: str, *, on: str, weights: str | None = None, cache: str = "bf16", engine: str = "vllm",
    tp: int = 1, pp: int = 1, dp: int = 1, ep: int = 1, replicas: int = 1,
    prompt_tokens: float = 1024.0, output_tokens: float = 256.0,
    rate_per_s: float | str | None = None, concurrency: float | None = None,
    currency: str = "USD", region: str = "", prices: tuple[str, ...] = (), calibration: str = "",
) -> Outcome:  # fmt: skip
    """One configuration in closed form: how fast, how much energy and money, and what limits it.

    Parameters: model and on, names or aliases; weights, a format (default: the one the model
    ships in, or the most faithful that fits); tp, pp, dp, ep of one instance; replicas of it;
    prompt_tokens, output_tokens [tokens]; either rate_per_s ("5 req/s") or concurrency
    [requests in flight] over all replicas (default: one request at a time); calibration, a file
    that `tokenmill calibrate` saved.
    Returns: an Outcome. Raises: InputError, DoesNotFit, Unsupported.
    """
    where = platform(on)
    record, arch = language_model(model)
    split = Layout(*(_degree(n, v) for n, v in (("tp", tp), ("pp", pp), ("dp", dp), ("ep", ep))))
    layouts.check(arch, split)
    check_span(where, split)
    if _degree("replicas", replicas) > 1_000_000 or split.gpus > 4096:
        raise InputError("more than a million instances, or 4,096 GPUs in one, is not modelled")
    demand = _demand(prompt_tokens, output_tokens, rate_per_s, concurrency)
    formats = (weights,) if weights else usual_formats(record, where)
    runs_on = engine_here(engine, where, calibration)
    cases = [
        Case(where, record, arch, weight_format(name), cache_format(cache), runs_on)
        for name in formats
    ]
    case = next((one for one in cases if _fits(one, split, demand)), cases[-1])
    answer = outcome(case, split, demand, replicas)
    book = price_book(currency, region=region, own=prices)
    return priced(
        answer, where, book, "rent", closed=demand.rate_per_s == 0, calibration=calibration
    )


def _degree(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value}")
    return int(value)


def _demand(
    prompt: float, output: float, rate: float | str | None, concurrency: float | None
) -> Demand:
    if rate is not None and concurrency is not None:
        raise InputError("give a rate or a concurrency, not both")
    if rate is not None:
        per_s = parse(rate, "1/s")
        if not per_s > 0:
            raise InputError(f"a rate must be above 0, not {rate}")
        return fixed_demand(prompt, output, rate_per_s=per_s)
    if concurrency is not None and not concurrency > 0:
        raise InputError(f"concurrency must be above 0, not {concurrency}")
    return fixed_demand(prompt, output, concurrency=1.0 if concurrency is None else concurrency)


def _fits(case: Case, split: Layout, demand: Demand) -> bool:
    has = case.platform.chip.memory_bytes * case.engine.memory_share
    return _needs(case, split, demand) <= has


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model runs on some GPUs: the layout and memory, or the reason and the change."""

    model: str
    hardware: str
    accelerator: str
    gpus: int
    weights: str
    engine: str
    runs: bool
    layout: str
    memory: MemoryUse
    requests: float  # of `context_tokens` that fit at once
    context_tokens: float
    tokens_per_s: float  # one user
    ttft_s: float
    reason: str = ""
    change: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def can_run(
    model: str, *, on: str, gpus: int = 1, weights: str | None = None, cache: str = "bf16",
    engine: str | None = None, context_tokens: float | None = None,
) -> Fit:  # fmt: skip
    """Whether a model runs on up to `gpus` GPUs with room for one request of `context_tokens`.

    Without `weights`, formats are tried from the one it ships in down to 4 bits; without
    `context_tokens`, 4,096 or the most that the model reads.
    Raises: InputError for unknown names or impossible numbers.
    """
    count = _degree("gpus", gpus)
    where = platform(on)
    record, arch = language_model(model)
    most = arch.max_context or 1e8
    context = min(_CONTEXT, most) if context_tokens is None else context_tokens
    if not 2 <= context <= 1e8:
        raise InputError(f"context must be 2 to 100 million tokens, not {context}")
    if context > most:
        raise InputError(f"{record.slug} reads {most:,} tokens at most, not {context:,.0f}")
    names = (weights,) if weights else (*usual_formats(record, where), "q4_k_m")
    tried: list[Fit] = []
    for name in dict.fromkeys(names):
        for runs_on in (engine,) if engine else _engines(name):
            fit = _fit(where, model, name, cache, runs_on, count, context)
            if fit.runs:
                return fit
            tried.append(fit)
    smallest = min(tried, key=lambda fit: fit.memory.used_bytes)
    return _with_change(smallest, model, cache, engine, context, fixed=weights)


def _engines(weights: str) -> tuple[str, ...]:
    """Engines that run a format, the one that serves many first: llama.cpp wants less memory."""
    if weight_format(weights).gguf:
        return ("llama.cpp",)
    return ("vllm", "llama.cpp") if weights in ("bf16", "fp16", "mxfp4") else ("vllm",)


def _fit(
    where: Platform, model: str, weights: str, cache: str, engine: str, gpus: int, context: float
) -> Fit:  # fmt: skip
    record, arch = language_model(model)
    runs_on = engine_of(engine)
    case = Case(where, record, arch, weight_format(weights), cache_format(cache), runs_on)
    answer = max(context / 8.0, 1.0)
    demand = fixed_demand(context - answer, answer, concurrency=1.0)
    # the split that leaves the most memory free; one GPU is always legal
    layouts = legal_layouts(arch, min(gpus, where.most_gpus), min(where.domain_gpus, gpus))
    needs = {split: _needs(case, split, demand) for split in layouts}
    split = min(layouts, key=lambda one: needs[one])
    has = where.chip.memory_bytes * runs_on.memory_share
    if needs[split] > has:
        return _refused(case, split, demand, context, needs[split], has)
    size = cache_size(arch, case.cache, LayoutGrid.of((split,)))
    room = (has - needs[split]) / max(float(size.of(context)[0, 0]), 1.0) + 1.0
    now = outcome(case, split, demand, 1, batch=1.0)
    return Fit(
        model=record.slug, hardware=where.name, accelerator=where.accelerator.slug, gpus=split.gpus,
        weights=case.weights.name, engine=runs_on.name, runs=True, layout=str(split),
        memory=now.memory, requests=math.floor(room) * split.dp, context_tokens=context,
        tokens_per_s=1.0 / now.tpot_s.mean, ttft_s=now.ttft_s.mean,
    )  # fmt: skip


def _needs(case: Case, split: Layout, demand: Demand) -> float:
    """Bytes on one GPU with one longest request [B]."""
    needs, _, _ = memory_need(case, case.times((split,)), demand)
    return float(needs[0, 0])


def _refused(
    case: Case, split: Layout, demand: Demand, context: float, needs: float, has: float
) -> Fit:
    held = memory_use(case, case.times((split,)), split, demand, 1.0)
    where = f"on each of {split.gpus} GPUs" if split.gpus > 1 else "on one GPU"
    reason = (
        f"{case.model.slug} in {case.weights.name} needs {needs / 1e9:.1f} GB {where}, "
        f"{has / 1e9:.1f} GB of {case.platform.accelerator.slug} are usable"
    )
    return Fit(
        model=case.model.slug, hardware=case.platform.name,
        accelerator=case.platform.accelerator.slug, gpus=split.gpus, weights=case.weights.name,
        engine=case.engine.name, runs=False, layout=str(split), memory=held, requests=0.0,
        context_tokens=context, tokens_per_s=0.0, ttft_s=math.inf, reason=reason,
    )  # fmt: skip


def _with_change(
    fit: Fit, model: str, cache: str, engine: str | None, context: float, *, fixed: str | None
) -> Fit:
    """The nearest change that was tried and works: smaller weights, more cards, a larger card."""
    trials: list[tuple[str, int, str]] = []
    if fixed:
        trials += [(fit.hardware, fit.gpus, name) for name in ("int4", "q4_k_m")]
    formats = (fit.weights,) if not fixed else (fixed, "int4")
    counts = [n for n in (2, 4, 8) if n > fit.gpus and n <= platform(fit.hardware).machine_gpus]
    trials += [(fit.hardware, count, name) for count in counts for name in formats]
    trials += [(name, 1, weights) for name in _LARGER for weights in formats]
    trials += [(name, 8, weights) for name in _LARGER[-3:] for weights in formats]
    for hardware, gpus, weights in trials:
        try:
            runs_on = engine or _engines(weights)[-1]
            tried = _fit(platform(hardware), model, weights, cache, runs_on, gpus, context)
        except (InputError, UnknownName):
            continue
        if tried.runs:
            change = f"{tried.gpus} x {hardware} in {weights}"
            return replace(fit, change=change)
    return fit
