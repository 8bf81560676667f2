"""How kernel tables load experts: drawn from a power law, the busiest rank timed.

The tables name a distribution and an exponent, not the loads. Loads are drawn again here: one
weight per expert from a density x^-exponent, scaled to the rows of all tokens and rounded; the
rank with the most rows is the one that was timed. Means over a few draws stand for one.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.rows import Sample

__all__ = ["with_loads"]

Array = NDArray[np.float64]

_DRAWS = 16
_FEW = (0.01, 2.0)  # bounds of the law where there are no more rows than experts
_SHARE = 0.8  # of the tokens is the most that the law gives one expert


def with_loads(sample: Sample) -> Sample:
    """The sample with columns rank_rows and rank_experts: the load of the busiest rank."""
    x = sample.shapes
    keys = np.stack(
        [x[name] for name in ("num_tokens", "topk", "num_experts", "moe_ep_size", "exponent")],
        axis=1,
    )
    each, place = np.unique(keys, axis=0, return_inverse=True)
    found = np.array([_busiest(int(t), int(k), int(n), int(ep), e) for t, k, n, ep, e in each])
    loads = found[place.ravel()]
    return replace(sample, shapes={**x, "rank_rows": loads[:, 0], "rank_experts": loads[:, 1]})


@lru_cache(maxsize=100_000)
def _busiest(
    tokens: int, top_k: int, experts: int, ep: int, exponent: float
) -> tuple[float, float]:
    ranks = _drawn(tokens, top_k, experts, exponent).reshape(_DRAWS, ep, experts // ep)
    most = ranks.sum(axis=2).argmax(axis=1)
    mine = ranks[np.arange(_DRAWS), most]
    return float(mine.sum(axis=1).mean()), max(float((mine > 0).sum(axis=1).mean()), 1.0)


@lru_cache(maxsize=4_000)
def _drawn(tokens: int, top_k: int, experts: int, exponent: float) -> Array:
    """Rows of every expert in some draws (draws, experts), each adding up to all rows."""
    random = np.random.default_rng((tokens, top_k, experts))
    total = tokens * top_k
    low, high = (1.0, max(_SHARE * tokens, 1.0 + 1e-4)) if total > experts else _FEW
    power = 1.0 - exponent
    uniform = random.random((_DRAWS, experts))
    weight = ((high**power - low**power) * uniform + low**power) ** (1.0 / power)
    loads: Array = np.rint(weight / weight.sum(axis=1, keepdims=True) * total)
    for row in loads:
        _settle(row, total, random)
    return loads


def _settle(row: Array, total: int, random: np.random.Generator) -> None:
    """Make rounded loads add up: what is missing goes to the largest, the rest off the smallest."""
    order = np.lexsort((random.random(row.size), -row))
    missing = int(total - row.sum())
    if missing > 0:
        np.add.at(row, order[np.arange(missing) % row.size], 1.0)
    for index in order[::-1]:
        if missing >= 0:
            return
        taken = min(row[index], float(-missing))
        row[index] -= taken
        missing += int(taken)
