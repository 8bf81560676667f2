"""Question: what a person asks of the planner, checked, in base units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tokenmill.catalog.load import read_toml
from tokenmill.errors import BadRecord, BadUnit, InputError, UnknownName
from tokenmill.units import parse, parse_any

__all__ = ["DEMO", "IMAGE_KEYS", "Amount", "Question", "asked", "question", "read_question"]

Goal = Literal["cost", "energy", "gpus", "latency"]

# key -> (dimension, least, most)
_LIMITS: dict[str, tuple[str, float, float]] = {
    "ttft_s": ("time", 1e-9, 1e6),
    "tpot_s": ("time", 1e-9, 1e5),
    "think_s": ("time", 0, 1e7),
    "power_w": ("power", 1e-9, 1e11),
    "rate_per_s": ("1/s", 1e-9, 1e9),
    "prompt_tokens": ("tokens", 1, 1e8),
    "output_tokens": ("tokens", 1, 1e8),
    "users": ("users", 1, 1e10),
    "percentile": ("1", 50, 99.9),
    "gpus": ("1", 1, 1e6),
    "seed": ("1", 0, 1e15),
    "latency_s": ("time", 1e-9, 1e6),
    "steps": ("1", 1, 10_000),
    "batch": ("1", 1, 1e6),
}
IMAGE_KEYS = ("resolution", "steps", "batch", "software", "latency_s")  # for image models alone
_OPTIONAL = (  # what the word "none" lifts
    "ttft_s", "tpot_s", "power_w", "budget", "gpus", "rate_per_s", "users", "prompt_tokens",
    "output_tokens", "latency_s",
)  # fmt: skip


class Amount(BaseModel):
    """Money: an amount in a currency."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    amount: float = Field(ge=0, allow_inf_nan=False)
    currency: Literal["USD", "JPY", "EUR"]

    @classmethod
    def read(cls, text: str) -> Amount:
        """Read "¥3,000,000" or "$25". Raises: BadUnit, InputError."""
        value, dimension = parse_any(text)
        if not dimension.startswith("money:"):
            raise BadUnit(f'"{text}" is not an amount of money; write "¥3,000,000" or "$25"')
        if value < 0:
            raise InputError(f'"{text}": money must not be negative')
        return cls.model_validate({"amount": value, "currency": dimension.removeprefix("money:")})


class Question(BaseModel):
    """Which hardware for these models, under this load and these limits?

    Quantities may be given as text with units ("500 ms", "5 req/s", "¥3,000,000", "20 kW") or
    as numbers in base units. Load: a trace file, or prompt and output tokens with a rate, a
    number of users or a concurrency; nothing at all means the bundled conversation hour.
    Image models take a rate of images, resolution, steps, batch, software and latency_s, the
    time that a batch may take.
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
    calibration: str = ""
    seed: int = 0
    resolution: str = ""
    steps: int | None = None
    batch: int | None = None
    software: tuple[str, ...] = ()
    latency_s: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("a question is a table of keys and values")
        return {key: _read(key, value) for key, value in given.items()}

    @field_validator("models", "hardware")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or any(not item.strip() for item in value):
            raise ValueError("name at least one")
        return value

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for key, (_, least, most) in _LIMITS.items():
            value = getattr(self, key)
            if value is not None and not least <= value <= most:  # NaN is in no range
                raise ValueError(f"{key}: must be {least:g} to {most:g}, not {value:g}")
        if self.rate_per_s is not None and self.users is not None:
            raise ValueError("give a rate or a number of users, not both")
        return self


def _read(key: str, value: Any) -> Any:
    """A value as its field takes it: units read, lists from text, "none" for no limit."""
    if isinstance(value, bool):
        raise ValueError(f"{key}: {str(value).lower()} is no value for it")
    text = value.strip() if isinstance(value, str) else ""
    if text.lower() == "none" and key in _OPTIONAL:
        return None
    try:
        if key == "budget" and isinstance(value, str | int | float):
            return Amount.read(str(value))
        if text and key in _LIMITS:
            return parse(text, _LIMITS[key][0])
    except InputError as problem:
        raise ValueError(f"{key}: {problem}") from None
    if isinstance(value, str) and key in ("models", "hardware", "weights", "software"):
        return tuple(item.strip() for item in value.split(",") if item.strip())
    return (value,) if text and key == "prices" else value


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
        raise BadRecord(path, "", _first(problem)) from None


def asked(scenario: Path | None, given: Mapping[str, Any]) -> Question:
    """A question from a scenario file, if any, under options of which None means not given.

    Raises: InputError, BadRecord.
    """
    values: dict[str, Any] = {}
    if scenario is not None:
        values = read_question(scenario).model_dump(exclude_unset=True)
    values |= {key: value for key, value in given.items() if value is not None}
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
    """The first thing that is wrong, a wrong key before a missing one."""
    errors = sorted(problem.errors(), key=lambda error: error["type"] == "missing")
    where = ".".join(str(part) for part in errors[0]["loc"])
    text = errors[0]["msg"].removeprefix("Value error, ")
    if errors[0]["type"] == "extra_forbidden":
        near = UnknownName("key", where, Question.model_fields).suggestions
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(Question.model_fields)}"
        return f'unknown key "{where}"; {hint}'
    return f"{where}: {text}" if where else text
