"""simulate(): real traffic played against services, told as an estimate would tell it.

The closed form and the run share step times, memory and power, so that an Outcome of either means
the same; what the run adds is who waited, when, and for what.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tokenmill.errors import InputError
from tokenmill.simulator.load import Load, load, shifted
from tokenmill.simulator.play import Run, play
from tokenmill.simulator.policies import Pool, Router, Stop
from tokenmill.simulator.service import Service, pools_of
from tokenmill.simulator.simulated import Counts, PerRequest, Simulated, Slo, distribution
from tokenmill.simulator.tally import Fleet, served, timeline, wall_watts
from tokenmill.work.arrivals import ClosedTraffic
from tokenmill.work.traffic import Floats, Traffic

__all__ = ["simulate", "simulate_services"]

_WORTH_CORES = 200_000  # requests from which starting more threads pays


def simulate(
    case: Any, layout: Any, traffic: Traffic | ClosedTraffic | Load, *, replicas: int = 1,
    router: str = "round-robin", slo: Slo | None = None, run: Run | None = None, **policies: Any,
) -> Simulated:  # fmt: skip
    """One model on one kind of hardware under real traffic.

    Parameters: case (`cases.Case`) and layout of a replica; traffic, open or closed; replicas
    [count]; router, a name of `policies.Router`; slo for goodput; run, its seed and budgets;
    policies, further fields of `service.Service`.
    Returns: a Simulated, whose `outcome` is of the type that `estimate` gives.
    Raises: InputError; DoesNotFit; Unsupported.
    """
    try:
        service = Service(case, layout, replicas, router=Router(router), **policies)
    except (TypeError, ValueError) as problem:
        raise InputError(f"{problem}; see service.Service for what a service may say") from None
    wanted = traffic if isinstance(traffic, Load) else load(traffic)
    return simulate_services([service], wanted, slo=slo, run=run)


def simulate_services(
    services: Sequence[Service], load: Load, *, slo: Slo | None = None, run: Run | None = None
) -> Simulated:
    """Several models side by side, or one after another, on one fleet.

    Parameters: services; load, whose `service` column points at them; slo of every request;
    run, its seed, budgets, power cap and tenant limits.
    Raises: InputError; DoesNotFit; Unsupported.
    """
    run, slo = run or Run(), slo or Slo()
    fleet = _fleet(services, load)
    outside_s = np.array([service.case.engine.request_s for service in services])
    request_s: Floats = outside_s[load.service]
    sent = shifted(load, request_s)
    firsts = np.array(fleet.firsts, np.int32)
    requests = replace(sent.requests, pool=firsts[sent.service] if len(services) > 1 else None)
    run = replace(run, concurrency=load.concurrency, cores=_cores(run, len(load)))
    played = play(requests, fleet.pools, run)
    each = PerRequest(played, load, request_s)
    lines = timeline(fleet, played.series)
    watts = wall_watts(fleet, played)
    found = tuple(
        served(fleet, number, load, each, slo, watts[number]) for number in range(len(services))
    )
    return Simulated(
        services=found, counts=Counts.of(played), per_request=each, timeline=lines, slo=slo,
        load=load.name, source=load.source, seed=run.seed, end_s=played.end_s,
        energy_j=played.energy_total_j, wall_j=float(sum(watts)) * played.end_s,
        events=played.events, compiled=played.compiled, finished=played.stopped is Stop.FINISHED,
        chain_s=distribution(_chain_s(load, each)) if load.chains else None,
        notes=(*load.notes, *([played.note] if played.note else [])),
    )  # fmt: skip


def _fleet(services: Sequence[Service], load: Load) -> Fleet:
    """Every pool of every service, and where each service's begin."""
    if not services:
        raise InputError("a run needs a service; name a model and hardware")
    if int(load.service.max()) >= len(services):
        raise InputError(f"the load names service {load.service.max()} of {len(services)}")
    pools: list[Pool] = []
    firsts: list[int] = []
    demands = []
    for number, service in enumerate(services):
        if any(service.label == other.label for other in services[:number]):
            raise InputError(f"two services are called {service.label}; name them apart")
        demand = load.demand(number)
        firsts.append(len(pools))
        demands.append(demand)
        pools += pools_of(service, demand, prefixed=load.requests.prefixes is not None)
    return Fleet(tuple(services), tuple(demands), tuple(pools), tuple(firsts))


def _cores(run: Run, requests: int) -> int:
    """All cores where the run is long enough to start them, unless it says how many."""
    if run.cores > 1 or requests < _WORTH_CORES:
        return run.cores
    return os.cpu_count() or 1


def _chain_s(load: Load, each: PerRequest) -> Floats:
    """Seconds from the start of each chain to the end of its last stage, NaN where it broke."""
    last_s = each.played.done_s[-load.chains :].copy()
    last_s[~each.played.done[-load.chains :]] = np.nan
    return last_s - each.sent_s[: load.chains]
