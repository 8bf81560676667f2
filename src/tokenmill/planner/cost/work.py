"""What a machine makes while it is busy: tokens, images, models trained, any other unit."""

from __future__ import annotations

from dataclasses import dataclass

from tokenmill.catalog import load
from tokenmill.errors import DoesNotFit, InputError
from tokenmill.placement.energy import machine_watts
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.cost.question import CostQuestion
from tokenmill.planner.shop.images import making
from tokenmill.planner.shop.question import job_of
from tokenmill.planner.shop.use import image_interval
from tokenmill.planner.single import estimate
from tokenmill.planner.tell import prefill_share
from tokenmill.simulator.outcome import Interval

__all__ = ["INPUT", "OUTPUT", "TOKENS", "Made", "Work", "work_of"]

INPUT, OUTPUT, TOKENS = "million input tokens", "million output tokens", "million tokens"
_MILLION = 1e6
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Made:
    """One unit of what is made: per_s [1/s] while busy, and the part of the cost it bears.

    between, its 80 % interval over its middle; a stated rate has none.
    """

    name: str
    per_s: float
    share: float = 1.0
    between: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Work:
    """Busy machines: what they make, their power at the wall [W] busy and idle, and how.

    `made` may be empty; words say the setting; kind, the weakest of the figures behind it.
    """

    where: Platform
    gpus: int
    made: tuple[Made, ...]
    busy_w: float
    idle_w: float
    words: str
    kind: str

    @property
    def main(self) -> Made | None:
        """The unit that answers are about: the first one made."""
        return self.made[0] if self.made else None


def work_of(asked: CostQuestion) -> Work:
    """What the machines of a question make.

    Raises: InputError, UnknownName, DoesNotFit, Unsupported.
    """
    where = platform(asked.on)
    stated = [Made(name, count / _HOUR_S) for name, count in asked.made]
    if asked.gpu_hours is not None:
        stated.append(Made("trained model", asked.gpus / (asked.gpu_hours * _HOUR_S)))
    idle_w = _wall(where, asked.gpus, where.power.idle_w)
    if not asked.model:
        if not stated:
            raise InputError(
                'name what is made: a model, --makes "robot-hour=8" or --gpu-hours 6000'
            )
        busy_w = _wall(where, asked.gpus, where.power.limit_w)
        return Work(
            where, asked.gpus, tuple(stated), busy_w, idle_w, "at the power limit", "vendor"
        )
    record = load.model(asked.model.partition(":")[0].partition("@")[0])
    made = _images if record.family == "image" else _tokens
    return made(asked, where, idle_w, tuple(stated))


def _wall(where: Platform, gpus: int, each_w: float) -> float:
    return machine_watts(where.node, where.machine_gpus, gpus, each_w)


def _tokens(asked: CostQuestion, where: Platform, idle_w: float, stated: tuple[Made, ...]) -> Work:
    """Language on one instance over all GPUs, by the closed form."""
    name, _, form = asked.model.partition("@")
    weights = form or asked.weights or None
    gguf = bool(weights) and "q" in str(weights)
    answer = estimate(
        name, on=asked.on, weights=weights,
        engine=asked.engine or ("llama.cpp" if gguf else "vllm"), tp=asked.gpus,
        prompt_tokens=asked.prompt_tokens, output_tokens=asked.output_tokens,
        concurrency=asked.concurrency,
    )  # fmt: skip
    busy = max(answer.utilisation, 1e-9)
    share = prefill_share(answer)
    within = _within(answer.intervals["total_tokens_per_s"])
    read, written = answer.input_tokens_per_s / busy, answer.output_tokens_per_s / busy
    made = (
        Made(OUTPUT, written / _MILLION, 1.0 - share, within),
        Made(INPUT, read / _MILLION, share, within),
        Made(TOKENS, (read + written) / _MILLION, 1.0, within),
    )
    words = (
        f"{answer.model} in {answer.weights}, {answer.engine}, {answer.layout}, "
        f"{asked.concurrency:g} requests of {asked.prompt_tokens:g} tokens in and "
        f"{asked.output_tokens:g} out at once"
    )
    return Work(where, asked.gpus, (*made, *stated), max(answer.watts, idle_w), idle_w, words,
                answer.kind)  # fmt: skip


def _images(asked: CostQuestion, where: Platform, idle_w: float, stated: tuple[Made, ...]) -> Work:
    """One image after another on each GPU."""
    job = job_of(asked.model)
    found = making(job, where)
    if not found.runs:
        raise DoesNotFit(job.model, found.needs_bytes, found.has_bytes)
    rate = asked.gpus / found.seconds
    made = Made("image", rate, 1.0, _within(image_interval(found, rate)))
    words = f"{job.model} in {found.form}, one image after another on each GPU"
    return Work(where, asked.gpus, (made, *stated), _wall(where, asked.gpus, found.card_w), idle_w,
                words, found.kind)  # fmt: skip


def _within(rate: Interval) -> tuple[float, float]:
    return rate.low / rate.value, rate.high / rate.value
