"""Question: what a person asks of the planner, checked, in base units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from tokenmill.catalog.load import read_toml
from tokenmill.errors import BadRecord, BadUnit, InputError
from tokenmill.units import parse, parse_any

__all__ = ["DEMO", "Amount", "Question", "asked", "question", "read_question"]

Goal = Literal["cost", "energy", "gpus", "latency"]

_LIMITS = {
    "ttft_s": ("time", 1e6),
    "tpot_s": ("time", 1e5),
    "power_w": ("power", 1e11),
    "rate_per_s": ("1/s", 1e9),
}


class Amount(BaseModel):
    """Money: an amount in a currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    amount: float
    currency: str

    @classmethod
    def read(cls, text: str) -> Amount:
        """Read "¥3,000,000" or "$25". Raises: BadUnit, InputError."""
        value, dimension = parse_any(text)
        if not dimension.startswith("money:"):
            raise BadUnit(f'"{text}" is not an amount of money; write "¥3,000,000" or "$25"')
        if value < 0:
            raise InputError(f'"{text}": money must not be negative')
        return cls(amount=value, currency=dimension.removeprefix("money:"))


class Question(BaseModel):
    """Which hardware for these models, under this load and these limits?

    Quantities may be given as text with units ("500 ms", "5 req/s", "¥3,000,000", "20 kW") or
    as numbers in base units. Load: a trace file, or prompt and output tokens with a rate, a
    number of users or a concurrency; nothing at all means the bundled conversation hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    models: tuple[str, ...]
    hardware: tuple[str, ...] = ("all",)
    trace: str = ""
    prompt_tokens: float | None = None
    output_tokens: float | None = None
    rate_per_s: float | None = None
    users: float | None = None
    think_s: float = 20.0
    ttft_s: float | None = 2.0
    tpot_s: float | None = 0.1
    percentile: float = 95.0
    budget: Amount | None = None
    budget_per: Literal["purchase", "hour", "month"] = "purchase"
    power_w: float | None = None
    minimise: Goal = "cost"
    acquire: Literal["rent", "buy"] = "rent"
    weights: tuple[str, ...] = ()
    cache: str = ""
    engine: str = "vllm"
    gpus: int | None = None
    currency: Literal["USD", "JPY", "EUR"] = "USD"
    region: str = ""
    prices: tuple[str, ...] = ()
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("a question is a table of keys and values")
        values = dict(given)
        for key, (dimension, _) in _LIMITS.items():
            if isinstance(values.get(key), str):
                values[key] = parse(values[key], dimension)
        if isinstance(values.get("think_s"), str):
            values["think_s"] = parse(values["think_s"], "time")
        if isinstance(values.get("budget"), str):
            values["budget"] = Amount.read(values["budget"])
        for key in ("models", "hardware", "weights"):
            if isinstance(values.get(key), str):
                values[key] = tuple(x.strip() for x in values[key].split(",") if x.strip())
        return values

    @field_validator("models", "hardware")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(not item.strip() for item in value):
            raise ValueError("name at least one")
        return value

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for key, (_, most) in _LIMITS.items():
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and 0 < value <= most):
                raise ValueError(f"{key} must be above 0 and at most {most:g}, not {value}")
        for key, most in (("prompt_tokens", 1e8), ("output_tokens", 1e8), ("users", 1e10)):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and 1 <= value <= most):
                raise ValueError(f"{key} must be 1 to {most:g}, not {value}")
        if not (math.isfinite(self.think_s) and 0 <= self.think_s <= 1e7):
            raise ValueError(f"think_s must be 0 to 10 million seconds, not {self.think_s}")
        if not 50 <= self.percentile <= 99.9:
            raise ValueError(f"percentile must be 50 to 99.9, not {self.percentile}")
        if self.gpus is not None and not 1 <= self.gpus <= 1_000_000:
            raise ValueError(f"gpus must be 1 to 1,000,000, not {self.gpus}")
        if self.rate_per_s is not None and self.users is not None:
            raise ValueError("give a rate or a number of users, not both")
        return self


def question(**given: Any) -> Question:
    """A checked question from keyword arguments. Raises: InputError in one line."""
    try:
        return Question(**given)
    except ValidationError as problem:
        raise InputError(_first(problem)) from None


def read_question(path: Path) -> Question:
    """A question from a TOML scenario file; data only, nothing in it is executed.

    Raises: BadRecord naming file and key.
    """
    table = read_toml(path)
    try:
        return Question(**table)
    except ValidationError as problem:
        where = ".".join(str(part) for part in problem.errors()[0]["loc"])
        raise BadRecord(path, where, _first(problem)) from None
    except (InputError, TypeError) as problem:
        raise BadRecord(path, "", str(problem)) from None


def asked(scenario: Path | None, given: Mapping[str, Any]) -> Question:
    """A question from a scenario file, if any, under options of which None means not given.

    "none" lifts a limit. Raises: InputError, BadRecord.
    """
    values: dict[str, Any] = {}
    if scenario is not None:
        values = read_question(scenario).model_dump(exclude_unset=True)
    for key, value in given.items():
        if isinstance(value, str) and value.strip().lower() == "none":
            values[key] = None
        elif value is not None:
            values[key] = value
    if not values.get("models"):
        raise InputError("name a model, such as: tokenmill plan llama-3.3-70b")
    return question(**values)


DEMO = Question(
    models=("llama-3.3-70b",),
    hardware=(
        "rtx-4090", "rtx-a4500", "l40s", "a100", "h100", "h200", "b200", "gb200-nvl72",
    ),
)  # fmt: skip


def _first(problem: ValidationError) -> str:
    error = problem.errors()[0]
    where = ".".join(str(part) for part in error["loc"])
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        text = f"unknown key; known: {', '.join(Question.model_fields)}"
    return f"{where}: {text}" if where else text
