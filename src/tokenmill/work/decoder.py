"""The layers of decoders that repeat one scheme: attention of some kind, then feed-forward."""

from __future__ import annotations

from dataclasses import replace

from tokenmill.work.architecture import (
    Attention,
    Dense,
    Experts,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mixer,
)
from tokenmill.work.facts import Facts
from tokenmill.work.families import Family

__all__ = [
    "HIDDEN", "attention", "experts", "layer_kinds", "layer_number", "regular_layers", "width",
]  # fmt: skip

HIDDEN = ("hidden_size", "n_embd", "n_embed", "d_model")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers")
_HEADS = ("num_attention_heads", "n_head", "n_heads")
_WIDTH = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "ff_intermediate_size")
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
_TOP_K = ("num_experts_per_tok", "num_experts_per_token", "top_k_experts")
# Families whose intermediate_size is that of an expert.
_WIDTH_OF_EXPERTS = (
    "mixtral", "phimoe", "gpt_oss", "minimax_m2", "llama4_text", "olmoe", "granitemoe",
)  # fmt: skip
_KINDS = (
    "full_attention", "sliding_attention", "chunked_attention", "linear_attention",
)  # fmt: skip


def layer_number(facts: Facts) -> int:
    """How many layers the configuration states."""
    return facts.count(*_LAYERS, most=2_000)


def regular_layers(facts: Facts, family: Family, name: str) -> list[Layer]:
    """One `Layer` per layer, in order.

    Parameters: facts of the decoder; family, its traits; name, its `model_type`.
    Raises: BadRecord.
    """
    number = layer_number(facts)
    norm = facts.count(*HIDDEN) * (2 if family.shift else 1) * _norms(facts, family, name)
    routed = _routed_layers(facts, name, number)
    blocks = {
        False: _dense(facts, family, name) if len(routed) < number else None,
        True: experts(facts, family, name) if routed else None,
    }
    layers = []
    for at, mixer in enumerate(_mixers(facts, family, name, number)):
        layers.append(Layer(mixer, blocks[at in routed], norm))
    return layers


def _norms(facts: Facts, family: Family, name: str) -> int:
    """Norms per layer; Falcon's parallel blocks share one unless its newer scheme has two."""
    if name != "falcon":
        return family.norms
    if facts.flag("new_decoder_architecture"):
        return facts.count("num_ln_in_parallel_attn", default=2, most=2)
    return 1 if facts.flag("parallel_attn", True) else 2


# -- token mixers ---------------------------------------------------------------------------


def _mixers(facts: Facts, family: Family, name: str, number: int) -> list[Mixer]:
    if facts.has("kv_lora_rank"):
        return _latent_layers(facts, number)
    whole = attention(facts, family, name)
    kinds = layer_kinds(facts, family, number)
    windows = {"sliding_attention": "sliding_window", "chunked_attention": "attention_chunk_size"}
    known: dict[str, Mixer] = {"full_attention": whole}
    for kind in set(kinds) - {"full_attention"}:
        if kind == "linear_attention":
            known[kind] = _delta(facts)
        else:
            known[kind] = replace(whole, window=facts.count(windows[kind], most=1_000_000_000))
    return [known[kind] for kind in kinds]


def layer_kinds(facts: Facts, family: Family, number: int) -> list[str]:
    """What each layer attends to, as stated or as the family lays it out."""
    if facts.has("layer_types"):
        return facts.texts("layer_types", number, _KINDS)
    if facts.has("linear_num_value_heads"):
        period = facts.count("full_attention_interval", default=4)
        return _every(number, period, "linear_attention")
    if family.window == "chunk":
        if facts.has("no_rope_layers") and facts.items("no_rope_layers"):
            roped = facts.counts("no_rope_layers", number)
            return ["chunked_attention" if one else "full_attention" for one in roped]
        return _every(number, facts.count("no_rope_layer_interval", default=4), "chunked_attention")
    if not family.window or not facts.has("sliding_window"):
        return ["full_attention"] * number
    if family.window == "all":
        return ["sliding_attention"] * number
    if family.window == "flag":
        first = facts.count("max_window_layers", default=number, least=0)
        used = facts.flag("use_sliding_window")
        start = min(first, number) if used else number
        return ["full_attention"] * start + ["sliding_attention"] * (number - start)
    period = facts.count(
        "sliding_window_pattern", "_sliding_window_pattern", default=family.pattern
    )
    return _every(number, period, "sliding_attention")


def _every(number: int, period: int, otherwise: str) -> list[str]:
    """Full attention in every `period`-th layer."""
    return ["full_attention" if (at + 1) % period == 0 else otherwise for at in range(number)]


def attention(facts: Facts, family: Family, name: str = "") -> Attention:
    """Softmax attention as stated, looking back without limit. Raises: BadRecord."""
    hidden = facts.count(*HIDDEN)
    heads = facts.count(*_HEADS, most=100_000)
    kv_heads = _kv_heads(facts, heads)
    if heads % kv_heads:
        facts.refuse("num_key_value_heads", f"{kv_heads} does not divide {heads} attention heads")
    if not facts.has("head_dim") and not facts.has("kv_channels") and hidden % heads:
        facts.refuse(_HEADS[0], f"{heads} does not divide hidden_size {hidden}; state head_dim")
    head_dim = facts.count("head_dim", "kv_channels", default=hidden // heads, most=100_000)
    bias = facts.flag(family.bias_key, family.qkv_bias) if family.bias_key else family.qkv_bias
    normed = facts.flag(family.qk_norm_key) if family.qk_norm_key else True
    scales = {"": 0, "head": 2 * head_dim, "wide": (heads + kv_heads) * head_dim}[family.qk_norm]
    scales *= 2 if family.qk_shift else 1
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        value_head_dim=facts.count("v_head_dim", default=head_dim, most=100_000),
        qkv_bias=bias,
        out_bias=bias if family.out_bias is None else family.out_bias,
        qk_norm=scales if normed else 0,
        output_gate=facts.flag("attn_output_gate", family.output_gate),
        sinks=family.sinks,
    )


def _kv_heads(facts: Facts, heads: int) -> int:
    if facts.has("attn_config"):  # MPT
        return facts.section("attn_config").count("kv_n_heads", default=heads, most=100_000)
    if facts.flag("multi_query") and not facts.flag("new_decoder_architecture"):
        return 1  # Falcon 7B, StarCoder
    keys = ("num_key_value_heads", "num_kv_heads", "n_head_kv")
    return facts.count(*keys, default=heads, most=100_000)


def _latent_layers(facts: Facts, number: int) -> list[Mixer]:
    """Latent attention; of sparse layers some take over what an earlier indexer chose."""
    own = _latent(facts)
    if not facts.has("indexer_types"):
        return [own] * number
    shared = replace(own, index_heads=0, index_dim=0)
    kinds = facts.texts("indexer_types", number, ("full", "shared"))
    return [own if kind == "full" else shared for kind in kinds]


def _latent(facts: Facts) -> LatentAttention:
    sparse = facts.has("index_topk")
    return LatentAttention(
        heads=facts.count(*_HEADS, most=100_000),
        q_lora_rank=facts.count("q_lora_rank", default=0, least=0),
        kv_lora_rank=facts.count("kv_lora_rank"),
        rope_dim=facts.count("qk_rope_head_dim"),
        nope_dim=facts.count("qk_nope_head_dim"),
        value_head_dim=facts.count("v_head_dim"),
        bias=facts.flag("attention_bias"),
        index_heads=facts.count("index_n_heads") if sparse else 0,
        index_dim=facts.count("index_head_dim") if sparse else 0,
        index_topk=facts.count("index_topk") if sparse else 0,
    )


def _delta(facts: Facts) -> GatedDeltaNet:
    key_heads = facts.count("linear_num_key_heads")
    value_heads = facts.count("linear_num_value_heads")
    if value_heads % key_heads:
        facts.refuse("linear_num_key_heads", f"{key_heads} does not divide the {value_heads}")
    return GatedDeltaNet(
        key_heads=key_heads,
        value_heads=value_heads,
        key_dim=facts.count("linear_key_head_dim"),
        value_dim=facts.count("linear_value_head_dim"),
        conv_width=facts.count("linear_conv_kernel_dim"),
    )


# -- feed-forward blocks --------------------------------------------------------------------


def width(facts: Facts, family: Family) -> int:
    """Width of the dense feed-forward block. Raises: BadRecord."""
    times = facts.count("expansion_ratio", default=4, most=1_000)  # MPT states the ratio
    default = times * facts.count(*HIDDEN) if family.fourfold else None
    return facts.count(*_WIDTH, default=default, most=10_000_000)


def _dense(facts: Facts, family: Family, name: str) -> Dense:
    wide = width(facts, family)
    if name == "qwen":  # the first Qwen states the width of both inward matrices together
        if wide % 2:
            facts.refuse("intermediate_size", f"{wide} is odd; the first Qwen states it doubled")
        wide //= 2
    if name == "llama4_text":
        wide = facts.count("intermediate_size_mlp", default=wide)
    key = family.mlp_bias_key
    return Dense(wide, family.gated, facts.flag(key, family.mlp_bias) if key else family.mlp_bias)


def _routed_layers(facts: Facts, name: str, number: int) -> set[int]:
    """Which layers have experts."""
    if not any(facts.has(key) and facts.count(key, least=0) for key in _EXPERTS):
        return set()
    if name == "llama4_text":
        step = facts.count("interleave_moe_layer_step", default=1)
        listed = facts.counts("moe_layers") if facts.has("moe_layers") else []
        return set(listed) if listed else set(range(step - 1, number, step))
    if facts.has("mlp_layer_types"):
        kinds = facts.texts("mlp_layer_types", number, ("dense", "sparse"))
        return {at for at, kind in enumerate(kinds) if kind == "sparse"}
    first = facts.count("first_k_dense_replace", default=0, least=0)
    every = facts.count("moe_layer_freq", default=1)
    step = facts.count("decoder_sparse_step", default=1)
    dense = set(facts.counts("mlp_only_layers")) if facts.has("mlp_only_layers") else set()
    return {
        at for at in range(first, number)
        if at % every == 0 and (at + 1) % step == 0 and at not in dense
    }  # fmt: skip


def experts(facts: Facts, family: Family, name: str = "") -> Experts:
    """The routed and shared experts of a layer. Raises: BadRecord."""
    number = facts.count(*_EXPERTS, most=100_000)
    top_k = facts.count(*_TOP_K, most=100_000)
    if top_k > number:
        facts.refuse("num_experts_per_tok", f"{top_k} experts a token, but there are {number}")
    if name in _WIDTH_OF_EXPERTS:
        wide = width(facts, family)
    else:
        wide = facts.count("moe_intermediate_size", most=10_000_000)
    return Experts(
        count=number,
        top_k=top_k,
        width=wide,
        shared_width=_shared_width(facts, name, wide),
        gated=family.gated,
        bias=family.mlp_bias,
        router_bias=family.router_bias,
        shared_gate=family.shared_gate,
        input_width=facts.count("moe_latent_size", default=0, least=0),
    )


def _shared_width(facts: Facts, name: str, wide: int) -> int:
    """Width of all shared experts together; 0 = none."""
    if name == "llama4_text":
        return wide
    for key in (
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
    ):
        if facts.has(key):
            return facts.count(key, least=0, most=10_000_000)
    return wide * facts.count("n_shared_experts", "num_shared_experts", default=0, least=0)
