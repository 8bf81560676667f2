"""Routed experts of a step: the busiest GPU sets the pace, the mean one pays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tokenmill.physics import experts
from tokenmill.physics.arithmetic import arithmetic
from tokenmill.physics.chip import Chip
from tokenmill.placement import own_kernels
from tokenmill.placement.engines import Engine
from tokenmill.placement.layout import LayoutGrid
from tokenmill.placement.parts import Part, counted
from tokenmill.work.ops import ExpertBlock
from tokenmill.work.precision import WeightFormat
from tokenmill.work.storage import stored_bits

__all__ = ["expert_part"]

Scalar = Any


def expert_part(
    engine: Engine, chip: Chip, grid: LayoutGrid, weights: WeightFormat, op: ExpertBlock,
    tokens: Scalar,
) -> Part:  # fmt: skip
    """The grouped products of a step's experts on one GPU.

    Parameters: engine, chip and layouts; weights, how they are stored; op; tokens of the step on
    all ranks that share the experts.
    """
    e = op.experts
    inner = e.input_width or op.hidden
    stored = stored_bits(op, weights) / 8.0
    rows = experts.busiest_rows(tokens, e.top_k, e.count, grid.ep)
    distinct = np.asarray(tokens, float) ** engine.alike
    touched = experts.experts_read(distinct, e.top_k, e.count, grid.ep)
    wanted = own_kernels.expert_kernels(engine, chip, weights.experts)

    def work_s(chip: Chip, load: tuple[Scalar, Scalar]) -> Scalar:
        return experts.moe_s(
            chip, wanted, tokens, inner, e.width, e.top_k, e.count,
            tp=grid.moe_tp, ep=grid.ep, matrices=float(op.matrices), engine=engine.name,
            weight_bytes=stored, load=load,
        )  # fmt: skip

    used = own_kernels.expert_chip(engine, chip)
    seconds = own_kernels.own_kernel_s(
        engine, used, tokens, lambda chip: work_s(chip, (rows, touched))
    )
    mean = experts.mean_load(distinct, tokens, e.top_k, e.count, grid.ep)
    share: Scalar = 1.0
    if np.any(grid.ep > 1):
        share = np.minimum(work_s(used, mean) / seconds, 1.0)
    each = op.matrices * inner * e.width / grid.moe_tp
    flop, memory = 2.0 * tokens * e.top_k * each / grid.ep, touched * each * stored
    peak = arithmetic(chip, wanted).peak
    seconds = own_kernels.paced_s(engine, chip, seconds, flop, peak, memory, engine.experts_share)
    seconds = seconds + own_kernels.experts_extra_s(
        engine, chip, tokens, tokens * e.top_k / grid.ep, touched, each
    )
    seconds = seconds + own_kernels.block_scales_s(engine, chip, wanted) * 2.0
    # plain 8-bit experts pad as those in 16 bits do, whatever the kernels that time them
    tile = "bf16" if weights.experts == "fp8" else wanted
    padding = experts.padded_rows(chip, tile, mean[1], engine.name)
    part = counted(op, seconds, flop, mean[1] * each * stored, peak)
    return replace(part, share=share, padding=2.0 * padding * each * op.count)
