"""Which hardware makes the images of a question: batches and splits searched, ranked, refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from tokenmill.catalog import load
from tokenmill.cost.money import Money
from tokenmill.errors import DoesNotFit, InputError, TokenmillError, Unsupported
from tokenmill.physics.images import ImageTime
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.answer import Refusal
from tokenmill.planner.images.answer import (
    ImageOption,
    ImageOutcome,
    ImagePlan,
    ranked_images,
)
from tokenmill.planner.images.estimate import (
    ImageCase,
    image_case,
    image_outcome,
    priced_images,
)
from tokenmill.planner.plan import excess
from tokenmill.planner.pricing import PriceBook, price_book
from tokenmill.planner.question import Question
from tokenmill.planner.question import question as build
from tokenmill.planner.search import platforms
from tokenmill.units import format_si

__all__ = ["plan_images"]

_BATCHES = (1, 2, 4, 8, 16, 32, 64)
_LARGER = ("rtx-4090", "rtx-5090", "rtx-pro-6000-workstation", "h100-sxm", "h200-sxm", "b200-sxm")
_MARGIN = 1.02  # a changed limit is set this far beyond the number that was missed


@dataclass(frozen=True, slots=True)
class _Point:
    """One way of making the images of one model, as often as the demand needs it."""

    case: ImageCase
    time: ImageTime
    replicas: int
    joules: float  # of the GPUs, per image

    @property
    def gpus(self) -> int:
        return self.replicas * self.time.gpus

    def score(self, goal: str) -> tuple[float, ...]:
        """Sort key for a goal, the best first."""
        gpu_seconds = self.time.seconds_per_image * self.time.gpus
        keys = {
            "cost": (self.gpus, gpu_seconds), "gpus": (self.gpus, gpu_seconds),
            "latency": (self.time.seconds, gpu_seconds), "energy": (self.joules, gpu_seconds),
        }  # fmt: skip
        return (*keys[goal], self.time.seconds)


def plan_images(question: Question, *, progress: Callable[[str], None] | None = None) -> ImagePlan:
    """The ranked answer to a question about image models.

    Each model is asked for at the question's rate, or, without one, by one group of GPUs that is
    always busy. Parameters: question; progress, told the name of each hardware.
    Raises: InputError for what is not a question about images.
    """
    _check(question)
    rate = _rate(question)
    book = price_book(question.currency, region=question.region, own=question.prices)
    found: list[ImageOption] = []
    refused: list[Refusal] = []
    evaluated = 0
    for where in platforms(question):
        if progress is not None:
            progress(where.name)
        answer, count = _answer(question, where, rate, book)
        evaluated += count
        if isinstance(answer, Refusal):
            refused.append(_checked(question, where.name, answer, rate, book))
        else:
            found.append(answer)
    return ImagePlan(
        question=question.model_dump(mode="json", exclude_defaults=True),
        models=tuple(load.model(name).slug for name in question.models),
        images_per_s=rate, latency_limit_s=question.latency_s or math.inf,
        currency=question.currency, refused=tuple(refused), evaluated=evaluated,
        options=ranked_images(found, question.minimise, demanded=rate > 0),
    )  # fmt: skip


def _check(question: Question) -> None:
    other = [name for name in question.models if load.model(name).family != "image"]
    if other:
        raise InputError(f"{other[0]} is not an image model; plan it by itself")
    defaults = type(question).model_fields
    for key in (
        "trace",
        "prompt_tokens",
        "output_tokens",
        "ttft_s",
        "tpot_s",
        "cache",
        "engine",
        "calibration",
    ):
        if getattr(question, key) != defaults[key].default:
            raise InputError(
                f"{key} is for language models; image models take --rate, --users, --latency, "
                "--resolution, --steps, --batch and --software"
            )


def _rate(question: Question) -> float:
    """Images a second that are asked for; 0 where nothing is."""
    if question.users is None:
        return question.rate_per_s or 0.0
    if not question.think_s:
        raise InputError("users of images need a pause between two of them: --think 60s")
    return question.users / question.think_s


def _answer(
    question: Question, where: Platform, rate: float, book: PriceBook
) -> tuple[ImageOption | Refusal, int]:
    """The best option on one kind of hardware, or why there is none; and what was evaluated."""
    chosen: list[_Point] = []
    evaluated = 0
    for name in question.models:
        try:
            points = list(_points(question, where, name, rate))
        except DoesNotFit as short:
            needs, has = short.needs_bytes / 1e9, short.has_bytes / 1e9
            text = f"{name} needs {needs:.1f} GB on a GPU, {has:.1f} GB are there"
            return Refusal(where.name, "memory", text, "larger hardware"), evaluated
        except Unsupported as problem:
            return Refusal(where.name, "unsupported", str(problem), "other hardware"), evaluated
        evaluated += len(points)
        limit = question.latency_s or math.inf
        inside = [point for point in points if point.time.seconds <= limit]
        if not inside:
            return _too_slow(where.name, min(p.time.seconds for p in points), limit), evaluated
        chosen.append(min(inside, key=lambda point: point.score(question.minimise)))
    option = _option(question, where, chosen, rate, book)
    beyond = excess(question, option)
    return (option if beyond is None else beyond[1]), evaluated


def _points(question: Question, where: Platform, name: str, rate: float) -> Iterator[_Point]:
    """Everything to try. Raises: DoesNotFit where not even one image does; Unsupported."""
    first: TokenmillError | None = None
    any_fits = False
    for software in question.software or ("eager",):
        for weights in question.weights or (None,):
            for share in _shares(question, where, name):
                for batch in (question.batch,) if question.batch else _BATCHES:
                    try:
                        case = image_case(
                            name, where.name, weights=weights, resolution=question.resolution,
                            steps=question.steps, batch=batch, software=software, share=share,
                        )  # fmt: skip
                        time = case.time()
                    except (DoesNotFit, Unsupported) as problem:
                        first = first or problem
                        break  # a larger batch does not fit either
                    any_fits = True
                    yield _Point(
                        case, time, _replicas(time, rate), case.energy(time).joules_per_image
                    )
    if not any_fits and first is not None:
        raise first


def _shares(question: Question, where: Platform, name: str) -> tuple[int, ...]:
    """GPUs that may split one image: more than one only where time is what counts."""
    denoiser = load.model(name).config["denoiser"].get("_class_name", "")
    hurried = question.latency_s is not None or question.minimise == "latency"
    if denoiser.startswith("UNet") or not hurried:
        return (1,)
    most = min(where.domain_gpus, where.machine_gpus, question.gpus or where.machine_gpus, 8)
    return tuple(share for share in (1, 2, 4, 8) if share <= most)


def _replicas(time: ImageTime, rate: float) -> int:
    return max(math.ceil(rate * time.seconds_per_image - 1e-9), 1)


def _option(
    question: Question, where: Platform, chosen: list[_Point], rate: float, book: PriceBook
) -> ImageOption:
    outcomes = tuple(
        priced_images(
            image_outcome(point.case, point.replicas, rate), where, book, question.acquire
        )
        for point in chosen
    )
    gpus = sum(item.gpus for item in outcomes)
    watts = sum(item.watts for item in outcomes)
    made = sum(item.images_per_s * item.busy for item in outcomes)
    money = [item.money for item in outcomes]
    per_hour = _sum(money, "per_hour")
    return ImageOption(
        hardware=where.name, outcomes=outcomes, gpus=gpus,
        machines=math.ceil(gpus / where.machine_gpus),
        latency_s=max(item.latency_s for item in outcomes),
        images_per_s=sum(item.images_per_s for item in outcomes), watts=watts,
        joules_per_image=watts / made, per_hour=per_hour,
        per_image=None if per_hour is None else per_hour / (made * 3600.0),
        purchase=_purchase(book, where, gpus),
        basis=str(money[0]["basis"]) if per_hour is not None else "no price on record",
        notes=_notes(outcomes),
    )  # fmt: skip


def _notes(outcomes: tuple[ImageOutcome, ...]) -> tuple[str, ...]:
    notes = [note for item in outcomes for note in item.notes]
    stale = any("older than a year" in line["basis"] for item in outcomes
                for line in item.money.get("lines", ()))  # fmt: skip
    return tuple(dict.fromkeys([*notes, *(["price older than a year"] if stale else [])]))


def _sum(money: list[dict[str, object]], key: str) -> Money | None:
    """The sum of one figure over outcomes; None where any of them lacks it."""
    cells = [one.get(key) for one in money]
    total: Money | None = None
    for cell in cells:
        if not isinstance(cell, dict):
            return None
        amount = Money.of(cell["amount"], cell["currency"])
        total = amount if total is None else total + amount
    return total


def _purchase(book: PriceBook, where: Platform, gpus: int) -> Money | None:
    try:
        return book.purchase(where, gpus)[0]
    except Unsupported:
        return None


def _too_slow(hardware: str, best: float, limit: float) -> Refusal:
    relaxed = max(float(f"{best * _MARGIN:.3g}"), best)
    return Refusal(
        hardware, "latency",
        f"an image takes {format_si(best, 's')} at best, the limit is {format_si(limit, 's')}",
        f"a latency limit of {format_si(relaxed, 's')} or more", {"latency_s": relaxed},
    )  # fmt: skip


def _checked(
    question: Question, hardware: str, refusal: Refusal, rate: float, book: PriceBook
) -> Refusal:
    """The refusal with a change that was asked and works, gathering changes until one does."""
    change: dict[str, object] = {}
    remedies: list[str] = []
    current = refusal
    for _ in range(4):
        if current.limit in ("memory", "unsupported"):
            return _on_larger(question, refusal, change, rate, book)
        change |= current.change
        remedies.append(current.remedy)
        if not current.change:
            return refusal
        changed = _changed(question, change)
        answer, _count = _answer(changed, platform(hardware), rate, book)
        if isinstance(answer, ImageOption):
            return replace(refusal, remedy=" and ".join(remedies), change=change, checked=True)
        current = answer
    return refusal


def _on_larger(
    question: Question, refusal: Refusal, change: dict[str, object], rate: float, book: PriceBook
) -> Refusal:
    """The first larger hardware that can."""
    for name in _LARGER:
        trial = change | {"hardware": (name,)}
        answer, _ = _answer(_changed(question, trial), platform(name), rate, book)
        if isinstance(answer, ImageOption):
            words = f"{answer.gpus} x {name}" if answer.gpus > 1 else f"one {name}"
            return replace(refusal, remedy=words, change=trial, checked=True)
    return refusal


def _changed(question: Question, change: dict[str, object]) -> Question:
    return build(**{**question.model_dump(), **change})
