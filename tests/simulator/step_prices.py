"""What one step costs, summed over its sequences one by one."""

from __future__ import annotations

import math
from typing import Any


def part(table: Any, unit: str, verified: int, decoders: Any, chunks: Any) -> tuple[float, Any]:
    """The step in one unit, and the own part of each prefill chunk in it."""

    def of(name: str) -> Any:
        return getattr(table, f"{name}_{unit}")

    window = table.window_tokens
    own = []
    for sequence, size in chunks:
        seen = [sequence.computed + i for i in range(1, size + 1)]
        keys = sequence.computed + size
        value = of("prefill_chunk") + max(of("prefill_pair") * sum(seen), of("prefill_key") * keys)
        if window:
            pairs = of("prefill_window_pair") * sum(min(x, window) for x in seen)
            value += max(pairs, of("prefill_window_key") * (size + min(sequence.computed, window)))
        own.append(value)
    b, n = len(decoders), len(decoders) + len(chunks)
    tokens = sum(size for _, size in chunks) + b * verified
    value = sum(own) + of("linear")[tokens] + of("sequence")[n]
    contexts = [sequence.expected + 1 for sequence in decoders]
    if b:
        value += of("decode_ctx")[b] * sum(contexts)
    if b and window:
        value += of("decode_window")[b] * sum(min(x, window) for x in contexts)
    return value, own


def price(replica: Any, decoders: Any, chunks: Any) -> tuple[Any, float, float, float]:
    """The chunks with their own joules; seconds and joules of the step; joules unthrottled."""
    table, limit_w = replica.table, replica.pool.power_limit_w
    step_s, _ = part(table, "s", replica.verified, decoders, chunks)
    natural_j, own_j = part(table, "j", replica.verified, decoders, chunks)
    slower_s = step_s * (replica.slowness - 1.0)
    step_s = step_s * replica.slowness + replica.extra_s
    step_j = natural_j + table.idle_w * (slower_s + replica.extra_s)
    if limit_w < math.inf:
        least_s = (step_j - table.idle_w * step_s) / (limit_w - table.idle_w)
        if least_s > step_s:
            step_j += table.idle_w * (least_s - step_s)
            step_s = least_s
    priced = [(s, size, j) for (s, size), j in zip(chunks, own_j, strict=True)]
    return priced, step_s, step_j, natural_j
