"""Mixture of experts on one GPU: sort tokens by expert, two grouped products, weighted sum.

Few tokens read the weights of the experts they touch; many tokens compute, each expert's rows
padded to whole tiles. Routers load experts unevenly: loads are taken as gamma-distributed with
a coefficient of variation `skew`, which gives the experts touched in closed form (a negative
binomial) and, under expert parallelism, the load of the busiest rank that sets the pace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip, Experts

__all__ = [
    "busiest_rows", "experts_read", "mean_load", "moe_s", "padded_rows", "touched_share",
]  # fmt: skip

Array = NDArray[np.float64]

_BLOCK = 128.0  # columns of one thread block
_SKEW = 0.8  # of expert loads where nothing else is known


def touched_share(rows_per_expert: Any, skew: Any) -> Array:
    """Expected share [1] of experts that get a token at all.

    Parameters: rows_per_expert [mean tokens x top_k / experts]; skew, the coefficient of
    variation of expert loads [1]. With shape r = 1/skew^2 the share is 1 - (1 + rows/r)^-r; it
    tends to 1 - exp(-rows) for even loads.
    """
    variance = np.maximum(np.asarray(skew, float) ** 2, 1e-6)
    share: Array = -np.expm1(-np.log1p(np.asarray(rows_per_expert, float) * variance) / variance)
    return share


def busiest_rows(
    tokens: Any, top_k: Any, experts: Any, ep: Any, skew: Any = _SKEW
) -> Array:  # fmt: skip
    """Rows [tokens x choices] on the busiest of `ep` ranks.

    Parameters: tokens routed over all ranks; top_k of `experts`; skew as in `touched_share`.
    A rank's rows have the mean m = tokens x top_k / ep and the variance m + m^2 skew^2 ep /
    experts (a negative binomial); the largest of ep of them lies sqrt(2 ln ep) deviations up.
    """
    tokens, ep = np.asarray(tokens, float), np.asarray(ep, float)
    mean = tokens * top_k / ep
    variance = mean + mean**2 * np.asarray(skew, float) ** 2 * ep / experts
    most = tokens * np.minimum(top_k, experts / ep)
    rows: Array = np.minimum(mean + np.sqrt(2.0 * np.log(ep) * variance), most)
    return rows


def experts_read(tokens: Any, top_k: Any, experts: Any, ep: Any, skew: Any = _SKEW) -> Array:
    """Expected number of experts whose weights the busiest of `ep` ranks reads [count].

    Parameters as in `busiest_rows`.
    """
    local, rows = experts / np.asarray(ep, float), busiest_rows(tokens, top_k, experts, ep, skew)
    read: Array = np.minimum(local * touched_share(rows / local, skew), rows)
    return read


def moe_s(
    chip: Chip, dtype: str, tokens: Any, hidden: Any, inter: Any, top_k: Any, experts: Any,
    tp: Any = 1.0, ep: Any = 1.0, matrices: Any = 3.0, skew: Any = _SKEW, engine: str = "any",
    weight_bytes: float | None = None, load: tuple[Any, Any] | None = None,
) -> Array:  # fmt: skip
    """Time of the routed experts of one layer on the busiest GPU.

    Parameters: chip; dtype as in `physics.arithmetic`; tokens routed over all `ep` ranks
    together; hidden, inter [values, unsharded]; top_k of `experts` in all; tp splits `inter`,
    ep splits the experts; matrices per expert (3 gated, 2 plain); skew of expert loads [1],
    0 = even; engine; weight_bytes [B per weight]; load, (rows, experts touched) [count] on the
    busiest GPU where they are known.
    Returns: seconds [s]: sort, gate, up and down products, weighted sum.
    Raises: UnknownName, NoPeak, NoCalibration.
    """
    kind = arithmetic(chip, dtype)
    c: Experts = chip.pick("experts", kind.constants, engine)
    tokens, hidden, ep = (np.asarray(x, float) for x in (tokens, hidden, ep))
    wide = np.asarray(inter, float) / tp
    stored = kind.weight_bytes if weight_bytes is None else weight_bytes
    all_rows = tokens * top_k
    if load is None:
        rows = busiest_rows(tokens, top_k, experts, ep, skew)
        touched = experts_read(tokens, top_k, experts, ep, skew)
    else:
        rows, touched = load
    each = matrices * hidden * wide
    memory_s = touched * each * stored / (chip.memory_bytes_per_s * c.memory_efficiency)
    padded = rows + 0.5 * c.tile * touched
    compute_s = 2.0 * padded * each / (chip.flop_per_s(kind.peak) * c.compute_efficiency)
    compute_s = compute_s * (1.0 + c.throttle * compute_s / (compute_s + 1e-3))
    work_s = np.maximum(memory_s, compute_s) + c.exposed * np.minimum(memory_s, compute_s)
    streamed = (rows + c.foreign * (all_rows - rows)) * 2.0 * (2.0 * hidden + matrices * wide)
    streamed = streamed + 4.0 * tokens * hidden
    stream_s = streamed / chip.stream_bytes_per_s(c.stream_efficiency, c.sm_bytes_per_clock)
    blocks = touched * (np.ceil((matrices - 1.0) * wide / _BLOCK) + np.ceil(hidden / _BLOCK))
    fixed = c.launch_clocks + c.latency_clocks * np.log1p(memory_s * 1e6)
    fixed = fixed + c.block_clocks * blocks / chip.sm_count
    result: Array = fixed / chip.boost_hz + work_s + stream_s
    return result


def mean_load(
    distinct: Any, tokens: Any, top_k: Any, experts: Any, ep: Any, skew: Any = _SKEW
) -> tuple[Array, Array]:
    """(rows, experts touched) [count] of the mean of `ep` ranks, while the busiest sets the pace.

    Parameters as in `busiest_rows`; distinct, the tokens that choose for themselves.
    """
    local = experts / np.asarray(ep, float)
    rows: Array = np.asarray(tokens, float) * top_k / np.asarray(ep, float)
    chosen = np.asarray(distinct, float) * top_k / experts
    return rows, np.minimum(local * touched_share(chosen, skew), rows)


def padded_rows(chip: Chip, dtype: str, touched: Any, engine: str = "any") -> Array:
    """Rows of no token that fill the tiles of `touched` experts [count]."""
    constants: Experts = chip.pick("experts", arithmetic(chip, dtype).constants, engine)
    rows: Array = 0.5 * constants.tile * np.asarray(touched, float)
    return rows
