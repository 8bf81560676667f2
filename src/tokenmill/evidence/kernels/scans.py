"""Kernel tables of state-space and gated-delta layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.kernels.rows import Sample
from tokenmill.evidence.kernels.table import WARM, Table
from tokenmill.physics import state_space
from tokenmill.physics.chip import Chip, Conv, Scan, Stream

__all__ = ["TABLES"]

Array = NDArray[np.float64]

_STREAM = {
    "launch_clocks": (1e3, 7e3, 5e4),
    "memory_efficiency": (0.1, 0.9, 1.0),
    "sm_bytes_per_clock": (1.0, 30.0, 300.0),
}
_CONV = _STREAM | {"sequence_clocks": (0.1, 10.0, 1e4)}
_SCAN = {
    "launch_clocks": (5e3, 3e4, 2e5),
    "memory_efficiency": (0.1, 0.9, 1.0),
    "sm_bytes_per_clock": (1.0, 30.0, 300.0),
    "compute_efficiency": (0.005, 0.08, 1.0),
    "chunk_clocks": (10.0, 3e3, 1e5),
    "exposed": (0.01, 0.5, 1.0),
}


def _gdn_sizes(s: Sample) -> tuple[Array, Array, Array, Array]:
    """(batch, tokens, channels, state values per sequence)."""
    x = s.shapes
    value = x["num_v_heads"] * x["head_v_dim"]
    channels = 2.0 * x["num_k_heads"] * x["head_k_dim"] + value
    return x["batch_size"], x["seq_len"], channels, value * x["head_k_dim"]


def _gdn_conv_decode(chip: Chip, s: Sample) -> Array:
    batch, _, channels, _ = _gdn_sizes(s)
    return state_space.conv_s(chip, "gdn", batch, 0.0, channels)


def _gdn_conv_prefill(chip: Chip, s: Sample) -> Array:
    batch, tokens, channels, _ = _gdn_sizes(s)
    return state_space.conv_s(chip, "gdn", batch, tokens, channels)


def _gdn_update(chip: Chip, s: Sample) -> Array:
    batch, _, _, state = _gdn_sizes(s)
    return state_space.state_update_s(chip, "gdn", batch, state)


def _gdn_scan(chip: Chip, s: Sample) -> Array:
    batch, tokens, channels, state = _gdn_sizes(s)
    value = state / s.shapes["head_k_dim"]
    flop, token_bytes = state_space.gdn_token_cost(value, channels, s.shapes["head_k_dim"])
    return state_space.chunk_scan_s(
        chip, "gdn", batch, tokens, state, token_bytes, flop, state_space.GDN_CHUNK
    )


def _gdn_bytes(s: Sample) -> Array:
    batch, _, _, state = _gdn_sizes(s)
    return batch * state * 8.0


def _gdn_step_bytes(s: Sample) -> Array:
    batch, _, channels, _ = _gdn_sizes(s)
    return batch * channels * 16.0


def _gdn_row_bytes(s: Sample) -> Array:
    batch, tokens, channels, _ = _gdn_sizes(s)
    return batch * tokens * channels * 4.0


def _mamba2_channels(s: Sample) -> Array:
    x = s.shapes
    return x["nheads"] * x["head_dim"] + 2.0 * x["n_groups"] * x["d_state"]


def _mamba2_conv_decode(chip: Chip, s: Sample) -> Array:
    return state_space.conv_s(chip, "mamba2", s.shapes["batch_size"], 0.0, _mamba2_channels(s))


def _mamba2_conv_prefill(chip: Chip, s: Sample) -> Array:
    x = s.shapes
    return state_space.conv_s(chip, "mamba2", x["batch_size"], x["seq_len"], _mamba2_channels(s))


def _mamba2_step_bytes(s: Sample) -> Array:
    return s.shapes["batch_size"] * _mamba2_channels(s) * 16.0


def _mamba2_row_bytes(s: Sample) -> Array:
    return s.shapes["batch_size"] * s.shapes["seq_len"] * _mamba2_channels(s) * 4.0


def _follows_width(s: Sample) -> NDArray[np.bool_]:
    """All rows or none: some collectors time one fixed width whatever the model says."""
    width = s.shapes["num_v_heads"] + 2.0 * s.shapes["num_k_heads"]
    work = s.shapes["batch_size"] * s.shapes["seq_len"]
    busy = work >= np.quantile(work, 0.9)
    slope = np.polyfit(np.log(width[busy]), np.log(s.seconds[busy] / work[busy]), 1)[0]
    return np.full(s.seconds.size, bool(slope > 0.3))


_GDN = ("batch_size", "seq_len", "num_k_heads", "head_k_dim", "num_v_heads", "head_v_dim")
_MAMBA2 = ("batch_size", "seq_len", "nheads", "head_dim", "n_groups", "d_state")


TABLES = (
    Table(
        "gdn_conv_decode", "gdn.parquet", "conv_decode", Stream, _STREAM, ("kernel_source",),
        {("causal_conv1d_update",): "gdn"}, _GDN, _gdn_conv_decode, _gdn_step_bytes,
        WARM, keep=_follows_width,
    ),
    Table(
        "gdn_conv_prefill", "gdn.parquet", "conv_prefill", Conv, _CONV, ("kernel_source",),
        {("causal_conv1d_fn",): "gdn"}, _GDN, _gdn_conv_prefill, _gdn_row_bytes, WARM,
        keep=_follows_width,
    ),
    Table(
        "gdn_update", "gdn.parquet", "scan_decode", Stream, _STREAM, ("kernel_source",),
        {("fused_recurrent_gated_delta_rule",): "gdn",
         ("fused_recurrent_gated_delta_rule_packed_decode",): "gdn"},
        _GDN, _gdn_update, _gdn_bytes, WARM,
    ),
    Table(
        "gdn_scan", "gdn.parquet", "scan_prefill", Scan, _SCAN, ("kernel_source",),
        {("chunk_gated_delta_rule",): "gdn", ("chunk_gated_delta_rule_flashinfer",): "gdn",
         ("chunk_gated_delta_rule_triton",): "gdn"},
        _GDN, _gdn_scan, _gdn_row_bytes, WARM,
    ),
    Table(
        "mamba2_conv_decode", "mamba2.parquet", "conv_decode", Stream, _STREAM, ("phase",),
        {("generation",): "mamba2"}, _MAMBA2, _mamba2_conv_decode, _mamba2_step_bytes,
        WARM,
    ),
    Table(
        "mamba2_conv_prefill", "mamba2.parquet", "conv_prefill", Conv, _CONV, ("phase",),
        {("context",): "mamba2"}, _MAMBA2, _mamba2_conv_prefill, _mamba2_row_bytes, WARM,
    ),
)  # fmt: skip
