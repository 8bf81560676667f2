"""Messages of a step: reductions of tensor ranks, tokens to their experts, pipeline stages."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tokenmill.physics.collectives import (
    collective_s,
    custom_all_reduce_s,
    expert_exchange_s,
    wire_bytes,
)
from tokenmill.physics.fabric import BACKENDS, Fabric
from tokenmill.placement.engines import Engine
from tokenmill.placement.parts import Part
from tokenmill.work.ops import ExpertBlock

__all__ = ["between_stages", "exchange", "message"]

Scalar = Any


def message(
    fabric: Fabric, engine: Engine, name: str, op: str, sent: Scalar, ranks: Scalar, count: int
) -> Part:
    """`count` collectives [count] over `ranks` of a buffer of `sent` bytes [B] as a part."""
    if op == "all_reduce" and not engine.library_reduce:
        kernels = engine.name.replace("tensorrt-llm", "trtllm")
        seconds = custom_all_reduce_s(fabric, sent, ranks, engine=kernels)
    else:
        seconds = collective_s(fabric, op, sent, ranks)
    return _part(engine, name, seconds, wire_bytes(op, sent, ranks), count)


def exchange(
    fabric: Fabric, engine: Engine, phase: Literal["dispatch", "combine"], op: ExpertBlock,
    tokens: Scalar, *, hidden: float, copies: Scalar, ranks: Scalar,
) -> Part:  # fmt: skip
    """One way between attention ranks and experts: an all-to-all, or the library of the engine.

    Parameters: phase; op, the experts; tokens of each rank, of `hidden` values, of which an
    all-to-all sends `copies`; ranks that hold experts.
    """
    name, values = f"expert {phase}", tokens * copies * hidden
    if not engine.deep_ep:
        return message(fabric, engine, name, "all_to_all", values * 2.0, ranks, op.count)
    width = 1.0 if phase == "dispatch" else 2.0  # bytes of a value: FP8 out, 16 bits back
    seconds = np.minimum.reduce([
        expert_exchange_s(
            fabric, phase, tokens, hidden * width, ranks, top_k=op.experts.top_k, backend=backend
        )
        for backend in BACKENDS
    ])  # fmt: skip
    sent = wire_bytes("all_to_all", values * width, ranks)
    return _part(engine, name, seconds, sent, op.count)


def between_stages(fabric: Fabric, engine: Engine, sent: Scalar, stages: Scalar) -> Part:
    """Every one of the micro-batches, as many as stages, crosses every boundary of a pipeline.

    Parameters: sent [B] by a micro-batch; stages [count].
    """
    seconds = collective_s(fabric, "p2p", sent, np.where(stages > 1, 2.0, 1.0))
    return _part(engine, "stage transfer", seconds, sent, stages)


def _part(engine: Engine, name: str, seconds: Scalar, sent: Scalar, count: Scalar) -> Part:
    """`count` messages at the pace of an engine, given what one takes [s] and sends [B]."""
    seconds = seconds / engine.link_share
    zero = np.zeros_like(seconds)
    return Part(name, seconds * count, zero, zero, sent * count, "link")
