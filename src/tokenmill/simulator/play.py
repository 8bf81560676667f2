"""play(): requests against pools of replicas, by the engine's fastest way that is exact.

Replicas that nothing ties together (a fixed number of them, requests dealt without looking at
them) run one by one, on as many cores as are given; all others run in one loop.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Event
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import DoesNotFit, InputError, UnknownName
from tokenmill.simulator import engine, engine_book, engine_router, engine_solo
from tokenmill.simulator.columns import OUTPUTS, Columns, flow_plan, make_columns, take_rows
from tokenmill.simulator.interpreted import is_compiled, load_source
from tokenmill.simulator.played import Gaps, Journal, Played, Replicas, Series
from tokenmill.simulator.policies import Pool, Router, Status, Stop
from tokenmill.simulator.power_cap import shared_power_limits
from tokenmill.simulator.requests import Requests

__all__ = ["Run", "play"]

INF = float("inf")
SLICE = 1 << 17
# events that a run may take where no budget is given
EVENTS_EACH, EVENTS_MORE = 2_000, 10_000_000
# columns, the book's own and the sorted copies of them, for one request
REQUEST_BYTES = 160


@dataclass(frozen=True, slots=True)
class Run:
    """How a run goes.

    Parameters: seed of all chance; until_s [s], where the run ends at the latest; concurrency
    [requests], of which each that ends calls the next (after its delay_s), 0 for requests that
    come at their own times; persistent, whether a request that was rejected or timed out is
    followed by the next of its chain; tenant_limits [requests] that each tenant may have inside,
    the next is rejected; power_cap_w [W] over all pools (`shared_power_limits`); sample_s [s]
    between rows of the series, doubled whenever sample_rows are full, None to choose;
    journal_rows to keep; budgets: events [count], wall_s [s], memory_bytes [B]; cores.
    """

    seed: int = 0
    until_s: float = INF
    concurrency: int = 0
    persistent: bool = True
    tenant_limits: Sequence[int] = ()
    power_cap_w: float = INF
    sample_s: float | None = None
    sample_rows: int = 1024
    journal_rows: int = 0
    events: int | None = None
    wall_s: float = INF
    memory_bytes: float = INF
    cores: int = 1

    def __post_init__(self) -> None:
        checks = {
            "seed": self.seed >= 0,
            "until_s": self.until_s > 0,
            "concurrency": self.concurrency >= 0,
            "sample_s": self.sample_s is None or self.sample_s > 0,
            "sample_rows": self.sample_rows >= 2 and self.sample_rows % 2 == 0,
            "journal_rows": self.journal_rows >= 0,
            "events": self.events is None or self.events >= 0,
            "wall_s": self.wall_s > 0,
            "cores": self.cores >= 1,
        }
        for name, holds in checks.items():
            if not holds:
                raise InputError(
                    f"{name} is {getattr(self, name)}; see play.Run for what it may be"
                )


def play(
    requests: Requests, pools: Sequence[Pool], run: Run | None = None, *, interpreted: bool = False
) -> Played:
    """Play requests against pools and return everything that happened.

    Parameters: requests; pools, of which the first serves requests that name none; run, how it
    goes; interpreted, run the engine from its sources even where it is compiled.
    Returns: arrays per request, series, counters. Same input, same bytes.
    Raises: InputError for a contradiction in the input; DoesNotFit where the run would need more
    than its memory budget.
    """
    run = run or Run()
    pools = _checked(requests, pools, run)
    modules = _modules(interpreted)
    columns = make_columns(requests)
    sample_s = run.sample_s or float(requests.arrival_s.max(initial=0.0)) / 512 or 1e-3
    if _separable(requests, pools, run):
        return _play_apart(requests, pools, run, sample_s, columns, modules)
    plan = flow_plan(requests, run.concurrency, run.tenant_limits) | {
        "persistent": run.persistent, "seed": run.seed, "journal_rows": run.journal_rows,
        "sample_s": sample_s, "sample_rows": run.sample_rows,
    }  # fmt: skip
    fleet = modules.fleet(columns, pools, plan)
    stopped = _drive(fleet, run, len(requests), _deadline(run))
    end_s = _end_s([fleet.now], run, stopped)
    fleet.close(end_s)
    return _played(
        columns, pools, run, stopped, end_s, modules.compiled,
        events=fleet.events,
        series=fleet.samples.columns(),
        counters=[replica.counters(end_s) for replica in fleet.replicas],
        histograms=[service.gaps.histogram() for service in fleet.services],
        journal=fleet.book.journal(),
    )  # fmt: skip


def _checked(requests: Requests, pools: Sequence[Pool], run: Run) -> list[Pool]:
    """The pools as they will run, or what is wrong with them."""
    names = [pool.name for pool in pools]
    if not pools or len(set(names)) < len(names):
        raise InputError(f"a run needs pools of different names, not {names}")
    for pool in pools:
        if pool.handoff and pool.handoff.pool not in names:
            raise UnknownName("pool", pool.handoff.pool, names)
        if pool.handoff and names.index(pool.handoff.pool) <= names.index(pool.name):
            raise InputError(f"pool {pool.name} hands off to {pool.handoff.pool}; list that after")
        size = requests.prefixes.block_tokens if requests.prefixes else 0
        if pool.scheduling.prefix_cache and size % pool.scheduling.block_tokens:
            raise InputError(
                f"pool {pool.name}: prefix blocks of {size} tokens do not divide into KV blocks "
                f"of {pool.scheduling.block_tokens}; choose a size that divides"
            )
    for name, values, most in (
        ("pool", requests.pool, len(pools)), ("tenant", requests.tenant, len(run.tenant_limits)),
    ):  # fmt: skip
        limited = name == "pool" or len(run.tenant_limits) > 0
        if values is not None and limited and len(values) and values.max() >= most:
            row = int(np.argmax(values >= most))
            raise InputError(f"{name}[{row}] is {values[row]}, of {most} that there are")
    if run.tenant_limits and requests.tenant is None:
        raise InputError("tenant limits without tenants; give each request its tenant")
    needed = REQUEST_BYTES * len(requests)
    if needed > run.memory_bytes:
        raise DoesNotFit("the run", needed, run.memory_bytes, change="play fewer requests at once")
    if run.power_cap_w < INF:
        return shared_power_limits(pools, run.power_cap_w)
    return list(pools)


@dataclass(frozen=True, slots=True)
class _Modules:
    fleet: Any
    solo: Any
    router: Any
    book: Any
    compiled: bool


@lru_cache(maxsize=2)
def _modules(interpreted: bool) -> _Modules:
    """The engine's classes, with a notice where they are slow unasked."""
    usual: Sequence[ModuleType] = (engine, engine_solo, engine_router, engine_book)
    compiled = all(is_compiled(module) for module in usual)
    asked = interpreted or bool(os.environ.get("TOKENMILL_INTERPRETED"))
    if compiled and asked:
        usual = load_source("engine", "engine_solo", "engine_router", "engine_book")
        compiled = False
    elif not compiled and not asked:
        print(
            "tokenmill: the engine is not compiled here and runs interpreted, some hundred times "
            "slower; reinstall with a C compiler to compile it",
            file=sys.stderr,
        )
    fleet, solo, router, book = usual
    return _Modules(fleet.Fleet, solo.Solo, router.Router, book.Book, compiled)


def _deadline(run: Run) -> float:
    return time.monotonic() + run.wall_s


def _drive(player: Any, run: Run, count: int, deadline: float, ended: Event | None = None) -> Stop:
    """Run a fleet or a solo to its end, in slices between which budgets (and Ctrl-C) count."""
    left = EVENTS_EACH * count + EVENTS_MORE if run.events is None else run.events
    while True:
        before = player.events
        stopped = Stop(player.run(run.until_s, min(SLICE, left)))
        left -= player.events - before
        if stopped is not Stop.EVENTS or left <= 0:
            return stopped
        if time.monotonic() > deadline or (ended is not None and ended.is_set()):
            return Stop.WALL


def _end_s(times_s: Sequence[float], run: Run, stopped: Stop) -> float:
    return run.until_s if stopped is Stop.UNTIL else max(times_s)


# replicas that nothing ties together


def _separable(requests: Requests, pools: Sequence[Pool], run: Run) -> bool:
    """Whether the replicas can run one by one without a difference in any result."""
    free = (
        requests.after is None and run.concurrency == 0 and not run.tenant_limits
        and run.events is None
        and (run.journal_rows == 0 or sum(pool.replicas for pool in pools) == 1)
    )  # fmt: skip
    return free and all(
        (pool.router in (Router.ROUND_ROBIN, Router.RANDOM) or pool.replicas == 1)
        and pool.handoff is None and pool.autoscaling is None and pool.failures is None
        and pool.queue_limit == 0 and pool.timeout_s == INF
        for pool in pools
    )  # fmt: skip


def _deal(
    columns: Columns, requests: Requests, pools: Sequence[Pool], seed: int, modules: _Modules
) -> list[NDArray[np.int64] | None]:
    """The requests of each replica, in order of arrival; None for all as they stand.

    Requests that can never fit into the memory of a replica are rejected here and not dealt.
    """
    sorted_already = bool((np.diff(requests.arrival_s) >= 0).all())
    if sum(pool.replicas for pool in pools) == 1 and sorted_already:
        return [None]
    order = np.argsort(requests.arrival_s, kind="stable")
    empty = modules.book(take_rows(columns, np.zeros(0, np.int64)))
    rows: list[NDArray[np.int64] | None] = []
    for number, pool in enumerate(pools):
        mine = order if requests.pool is None else order[requests.pool[order] == number]
        if requests.pool is None and number > 0:
            mine = order[:0]
        fits = _fits(requests, mine, pool)
        columns["status"][mine[~fits]] = Status.REJECTED
        columns["done_s"][mine[~fits]] = columns["arrival_s"][mine[~fits]]
        mine = mine[fits]
        router = modules.router(pool, empty, seed, number)
        for replica in range(pool.replicas):
            router.serve(replica, True)
        choices = router.deal(len(mine))
        rows += [mine[choices == replica] for replica in range(pool.replicas)]
    return rows


def _fits(requests: Requests, rows: NDArray[np.int64], pool: Pool) -> NDArray[np.bool_]:
    wanted = pool.scheduling
    output = np.maximum(requests.output_tokens[rows].astype(np.int64), 1)
    most = requests.prompt_tokens[rows] + output - 1 + wanted.draft_tokens
    return -(-most // wanted.block_tokens) <= wanted.kv_blocks


def _play_apart(
    requests: Requests, pools: Sequence[Pool], run: Run, sample_s: float, columns: Columns,
    modules: _Modules,
) -> Played:  # fmt: skip
    places = [(pool, place) for pool in pools for place in range(pool.replicas)]
    rows = _deal(columns, requests, pools, run.seed, modules)
    parts = [columns if mine is None else take_rows(columns, mine) for mine in rows]
    solos = [
        modules.solo(part, pool, place, number, sample_s, run.sample_rows, run.journal_rows)
        for number, (part, (pool, place)) in enumerate(zip(parts, places, strict=True))
    ]
    stopped = max(_drive_all(solos, run, len(requests)))
    end_s = _end_s([solo.now for solo in solos], run, stopped)
    for solo, part, mine in zip(solos, parts, rows, strict=True):
        solo.close(end_s)
        for name in OUTPUTS if mine is not None else ():
            columns[name][mine] = part[name]
    histograms = [solo.gaps.histogram() for solo in solos]
    owners = [pools.index(pool) for pool, _ in places]
    return _played(
        columns, pools, run, stopped, end_s, modules.compiled,
        events=sum(solo.events for solo in solos),
        series=_added([solo.samples.columns() for solo in solos], owners, len(pools)),
        counters=[solo.replica.counters(end_s) for solo in solos],
        histograms=[
            (histograms[0][0], sum(counts for owner, (_, counts) in
             zip(owners, histograms, strict=True) if owner == number))
            for number in range(len(pools))
        ],
        journal=solos[0].book.journal(),
    )  # fmt: skip


def _drive_all(solos: Sequence[Any], run: Run, count: int) -> list[Stop]:
    """Run every replica to its end, on as many cores as the run is given."""
    deadline, ended = _deadline(run), Event()

    def drive(solo: Any) -> Stop:
        return _drive(solo, run, count, deadline, ended)

    if run.cores == 1 or len(solos) == 1:
        return [drive(solo) for solo in solos]
    from concurrent.futures import ThreadPoolExecutor  # here, since it brings logging

    with ThreadPoolExecutor(max_workers=run.cores) as workers:
        try:
            return list(workers.map(drive, solos))
        except BaseException:
            ended.set()  # Ctrl-C reaches this thread alone; the others stop at their next slice
            raise


def _added(parts: Sequence[Columns], owners: Sequence[int], pools: int) -> Columns:
    """One series of pools from those of their replicas, which have the same times."""
    series: Columns = {"time_s": parts[0]["time_s"]}
    for name in parts[0]:
        if name != "time_s":
            table = np.zeros((len(series["time_s"]), pools), parts[0][name].dtype)
            for owner, part in zip(owners, parts, strict=True):
                table[:, owner] += part[name][:, 0]
            series[name] = table
    return series


# the result


def _played(
    columns: Columns, pools: Sequence[Pool], run: Run, stopped: Stop, end_s: float,
    compiled: bool, *, events: int, series: Columns, counters: Sequence[dict[str, Any]],
    histograms: Sequence[tuple[NDArray[np.float64], NDArray[np.int64]]], journal: Columns,
) -> Played:  # fmt: skip
    left = columns["status"] >= Status.DONE
    columns["done_s"][~left] = np.nan
    owners = [number for number, pool in enumerate(pools) for _ in range(pool.most_replicas)]
    return Played(
        **{name: columns[name] for name in OUTPUTS},
        series=Series(**series),
        replicas=Replicas.of(owners, counters),
        gaps=Gaps(histograms[0][0], np.array([counts for _, counts in histograms])),
        journal=Journal(**journal),
        pools=tuple(pool.name for pool in pools),
        stopped=stopped,
        note=_note(stopped, end_s, columns["status"]),
        end_s=end_s,
        events=events,
        seed=run.seed,
        compiled=compiled,
    )


def _note(stopped: Stop, end_s: float, status: NDArray[np.int8]) -> str:
    """Why the run ended, in one line."""
    if stopped is Stop.FINISHED:
        return ""
    inside = int(((status > Status.UNSENT) & (status < Status.DONE)).sum())
    unsent = int((status == Status.UNSENT).sum())
    why = {
        Stop.STUCK: "nothing more could happen",
        Stop.EVENTS: "the budget of events is spent",
        Stop.UNTIL: "its time was limited",
        Stop.WALL: "the budget of computing time is spent",
    }[stopped]
    return f"stopped at {end_s:.6g} s because {why}: {inside} requests inside, {unsent} not sent"
