"""Decoders whose configuration lists its layers one by one: hybrids and pruned networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tokenmill.work.architecture import Dense, Experts, Layer, Mamba2, Mixer
from tokenmill.work.decoder import HIDDEN, attention, experts, layer_number, width
from tokenmill.work.facts import Facts
from tokenmill.work.families import Family

__all__ = ["IRREGULAR"]

_NEMOTRON_H = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


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
        return facts.texts("layers_block_type", None, _NEMOTRON_H.values())
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


IRREGULAR: Mapping[str, Callable[[Facts, Family], list[Layer]]] = {
    "nemotron_h": _nemotron_h,
    "nemotron-nas": _nemotron_nas,
    "deci": _deci,
}
