"""What a card does for one workload: speed, draw and memory, or why not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.evidence.certainty import SERVING, around
from tokenmill.evidence.interval import band_of, distance
from tokenmill.physics.power import PowerConstants, clock
from tokenmill.placement.engines import engine
from tokenmill.placement.layout import Layout
from tokenmill.placement.platform import Platform, platform
from tokenmill.planner.shop.images import Making, making
from tokenmill.planner.shop.question import Job
from tokenmill.simulator.cases import Case, language_model, memory_need
from tokenmill.simulator.describe import outcome
from tokenmill.simulator.outcome import Interval, Outcome
from tokenmill.work.precision import cache_format, weight_format
from tokenmill.work.workload import fixed_demand

__all__ = ["ENGINE", "Use", "chat_format", "image_interval", "use_of"]

ENGINE = "llama.cpp"
_HOME_FORMAT = "q4_k_m"
_SMALL = ("mxfp4", "nvfp4", "int4")
_ANSWER = 8.0  # of a full conversation, one part in so many is the answer, as in can-i-run


@dataclass(frozen=True, slots=True)
class Use:
    """One workload on some equal cards; rates and draw as 80 % intervals.

    per_s [tokens/s of the answer, or images/s]; first_s [s] to the first token, or for one
    image; card_w [W] of all cards while they work; needs_bytes, has_bytes [B] of one card;
    way: "resident", "split" over cards, "by network" or "by layer" from the host's memory, ""
    where it does not run; weakest kind of the figures behind it.
    """

    job: Job
    form: str
    runs: bool
    way: str
    needs_bytes: float
    has_bytes: float
    per_s: Interval
    first_s: float
    card_w: Interval
    kind: str


_NOTHING = Interval(0.0, 0.0, 0.0)


@lru_cache(maxsize=8192)
def use_of(job: Job, card: str, count: int, cap_w: float | None = None) -> Use:
    """What `count` equal cards do for a job.

    Parameters: job; card, a slug; count of cards; cap_w [W], a power limit set on each card.
    Returns: a Use; `runs` is False where memory is short.
    Raises: InputError for what cannot be; Unsupported where nothing is known of the card.
    """
    where = platform(card)
    return (_chat if job.kind == "chat" else _images)(job, where, count, cap_w)


def chat_format(model: str) -> str:
    """The format that a model is run in at home: its own where that has 4 bits, else q4_k_m."""
    native = load.model(model).native_dtype
    return native if native in _SMALL else _HOME_FORMAT


def _chat(job: Job, where: Platform, count: int, cap_w: float | None) -> Use:
    """One conversation at a time: on one card where it fits, else its layers over all of them."""
    form = job.form or chat_format(job.model)
    record, arch = language_model(job.model)
    case = Case(where, record, arch, weight_format(form), cache_format("fp16"), engine(ENGINE))
    answer = job.context_tokens / _ANSWER
    demand = fixed_demand(job.context_tokens - answer, answer, concurrency=1.0)
    needs = has = 0.0
    for split in (Layout(), Layout(pp=min(count, arch.layer_count))):
        wanted, _, has = memory_need(case, case.times((split,)), demand)
        needs = float(wanted[0, 0])
        if needs <= has:
            found = outcome(case, split, demand, 1, batch=1.0)
            return _told(job, form, where, count, found, needs, has, cap_w)
    return Use(job, form, False, "", needs, has, _NOTHING, 0.0, _NOTHING, "derived")


def _told(
    job: Job, form: str, where: Platform, count: int, found: Outcome, needs: float, has: float,
    cap_w: float | None,
) -> Use:  # fmt: skip
    reading = min(found.ttft_s.mean * found.requests_per_s, 1.0)
    waits = sum(share.share for share in found.decode if share.bound != "compute")
    clocked = reading + (1.0 - reading) * (1.0 - waits)
    slower, each_w = _capped(where.power, found.gpu_watts, cap_w, clocked)
    # the layers of one conversation run one after another: one card works, the others wait
    total_w = each_w + (count - 1) * where.power.idle_w
    return Use(
        job=job, form=form, runs=True, way="resident" if found.gpus == 1 else "split",
        needs_bytes=needs, has_bytes=has,
        per_s=around(
            1.0 / (found.tpot_s.mean * slower),
            band_of(
                SERVING, "decode", "single_stream",
                distance(SERVING, where.accelerator.slug, found.model),
            ),
        ),
        first_s=found.ttft_s.mean * slower, card_w=_watts(where.power, total_w, count, cap_w),
        kind=found.kind,
    )  # fmt: skip


def _images(job: Job, where: Platform, count: int, cap_w: float | None) -> Use:
    """One image at a time on each card."""
    made = making(job, where)
    if not made.runs:
        return Use(job, made.form, False, "", made.needs_bytes, made.has_bytes, _NOTHING, 0.0,
                   _NOTHING, made.kind)  # fmt: skip
    slower, each_w = _capped(where.power, made.card_w, cap_w, made.clock_share)
    seconds = made.seconds * slower
    return Use(
        job=job, form=made.form, runs=True, way=made.way, needs_bytes=made.needs_bytes,
        has_bytes=made.has_bytes, per_s=image_interval(made, count / seconds),
        first_s=seconds, card_w=_watts(where.power, each_w * count, count, cap_w), kind=made.kind,
    )  # fmt: skip


def _capped(
    power: PowerConstants, full_w: float, cap_w: float | None, clocked: float
) -> tuple[float, float]:
    """(slowdown, watts) of one card under a cap; clocked, share of the time with the clock."""
    if cap_w is None or full_w <= cap_w:
        return 1.0, full_w
    share = float(clock(power, full_w, cap_w))
    return (1.0 - clocked) + clocked / share, max(cap_w, power.idle_w)


def _watts(power: PowerConstants, total_w: float, count: int, cap_w: float | None) -> Interval:
    """The draw of all cards with its interval, between idle and the limit in force."""
    most = count * max(min(power.limit_w, cap_w or power.limit_w), power.idle_w)
    wide = around(total_w, band_of(SERVING, "power", "", "architecture"))
    least = min(count * power.idle_w, total_w)
    return replace(wide, low=max(wide.low, least), high=max(min(wide.high, most), total_w))


def image_interval(made: Making, value: float) -> Interval:
    """A rate of images [1/s] with its 80 % interval."""
    return around(value, made.rate)
