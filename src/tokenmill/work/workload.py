"""Demand: what a service must carry, boiled down to what a closed form needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenmill.errors import InputError

__all__ = ["PERCENTILES", "Demand", "demand_from_lengths", "fixed_demand", "quantiles"]

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Demand:
    """Lengths and rate of the requests to one model.

    rate_per_s [1/s], 0 where the load is closed; concurrency [requests], 0 where it is open;
    prompt_mean, output_mean [tokens]; context_mean [tokens] held by a sequence at a random
    moment of its generation; prompt_variation [1] squared coefficient of variation of prompts;
    burstiness [1] squared coefficient of variation of the gaps between arrivals (1 = Poisson);
    prompt_quantiles, output_quantiles [tokens] at PERCENTILES.
    """

    rate_per_s: float
    concurrency: float
    prompt_mean: float
    output_mean: float
    context_mean: float
    prompt_variation: float
    burstiness: float
    prompt_quantiles: tuple[float, ...]
    output_quantiles: tuple[float, ...]
    longest: float  # tokens, prompt and output together
    origin: str


def fixed_demand(
    prompt: float, output: float, *, rate_per_s: float = 0.0, concurrency: float = 0.0
) -> Demand:
    """Requests of one length: prompt and output [tokens], at a rate [1/s] or a concurrency.

    Raises: InputError for lengths or loads that cannot be.
    """
    for name, value in (("prompt", prompt), ("output", output)):
        if not np.isfinite(value) or value < 1 or value > 1e8:
            raise InputError(f"{name} length must be 1 to 100 million tokens, not {value}")
    for name, value in (("rate", rate_per_s), ("concurrency", concurrency)):
        if not np.isfinite(value) or value < 0:
            raise InputError(f"{name} must be a finite number of at least 0, not {value}")
    same = len(PERCENTILES)
    return Demand(
        rate_per_s=rate_per_s, concurrency=concurrency, prompt_mean=prompt, output_mean=output,
        context_mean=prompt + output / 2.0, prompt_variation=0.0, burstiness=1.0,
        prompt_quantiles=(prompt,) * same, output_quantiles=(output,) * same,
        longest=prompt + output,
        origin=f"{prompt:g} tokens in, {output:g} out",
    )  # fmt: skip


def demand_from_lengths(
    prompts: Any, outputs: Any, arrivals: Any, *, origin: str, rate_per_s: float | None = None,
    concurrency: float = 0.0,
) -> Demand:  # fmt: skip
    """The demand of a trace: prompts, outputs [tokens], arrivals [s], equal arrays [n].

    `rate_per_s` rescales the arrivals; their burstiness is kept.
    Raises: InputError for an empty trace.
    """
    prompts, outputs = np.asarray(prompts, float), np.maximum(np.asarray(outputs, float), 1.0)
    arrivals = np.asarray(arrivals, float)
    if len(prompts) == 0:
        raise InputError(f"{origin}: no requests to plan for")
    span = float(arrivals[-1] - arrivals[0]) if len(arrivals) > 1 else 0.0
    gaps = np.diff(arrivals)
    steady = len(gaps) > 1 and gaps.mean() > 0
    burstiness = float(gaps.var() / gaps.mean() ** 2) if steady else 1.0
    rate = (len(prompts) - 1) / span if span > 0 else 0.0
    mean_prompt = float(prompts.mean())
    return Demand(
        rate_per_s=(rate if rate_per_s is None else rate_per_s) if not concurrency else 0.0,
        concurrency=concurrency,
        prompt_mean=mean_prompt,
        output_mean=float(outputs.mean()),
        context_mean=float((outputs * (prompts + outputs / 2)).sum() / outputs.sum()),
        prompt_variation=float(prompts.var() / mean_prompt**2) if mean_prompt else 0.0,
        burstiness=burstiness,
        prompt_quantiles=quantiles(prompts, PERCENTILES),
        output_quantiles=quantiles(outputs, PERCENTILES),
        longest=float((prompts + outputs).max()),
        origin=origin,
    )


def quantiles(values: Any, percentiles: Sequence[float]) -> tuple[float, ...]:
    """Percentiles [%] of an array of at least one value, linear between values.

    As numpy gives them, but without numpy.ma, whose import costs more than the sort.
    """
    ordered = np.sort(values)
    found = []
    for percentile in percentiles:
        place = percentile / 100.0 * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        share = place - below
        found.append(float(ordered[below] * (1.0 - share) + ordered[above] * share))
    return tuple(found)
