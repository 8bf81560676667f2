"""Regimes: parts of a kernel table that a serving engine meets together, to find bias in them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.rows import Sample

__all__ = ["regimes"]

Array = NDArray[np.float64]
Rows = NDArray[np.bool_]


def _between(x: Array, low: float, high: float) -> Rows:
    inside: Rows = (x >= low) & (x <= high)
    return inside


def _gemm(x: Mapping[str, Array]) -> dict[str, Rows]:
    wide = _between(x["n"], 1024, 51200) & _between(x["k"], 1024, 51200)
    steps = {"m 1-16": (1, 16), "m 17-64": (17, 64), "m 65-256": (65, 256),
             "m 257-2047": (257, 2047), "m 2048 and more": (2048, np.inf)}  # fmt: skip
    found = {name: wide & _between(x["m"], *ends) for name, ends in steps.items()}
    return found | {"n or k below 1024, above 51200": ~wide}


def _experts(x: Mapping[str, Array]) -> dict[str, Rows]:
    steps = {"1-8 tokens": (1, 8), "9-64 tokens": (9, 64), "65-512 tokens": (65, 512),
             "513-4096 tokens": (513, 4096), "more tokens": (4097, np.inf)}  # fmt: skip
    return {name: _between(x["num_tokens"], *ends) for name, ends in steps.items()}


def _decode(x: Mapping[str, Array]) -> dict[str, Rows]:
    context, batch = x["step"] + 1.0, x["batch_size"]
    windowed = x.get("window_size", np.zeros_like(batch)) > 0
    found = {"context below 512": context < 512, "window": windowed & (context >= 512)}
    plain = ~windowed & (context >= 512)
    for low, high in ((1, 8), (9, 64), (65, np.inf)):
        mine = plain & _between(batch, low, high)
        name = f"batch {low}-{high:g}" if np.isfinite(high) else f"batch {low} and more"
        found[f"{name}, context to 2048"] = mine & (context <= 2048)
        found[f"{name}, longer context"] = mine & (context > 2048)
    return found


def _prefill(x: Mapping[str, Array]) -> dict[str, Rows]:
    length, tokens = x["isl"], x["isl"] * x["batch_size"]
    windowed = x.get("window_size", np.zeros_like(length)) > 0
    many = tokens >= 512
    plain = many & ~windowed
    return {
        "below 512 tokens": ~many, "window": many & windowed,
        "prompts below 1024": plain & (length < 1024),
        "prompts 1024-2048": plain & _between(length, 1024, 2048),
        "prompts 2049-8192": plain & _between(length, 2049, 8192),
        "longer prompts": plain & (length > 8192),
    }  # fmt: skip


def _layers(x: Mapping[str, Array]) -> dict[str, Rows]:
    batch = x["batch_size"]
    return {"batch 1-8": batch <= 8, "batch 9-64": _between(batch, 9, 64), "more": batch > 64}


_OF = {"gemm": _gemm, "moe": _experts, "generation_attention": _decode,
       "generation_mla": _decode, "context_attention": _prefill, "context_mla": _prefill,
       "encoder_attention": _prefill}  # fmt: skip


def regimes(table: str, sample: Sample) -> dict[str, Rows]:
    """Rows of a sample by regime of its table; every row is in one."""
    return _OF.get(table, _layers)(sample.shapes)
