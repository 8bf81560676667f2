"""Does it fit: weights, KV cache, state and workspace on one GPU of a layout, in bytes.

All functions take a `LayoutGrid` and return arrays of its shape (floats broadcast).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from tokenmill.placement.layout import LayoutGrid
from tokenmill.work import language
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    LatentAttention,
)
from tokenmill.work.ops import ExpertBlock, Matmul
from tokenmill.work.parameters import total_parameters
from tokenmill.work.precision import CacheFormat, WeightFormat
from tokenmill.work.storage import stored_bits

__all__ = [
    "CacheSize",
    "cache_size",
    "matrix_parameters",
    "stored_bytes",
    "weight_bytes",
    "workspace_bytes",
]

Scalar = Any


@dataclass(frozen=True, slots=True)
class CacheSize:
    """What a sequence keeps on one GPU: [B/token] without end, [B/token] in a window, fixed [B]."""

    token_bytes: Scalar
    window_token_bytes: Scalar
    window_tokens: int
    sequence_bytes: Scalar

    def of(self, context: Scalar, sequences: Scalar = 1.0) -> Scalar:
        """Bytes of `sequences` sequences of `context` tokens [B]."""
        windowed = np.minimum(context, self.window_tokens) if self.window_tokens else 0.0
        each = self.token_bytes * context + self.window_token_bytes * windowed
        return (each + self.sequence_bytes) * sequences


def matrix_parameters(arch: Architecture) -> int:
    """Values held in matrices: every Matmul and expert, the head once, without the embedding."""
    return sum(
        op.parameters for op in language.operations(arch) if isinstance(op, Matmul | ExpertBlock)
    )


def _stage_share(arch: Architecture, grid: LayoutGrid) -> Scalar:
    """Share of the layers on the fullest pipeline stage."""
    return np.ceil(arch.layer_count / grid.pp) / arch.layer_count


def weight_bytes(
    arch: Architecture, weights: WeightFormat, grid: LayoutGrid, *, whole_embedding: bool = False
) -> Scalar:
    """Weights on the fullest GPU of each layout [B].

    Matrices are divided as the layout says; the embedding and the head over tensor ranks, on
    different stages where there are several; norms and other vectors are copied, in 16 bits.

    Parameters: whole_embedding, where an engine copies the embedding to every tensor rank.
    """
    share = _stage_share(arch, grid)
    layers = np.zeros_like(grid.tp)
    head = np.zeros_like(grid.tp)
    for op in language.operations(arch):
        if isinstance(op, Matmul):
            k, n = op.shard(grid.tp)
            size = k * n * op.count * stored_bits(op, weights) / 8.0
            if op.part == "head":
                head = head + size
            else:
                layers = layers + size * share
        elif isinstance(op, ExpertBlock):
            total = op.parameters * stored_bits(op, weights) / 8.0
            layers = layers + total * share / (grid.ep * grid.moe_tp)
    ranks = np.ones_like(grid.tp) if whole_embedding else grid.tp
    embedding = arch.vocab * arch.hidden * weights.embedding_bits / 8.0 / ranks
    if arch.tied_embeddings:
        ends = np.where(grid.pp > 1, np.maximum(embedding, head), head)
    else:
        ends = np.where(grid.pp > 1, np.maximum(embedding, head), embedding + head)
    tables = arch.lookup_parameters * weights.embedding_bits / 8.0 * share
    return layers + ends + tables + _other_parameters(arch) * 2.0 * share


@lru_cache(maxsize=256)
def _other_parameters(arch: Architecture) -> float:
    """Values outside matrices and tables: norms, biases, positions, vision tower."""
    counted = matrix_parameters(arch) + arch.lookup_parameters
    counted += 0 if arch.tied_embeddings else arch.vocab * arch.hidden
    return float(max(total_parameters(arch) - counted, 0))


def stored_bytes(arch: Architecture, weights: WeightFormat) -> float:
    """Size of all weights in a format [B], as a checkpoint on disk holds them."""
    one = np.ones((1, 1))
    return float(weight_bytes(arch, weights, LayoutGrid(one, one, one, one))[0, 0])


def cache_size(arch: Architecture, cache: CacheFormat, grid: LayoutGrid) -> CacheSize:
    """KV cache and recurrent state of one sequence on the fullest GPU of each layout.

    KV heads are divided over tensor ranks down to one head; a latent cache is copied to every
    tensor rank (DeepSeek-V3 report, section 3.4); data-parallel ranks hold other sequences.
    """
    share = _stage_share(arch, grid)
    full = np.zeros_like(grid.tp)
    windowed = np.zeros_like(grid.tp)
    for layer in arch.layers:
        mixer = layer.mixer
        if isinstance(mixer, Attention) and not mixer.shares_kv:
            heads = np.maximum(mixer.kv_heads / grid.tp, 1.0)
            size = heads * (mixer.head_dim + mixer.value_head_dim) * cache.value_bytes
            if mixer.window:
                windowed = windowed + size * layer.count * share
            else:
                full = full + size * layer.count * share
        elif isinstance(mixer, LatentAttention):
            values = (mixer.kv_lora_rank + mixer.rope_dim) * cache.value_bytes + mixer.index_dim
            full = full + values * layer.count * share
        elif isinstance(mixer, CompressedAttention) and mixer.rate:
            values = mixer.head_dim * cache.value_bytes + mixer.index_dim
            full = full + values / mixer.rate * layer.count * share
    _, _, window = language.cache_bytes_per_token(arch, cache)
    state = language.state_bytes_per_sequence(arch) * share / grid.tp
    return CacheSize(full, windowed, window, state)


def workspace_bytes(
    arch: Architecture, grid: LayoutGrid, tokens: Scalar, sequences: Scalar
) -> Scalar:
    """Activations of one step on one GPU [B]: widest layer for `tokens`, logits of `sequences`.

    Two copies of the widest intermediate and four of the hidden state live at once (16 bits);
    logits are 32-bit.
    """
    width = np.zeros_like(grid.tp)
    for layer in arch.layers:
        block = layer.feed_forward
        if isinstance(block, Dense):
            width = np.maximum(width, 2.0 * block.width / grid.tp)
        elif isinstance(block, Experts):
            spread = block.top_k * (block.width * 2.0 + arch.hidden) / grid.ep / grid.moe_tp
            width = np.maximum(width, spread)
    step = tokens / grid.dp * (2.0 * width + 4.0 * arch.hidden) * 2.0
    return step + sequences / grid.dp * arch.vocab / grid.tp * 4.0
