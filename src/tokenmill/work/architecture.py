"""The shape of a language model: layers, as values that say all a cost model needs.

An `Architecture` is made from the facts of a Hugging Face `config.json` by
`work.huggingface.architecture`; `work.parameters` counts it and `work.language` turns it
into FLOPs and bytes. Sizes are per layer and unsharded; nothing here knows hardware.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = [
    "Architecture",
    "Attention",
    "CompressedAttention",
    "Dense",
    "Experts",
    "GatedDeltaNet",
    "LatentAttention",
    "Layer",
    "Mamba2",
    "Mixer",
    "VisionEncoder",
]


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax attention with its own keys and values: MHA, GQA, MQA."""

    heads: int
    kv_heads: int
    head_dim: int
    value_head_dim: int
    window: int = 0  # tokens a query may look back over; 0 = all. Chunked attention counts too.
    qkv_bias: bool = False
    out_bias: bool = False
    qk_norm: int = 0  # parameters of the query and key norms together
    output_gate: bool = False  # a gate as wide as the query projection (Qwen3-Next, 3.5)
    sinks: bool = False  # one learned logit per head (gpt-oss)
    shares_kv: bool = False  # reads the keys and values of an earlier layer: none of its own
    values_are_keys: bool = False  # one projection gives both (Gemma 4, global layers)


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Multi-head latent attention (DeepSeek-V2, section 2.1): the cache holds a latent vector."""

    heads: int
    q_lora_rank: int  # 0 = queries are projected directly
    kv_lora_rank: int
    rope_dim: int
    nope_dim: int
    value_head_dim: int
    bias: bool = False
    index_heads: int = 0  # sparse attention: heads of the indexer (DeepSeek-V3.2)
    index_dim: int = 0
    index_topk: int = 0  # tokens that attention reads at most; 0 = all. Without index_heads the
    # layer reads the tokens that an earlier layer's indexer chose (GLM-5.2).


@dataclass(frozen=True, slots=True)
class CompressedAttention:
    """One key-value vector a token, read inside a window and compressed beyond (DeepSeek-V4).

    Keys are values: the cache holds `head_dim` numbers a token of the window, and as many for
    every `rate` older tokens. Reads are all of those, or the `index_topk` chosen by an indexer.
    """

    heads: int
    head_dim: int
    q_lora_rank: int
    out_groups: int  # the output projection works on groups of heads, each through `out_rank`
    out_rank: int
    window: int
    rate: int = 0  # tokens that become one compressed entry; 0 = the window only
    index_heads: int = 0
    index_dim: int = 0
    index_topk: int = 0  # compressed entries read at most; 0 = all
    overlap: bool = False  # entries are made from two projections each (rate 4)


@dataclass(frozen=True, slots=True)
class Mamba2:
    """State-space duality layer (Mamba-2): constant state per sequence, no cache per token."""

    heads: int
    head_dim: int
    groups: int
    state_dim: int
    conv_width: int
    conv_bias: bool = True
    proj_bias: bool = False
    chunk: int = 256


@dataclass(frozen=True, slots=True)
class GatedDeltaNet:
    """Gated delta-rule linear attention (Qwen3-Next, Qwen3.5): constant state per sequence."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv_width: int
    chunk: int = 64


Mixer = Attention | LatentAttention | CompressedAttention | Mamba2 | GatedDeltaNet | None


@dataclass(frozen=True, slots=True)
class Dense:
    """Feed-forward block; gated ones have three matrices, plain ones two."""

    width: int
    gated: bool = True
    bias: bool = False


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts with a router; shared experts see every token."""

    count: int
    top_k: int
    width: int
    shared_width: int = 0  # summed over the shared experts
    gated: bool = True
    bias: bool = False
    router_bias: bool = False  # a bias or a score correction per expert
    shared_gate: bool = False  # a one-column gate on the shared expert (Qwen)
    input_width: int = 0  # experts working in a latent smaller than the hidden size; 0 = hidden


@dataclass(frozen=True, slots=True)
class Layer:
    """`count` equal layers: one mixer, one feed-forward block, norms (parameters in total)."""

    mixer: Mixer
    feed_forward: Dense | Experts | None
    norm_parameters: int
    count: int = 1
    extra_parameters: int = 0  # small learned vectors that cost no measurable time


@dataclass(frozen=True, slots=True)
class VisionEncoder:
    """The image tower of a vision-language model and its projector.

    tiles: most tiles of tokens_per_image that a picture becomes, a view of the whole included; 1
    where it is scaled to one, 0 where it is read in its own resolution. enlarged: a small picture
    is scaled up to as many tiles as its shape allows.
    """

    layers: tuple[Layer, ...]
    hidden: int
    patch: int  # pixels
    image: int  # pixels, the side of one tile
    merge: int  # patches along a side that become one language token
    projector_parameters: int
    extra_parameters: int = 0  # patch embedding, positions, norms
    tokens_per_image: int = 0
    tiles: int = 1
    enlarged: bool = False


@dataclass(frozen=True, slots=True)
class Architecture:
    """A whole decoder: layers in groups of equals, order kept where it does not matter lost."""

    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    tied_embeddings: bool
    final_norm_parameters: int
    position_parameters: int = 0  # learned absolute positions (GPT-2, GPT-3)
    lookup_parameters: int = 0  # tables looked up per layer beside the embedding (Gemma 3n, 4 E)
    embedding_norm_parameters: int = 0
    lm_head_bias: bool = False
    extra_parameters: int = 0
    max_context: int = 0  # tokens; 0 = not stated
    vision: VisionEncoder | None = None
    draft_layers: int = 0  # multi-token-prediction layers shipped beside the decoder, not counted

    def windowless(self) -> Architecture:
        """The decoder as engines run it that read all of the context in every layer."""
        return replace(self, layers=tuple(
            replace(layer, mixer=replace(layer.mixer, window=0))
            if isinstance(layer.mixer, Attention) else layer for layer in self.layers
        ))  # fmt: skip

    @property
    def layer_count(self) -> int:
        """Decoder layers in all."""
        return sum(layer.count for layer in self.layers)
