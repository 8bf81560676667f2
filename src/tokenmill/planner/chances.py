"""Chances: how probably an option keeps its limits, and how probably one beats another.

Errors of two predictions are not independent: what the twin gets wrong about a model, an engine or
a load it gets wrong on both, and more so on the same GPU. The correlation is measured
(`evidence.interval.shared_error`), and the difference of two logarithms is taken as normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tokenmill.evidence.certainty import SERVING, outcome_band
from tokenmill.evidence.interval import beats, shared_error
from tokenmill.planner.answer import Option

__all__ = ["ahead", "within_limits"]

# what is minimised -> the quantity whose error decides; costs and GPUs go with the capacity
_DECIDES = {"cost": "rate", "gpus": "rate", "latency": "tpot", "energy": "power"}


def within_limits(
    option: Option, ttft_limit_s: float, tpot_limit_s: float, *, closed: bool
) -> float:
    """Probability that measured latencies keep the limits at the percentile asked for.

    Limits fail together where a server is slower than predicted: the less probable one counts.
    """
    found = [1.0]
    for outcome in option.outcomes:
        limits = (("ttft", option.ttft_s, ttft_limit_s), ("tpot", option.tpot_s, tpot_limit_s))
        for name, predicted, limit in limits:
            band = outcome_band(outcome, f"{name}-tail", closed=closed)
            found.append(band.below(predicted, limit))
    return min(found)


def ahead(options: Sequence[Option], goal: str, *, closed: bool) -> tuple[float, ...]:
    """Probability that the first option beats each option in a goal; 0.5 for itself.

    Parameters: options, ranked; goal: cost, energy, gpus or latency.
    """
    if not options:
        return ()
    first = options[0]
    return tuple(_beats(first, other, goal, closed=closed) for other in options)


def _beats(first: Option, other: Option, goal: str, *, closed: bool) -> float:
    if other is first:
        return 0.5
    one, two = (option.score(goal)[0] for option in (first, other))
    if not (0 < one < math.inf and 0 < two < math.inf):
        return 1.0 if one < two else 0.5
    spreads = [
        max(outcome_band(outcome, _DECIDES[goal], closed=closed).spread for outcome in x.outcomes)
        for x in (first, other)
    ]
    same = first.outcomes[0].accelerator == other.outcomes[0].accelerator
    shared = shared_error(SERVING, same_gpu=same)
    return beats(one, two, (spreads[0], spreads[1]), shared)
