"""How each kernel table maps to a physics function: shapes, precisions, bounds of constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernel_rows import Sample, read_table
from tokenmill.physics import attention, experts, gemm
from tokenmill.physics.chip import Chip, Decode, Experts, Gemm, Prefill

__all__ = ["TABLES", "Table"]

Array = NDArray[np.float64]
Bounds = tuple[float, float, float]


@dataclass(frozen=True)
class Table:
    """One operation of one kernel table: how to read it and how to predict it."""

    name: str
    file: str
    operation: str
    constants: type
    bounds: Mapping[str, Bounds]
    keys: tuple[str, ...]
    precision: Mapping[tuple[str, ...], str]
    shapes: tuple[str, ...]
    predict: Callable[[Chip, Sample], Array]
    footprint: Callable[[Sample], Array] | None = None
    nuisance: tuple[Bounds, ...] = ()
    sharpness: float = 4.0
    keep: Callable[[Sample], NDArray[np.bool_]] | None = None

    def key(self, sample: Sample) -> str:
        """The constants group of a sample."""
        return sample.precision

    def read(self, folder: Path) -> list[Sample]:
        """The samples of this operation. Raises: Unsupported, InputError."""
        found = read_table(folder / self.file, self.precision, self.keys, self.shapes)
        if self.keep is None:
            return found
        return [sample.take(np.flatnonzero(self.keep(sample))) for sample in found]


# Bytes of a weight and of an activation, as far as cache residence needs them.
_SIZES = {
    "bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "fp8_block": (1.0, 1.0), "int8": (1.0, 1.0),
    "fp4": (0.5625, 0.5625), "int8_wo": (1.0, 2.0), "int4_wo": (0.53, 2.0),
}  # fmt: skip


def _gemm(chip: Chip, s: Sample) -> Array:
    return gemm.gemm_s(chip, s.precision, s.shapes["m"], s.shapes["n"], s.shapes["k"])


def _gemm_bytes(s: Sample) -> Array:
    weight, activation = _SIZES[s.precision]
    m, n, k = s.shapes["m"], s.shapes["n"], s.shapes["k"]
    return weight * n * k + activation * m * k + 2.0 * m * n


_GEMM = {
    "launch_clocks": (1e3, 5e3, 1e5),
    "latency_clocks": (1.0, 1e3, 5e3),
    "compute_efficiency": (0.2, 0.8, 1.0),
    "memory_efficiency": (0.3, 0.85, 1.0),
    "l2_bytes_per_clock": (5.0, 60.0, 1000.0),
    "split_k": (32.0, 1000.0, 65536.0),
    "quantisation": (0.01, 0.3, 1.0),
    "rigidity": (0.001, 0.1, 1.0),
    "row_clocks": (1.0, 200.0, 1e4),
    "overlap": (1.0, 3.0, 8.0),
    "throttle": (0.001, 0.1, 1.5),
}
_WARM = ((4.0, 60.0, 200.0), (0.02, 0.1, 1.5))

_DECODE = {
    "launch_clocks": (2e3, 2e4, 1e5),
    "memory_efficiency": (0.3, 0.9, 1.0),
    "compute_efficiency": (0.1, 0.6, 1.0),
    "ramp": (0.01, 0.2, 3.0),
    "block_clocks": (10.0, 4e3, 5e4),
    "hidden_waves": (0.01, 0.5, 2.0),
    "group": (0.001, 0.1, 3.0),
    "single": (0.1, 0.7, 1.5),
    "unpacked": (0.001, 0.1, 1.0),
}
_PREFILL = {
    "launch_clocks": (2e3, 2e4, 1e5),
    "memory_efficiency": (0.2, 0.8, 1.0),
    "compute_efficiency": (0.05, 0.7, 1.0),
    "exponential": (0.01, 0.2, 3.0),
    "block_clocks": (10.0, 4e3, 1e5),
    "padding": (1.0, 64.0, 1000.0),
    "span": (0.01, 0.3, 2.0),
}
_WARM_CACHE = ((4.0, 60.0, 200.0), (0.1, 0.8, 2.0))
_DTYPE = {"bfloat16": "bf16", "fp8": "fp8"}


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


def _grouped(x: Sample) -> NDArray[np.bool_]:
    """Groups wider than 32 queries per key head are in no model, and take a slow path."""
    return x.shapes["num_heads"] <= 32.0 * x.shapes["num_key_value_heads"]


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


_EXPERTS = {
    "launch_clocks": (5e3, 4e4, 2e5),
    "expert_clocks": (1.0, 40.0, 4e3),
    "compute_efficiency": (0.05, 0.5, 1.0),
    "memory_efficiency": (0.2, 0.85, 1.0),
    "stream_efficiency": (0.02, 0.5, 1.0),
    "foreign": (0.001, 0.1, 3.0),
    "tile": (1.0, 32.0, 256.0),
    "overlap": (1.0, 3.0, 8.0),
}


def table_skew(tokens: Array, exponent: Array) -> Array:
    """Coefficient of variation of expert loads that the table draws.

    Its power law has density x^-exponent between 1 and 0.8 x tokens.
    """
    top = np.log(np.maximum(0.8 * tokens, 2.0))

    def moment(power: float) -> Array:
        order = power + 1.0 - exponent
        return np.expm1(order * top) / order

    return np.sqrt(np.maximum(moment(2.0) * moment(0.0) / moment(1.0) ** 2 - 1.0, 1e-4))


def _moe(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return experts.moe_s(
        chip, s.precision, x["num_tokens"], x["hidden_size"], x["inter_size"], x["topk"],
        x["num_experts"], x["moe_tp_size"], x["moe_ep_size"], 3.0,
        table_skew(x["num_tokens"], x["exponent"]),
    )  # fmt: skip


def _skewed(s: Sample) -> NDArray[np.bool_]:
    """The balanced rows fill experts by turns, each kernel its own way; routers do not."""
    return s.shapes["exponent"] > 0.0


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "gemm", "gemm.parquet", "gemm", Gemm, _GEMM, ("gemm_dtype",),
            {("bfloat16",): "bf16", ("fp8",): "fp8", ("fp8_block",): "fp8_block",
             ("nvfp4",): "fp4", ("sq",): "int8", ("int8_wo",): "int8_wo",
             ("int4_wo",): "int4_wo"},
            ("m", "n", "k"), _gemm, _gemm_bytes, _WARM,
        ),
        Table(
            "generation_attention", "generation_attention.parquet", "decode", Decode, _DECODE,
            ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
            ("batch_size", "step", "num_heads", "num_key_value_heads", "head_dim", "window_size"),
            _decode, _decode_bytes, _WARM_CACHE, 6.0, _grouped,
        ),
        Table(
            "context_attention", "context_attention.parquet", "prefill", Prefill, _PREFILL,
            ("attn_dtype", "kv_cache_dtype"),
            {("bfloat16", "bfloat16"): "bf16", ("bfloat16", "fp8"): "bf16+fp8",
             ("fp8", "fp8"): "fp8"},
            ("batch_size", "isl", "num_heads", "num_key_value_heads", "head_dim", "window_size"),
            _prefill, _prefill_bytes, _WARM_CACHE, 4.0, _many,
        ),
        Table(
            "encoder_attention", "encoder_attention.parquet", "encoder", Prefill, _PREFILL,
            ("attn_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
            ("batch_size", "isl", "num_heads", "head_dim"), _encoder, _encoder_bytes, _WARM_CACHE,
        ),
        Table(
            "generation_mla", "generation_mla.parquet", "mla_decode", Decode, _DECODE,
            ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
            ("batch_size", "step", "num_heads"), _mla_decode, _mla_decode_bytes, _WARM_CACHE, 6.0,
        ),
        Table(
            "context_mla", "context_mla.parquet", "mla_prefill", Prefill, _PREFILL,
            ("kv_cache_dtype",), {("bfloat16",): "bf16", ("fp8",): "fp8"},
            ("batch_size", "isl", "num_heads"), _mla_prefill, _mla_prefill_bytes, _WARM_CACHE, 4.0,
            _many,
        ),
        Table(
            "moe", "moe.parquet", "experts", Experts, _EXPERTS, ("moe_dtype",),
            {("bfloat16",): "bf16", ("fp8",): "fp8", ("fp8_block",): "fp8_block",
             ("nvfp4",): "fp4", ("int4_wo",): "int4_wo", ("w4a16_mxfp4",): "w4a16",
             ("w4a8_mxfp4_mxfp8",): "w4a8"},
            ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size",
             "moe_ep_size", "exponent"),
            _moe, keep=_skewed,
        ),
    )
}  # fmt: skip
