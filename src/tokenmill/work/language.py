"""Language models as work: which operations a pass has, and their FLOPs, bytes and cache.

One list of operations (`operations`) serves parameter memory, exact FLOPs and the step times.
A prefill pass pushes many tokens of a sequence through; a decode pass one token of each of
`batch` sequences. Causal attention counts exactly the pairs (query, key) it needs.
References: Vaswani et al. 2017 (attention), DeepSeek-V2 report section 2.1 (latent attention),
Dao and Gu 2024 (Mamba-2), Yang et al. 2024 (gated delta networks).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mamba2,
)
from tokenmill.work.ops import Attend, Elementwise, ExpertBlock, Matmul, Operation, Work
from tokenmill.work.precision import CacheFormat, WeightFormat
from tokenmill.work.storage import stored_bits

__all__ = [
    "attend_work",
    "attended_pairs",
    "cache_bytes_per_token",
    "compressed_shares",
    "decode_work",
    "distinct_experts",
    "mixing_work",
    "operations",
    "prefill_work",
    "state_bytes_per_sequence",
    "window_tokens",
]

Scalar = Any
_ACTIVATION_BYTES = 2.0


@lru_cache(maxsize=256)
def operations(arch: Architecture) -> tuple[Operation, ...]:
    """The operations of one forward pass, equal layers counted together."""
    ops: list[Operation] = [Elementwise("embedding", arch.hidden, 0, 1, split=False)]
    for layer in arch.layers:
        ops += _mixer(arch.hidden, layer)
        ops += _feed_forward(arch.hidden, layer)
        if layer.norm_parameters:
            # a norm reads the activation and the residual and writes both
            ops.append(Elementwise("norms", 8 * arch.hidden, 12 * arch.hidden, layer.count, False))
    ops.append(Matmul("lm head", arch.hidden, arch.vocab, 1, "columns", "head", per_sequence=True))
    return tuple(ops)


def _mixer(hidden: int, layer: Layer) -> list[Operation]:
    mixer, count = layer.mixer, layer.count
    if isinstance(mixer, Attention):
        return _attention(hidden, mixer, count)
    if isinstance(mixer, LatentAttention):
        return _latent(hidden, mixer, count)
    if isinstance(mixer, Mamba2):
        inner = mixer.heads * mixer.head_dim
        state = 2 * mixer.groups * mixer.state_dim
        return [
            Matmul(
                "ssm in", hidden, 2 * inner + state + mixer.heads, count, "columns", "attention"
            ),
            Attend("state space", mixer, count),
            Matmul("ssm out", inner, hidden, count, "rows", "attention"),
        ]
    if isinstance(mixer, GatedDeltaNet):
        key, value = mixer.key_heads * mixer.key_dim, mixer.value_heads * mixer.value_dim
        columns = 2 * key + 2 * value + 2 * mixer.value_heads
        return [
            Matmul("delta in", hidden, columns, count, "columns", "attention"),
            Attend("gated delta", mixer, count),
            Matmul("delta out", value, hidden, count, "rows", "attention"),
        ]
    return [] if mixer is None else _compressed(hidden, mixer, count)


def _attention(hidden: int, mixer: Attention, count: int) -> list[Operation]:
    query = mixer.heads * mixer.head_dim * (2 if mixer.output_gate else 1)
    cached = 0 if mixer.shares_kv else mixer.kv_heads * (mixer.head_dim + mixer.value_head_dim)
    group = 0 if mixer.shares_kv else mixer.head_dim + mixer.value_head_dim
    if mixer.values_are_keys:  # one projection serves both
        cached, group = cached // 2, group // 2
    out = mixer.heads * mixer.value_head_dim
    return [
        Matmul("qkv", hidden, query, count, "columns", "attention", cached, group),
        Elementwise("rotary", 2 * (query + cached), 6 * (query + cached), count, split=True),
        Attend("attention", mixer, count),
        Matmul("attention out", out, hidden, count, "rows", "attention"),
    ]


def _latent(hidden: int, mixer: LatentAttention, count: int) -> list[Operation]:
    latent = mixer.kv_lora_rank + mixer.rope_dim
    query_in = mixer.q_lora_rank or hidden
    down = latent + mixer.q_lora_rank
    per_head = mixer.nope_dim + mixer.value_head_dim
    ops: list[Operation] = [
        Matmul("latent down", hidden, down, count, "none", "attention"),
        Matmul("query up", query_in, mixer.heads * (mixer.nope_dim + mixer.rope_dim), count,
               "columns", "attention"),
        # absorbed into queries and outputs at decode: the same values and FLOPs per token
        Matmul("latent up", mixer.kv_lora_rank, mixer.heads * per_head, count, "columns",
               "attention"),
        Elementwise("rotary", 4 * down, 6 * down, count, split=False),
        Attend("latent attention", mixer, count),
        Matmul("attention out", mixer.heads * mixer.value_head_dim, hidden, count, "rows",
               "attention"),
    ]  # fmt: skip
    if mixer.index_heads:
        ops += [
            Matmul("index query", query_in, mixer.index_heads * mixer.index_dim, count, "none",
                   "attention"),
            Matmul("index key", hidden, mixer.index_dim + mixer.index_heads, count, "none",
                   "attention"),
        ]  # fmt: skip
    return ops


def _compressed(hidden: int, mixer: CompressedAttention, count: int) -> list[Operation]:
    wide = mixer.heads * mixer.head_dim
    twice = 2 if mixer.overlap else 1
    down = mixer.q_lora_rank + mixer.head_dim  # of the query, and the one key-value vector
    if mixer.rate:  # entries: a projection and its gate
        down += 2 * twice * (mixer.head_dim + mixer.index_dim) + mixer.index_heads
    grouped = mixer.out_groups * mixer.out_rank
    ops: list[Operation] = [
        Matmul("latent down", hidden, down, count, "none", "attention"),
        Matmul("query up", mixer.q_lora_rank, wide, count, "columns", "attention"),
        Elementwise("rotary", 4 * down, 6 * down, count, split=False),
        Attend("compressed attention", mixer, count),
        Matmul("grouped out", wide // mixer.out_groups, grouped, count, "columns", "attention"),
        Matmul("attention out", grouped, hidden, count, "rows", "attention"),
    ]
    if mixer.index_heads:
        index = mixer.index_heads * mixer.index_dim
        ops.append(Matmul("index query", mixer.q_lora_rank, index, count, "none", "attention"))
    return ops


def compressed_shares(mixer: CompressedAttention, span: int) -> tuple[float, float]:
    """Entries that a query reads for each token of its context, and for each inside `span`.

    Parameters: span [tokens], the model's `window_tokens`, over which the mixer's own short window
    is spread.
    """
    each = 1.0 / mixer.rate if mixer.rate else 0.0
    near = mixer.window / max(span, mixer.window, 1)
    return (0.0, each + near) if mixer.index_topk and mixer.rate else (each, near)


def _feed_forward(hidden: int, layer: Layer) -> list[Operation]:
    block, count = layer.feed_forward, layer.count
    if isinstance(block, Dense):
        return _dense(hidden, block.width, block.gated, count, "mlp")
    if isinstance(block, Experts):
        inner = block.input_width or hidden
        ops: list[Operation] = [Matmul("router", hidden, block.count, count, "none", "router")]
        if inner != hidden:
            ops += [
                Matmul("expert latent", hidden, 2 * inner, count, "none", "feed-forward"),
            ]
        ops.append(ExpertBlock("experts", block, hidden, count))
        if block.shared_width:
            ops += _dense(hidden, block.shared_width, block.gated, count, "shared expert")
        return ops
    return []


def _dense(hidden: int, width: int, gated: bool, count: int, name: str) -> list[Operation]:
    wide = 2 * width if gated else width
    return [
        Matmul(f"{name} up", hidden, wide, count, "columns", "feed-forward"),
        Elementwise(f"{name} activation", wide + width, 4 * width, count, split=True),
        Matmul(f"{name} down", width, hidden, count, "rows", "feed-forward"),
    ]


def cache_bytes_per_token(arch: Architecture, cache: CacheFormat) -> tuple[float, float, int]:
    """KV cache of one more token [B]: (growing without end, inside the window, window [tokens]).

    Windowed layers stop growing at their window; where models mix windows, the widest counts.
    """
    full = windowed = 0.0
    window = 0
    for layer in arch.layers:
        mixer = layer.mixer
        if isinstance(mixer, Attention) and not mixer.shares_kv:
            each = mixer.kv_heads * (mixer.head_dim + mixer.value_head_dim) * cache.value_bytes
            if mixer.window:
                windowed += each * layer.count
                window = max(window, mixer.window)
            else:
                full += each * layer.count
        elif isinstance(mixer, LatentAttention):
            values = mixer.kv_lora_rank + mixer.rope_dim
            full += (values * cache.value_bytes + mixer.index_dim) * layer.count
        elif isinstance(mixer, CompressedAttention) and mixer.rate:
            entry = mixer.head_dim * cache.value_bytes + mixer.index_dim
            full += entry / mixer.rate * layer.count
    return full, windowed, window


def window_tokens(arch: Architecture) -> int:
    """The widest span that bounded attention looks back over [tokens]; 0 where none is bounded."""
    spans = [0]
    for layer in arch.layers:
        if isinstance(layer.mixer, Attention):
            spans.append(layer.mixer.window)
        elif isinstance(layer.mixer, LatentAttention):
            spans.append(layer.mixer.index_topk)
        elif isinstance(layer.mixer, CompressedAttention):
            spans.append(max(layer.mixer.window, layer.mixer.index_topk * layer.mixer.rate))
    return max(spans)


def state_bytes_per_sequence(arch: Architecture) -> float:
    """Recurrent state of one sequence [B]: state space and linear attention, fp32 states."""
    total = 0.0
    for layer in arch.layers:
        mixer = layer.mixer
        if isinstance(mixer, Mamba2):
            inner = mixer.heads * mixer.head_dim
            conv = (inner + 2 * mixer.groups * mixer.state_dim) * (mixer.conv_width - 1) * 2
            total += (inner * mixer.state_dim * 4 + conv) * layer.count
        elif isinstance(mixer, GatedDeltaNet):
            state = mixer.value_heads * mixer.value_dim * mixer.key_dim * 4
            channels = 2 * mixer.key_heads * mixer.key_dim + mixer.value_heads * mixer.value_dim
            total += (state + channels * (mixer.conv_width - 1) * 2) * layer.count
    return total


def attended_pairs(new: Scalar, context: Scalar, window: int = 0) -> Scalar:
    """(query, key) pairs of `new` causal tokens after `context` tokens; a window bounds each row.

    The i-th new token (from 1) sees min(context + i, window) keys.
    """
    new, context = np.asarray(new, float), np.asarray(context, float)
    full = new * context + new * (new + 1.0) / 2.0
    if not window:
        return full
    growing = np.clip(window - context, 0.0, new)  # rows still below the window
    return growing * context + growing * (growing + 1.0) / 2.0 + (new - growing) * window


def _reach(new: Scalar, context: Scalar, window: int) -> Scalar:
    """Cached tokens that `new` ones read: all, or from the first one's window to the last."""
    reach = np.asarray(new, float) + context
    return np.minimum(reach, window + new - 1.0) if window else reach


def distinct_experts(count: Scalar, top_k: Scalar, tokens: Scalar) -> Scalar:
    """Expected number of experts that `tokens` uniform independent choices of top_k touch.

    n (1 - (1 - k/n)^t): each token misses a given expert with probability 1 - k/n.
    """
    return count * -np.expm1(
        np.asarray(tokens, float) * np.log1p(-np.minimum(top_k / count, 1 - 1e-12))
    )


def _matmul_work(op: Matmul, rows: Scalar, weights: WeightFormat) -> Work:
    n = op.n + op.grouped_n
    return Work(
        flop=2.0 * rows * op.k * n * op.count,
        weight_bytes=op.parameters * stored_bits(op, weights) / 8.0,
        activation_bytes=rows * (op.k + n) * _ACTIVATION_BYTES * op.count,
        kernels=op.count,
    )


def _expert_work(op: ExpertBlock, tokens: Scalar, weights: WeightFormat) -> Work:
    e = op.experts
    inner = e.input_width or op.hidden
    each = op.matrices * inner * e.width
    touched = distinct_experts(e.count, e.top_k, tokens)
    moved = (2 * inner + op.matrices * e.width) * e.top_k * _ACTIVATION_BYTES
    return Work(
        flop=2.0 * tokens * e.top_k * each * op.count,
        weight_bytes=touched * each * stored_bits(op, weights) / 8.0 * op.count,
        activation_bytes=tokens * moved * op.count,
        kernels=2 * op.count,
    )


def attend_work(op: Attend, new: Scalar, context: Scalar, sequences: Scalar, cache: CacheFormat,
                 *, absorbed: bool) -> Work:  # fmt: skip
    """Work of one mixer operation: scores, values and states, without its projections.

    Parameters: new tokens after context tokens in each of `sequences`; absorbed, as in
    `mixing_work`.
    """
    mixer, count = op.mixer, op.count
    size = cache.value_bytes
    if isinstance(mixer, Attention):
        pairs = attended_pairs(new, context, mixer.window)
        wide = mixer.head_dim + mixer.value_head_dim
        width, written = mixer.kv_heads * wide, 0 if mixer.shares_kv else new
        reach = _reach(new, context, mixer.window)
        return Work(
            flop=2.0 * pairs * mixer.heads * wide * count * sequences,
            cache_bytes=(reach + written) * width * size * count * sequences,
            activation_bytes=new * mixer.heads * wide * _ACTIVATION_BYTES * count * sequences,
            kernels=count,
        )
    if isinstance(mixer, LatentAttention):
        pairs = attended_pairs(new, context, mixer.index_topk)
        latent = mixer.kv_lora_rank + mixer.rope_dim
        if absorbed:
            width = latent + mixer.kv_lora_rank
        else:
            width = mixer.nope_dim + mixer.rope_dim + mixer.value_head_dim
        index = 2.0 * attended_pairs(new, context) * mixer.index_heads * mixer.index_dim
        reach, read = new + context, _reach(new, context, mixer.index_topk)
        return Work(
            flop=(2.0 * pairs * mixer.heads * width + index) * count * sequences,
            cache_bytes=((read + new) * latent * size + reach * mixer.index_dim)
            * count
            * sequences,
            activation_bytes=new * mixer.heads * width * _ACTIVATION_BYTES * count * sequences,
            kernels=count,
        )
    if isinstance(mixer, CompressedAttention):
        return _compressed_work(op, mixer, new, context, sequences, size)
    return _state_work(op, new, sequences)


def _compressed_work(
    op: Attend, mixer: CompressedAttention, new: Scalar, context: Scalar, sequences: Scalar,
    size: float,
) -> Work:  # fmt: skip
    span = max(mixer.window, mixer.index_topk * mixer.rate)
    full, bounded = compressed_shares(mixer, span)
    count = op.count * sequences
    pairs = full * attended_pairs(new, context)
    pairs = pairs + bounded * attended_pairs(new, context, span)
    read = full * (new + context) + bounded * _reach(new, context, span)
    scored = attended_pairs(new, context) / max(mixer.rate, 1)
    index = 2.0 * scored * mixer.index_heads * mixer.index_dim
    return Work(
        flop=(4.0 * pairs * mixer.heads * mixer.head_dim + index) * count,
        cache_bytes=((read + new) * mixer.head_dim * size) * count,
        activation_bytes=2.0 * new * mixer.heads * mixer.head_dim * _ACTIVATION_BYTES * count,
        kernels=op.count,
    )


def _state_work(op: Attend, new: Scalar, sequences: Scalar) -> Work:
    mixer = op.mixer
    if isinstance(mixer, Mamba2):
        inner, states = mixer.heads * mixer.head_dim, mixer.state_dim
        channels = inner + 2 * mixer.groups * states
        # recurrent form: decay and input (4 FLOP) and read-out (2 FLOP) per state, then conv
        flop = new * (6.0 * inner * states + 2.0 * channels * mixer.conv_width)
        state_bytes = 4.0 * inner * states
    elif isinstance(mixer, GatedDeltaNet):
        value, key = mixer.value_heads * mixer.value_dim, mixer.key_heads * mixer.key_dim
        channels = 2 * key + value
        # delta rule: read, correct, write, read out: four multiply-adds per state element
        flop = new * (8.0 * value * mixer.key_dim + 2.0 * channels * mixer.conv_width)
        state_bytes = 4.0 * value * mixer.key_dim
    else:
        return Work()
    return Work(
        flop=flop * op.count * sequences,
        cache_bytes=2.0 * state_bytes * op.count * sequences,
        activation_bytes=new * 2.0 * channels * _ACTIVATION_BYTES * op.count * sequences,
        kernels=2 * op.count,
    )


def mixing_work(arch: Architecture, cache: CacheFormat, new: Scalar, context: Scalar,
                sequences: Scalar, *, absorbed: bool) -> Work:  # fmt: skip
    """Work of the mixers alone (scores, values, states) of one pass over all layers.

    Parameters: new tokens after context tokens in each of `sequences`; absorbed, whether latent
    attention works in the latent space (decode) or on full keys and values (prefill).
    """
    total = Work()
    for op in operations(arch):
        if isinstance(op, Attend):
            total += attend_work(op, new, context, sequences, cache, absorbed=absorbed)
    return total


def _pass_work(
    arch: Architecture,
    weights: WeightFormat,
    cache: CacheFormat,
    new: Scalar,
    context: Scalar,
    sequences: Scalar,
    *,
    absorbed: bool,
) -> dict[str, Work]:
    result: dict[str, Work] = {}
    tokens = np.asarray(new, float) * sequences
    for op in operations(arch):
        if isinstance(op, Matmul):
            work = _matmul_work(op, sequences if op.per_sequence else tokens, weights)
        elif isinstance(op, ExpertBlock):
            work = _expert_work(op, tokens, weights)
        elif isinstance(op, Attend):
            work = attend_work(op, new, context, sequences, cache, absorbed=absorbed)
        else:
            rows = sequences if op.per_sequence else tokens
            moved = rows * op.values * _ACTIVATION_BYTES * op.count
            work = Work(flop=rows * op.flop * op.count, activation_bytes=moved, kernels=op.count)
        result[op.name] = result.get(op.name, Work()) + work
    return result


def prefill_work(arch: Architecture, weights: WeightFormat, cache: CacheFormat, tokens: Scalar,
                 context: Scalar = 0.0, sequences: Scalar = 1.0) -> dict[str, Work]:  # fmt: skip
    """Work of prefilling `tokens` new tokens after `context` cached ones in each sequence.

    Parameters: arch; weights and cache formats; tokens, context [tokens per sequence] and
    sequences [count], floats or equal arrays. Latent attention is not absorbed here.
    Returns: Work by operation name; `sum(....values())` is the whole pass.
    """
    return _pass_work(arch, weights, cache, tokens, context, sequences, absorbed=False)


def decode_work(arch: Architecture, weights: WeightFormat, cache: CacheFormat, batch: Scalar,
                context: Scalar) -> dict[str, Work]:  # fmt: skip
    """Work of one decode step: one new token in each of `batch` sequences.

    Parameters: arch; weights and cache formats; batch [sequences]; context [tokens, mean],
    floats or equal arrays. Latent attention is absorbed (DeepSeek-V2 report, section 2.1.2).
    Returns: Work by operation name; `sum(....values())` is the whole step.
    """
    return _pass_work(arch, weights, cache, 1.0, context, batch, absorbed=True)
