"""Parameters of an architecture, counted by part: what memory holds and what a token touches."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal

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
    Mixer,
    VisionEncoder,
)

__all__ = [
    "Convention",
    "Parameters",
    "active_parameters",
    "layer_parameters",
    "mixer_parameters",
    "parameters",
    "total_parameters",
]

# Which matrices a published "active" figure counts beside the layers: all; all but the input
# embedding (a table look-up, no arithmetic); neither embedding nor head.
Convention = Literal["all", "no-embedding", "no-embedding-no-head"]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameter counts of an architecture (or of one layer) by part."""

    embedding: int = 0  # with learned positions and per-layer tables
    attention: int = 0  # token mixers of every kind
    feed_forward: int = 0  # dense blocks, shared experts and routers: what every token passes
    experts: int = 0  # routed experts, all of them
    norms: int = 0  # and other small vectors
    head: int = 0  # 0 where it is the embedding transposed
    vision: int = 0  # image tower and projector

    def __add__(self, other: Parameters) -> Parameters:
        return Parameters(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: int) -> Parameters:
        return Parameters(*(part * times for part in astuple(self)))

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(astuple(self))


def mixer_parameters(mixer: Mixer, hidden: int) -> int:
    """Parameters of a token mixer on a residual stream `hidden` wide.

    References: arXiv:2405.04434 (latent attention), arXiv:2405.21060 (Mamba-2),
    arXiv:2412.06464 (gated delta rule).
    """
    if mixer is None:
        return 0
    if isinstance(mixer, Attention):
        return _attention(mixer, hidden)
    if isinstance(mixer, LatentAttention):
        return _latent(mixer, hidden)
    if isinstance(mixer, CompressedAttention):
        return _compressed(mixer, hidden)
    if isinstance(mixer, Mamba2):
        return _mamba2(mixer, hidden)
    return _delta(mixer, hidden)


def _attention(mixer: Attention, hidden: int) -> int:
    query = mixer.heads * mixer.head_dim * (2 if mixer.output_gate else 1)
    own_kv = 0 if mixer.shares_kv else mixer.kv_heads
    values = 0 if mixer.values_are_keys else mixer.value_head_dim
    inward = query + own_kv * (mixer.head_dim + values)
    outward = mixer.heads * mixer.value_head_dim
    weights = hidden * (inward + outward)
    biases = inward * mixer.qkv_bias + hidden * mixer.out_bias
    return weights + biases + mixer.qk_norm + mixer.heads * mixer.sinks


def _latent(mixer: LatentAttention, hidden: int) -> int:
    query_dim = mixer.nope_dim + mixer.rope_dim
    query_in = mixer.q_lora_rank or hidden
    query = query_in * mixer.heads * query_dim
    if mixer.q_lora_rank:
        query += (hidden + 1) * mixer.q_lora_rank  # down-projection and its norm
    latent = hidden * (mixer.kv_lora_rank + mixer.rope_dim) + mixer.kv_lora_rank
    expand = mixer.kv_lora_rank * mixer.heads * (mixer.nope_dim + mixer.value_head_dim)
    out = mixer.heads * mixer.value_head_dim * hidden
    biases = mixer.q_lora_rank + mixer.kv_lora_rank + mixer.rope_dim + hidden if mixer.bias else 0
    index = 0
    if mixer.index_heads:
        keys = (hidden + 2) * mixer.index_dim
        index = query_in * mixer.index_heads * mixer.index_dim + keys + hidden * mixer.index_heads
    return query + latent + expand + out + biases + index


def _compressed(mixer: CompressedAttention, hidden: int) -> int:
    dim, rank = mixer.head_dim, mixer.q_lora_rank
    query = (hidden + 1) * rank + rank * mixer.heads * dim
    out = mixer.out_rank * (mixer.heads * dim + mixer.out_groups * hidden)
    count = query + (hidden + 1) * dim + out + mixer.heads  # keys, their norm, and sinks
    if mixer.rate:
        count += _compressor(mixer, hidden, dim)
    if mixer.index_heads:
        count += _compressor(mixer, hidden, mixer.index_dim)
        count += (rank * mixer.index_dim + hidden) * mixer.index_heads
    return count


def _compressor(mixer: CompressedAttention, hidden: int, dim: int) -> int:
    """Projection, gate, position biases and norm that make one entry of `rate` tokens."""
    width = dim * (2 if mixer.overlap else 1)
    return (2 * hidden + mixer.rate) * width + dim


def _mamba2(mixer: Mamba2, hidden: int) -> int:
    inner = mixer.heads * mixer.head_dim
    convolved = inner + 2 * mixer.groups * mixer.state_dim
    inward = inner + convolved + mixer.heads
    weights = hidden * (inward + inner)
    biases = convolved * mixer.conv_bias + (inward + hidden) * mixer.proj_bias
    return weights + convolved * mixer.conv_width + biases + 3 * mixer.heads + inner


def _delta(mixer: GatedDeltaNet, hidden: int) -> int:
    keys = mixer.key_heads * mixer.key_dim
    values = mixer.value_heads * mixer.value_dim
    inward = 2 * keys + 2 * values + 2 * mixer.value_heads
    convolved = (2 * keys + values) * mixer.conv_width
    return hidden * (inward + values) + convolved + 2 * mixer.value_heads + mixer.value_dim


def _block(width: int, outer: int, gated: bool, bias: bool) -> int:
    """One feed-forward block between `outer` and `width`."""
    inward = width * (2 if gated else 1)
    return outer * (inward + width) + (inward + outer) * bias


def _feed_forward(block: Dense | Experts | None, hidden: int) -> tuple[int, int]:
    """(what every token passes, routed experts) of a feed-forward block."""
    if block is None:
        return 0, 0
    if isinstance(block, Dense):
        return _block(block.width, hidden, block.gated, block.bias), 0
    outer = block.input_width or hidden
    shared = _block(block.shared_width, hidden, block.gated, False) if block.shared_width else 0
    shared += hidden * block.shared_gate
    router = (hidden + block.router_bias) * block.count
    latent = 2 * hidden * block.input_width
    routed = block.count * _block(block.width, outer, block.gated, block.bias)
    return shared + router + latent, routed


def layer_parameters(layer: Layer, hidden: int) -> Parameters:
    """Parameters by part of one of the `layer.count` equal layers."""
    passed, routed = _feed_forward(layer.feed_forward, hidden)
    return Parameters(
        attention=mixer_parameters(layer.mixer, hidden),
        feed_forward=passed,
        experts=routed,
        norms=layer.norm_parameters + layer.extra_parameters,
    )


def _vision(vision: VisionEncoder | None) -> int:
    if vision is None:
        return 0
    tower = sum(layer_parameters(one, vision.hidden).total * one.count for one in vision.layers)
    return tower + vision.projector_parameters + vision.extra_parameters


def parameters(arch: Architecture) -> Parameters:
    """Parameters of an architecture by part; draft (multi-token-prediction) layers are left out."""
    table = arch.vocab * arch.hidden
    result = Parameters(
        embedding=table + arch.position_parameters + arch.lookup_parameters,
        norms=arch.final_norm_parameters + arch.embedding_norm_parameters + arch.extra_parameters,
        head=(0 if arch.tied_embeddings else table) + arch.vocab * arch.lm_head_bias,
        vision=_vision(arch.vision),
    )
    for layer in arch.layers:
        result += layer_parameters(layer, arch.hidden) * layer.count
    return result


def total_parameters(arch: Architecture) -> int:
    """All parameters: embedding, layers, head, image tower; no draft layers."""
    return parameters(arch).total


def active_parameters(arch: Architecture, convention: Convention = "all") -> int:
    """Parameters that one text token touches: of the routed experts only those chosen.

    Parameters: arch; convention, which of embedding and head to count (makers differ; a
    model's record says which its published figure follows). A tied table counts once under
    "all", and as head under "no-embedding". The image tower never counts.
    """
    parts = parameters(arch)
    active = parts.attention + parts.feed_forward + parts.norms
    for layer in arch.layers:
        block = layer.feed_forward
        if isinstance(block, Experts):
            routed = _feed_forward(block, arch.hidden)[1]
            active += layer.count * (routed // block.count) * block.top_k
    if convention == "all":
        return active + parts.embedding + parts.head
    if convention == "no-embedding":
        return active + (arch.vocab * arch.hidden if arch.tied_embeddings else parts.head)
    return active
