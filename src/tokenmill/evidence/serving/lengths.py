"""Lengths of a row's requests: drawn evenly over the law of its data set, the same every time."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.evidence.serving.setups import Setup

__all__ = ["drawn", "variation"]

Ints = NDArray[np.int32]


def drawn(setup: Setup, count: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(prompts, outputs) of `count` requests [tokens], arrays [count]."""
    demand = setup.demand
    return (
        _lengths(setup, "prompt", demand.prompt_mean, count, rng),
        _lengths(setup, "output", demand.output_mean, count, rng),
    )


def _lengths(
    setup: Setup, side: str, mean: float, count: int, rng: np.random.Generator
) -> Ints:  # fmt: skip
    if setup.shape == "fixed" or (side == "output" and _limit(mean)):
        values = np.full(count, mean)
    else:
        even = (rng.permutation(count) + 0.5) / count
        if setup.shape == "uniform":
            low = setup.client.shortest if setup.client.shortest < 1.0 else 0.8
            values = mean * (low + (1.0 - low) * even) / (0.5 * (1.0 + low))
        else:
            values = _spread(setup.shape, side, mean)[(even * _POINTS).astype(int)]
    return np.maximum(np.round(values), 1.0).astype(np.int32)


def _limit(mean: float) -> bool:
    """Whether a mean of answers [tokens] is the limit that all of them reach: a power of two."""
    return mean == round(mean) and not round(mean) & (round(mean) - 1)


def variation(shape: str, side: str) -> float:
    """Squared coefficient of variation of a data set's lengths; 0 where they are fixed."""
    if shape == "fixed":
        return 0.0
    known = load.calibration("dataset-lengths").figures
    return known.get(f"{shape}/{side}_variation", known[f"other/{side}_variation"]).value


_POINTS = 512
_ROUNDS = 6


@lru_cache(maxsize=64)
def _spread(shape: str, side: str, mean: float) -> NDArray[np.float64]:
    """Quantiles of lengths [tokens], lognormal with the data set's spread up to its longest [512].

    Clients leave out longer samples, so the law ends there; its mean is the one asked for.
    """
    known = load.calibration("dataset-lengths").figures
    longest = known.get(f"{shape}/longest", known["other/longest"]).value
    sigma = float(np.sqrt(np.log1p(variation(shape, side))))
    normal = NormalDist()
    even = (np.arange(_POINTS) + 0.5) / _POINTS
    values = np.exp(sigma * np.array([normal.inv_cdf(float(p)) for p in even]))
    most = max(longest, 2.0 * mean)
    for _ in range(_ROUNDS):
        values = np.minimum(values * mean / values.mean(), most)
    return np.asarray(values)
