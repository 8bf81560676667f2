"""Plan: ranked options, what each costs and draws, and for every "no" the limit and the change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from tokenmill.cost.money import Money
from tokenmill.simulator.outcome import Outcome
from tokenmill.work.workload import Demand

__all__ = ["Option", "Plan", "Priced", "Refusal", "pareto", "ranked"]


class _Named(Protocol):
    @property
    def accelerator(self) -> str: ...


class Priced(Protocol):
    """What limits on GPUs, power and money are held against: an option of any kind."""

    @property
    def hardware(self) -> str:
        """Name of the hardware."""

    @property
    def outcomes(self) -> Sequence[_Named]:
        """What runs on it."""

    @property
    def gpus(self) -> int:
        """GPUs in all."""

    @property
    def watts(self) -> float:
        """Mean power at the wall [W]."""

    @property
    def per_hour(self) -> Money | None:
        """Cost of an hour."""

    @property
    def purchase(self) -> Money | None:
        """What buying it costs."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to meet the question: hardware, what runs on it, and what it costs.

    `outcomes` holds one Outcome per model. Latencies are the worst over the models at the
    question's percentile; watts at the wall; money None where no price is on record;
    within_limits, the probability that measured latencies keep the limits.
    """

    hardware: str
    outcomes: tuple[Outcome, ...]
    gpus: int
    machines: int
    ttft_s: float
    tpot_s: float
    watts: float
    joules_per_output_token: float
    output_tokens_per_s: float
    per_hour: Money | None
    per_million_output_tokens: Money | None
    purchase: Money | None
    basis: str
    notes: tuple[str, ...] = ()
    within_limits: float = 1.0

    def score(self, goal: str) -> tuple[float, ...]:
        """Sort key for a goal, the best first; an unknown price goes last."""
        price = self.per_hour.amount if self.per_hour is not None else float("inf")
        keys = {
            "cost": (price, self.gpus, self.tpot_s),
            "energy": (self.joules_per_output_token, price),
            "gpus": (float(self.gpus), price),
            "latency": (self.tpot_s, price),
        }
        return keys[goal]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a kind of hardware is out: the binding limit, the numbers, and the change that helps.

    `change` replaces fields of the question; `checked` says that the changed question was asked
    and has an option on this hardware (or on the hardware that the change names).
    """

    hardware: str
    limit: str
    message: str
    remedy: str
    change: dict[str, Any] = field(default_factory=dict)
    checked: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer to a question: the best option of each hardware, ranked, and the refusals.

    `cheapest`, `fastest`, `greenest` and the Pareto front are over everything that was found, so
    they may be another layout, or more GPUs, than the ranked option of the same hardware.
    `ahead` is the probability that the first option beats each option in what is minimised.
    """

    question: dict[str, Any]
    models: tuple[str, ...]
    demand: Demand
    percentile: float
    ttft_limit_s: float
    tpot_limit_s: float
    currency: str
    options: tuple[Option, ...]
    refused: tuple[Refusal, ...]
    pareto: tuple[Option, ...]
    cheapest: Option | None
    fastest: Option | None
    greenest: Option | None
    evaluated: int
    notes: tuple[str, ...] = ()
    ahead: tuple[float, ...] = ()

    @property
    def best(self) -> Option | None:
        """The first option, or None where everything was refused."""
        return self.options[0] if self.options else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; money as amount and currency."""
        plain = asdict(self)
        for group in ("options", "pareto"):
            plain[group] = [_plain(option) for option in getattr(self, group)]
        for goal in ("cheapest", "fastest", "greenest"):
            option: Option | None = getattr(self, goal)
            plain[goal] = None if option is None else _plain(option)
        return plain


def _plain(option: Option) -> dict[str, Any]:
    plain = asdict(option)
    plain["outcomes"] = [outcome.to_dict() for outcome in option.outcomes]
    for key in ("per_hour", "per_million_output_tokens", "purchase"):
        amount: Money | None = getattr(option, key)
        plain[key] = None
        if amount is not None:
            plain[key] = {"amount": amount.amount, "currency": amount.currency}
    return plain


def ranked(options: Iterable[Option], goal: str) -> tuple[Option, ...]:
    """Options by a goal, the best first; equal ones by name."""
    return tuple(sorted(options, key=lambda option: (*option.score(goal), option.hardware)))


def pareto(options: Sequence[Option]) -> tuple[Option, ...]:
    """Options that none other beats in money, speed and energy at once."""

    def axes(option: Option) -> tuple[float, float, float]:
        price = option.per_hour.amount if option.per_hour is not None else float("inf")
        return price, option.tpot_s, option.joules_per_output_token

    front: list[Option] = []
    for one in options:
        mine = axes(one)
        beaten = any(
            all(b <= a for a, b in zip(mine, axes(other), strict=True)) and axes(other) != mine
            for other in options
        )
        if not beaten and mine not in [axes(kept) for kept in front]:
            front.append(one)
    return tuple(sorted(front, key=axes))
