"""A power cap over a factory, shared out to its replicas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError
from tokenmill.simulator.policies import Pool, Steps

__all__ = ["shared_power_limits"]

INF = float("inf")


def shared_power_limits(pools: Sequence[Pool], power_cap_w: float) -> list[Pool]:
    """The pools with a limit on each replica, so that all together never exceed a cap.

    Every replica may draw its idle power and the same share of what it could draw above that, so
    the cap holds at every instant; what an idle replica leaves is not lent to another.
    Parameters: pools; power_cap_w [W]. Raises: InputError where the cap is not above idle power.
    """
    idle_w = [pool.table.idle_w for pool in pools]
    above_w = [max(_most_power_w(pool.table) - pool.table.idle_w, 0.0) for pool in pools]
    counts = [pool.most_replicas for pool in pools]
    idle_sum_w = float(np.dot(counts, idle_w))
    above_sum_w = float(np.dot(counts, above_w))
    if power_cap_w <= idle_sum_w:
        raise InputError(
            f"a power cap of {power_cap_w:.0f} W is not above the {idle_sum_w:.0f} W that all "
            "replicas draw when idle; raise it or have fewer replicas"
        )
    share = (power_cap_w - idle_sum_w) / above_sum_w if above_sum_w > 0 else INF
    if share >= 1.0:
        return list(pools)
    return [
        replace(pool, power_limit_w=min(pool.power_limit_w, idle + share * above))
        for pool, idle, above in zip(pools, idle_w, above_w, strict=True)
    ]


def _most_power_w(table: Steps) -> float:
    """An upper bound on the power of any step: no sum of parts draws more than its hungriest."""
    most = table.idle_w
    for name in ("linear", "sequence", "decode_ctx", "decode_window"):
        seconds = np.asarray(getattr(table, f"{name}_s"), float)
        joules = np.asarray(getattr(table, f"{name}_j"), float)
        size = min(len(seconds), len(joules))
        most = max(most, _densest(seconds[:size], joules[:size], name))
    for name in (
        "prefill_chunk", "prefill_pair", "prefill_window_pair", "prefill_key",
        "prefill_window_key",
    ):  # fmt: skip
        pair = np.array([getattr(table, f"{name}_s")]), np.array([getattr(table, f"{name}_j")])
        most = max(most, _densest(*pair, name))
    return most


def _densest(seconds: NDArray[np.float64], joules: NDArray[np.float64], name: str) -> float:
    if ((seconds == 0.0) & (joules > 0.0)).any():
        raise InputError(
            f"{name} of a step table has energy without time, so no power cap can be shared; "
            "give it the seconds that the energy takes"
        )
    took = seconds > 0.0
    return float((joules[took] / seconds[took]).max()) if took.any() else 0.0
