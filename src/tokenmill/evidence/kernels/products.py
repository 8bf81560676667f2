"""Kernel tables of matrix products: dense and of experts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.draws import with_loads
from tokenmill.evidence.kernels.rows import Sample
from tokenmill.evidence.kernels.table import WARM, Table
from tokenmill.physics import experts, gemm
from tokenmill.physics.chip import Chip, Experts, Gemm

__all__ = ["TABLES"]

Array = NDArray[np.float64]

# Bytes of a weight and of an activation, as far as cache residence needs them.
_SIZES = {
    "bf16": (2.0, 2.0), "fp8": (1.0, 1.0), "fp8_block": (1.0, 1.0), "int8": (1.0, 1.0),
    "fp4": (0.5625, 0.5625), "int8_wo": (1.0, 2.0), "int4_wo": (0.53, 2.0),
    "w4a16": (0.53, 2.0), "w4a8": (0.53, 1.0),
}  # fmt: skip
# Products rotate over a few copies of their operands, so that less of L2 stays warm.
_COLD = ((4.0, 60.0, 200.0), (0.02, 0.1, 1.5))


def _gemm(chip: Chip, s: Sample) -> Array:
    return gemm.gemm_s(chip, s.precision, s.shapes["m"], s.shapes["n"], s.shapes["k"])


def _gemm_bytes(s: Sample) -> Array:
    weight, activation = _SIZES[s.precision]
    m, n, k = s.shapes["m"], s.shapes["n"], s.shapes["k"]
    return weight * n * k + activation * m * k + 2.0 * m * n


def _gemm_usual(s: Sample) -> NDArray[np.bool_]:
    return (s.shapes["n"] >= 512.0) & (s.shapes["k"] >= 512.0)


_GEMM = {
    "launch_clocks": (1e3, 5e3, 1e5),
    "latency_clocks": (1.0, 1e3, 5e3),
    "compute_efficiency": (0.2, 0.8, 1.0),
    "memory_efficiency": (0.3, 0.85, 1.0),
    "l2_bytes_per_clock": (5.0, 60.0, 1000.0),
    "sm_bytes_per_clock": (2.0, 60.0, 300.0),
    "split_k": (32.0, 1000.0, 65536.0),
    "quantisation": (0.01, 0.3, 1.0),
    "rigidity": (0.001, 0.1, 1.0),
    "row_clocks": (1.0, 200.0, 1e4),
    "throttle": (0.001, 0.1, 1.5),
}


_EXPERTS = {
    "launch_clocks": (5e3, 3e4, 2e5),
    "latency_clocks": (1.0, 2e3, 5e4),
    "block_clocks": (1.0, 500.0, 2e4),
    "compute_efficiency": (0.05, 0.5, 1.0),
    "memory_efficiency": (0.2, 0.85, 1.0),
    "stream_efficiency": (0.02, 0.8, 1.0),
    "sm_bytes_per_clock": (1.0, 30.0, 300.0),
    "foreign": (0.001, 0.1, 3.0),
    "tile": (1.0, 32.0, 256.0),
    "exposed": (0.01, 0.5, 1.0),
    "throttle": (0.001, 0.1, 3.0),
}


def _matrices(s: Sample) -> Array:
    """Nemotron's experts have two matrices; the older kernels of the A100 tables compute three."""
    plain = (s.shapes["inter_size"] == 1856.0) | (s.shapes["topk"] == 22.0)
    gated = s.gpu.startswith("a100") or (s.engine == "sglang" and s.gpu in ("h100-sxm", "h200-sxm"))
    return np.where(plain & (not gated), 2.0, 3.0)


def _moe(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return experts.moe_s(
        chip, s.precision, x["num_tokens"], x["hidden_size"], x["inter_size"], x["topk"],
        x["num_experts"], x["moe_tp_size"], x["moe_ep_size"], _matrices(s),
        load=(x["rank_rows"], x["rank_experts"]),
    )  # fmt: skip


def _moe_bytes(s: Sample) -> Array:
    x = s.shapes
    each = _matrices(s) * x["hidden_size"] * x["inter_size"] / x["moe_tp_size"]
    return x["rank_experts"] * each * _SIZES[s.precision][0]


def _skewed(s: Sample) -> NDArray[np.bool_]:
    """The balanced rows fill experts by turns, each kernel its own way; routers do not."""
    return s.shapes["exponent"] > 0.0


def _moe_usual(s: Sample) -> NDArray[np.bool_]:
    return (s.shapes["moe_ep_size"] <= 16.0) & (s.shapes["num_tokens"] <= 16384.0)


TABLES = (
    Table(
        "gemm", "gemm.parquet", "gemm", Gemm, _GEMM, ("gemm_dtype",),
        {("bfloat16",): "bf16", ("fp8",): "fp8", ("fp8_block",): "fp8_block",
         ("nvfp4",): "fp4", ("sq",): "int8", ("int8_wo",): "int8_wo",
         ("int4_wo",): "int4_wo"},
        ("m", "n", "k"), _gemm, _gemm_bytes, _COLD, usual=_gemm_usual,
        own_engine=("int8", "int8_wo", "int4_wo"),  # plug-ins of TensorRT, with their host time
    ),
    Table(
        "moe", "moe.parquet", "experts", Experts, _EXPERTS, ("moe_dtype",),
        {("bfloat16",): "bf16", ("fp8",): "fp8", ("fp8_block",): "fp8_block",
         ("nvfp4",): "fp4", ("int4_wo",): "int4_wo", ("w4a16_mxfp4",): "w4a16",
         ("w4a8_mxfp4_mxfp8",): "w4a8"},
        ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size",
         "moe_ep_size", "exponent"),
        _moe, _moe_bytes, WARM, keep=_skewed, usual=_moe_usual, prepare=with_loads,
    ),
)  # fmt: skip
