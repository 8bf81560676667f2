"""Mixture of experts on one GPU: sort tokens by expert, two grouped products, weighted sum.

Few tokens read the weights of the experts they touch; many tokens compute, each expert's rows
padded to whole tiles. Under expert parallelism the busiest rank sets the pace.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip, Experts
from tokenmill.work.language import distinct_experts

__all__ = ["moe_s"]

Array = NDArray[np.float64]


def moe_s(
    chip: Chip, dtype: str, tokens: Any, hidden: Any, inter: Any, top_k: Any, experts: Any,
    tp: Any = 1.0, ep: Any = 1.0, matrices: float = 3.0, skew: Any = 1.0, engine: str = "any",
    weight_bytes: float | None = None,
) -> Array:  # fmt: skip
    """Time of the routed experts of one layer on the busiest GPU.

    Parameters: chip; dtype as in `physics.arithmetic`; tokens routed over all `ep` ranks
    together; hidden, inter [values, unsharded]; top_k of `experts` in all; tp splits `inter`,
    ep splits the experts; matrices per expert (3 gated, 2 plain); skew of the routing, 0 =
    balanced, 1 = a power law as routers show; engine; weight_bytes [B per weight].
    Returns: seconds [s], gate, up and down products with their sort and sum.
    Raises: UnknownName, NoPeak, NoCalibration.
    """
    kind = arithmetic(chip, dtype)
    c: Experts = chip.pick("experts", kind.constants, engine)
    tokens, hidden, ep = (np.asarray(x, float) for x in (tokens, hidden, ep))
    wide = np.asarray(inter, float) / tp
    stored = kind.weight_bytes if weight_bytes is None else weight_bytes
    local = np.maximum(experts / ep, 1.0)
    rows = tokens * top_k / ep * (1.0 + c.imbalance * skew * np.log(ep))
    touched = np.minimum(local / experts * distinct_experts(experts, top_k, tokens), local)
    each = matrices * hidden * wide
    moved = touched * each * stored + rows * 2.0 * (2.0 * hidden + matrices * wide)
    padded = rows + 0.5 * c.tile * touched
    memory_s = moved / (chip.memory_bytes_per_s * c.memory_efficiency)
    compute_s = 2.0 * padded * each / (chip.flop_per_s(kind.peak) * c.compute_efficiency)
    work_s = (memory_s**c.overlap + compute_s**c.overlap) ** (1.0 / c.overlap)
    result: Array = c.launch_s + c.expert_s * local + work_s
    return result
