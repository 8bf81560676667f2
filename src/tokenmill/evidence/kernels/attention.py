"""Kernel tables of attention: prefill, decode, encoders and latent attention."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tokenmill.catalog import load
from tokenmill.evidence.kernels.rows import Sample
from tokenmill.evidence.kernels.table import WARM, Table
from tokenmill.physics import attention
from tokenmill.physics.chip import Chip, Decode, Prefill
from tokenmill.placement.platform import bare_chip

__all__ = ["TABLES"]

Array = NDArray[np.float64]

_DECODE = {
    "launch_clocks": (2e3, 2e4, 1e5),
    "combine_clocks": (10.0, 3e3, 3e4),
    "memory_efficiency": (0.1, 0.9, 1.0),
    "sm_bytes_per_clock": (1.0, 30.0, 300.0),
    "compute_efficiency": (0.05, 0.6, 1.0),
    "ramp": (0.01, 0.2, 3.0),
    "block_clocks": (10.0, 4e3, 5e4),
    "hidden_waves": (0.01, 0.5, 2.0),
    "group": (0.001, 0.1, 3.0),
    "single": (0.1, 0.7, 1.5),
    "serial_clocks": (0.01, 1.0, 1e3),
    "unpacked": (0.001, 0.1, 1.0),
    "tile": (16.0, 64.0, 128.0),
}
_PREFILL = {
    "launch_clocks": (2e3, 2e4, 1e5),
    "memory_efficiency": (0.1, 0.9, 1.0),
    "sm_bytes_per_clock": (1.0, 30.0, 300.0),
    "compute_efficiency": (0.05, 0.7, 1.0),
    "exponential": (0.01, 0.2, 3.0),
    "block_clocks": (10.0, 4e3, 1e5),
    "padding": (0.01, 0.5, 1.0),
    "span": (0.01, 0.3, 2.0),
    "wide": (1.0, 1.1, 8.0),
    "cache": (0.01, 1.0, 100.0),
}


def _decode(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return attention.decode_attention_s(
        chip, x["batch_size"], x["batch_size"] * (x["step"] + 1.0), x["num_heads"],
        x["num_key_value_heads"], x["head_dim"], s.precision, x["window_size"],
    )  # fmt: skip


def _decode_bytes(s: Sample) -> Array:
    x = s.shapes
    reach = np.where(x["window_size"] > 0, x["window_size"], np.inf)
    each = 2.0 * x["num_key_value_heads"] * x["head_dim"] * (1.0 if s.precision == "fp8" else 2.0)
    return each * x["batch_size"] * np.minimum(x["step"] + 1.0, reach)


def _long(s: Sample) -> NDArray[np.bool_]:
    """Contexts of at least 128 tokens."""
    return (s.shapes["step"] if "step" in s.shapes else s.shapes["isl"]) >= 127.0


def _decode_usual(s: Sample) -> NDArray[np.bool_]:
    x = s.shapes
    return (x["step"] >= 511.0) & (x["num_key_value_heads"] <= 8.0) & (x["batch_size"] <= 512.0)


def _prefill_usual(s: Sample) -> NDArray[np.bool_]:
    x = s.shapes
    tokens = x["isl"] * x["batch_size"]
    return (x["isl"] >= 128.0) & (tokens >= 512.0) & (x["num_key_value_heads"] <= 8.0)


def _grouped(s: Sample) -> NDArray[np.bool_]:
    """Groups wider than 32 queries per key head are in no model, and take a slow path.

    Where one kind of head reads caches much larger than L2 faster than memory gives them, its
    caches were not what the table says.
    """
    group = s.shapes["num_heads"] / s.shapes["num_key_value_heads"]
    chip = bare_chip(load.accelerator(s.gpu))
    read = _decode_bytes(s)
    large = read > 4.0 * chip.l2_bytes
    fast = large & (read / s.seconds > 1.1 * chip.memory_bytes_per_s)
    kept = group <= 32.0
    for kind in (group > 1.0, group == 1.0):
        if (fast & kind).sum() > 0.25 * (large & kind).sum():
            kept &= ~(large & kind)
    return kept


def _prefill(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    result = np.empty_like(s.seconds)
    for window in np.unique(x["window_size"]):
        rows = x["window_size"] == window
        y = {name: column[rows] for name, column in x.items()}
        bandwidth = np.broadcast_to(chip.memory_bytes_per_s, rows.shape)[rows]
        part = replace(chip, memory_bytes_per_s=cast(float, bandwidth))
        math, _, cache = s.precision.partition("+")
        cache = cache or math
        result[rows] = attention.prefill_attention_s(
            part, y["batch_size"], y["isl"], 0.0, y["num_heads"], y["num_key_value_heads"],
            y["head_dim"], int(window), math, cache,
        )  # fmt: skip
    return result


def _prefill_bytes(s: Sample) -> Array:
    x = s.shapes
    kept = 4.0 if "+fp8" in s.precision else 2.0  # an fp8 cache is a second copy
    heads = 2.0 * x["num_heads"] + kept * x["num_key_value_heads"]
    return 2.0 * heads * x["head_dim"] * x["batch_size"] * x["isl"]


def _many(s: Sample) -> NDArray[np.bool_]:
    """One new token per sequence is decode, not prefill."""
    return s.shapes["isl"] > 1.0


def _encoder_bytes(s: Sample) -> Array:
    x = s.shapes
    return 8.0 * x["num_heads"] * x["head_dim"] * x["batch_size"] * x["isl"]


def _mla_prefill_bytes(s: Sample) -> Array:
    x = s.shapes
    return 4.0 * 320.0 * x["num_heads"] * x["batch_size"] * x["isl"]


def _encoder(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return attention.encoder_attention_s(
        chip, x["batch_size"], x["isl"], x["num_heads"], x["head_dim"]
    )


def _mla_decode(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    context = x["batch_size"] * (x["step"] + 1.0)
    return attention.mla_decode_s(
        chip, x["batch_size"], context, x["num_heads"], kv_dtype=s.precision
    )


def _mla_decode_bytes(s: Sample) -> Array:
    x = s.shapes
    return 576.0 * (1.0 if s.precision == "fp8" else 2.0) * x["batch_size"] * (x["step"] + 1.0)


def _mla_prefill(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return attention.mla_prefill_s(
        chip, x["batch_size"], x["isl"], 0.0, x["num_heads"], kv_dtype=s.precision
    )


TABLES = (
    Table(
        "generation_attention", "generation_attention.parquet", "decode", Decode, _DECODE,
        ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
        ("batch_size", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size"),
        _decode, _decode_bytes, WARM, 6.0, _grouped, "triton", _decode_usual,
    ),
    Table(
        "context_attention", "context_attention.parquet", "prefill", Prefill, _PREFILL,
        ("attn_dtype", "kv_cache_dtype"),
        {("bfloat16", "bfloat16"): "bf16", ("bfloat16", "fp8"): "bf16+fp8",
         ("fp8", "fp8"): "fp8"},
        ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "window_size"),
        _prefill, _prefill_bytes, WARM, 4.0, _many, "triton", _prefill_usual,
    ),
    Table(
        "encoder_attention", "encoder_attention.parquet", "encoder", Prefill, _PREFILL,
        ("attn_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
        ("batch_size", "isl", "num_heads", "head_dim"), _encoder, _encoder_bytes, WARM,
        keep=_many, usual=_long,
    ),
    Table(
        "generation_mla", "generation_mla.parquet", "mla_decode", Decode, _DECODE,
        ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
        ("batch_size", "step", "num_heads"), _mla_decode, _mla_decode_bytes, WARM, 6.0,
        usual=_long,
    ),
    Table(
        "context_mla", "context_mla.parquet", "mla_prefill", Prefill, _PREFILL,
        ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
        ("batch_size", "isl", "num_heads"), _mla_prefill, _mla_prefill_bytes, WARM, 4.0,
        _many, usual=_long,
    ),
)  # fmt: skip
