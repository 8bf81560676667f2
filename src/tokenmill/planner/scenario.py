"""Scenario: services, traffic, chains and tenants as a TOML file says them; data, never code.

Quantities may be text with units ("500 ms", "5 req/s", "12 kW", "400 Gbit/s") or numbers in base
units. Unknown keys and impossible values are one line that names the file and the key.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tokenmill.catalog.load import read_toml
from tokenmill.errors import BadRecord, InputError, TokenmillError
from tokenmill.units import parse

__all__ = [
    "BudgetTable", "Scenario", "ServiceTable", "SloTable", "StageTable", "TenantTable",
    "TrafficTable", "read_scenario", "scenario",
]  # fmt: skip

_DIMENSIONS = {"s": "time", "w": "power", "bytes": "bytes"}
_RATES = {"rate_per_s": "1/s", "link_bytes_per_s": "bytes/s"}


class _Table(BaseModel):
    """A table of keys; every name with a dimension takes text with a unit."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("a table of keys and values is needed here")
        values = dict(given)
        for key, value in values.items():
            dimension = _RATES.get(key) or _DIMENSIONS.get(key.rsplit("_", 1)[-1])
            if isinstance(value, str) and dimension:
                try:
                    values[key] = parse(value, dimension)
                except InputError as problem:
                    raise ValueError(f"{key}: {problem}") from None
        return values

    @model_validator(mode="after")
    def _not_nan(self) -> Self:
        for key, value in self:
            if isinstance(value, float) and (math.isnan(value) or value < 0):
                raise ValueError(f"{key}: must be a number of at least 0, not {value}")
        return self


class TrafficTable(_Table):
    """Where requests come from: a trace, a profile of the catalogue, or lengths and a rate.

    trace is a file; head [requests] of it; rate_per_s rescales it; stretch [1] its times.
    Without a trace: prompt_tokens and output_tokens with prompt_cv, output_cv [1] of log-normal
    lengths; cv [1] of the gaps (1 Poisson, above 1 bursts) and hourly, 24 weights of a day.
    users with think_s [s], or concurrency, wait for their answers before they ask again.
    requests or duration_s say how long synthetic traffic goes on.
    """

    trace: str = ""
    profile: str = ""
    head: int | None = Field(None, ge=1)
    rate_per_s: float | None = Field(None, gt=0, le=1e9)
    stretch: float | None = Field(None, gt=0)
    users: int | None = Field(None, ge=1, le=100_000_000)
    think_s: float = 20.0
    think_cv: float = 1.0
    concurrency: int | None = Field(None, ge=1, le=100_000_000)
    prompt_tokens: int | None = Field(None, ge=1, le=100_000_000)
    output_tokens: int | None = Field(None, ge=1, le=100_000_000)
    prompt_cv: float = 0.0
    output_cv: float = 0.0
    cv: float = 1.0
    hourly: tuple[float, ...] = ()
    requests: int | None = Field(None, ge=1, le=100_000_000)
    duration_s: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        lengths = self.prompt_tokens is not None or self.output_tokens is not None
        if self.trace and (self.profile or lengths):
            raise ValueError("trace: a trace has its own lengths; leave profile and tokens out")
        if self.profile and lengths:
            raise ValueError("profile: a profile has its own lengths; leave tokens out")
        if self.users is not None and self.concurrency is not None:
            raise ValueError("users: give users or a concurrency, not both")
        closed = self.users is not None or self.concurrency is not None
        if closed and self.rate_per_s is not None:
            raise ValueError("rate_per_s: users who wait for answers make their own rate")
        if self.requests is not None and self.duration_s is not None:
            raise ValueError("requests: give requests or a duration, not both")
        return self


class PrefillTable(_Table):
    """Replicas that only prefill, and the link to those that decode; see `service.Prefill`."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    replicas: int = 1
    link: str = "network"
    link_bytes_per_s: float | None = None
    latency_s: float = 0.0


class SpeculationTable(_Table):
    """Speculative decoding: draft names the model that guesses, if any."""

    draft_tokens: int = Field(ge=1, le=64)
    acceptance: float = Field(ge=0, lt=1)
    draft: str = ""


class AutoscalingTable(_Table):
    """See `simulator.policies.Autoscaling`."""

    minimum: int
    maximum: int
    target: float
    interval_s: float = 15.0
    startup_s: float = 60.0
    cooldown_s: float = 300.0


class FailuresTable(_Table):
    """See `simulator.policies.Failures`."""

    mtbf_s: float
    mttr_s: float


class ServiceTable(_Table):
    """One model as it is deployed; see `simulator.service.Service`."""

    model: str
    on: str
    name: str = ""
    weights: str = ""
    cache: str = "bf16"
    engine: str = "vllm"
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    replicas: int = Field(1, ge=1, le=100_000)
    router: str = "round-robin"
    batching: str = ""
    token_budget: int | None = Field(None, ge=1)
    max_sequences: int | None = Field(None, ge=1)
    kv_blocks: int | None = Field(None, ge=1)
    preemption: str = "recompute"
    prefix_cache: bool | None = None
    queue_limit: int = Field(0, ge=0)
    timeout_s: float | None = None
    slowness: tuple[float, ...] = ()
    power_limit_w: float | None = None
    prefill: PrefillTable | None = None
    speculation: SpeculationTable | None = None
    autoscaling: AutoscalingTable | None = None
    failures: FailuresTable | None = None
    traffic: TrafficTable | None = None


class StageTable(_Table):
    """A link of a chain, a service by its name or only a delay; see `simulator.load.Stage`."""

    service: str = ""
    delay_s: float = 0.0
    prompt_tokens: int | None = Field(None, ge=1)
    output_tokens: int | None = Field(None, ge=1)
    turns: int = Field(1, ge=1, le=1000)
    added_tokens: int = Field(0, ge=0)


class TenantTable(_Table):
    """A share [1] of the requests: priority 0 goes first; limit, the most inside at once."""

    name: str
    share: float = Field(gt=0)
    priority: int = Field(0, ge=0, le=127)
    limit: int | None = Field(None, ge=1)


class SloTable(_Table):
    """What a user was promised."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None


class BudgetTable(_Table):
    """Where a run stops by itself: events, computing time and memory."""

    events: int | None = Field(None, ge=1)
    wall_s: float | None = Field(None, gt=0)
    memory_bytes: float | None = Field(None, gt=0)


class Scenario(_Table):
    """Everything that a run is made of."""

    service: tuple[ServiceTable, ...] = Field(min_length=1)
    name: str = ""
    traffic: TrafficTable = TrafficTable()
    chain: tuple[StageTable, ...] = ()
    tenant: tuple[TenantTable, ...] = ()
    slo: SloTable = SloTable()
    budget: BudgetTable = BudgetTable()
    power_cap_w: float | None = None
    until_s: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        names = [service.name or service.model for service in self.service]
        for stage in self.chain:
            if stage.service and stage.service not in names:
                raise ValueError(f"chain: no service is called {stage.service}; {names} are there")
        own = [service for service in self.service if service.traffic is not None]
        if self.chain and own:
            raise ValueError("chain: stages pass requests on; only [traffic] starts a chain")
        if not self.chain and len(self.service) > 1 and len(own) < len(self.service):
            raise ValueError("service: several need a traffic table each, or a [[chain]]")
        return self


def scenario(values: Mapping[str, Any]) -> Scenario:
    """A checked scenario from plain values. Raises: InputError in one line."""
    try:
        return Scenario(**values)
    except ValidationError as problem:
        where, text = _first(problem)
        raise InputError(f"{where}: {text}" if where else text) from None


def read_scenario(path: Path) -> Scenario:
    """A scenario from a TOML file; traces in it are looked for beside the file.

    Raises: BadRecord naming file and key.
    """
    table = read_toml(path)
    try:
        return _beside(Scenario(**table), path.parent)
    except ValidationError as problem:
        raise BadRecord(path, *_first(problem)) from None
    except (TokenmillError, TypeError) as problem:
        raise BadRecord(path, "", str(problem)) from None


def _beside(found: Scenario, folder: Path) -> Scenario:
    """The scenario with its trace files as paths from where we are."""

    def placed(table: TrafficTable | None) -> TrafficTable | None:
        if table is None or not table.trace:
            return table
        return table.model_copy(update={"trace": str(folder / table.trace)})

    services = tuple(
        service.model_copy(update={"traffic": placed(service.traffic)}) for service in found.service
    )
    return found.model_copy(update={"traffic": placed(found.traffic), "service": services})


def _first(problem: ValidationError) -> tuple[str, str]:
    """(key, what is wrong) of the first problem; what is misspelt is also missing."""
    error = min(problem.errors(), key=lambda one: one["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in error["loc"])
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = f"unknown key; known: {', '.join(_table_at(error['loc'][:-1]).model_fields)}"
    elif error["type"] == "missing":
        text = "is missing"
    return place, text


def _table_at(place: Sequence[int | str]) -> type[BaseModel]:
    """The table that a place in a scenario is of."""
    table: type[BaseModel] = Scenario
    for key in place:
        if isinstance(key, str):
            kinds: list[Any] = [table.model_fields[key].annotation]
            while kinds and not (isinstance(kinds[0], type) and issubclass(kinds[0], BaseModel)):
                kinds = [*get_args(kinds[0]), *kinds[1:]]
            table = kinds[0]
    return table
