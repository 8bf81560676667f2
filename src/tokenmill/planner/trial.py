"""Trials: a scenario, or one model by its name, played against real traffic and priced."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np

from tokenmill.errors import InputError
from tokenmill.placement import layout as layouts
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import platform
from tokenmill.planner.here import engine_here
from tokenmill.planner.pricing import price_book
from tokenmill.planner.scenario import (
    PrefillTable,
    Scenario,
    ServiceTable,
    SpeculationTable,
    scenario,
)
from tokenmill.planner.sources import traffic_from
from tokenmill.planner.tell import priced
from tokenmill.simulator import policies
from tokenmill.simulator.cases import Case, language_model, memory_need, usual_formats
from tokenmill.simulator.load import Load, Stage, chain, load, side_by_side
from tokenmill.simulator.play import REQUEST_BYTES, Run
from tokenmill.simulator.run import simulate_services
from tokenmill.simulator.service import Prefill, Service, Speculation
from tokenmill.simulator.simulated import Simulated, Slo
from tokenmill.work.arrivals import ClosedTraffic
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.traffic import Traffic
from tokenmill.work.workload import Demand

__all__ = ["simulate", "trial"]

Kind = TypeVar("Kind", bound=StrEnum)

# beside the engine's columns: traffic, arrays of the answer
_OWN_BYTES = 96
_USUAL_SHARE = 0.5  # of this computer's memory, where no budget is given


def simulate(
    model: str, *, on: str, traffic: Mapping[str, Any] | None = None,
    slo: Mapping[str, Any] | None = None, budget: Mapping[str, Any] | None = None,
    power_cap_w: float | None = None, until_s: float | None = None, seed: int = 0,
    currency: str = "USD", region: str = "", prices: tuple[str, ...] = (), calibration: str = "",
    **service: Any,
) -> Simulated:  # fmt: skip
    """One model on one kind of hardware under real traffic.

    Parameters: model and on, names or aliases; traffic, slo, budget, keys of the tables of the
    same name in a scenario (without traffic, the bundled conversation hour); power_cap_w [W] of
    all GPUs; until_s [s]; seed; currency, region, prices, calibration as for `estimate`; service,
    further keys of a service: tp, replicas, router, engine, weights ...
    Returns: a Simulated; its `outcome` is of the type that `estimate` gives.
    Raises: InputError, DoesNotFit, Unsupported.
    """
    values = {
        "service": [{"model": model, "on": on, **service}], "traffic": traffic or {},
        "slo": slo or {}, "budget": budget or {}, "power_cap_w": power_cap_w, "until_s": until_s,
        "seed": seed,
    }  # fmt: skip
    return trial(
        scenario(values), currency=currency, region=region, prices=prices, calibration=calibration
    )


def trial(
    wanted: Scenario, *, currency: str = "USD", region: str = "", prices: tuple[str, ...] = (),
    calibration: str = "", progress: Callable[[str], None] | None = None,
) -> Simulated:  # fmt: skip
    """Play a scenario and price what it ran on.

    Parameters: wanted; currency, region, prices, calibration as for `estimate`; progress, told
    what is done.
    Raises: InputError, DoesNotFit, Unsupported.
    """
    told = progress or (lambda _: None)
    most_bytes = wanted.budget.memory_bytes or _usual_memory()
    limit = max(int(most_bytes / (REQUEST_BYTES + _OWN_BYTES)), 1)
    told("traffic")
    arriving = _load(wanted, limit)
    arriving, tenant_limits = _with_tenants(wanted, arriving)
    told(f"{len(arriving):,} requests")
    services = [
        _service(table, arriving.demand(i), calibration) for i, table in enumerate(wanted.service)
    ]
    if wanted.tenant:
        classes = 1 + max(tenant.priority for tenant in wanted.tenant)
        services = [replace(service, priorities=classes) for service in services]
    promised = wanted.slo
    infinity = float("inf")
    result = simulate_services(
        services, arriving,
        slo=Slo(promised.ttft_s or infinity, promised.tpot_s or infinity,
                promised.e2e_s or infinity),
        run=Run(
            seed=wanted.seed, until_s=wanted.until_s or infinity, tenant_limits=tenant_limits,
            power_cap_w=wanted.power_cap_w or infinity, events=wanted.budget.events,
            wall_s=wanted.budget.wall_s or infinity,
        ),
    )  # fmt: skip
    book = price_book(currency, region=region, own=prices)
    closed = arriving.concurrency > 0
    served = tuple(
        replace(one, outcome=priced(one.outcome, service.case.platform, book, "rent",
                                    closed=closed, calibration=calibration))
        if one.counts.done else one  # without a token there is no price of one
        for one, service in zip(result.services, services, strict=True)
    )  # fmt: skip
    return replace(result, services=served)


def _usual_memory() -> float:
    """Half of this computer's memory [B]; 4 GB where it does not say."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        there = 8_000_000_000
    return _USUAL_SHARE * there


def _load(wanted: Scenario, limit: int) -> Load:
    """The requests of a scenario: a chain's, each service's own, or those of the only one."""
    if wanted.chain:
        traffic = traffic_from(wanted.traffic, wanted.seed, limit=limit)
        if isinstance(traffic, ClosedTraffic):
            raise InputError("a chain starts with open traffic; give a trace or a rate")
        return chain(traffic, [_stage(wanted, at) for at in range(len(wanted.chain))])
    own = [service.traffic or wanted.traffic for service in wanted.service]
    parts = [
        traffic_from(table, wanted.seed + number, limit=max(limit // len(own), 1))
        for number, table in enumerate(own)
    ]
    if len(parts) == 1:
        return load(parts[0])
    opened = [part for part in parts if isinstance(part, Traffic)]
    if len(opened) < len(parts):
        raise InputError("several services share no users; give each a trace, a profile or a rate")
    return side_by_side(opened)


def _stage(wanted: Scenario, at: int) -> Stage:
    names = [service.name or service.model for service in wanted.service]
    table = wanted.chain[at]
    return Stage(
        service=names.index(table.service) if table.service else None,
        delay_s=table.delay_s, prompt_tokens=table.prompt_tokens,
        output_tokens=table.output_tokens, turns=table.turns, added_tokens=table.added_tokens,
    )  # fmt: skip


def _with_tenants(wanted: Scenario, arriving: Load) -> tuple[Load, tuple[int, ...]]:
    """The load with a tenant and its priority drawn for each request, and the tenants' limits."""
    if not wanted.tenant:
        return arriving, ()
    shares = np.array([tenant.share for tenant in wanted.tenant])
    random = np.random.default_rng(np.random.SeedSequence((wanted.seed, len(shares))))
    chains = arriving.chains or len(arriving)
    drawn = random.choice(len(shares), chains, p=shares / shares.sum())
    tenant = np.resize(drawn, len(arriving)).astype(np.int32)
    priority = np.array([one.priority for one in wanted.tenant], np.int8)[tenant]
    requests = replace(arriving.requests, tenant=tenant, priority=priority)
    most = (1 << 31) - 1
    limits = tuple(most if one.limit is None else one.limit for one in wanted.tenant)
    limited = any(one.limit is not None for one in wanted.tenant)
    return replace(arriving, requests=requests), limits if limited else ()


def _service(table: ServiceTable, demand: Demand, calibration: str) -> Service:
    """A service from its table."""
    split = _layout(table)
    case = _case(table, split, demand, calibration)
    scaling, failing = table.autoscaling, table.failures
    return Service(
        case=case, layout=split, replicas=table.replicas, name=table.name,
        router=_named(policies.Router, table.router),
        batching=_named(policies.Batching, table.batching) if table.batching else None,
        token_budget=table.token_budget, max_sequences=table.max_sequences,
        kv_blocks=table.kv_blocks, preemption=_named(policies.Preemption, table.preemption),
        prefix_cache=table.prefix_cache, queue_limit=table.queue_limit,
        timeout_s=table.timeout_s or float("inf"), slowness=table.slowness,
        power_limit_w=table.power_limit_w or float("inf"),
        prefill=_prefill(case, table.prefill) if table.prefill else None,
        speculation=_speculation(case, table.speculation) if table.speculation else None,
        autoscaling=policies.Autoscaling(**scaling.model_dump()) if scaling else None,
        failures=policies.Failures(**failing.model_dump()) if failing else None,
    )  # fmt: skip


def _layout(table: ServiceTable | PrefillTable) -> Layout:
    degrees = (table.tp, table.pp, table.dp, table.ep)
    if min(degrees) < 1 or table.tp * table.pp * table.dp > 4096:
        raise InputError(
            "tp, pp, dp and ep must be at least 1, and one instance at most 4,096 GPUs"
        )
    return Layout(*degrees)


def _case(table: ServiceTable, split: Layout, demand: Demand, calibration: str) -> Case:
    """The case of a service; without a format, the most faithful that fits."""
    where = platform(table.on)
    record, arch = language_model(table.model)
    layouts.check(arch, split)
    formats = (table.weights,) if table.weights else usual_formats(record, where)
    runs_on = engine_here(table.engine, where, calibration)
    cases = [
        Case(where, record, arch, weight_format(name), cache_format(table.cache), runs_on)
        for name in formats
    ]
    return next((case for case in cases if _fits(case, split, demand)), cases[-1])


def _fits(case: Case, split: Layout, demand: Demand) -> bool:
    needs, _, has = memory_need(case, case.times((split,)), demand)
    return float(needs[0, 0]) <= has


def _prefill(case: Case, table: PrefillTable) -> Prefill:
    split = _layout(table)
    layouts.check(case.arch, split)
    return Prefill(
        split, table.replicas, table.link, table.link_bytes_per_s or None, table.latency_s
    )


def _speculation(case: Case, table: SpeculationTable) -> Speculation:
    if not table.draft:
        return Speculation(table.draft_tokens, table.acceptance)
    record, arch = language_model(table.draft)
    draft = replace(case, model=record, arch=arch)
    return Speculation(table.draft_tokens, table.acceptance, draft)


def _named(kind: type[Kind], name: str) -> Kind:
    """A policy by its name. Raises: InputError with the names there are."""
    try:
        return kind(name)
    except ValueError:
        known = ", ".join(item.value for item in kind)
        raise InputError(
            f'unknown {kind.__name__.lower()} "{name[:40]}"; choose one of {known}'
        ) from None
