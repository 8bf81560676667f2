"""What a shopper asks: workloads and their hours, cards, money, power, noise, place."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tokenmill.catalog import load
from tokenmill.errors import InputError
from tokenmill.planner.pricing import code
from tokenmill.planner.question import Amount
from tokenmill.simulator.cases import language_model
from tokenmill.units import parse
from tokenmill.work.precision import weight_format

__all__ = [
    "GROUPS",
    "UNMODELLED",
    "Job",
    "ShopQuestion",
    "code",
    "first_wrong",
    "job_of",
    "jobs_of",
    "shop_question",
]

Goal = Literal["money", "power", "speed"]

# What a word stands for: a small and a large model that people run at home.
_CHAT = ("llama-3.1-8b", "qwen2.5-32b")
GROUPS = {
    "images": ("sdxl-1.0", "flux.1-dev"),
    "chat": _CHAT, "llm": _CHAT, "llms": _CHAT, "local llms": _CHAT,
    "stable diffusion": ("sd-1.5", "sdxl-1.0"), "stable-diffusion": ("sd-1.5", "sdxl-1.0"),
}  # fmt: skip
# Uses that buyers name and no model here predicts.
UNMODELLED = {
    "video": "video", "fine-tuning": "training", "finetuning": "training", "training": "training",
    "lora": "training", "gaming": "gaming", "games": "gaming",
}  # fmt: skip
_CURRENCY = {"JP": "JPY", "EU": "EUR", "DE": "EUR", "FI": "EUR", "IE": "EUR"}
_CONTEXT, _SHORTEST, _HOURS, _ON_HOURS, _DAY = 4096.0, 64.0, 3.0, 8.0, 24.0
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
_COUNT = re.compile(r"(\d+(?:\.\d+)?)(k?)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Job:
    """One workload for some hours a day.

    kind is "chat" or "image"; model, its slug; form, a number format, or "" for the usual one;
    context_tokens of a conversation, question and answer; width, height [pixels] and steps of
    an image, 0 for the model's own; hours [h a day] of work.
    """

    kind: Literal["chat", "image"]
    model: str
    form: str
    context_tokens: float
    width: int
    height: int
    steps: int
    hours: float

    @property
    def unit(self) -> str:
        """What is made: a token or an image."""
        return "token" if self.kind == "chat" else "image"


class ShopQuestion(BaseModel):
    """Which card for these workloads, at these hours, within these limits?

    `cards` empty means every desktop card on record. `hours` [h a day] of work over all jobs,
    `on_hours` that the PC is on; power_w [W] of the whole PC at the wall, quiet_w [W] of all
    cards to be cooled, cap_w [W] a power limit set on each card; `count`, most equal cards;
    `slots`, expansion slots they may cover; `top`, offers told in full. Quantities may be text
    with units.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    cards: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ("images", "chat")
    hours: float | None = None
    on_hours: float | None = None
    budget: Amount | None = None
    power_w: float | None = None
    quiet_w: float | None = None
    cap_w: float | None = None
    count: int = 1
    slots: int | None = None
    region: str = ""
    currency: Literal["", "USD", "JPY", "EUR"] = ""
    condition: Literal["either", "new", "used"] = "either"
    best: Goal = "money"
    life_years: float = 4.0
    resale: float = 0.0
    prices: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    top: int = 10

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            raise ValueError("a question is a table of keys and values")
        values = dict(given)
        for key in ("power_w", "quiet_w", "cap_w"):
            if isinstance(values.get(key), str):
                values[key] = parse(values[key], "power")
        if isinstance(values.get("budget"), str):
            values["budget"] = Amount.read(values["budget"])
        for key in ("cards", "jobs"):
            listed = values.get(key, ())
            texts = [listed] if isinstance(listed, str) else listed
            values[key] = tuple(x.strip() for text in texts for x in text.split(",") if x.strip())
        for key in ("region", "currency"):
            if isinstance(values.get(key), str):
                values[key] = code(values[key])
        return values if values["jobs"] else {k: v for k, v in values.items() if k != "jobs"}

    @model_validator(mode="after")
    def _sane(self) -> Self:
        for key, most in (("power_w", 1e6), ("quiet_w", 1e5), ("cap_w", 1e4)):
            _above_zero(key, getattr(self, key), most)
        for key in ("hours", "on_hours"):
            _above_zero(key, getattr(self, key), _DAY)
        _above_zero("life_years", self.life_years, 100.0)
        _above_zero("budget", self.budget.amount if self.budget else None, 1e15)
        for key, value, most in (("count", self.count, 8), ("slots", self.slots, 32),
                                 ("top", self.top, 1000)):  # fmt: skip
            if value is not None and not 1 <= value <= most:
                raise ValueError(f"{key} must be 1 to {most}, not {value}")
        if not 0 <= self.resale <= 1:
            raise ValueError(f"resale must be 0 to 1 of the price, not {self.resale}")
        return self

    @property
    def home(self) -> str:
        """The region whose prices and tariff count; yen are spent in Japan."""
        return self.region or {"JPY": "JP", "EUR": "EU"}.get(self.currency, "US")

    @property
    def money(self) -> str:
        """The currency of the answer: the region's own unless another is asked for."""
        return self.currency or _CURRENCY.get(self.home, "USD")


def _above_zero(key: str, value: float | None, most: float) -> None:
    if value is not None and not (math.isfinite(value) and 0 < value <= most):
        raise ValueError(f"{key} must be above 0 and at most {most:g}, not {value:g}")


def shop_question(**given: Any) -> ShopQuestion:
    """A checked question from keyword arguments. Raises: InputError in one line."""
    try:
        return ShopQuestion(**given)
    except ValidationError as problem:
        raise first_wrong(problem, ShopQuestion) from None


def first_wrong(problem: ValidationError, asked: type[BaseModel]) -> InputError:
    """The first thing that is wrong with a question, in one line, a wrong key first."""
    errors = sorted(problem.errors(), key=lambda one: one["type"] == "missing")
    error = errors[0]
    where = ".".join(str(part) for part in error["loc"])
    words = error["msg"].removeprefix("Value error, ")
    if error["type"] == "literal_error":
        known = error["ctx"]["expected"].replace("'', ", "")
        words = f"must be {known}, not {str(error['input'])[:40]!r}"
    if error["type"] == "missing":
        words = "must be given"
    if error["type"] == "extra_forbidden":
        words = f"unknown key; known: {', '.join(asked.model_fields)}"
    return InputError(f"{where}: {words}" if where else words)


def jobs_of(question: ShopQuestion) -> tuple[tuple[Job, ...], tuple[str, ...], float]:
    """(jobs with their hours, names of uses that nobody models, hours a day that the PC is on).

    A job is `MODEL[@FORMAT][:DETAIL...][=HOURS]`; details are a context ("8k") of a chat, a size
    ("1024x768") or a number of steps of an image. Jobs without hours share what is left.
    Raises: InputError, UnknownName.
    """
    texts = [one for text in question.jobs for one in GROUPS.get(text.lower(), (text,))]
    unmodelled = [UNMODELLED[text.lower()] for text in texts if text.lower() in UNMODELLED]
    drafts = [job_of(text) for text in texts if text.lower() not in UNMODELLED]
    jobs, hours = _with_hours(tuple(dict.fromkeys(drafts)), question.hours)
    on_hours = max(_ON_HOURS, hours) if question.on_hours is None else question.on_hours
    if on_hours < hours - 1e-9:
        raise InputError(f"{hours:g} hours of work do not fit into {on_hours:g} hours switched on")
    return jobs, tuple(dict.fromkeys(unmodelled)), on_hours


def _with_hours(drafts: Sequence[Job], asked: float | None) -> tuple[tuple[Job, ...], float]:
    """Jobs with their hours a day, and the sum."""
    stated = sum(job.hours for job in drafts if job.hours)
    open_jobs = sum(1 for job in drafts if not job.hours)
    hours = asked if asked is not None else stated if not open_jobs else max(_HOURS, stated + 1.0)
    if not drafts:
        return (), 0.0
    left = hours - stated
    if left < -1e-9 or (open_jobs and left <= 0) or hours > _DAY:
        raise InputError(
            f"the workloads take {stated:g} hours, the day has {hours:g} for them; "
            "give more --hours or fewer hours for each workload"
        )
    spread = tuple(
        Job(job.kind, job.model, job.form, job.context_tokens, job.width, job.height, job.steps,
            job.hours or left / open_jobs)
        for job in drafts
    )  # fmt: skip
    return spread, sum(job.hours for job in spread)


def job_of(text: str) -> Job:
    """A job as written; hours 0 where none are stated. Raises: InputError, UnknownName."""
    body, equals, hours_text = text.partition("=")
    name, *details = body.split(":")
    name, at, form = name.partition("@")
    hours = _hours(hours_text, text) if equals else 0.0
    record = load.model(name)
    if (at and not form) or record.family not in ("language", "image"):
        raise InputError(f'cannot read "{text[:60]}"; write MODEL@FORMAT:DETAIL=HOURS')
    if record.family == "image":
        width, height, steps = _picture(details, text)
        return Job("image", record.slug, form.lower(), 0.0, width, height, steps, hours)
    context = _context(details, text)
    longest = language_model(record.slug)[1].max_context
    if longest and context > longest:
        raise InputError(f"{record.slug} reads {longest:,} tokens at most, not {context:,.0f}")
    form = weight_format(form).name if form else ""
    return Job("chat", record.slug, form, context, 0, 0, 0, hours)


def _hours(text: str, whole: str) -> float:
    try:
        hours = float(text.strip().removesuffix("h"))
    except ValueError:
        hours = math.nan
    if not 0 < hours <= _DAY:
        raise InputError(f'"{whole[:60]}": hours a day must be above 0 and at most 24')
    return hours


def _context(details: Sequence[str], whole: str) -> float:
    if not details:
        return _CONTEXT
    match = _COUNT.fullmatch(details[0].strip())
    tokens = float(match[1]) * (1024.0 if match[2] else 1.0) if match else math.nan
    if len(details) > 1 or not _SHORTEST <= tokens <= 1e8:
        raise InputError(f'"{whole[:60]}": a chat takes one detail, its context, such as ":8k"')
    return tokens


def _picture(details: Sequence[str], whole: str) -> tuple[int, int, int]:
    """(width, height, steps), 0 where not stated."""
    width = height = steps = 0
    for detail in details:
        size = _SIZE.fullmatch(detail.strip())
        if size:
            width, height = int(size[1]), int(size[2])
        elif detail.strip().isdecimal() and 1 <= int(detail) <= 10_000:
            steps = int(detail)
        else:
            raise InputError(
                f'"{whole[:60]}": an image takes a size and steps, such as ":1024x768:30"'
            )
    return width, height, steps
