"""Decoders whose configuration lists its layers one by one: hybrids and pruned networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tokenmill.work.architecture import (
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    Layer,
    Mamba2,
    Mixer,
)
from tokenmill.work.decoder import HIDDEN, attention, experts, layer_kinds, layer_number, width
from tokenmill.work.facts import Facts
from tokenmill.work.families import Family

__all__ = ["IRREGULAR"]

_NEMOTRON_H = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}
_RENAMED = {"linear_attention": "mamba", "full_attention": "attention"}  # by later versions
_COMPRESSED = {
    "sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128,
}  # fmt: skip


def _nemotron_h(facts: Facts, family: Family) -> list[Layer]:
    """Nemotron-H: every layer is one block only, mixer or feed-forward (arXiv:2504.03624)."""
    kinds = _nemotron_h_kinds(facts)
    if facts.has("num_hidden_layers") and layer_number(facts) != len(kinds):
        facts.refuse(
            "num_hidden_layers", f"{layer_number(facts)}, but {len(kinds)} layers are listed"
        )
    hidden = facts.count(*HIDDEN)
    blocks: dict[str, Layer] = {}
    if "mamba" in kinds:
        blocks["mamba"] = Layer(_mamba2(facts), None, hidden)
    if "attention" in kinds:
        blocks["attention"] = Layer(attention(facts, family), None, hidden)
    if "mlp" in kinds:
        dense = Dense(width(facts, family), gated=False, bias=facts.flag("mlp_bias"))
        blocks["mlp"] = Layer(None, dense, hidden)
    if "moe" in kinds:
        blocks["moe"] = Layer(None, experts(facts, family), hidden)
    return [blocks[kind] for kind in kinds]


def _nemotron_h_kinds(facts: Facts) -> list[str]:
    if facts.has("layers_block_type"):
        words = facts.texts("layers_block_type", None, (*_NEMOTRON_H.values(), *_RENAMED))
        return [_RENAMED.get(word, word) for word in words]
    pattern = facts.text("hybrid_override_pattern")
    wrong = sorted(set(pattern) - set(_NEMOTRON_H))
    if wrong or not pattern:
        shown = wrong[0] if wrong else ""
        facts.refuse("hybrid_override_pattern", f'"{shown}" is no layer; use M, E, * and -')
    return [_NEMOTRON_H[sign] for sign in pattern]


def _mamba2(facts: Facts) -> Mamba2:
    return Mamba2(
        heads=facts.count("mamba_num_heads"),
        head_dim=facts.count("mamba_head_dim"),
        groups=facts.count("n_groups"),
        state_dim=facts.count("ssm_state_size"),
        conv_width=facts.count("conv_kernel"),
        conv_bias=facts.flag("use_conv_bias", True),
        proj_bias=facts.flag("use_bias"),
        chunk=facts.count("chunk_size", default=256),
    )


def _nemotron_nas(facts: Facts, family: Family) -> list[Layer]:
    """Pruned Llama: each block states its group size and width, or that a part is absent.

    A part "replaced with linear" is one square matrix. Reference: arXiv:2411.19146.
    """
    hidden = facts.count(*HIDDEN)
    heads = facts.count("num_attention_heads")
    layers = []
    for block in facts.sections("block_configs", layer_number(facts)):
        mixer, block_norm = _nas_mixer(facts, block.section("attention"), family, heads)
        feed_forward, ffn_norm = _nas_feed_forward(block.section("ffn"), hidden)
        layers.append(Layer(mixer, feed_forward, hidden * (block_norm + ffn_norm)))
    return layers


def _nas_mixer(facts: Facts, block: Facts, family: Family, heads: int) -> tuple[Mixer, int]:
    if block.flag("no_op"):
        return None, 0
    if block.flag("replace_with_linear"):
        block.refuse("replace_with_linear", "attention replaced by a matrix is not modelled")
    group = block.count("n_heads_in_group")
    if heads % group:
        block.refuse("n_heads_in_group", f"{group} does not divide {heads} attention heads")
    whole = attention(facts, family)
    return replace(whole, kv_heads=heads // group), 1


def _nas_feed_forward(block: Facts, hidden: int) -> tuple[Dense | None, int]:
    if block.flag("no_op"):
        return None, 0
    if block.flag("replace_with_linear"):
        block.refuse("replace_with_linear", "a block replaced by a matrix is not modelled")
    if block.has("intermediate_size"):
        return Dense(block.count("intermediate_size")), 1
    wide = int(2 * block.number("ffn_mult", most=100) * hidden / 3)
    return Dense(-(-wide // 256) * 256), 1  # rounded up to a multiple of 256


def _deci(facts: Facts, family: Family) -> list[Layer]:
    """DeciLM: Llama with a number of key-value heads for every layer."""
    hidden = facts.count(*HIDDEN)
    number = layer_number(facts)
    whole = attention(facts, family)
    feed_forward: Dense | Experts = Dense(width(facts, family))
    layers = []
    for at, kv_heads in enumerate(facts.counts("num_key_value_heads_per_layer", number, least=1)):
        if whole.heads % kv_heads:
            facts.refuse(
                f"num_key_value_heads_per_layer[{at}]",
                f"{kv_heads} does not divide {whole.heads} attention heads",
            )
        layers.append(Layer(replace(whole, kv_heads=kv_heads), feed_forward, 2 * hidden))
    return layers


def _gemma4(facts: Facts, family: Family) -> list[Layer]:
    """Gemma 4: global layers have wider heads, late layers may reuse earlier keys and values.

    With experts a dense block runs beside them (counted as a shared expert), with three more
    norms and the router's scales; per-layer inputs add a gate, a projection and a norm.
    """
    hidden, number = facts.count(*HIDDEN), layer_number(facts)
    own = number - facts.count("num_kv_shared_layers", default=0, least=0, most=number)
    local = attention(facts, family)
    local = replace(local, window=facts.count("sliding_window", most=1_000_000_000))
    mixers = {"sliding_attention": local, "full_attention": _gemma4_global(facts, local)}
    wide = width(facts, family)
    late = 2 * wide if facts.flag("use_double_wide_mlp") else wide
    routed = facts.flag("enable_moe_block")
    block = replace(experts(facts, family), shared_width=wide) if routed else Dense(wide)
    norms = (7 if routed else 4) * hidden
    extra = hidden + block.count if isinstance(block, Experts) else 0
    inputs = facts.count("hidden_size_per_layer_input", default=0, least=0)
    extra += (2 * inputs + 1) * hidden if inputs else 0
    layers = []
    for at, kind in enumerate(layer_kinds(facts, family, number)):
        if kind not in mixers:
            facts.refuse(f"layer_types[{at}]", f"{kind} is not in Gemma 4; sliding or full is")
        mixer = mixers[kind]
        if at >= own:
            mixer = replace(mixer, shares_kv=True, qk_norm=mixer.qk_norm // 2)
        feed_forward = Dense(late) if at >= own and not routed else block
        layers.append(Layer(mixer, feed_forward, norms, extra_parameters=extra))
    return layers


def _gemma4_global(facts: Facts, local: Attention) -> Attention:
    """Global layers: wider heads, and values that may be the keys' projection."""
    head_dim = facts.count("global_head_dim", default=512, most=100_000)
    shared = facts.flag("attention_k_eq_v")
    kv_heads = local.kv_heads
    if shared:
        kv_heads = facts.count("num_global_key_value_heads", default=kv_heads, most=100_000)
    if local.heads % kv_heads:
        facts.refuse(
            "num_global_key_value_heads", f"{kv_heads} does not divide {local.heads} heads"
        )
    return replace(
        local, window=0, kv_heads=kv_heads, head_dim=head_dim, value_head_dim=head_dim,
        qk_norm=2 * head_dim, values_are_keys=shared,
    )  # fmt: skip


def _deepseek_v4(facts: Facts, family: Family) -> list[Layer]:
    """DeepSeek-V4: window and compressed attention, several residual streams, experts throughout.

    Reading and mixing `hc_mult` residual streams takes two small matrices a layer; layers that
    choose experts by a table of token ids have no score correction.
    """
    hidden, number = facts.count(*HIDDEN), layer_number(facts)
    streams = facts.count("hc_mult", most=100)
    mixing = (2 + streams) * streams * (streams * hidden + 1) + 3
    hashed = facts.count("num_hash_layers", default=3, least=0)
    routed = experts(facts, family)
    layers = []
    for at, mixer in enumerate(_deepseek_v4_mixers(facts, number)):
        block = replace(routed, router_bias=at >= hashed)
        layers.append(Layer(mixer, block, 2 * hidden, extra_parameters=2 * mixing))
    return layers


def _compression_rates(facts: Facts, number: int) -> list[int]:
    """Tokens per compressed entry, layer by layer; a draft layer at the end is dropped."""
    if facts.has("compress_ratios"):
        rates = facts.counts("compress_ratios")
        if not number <= len(rates) <= number + 100:
            facts.refuse("compress_ratios", f"has {len(rates)} entries for {number} layers")
        return rates[:number]
    if not facts.has("layer_types"):
        facts.refuse("compress_ratios", "missing; add it from the model's config.json")
    return [_COMPRESSED[kind] for kind in facts.texts("layer_types", number, _COMPRESSED)]


def _deepseek_v4_mixers(facts: Facts, number: int) -> list[CompressedAttention]:
    rates = _compression_rates(facts, number)
    window = CompressedAttention(
        heads=facts.count("num_attention_heads", most=100_000),
        head_dim=facts.count("head_dim", most=100_000),
        q_lora_rank=facts.count("q_lora_rank"),
        out_groups=facts.count("o_groups"),
        out_rank=facts.count("o_lora_rank"),
        window=facts.count("sliding_window", most=1_000_000_000),
    )
    if (window.heads * window.head_dim) % window.out_groups:
        facts.refuse("o_groups", f"{window.out_groups} does not divide the heads' width")
    fine = replace(
        window, overlap=True, index_heads=facts.count("index_n_heads"),
        index_dim=facts.count("index_head_dim"), index_topk=facts.count("index_topk"),
    )  # fmt: skip
    # entries of few tokens are many: an indexer chooses among them (section 2.3 of the report)
    return [replace(fine if 0 < rate < 32 else window, rate=rate) for rate in rates[:number]]


IRREGULAR: Mapping[str, Callable[[Facts, Family], list[Layer]]] = {
    "nemotron_h": _nemotron_h,
    "nemotron-nas": _nemotron_nas,
    "deci": _deci,
    "gemma4_text": _gemma4,
    "deepseek_v4": _deepseek_v4,
}
