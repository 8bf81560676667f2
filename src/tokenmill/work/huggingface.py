"""Read the architecture of a language model from the facts of its Hugging Face config.json.

What a file says is checked (a missing, contradictory or impossible value is one line with
file, key and remedy); what its format leaves unsaid comes from `work.families`. A family
that is not in the table is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tokenmill.errors import UnknownName
from tokenmill.work.architecture import Architecture, Layer
from tokenmill.work.decoder import HIDDEN, layer_number, regular_layers
from tokenmill.work.facts import Facts
from tokenmill.work.families import FAMILIES, NESTED, Family
from tokenmill.work.irregular import IRREGULAR
from tokenmill.work.vision import vision_encoder

__all__ = ["architecture", "grouped", "read"]

_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")


def architecture(config: Mapping[str, object], *, where: str = "config.json") -> Architecture:
    """The architecture that a Hugging Face configuration describes.

    Parameters: config, the keys of config.json; where, the file named in messages.
    Returns: the decoder and, for a vision-language model, its image tower.
    Raises: BadRecord (file, key, remedy) for missing, contradictory or impossible values.
    """
    return read(Facts(config, where))


def read(outer: Facts) -> Architecture:
    """The architecture that checked facts describe; `outer.seen()` then holds what it took."""
    if outer.has("thinker_config"):  # what listens and looks; speech towers are not counted
        outer = outer.section("thinker_config")
    facts, name = _language_part(outer)
    family = FAMILIES[name]
    result = _decoder(facts, family, name)
    if facts is outer:
        return result
    if not facts.has("tie_word_embeddings"):
        tied = outer.flag("tie_word_embeddings", family.tied)
        result = replace(result, tied_embeddings=tied)
    return replace(result, vision=vision_encoder(outer, result.hidden))


def _language_part(outer: Facts) -> tuple[Facts, str]:
    """The table that describes the decoder, and the family it names."""
    name = outer.text("model_type")
    facts = outer
    if outer.has("text_config"):
        nested = outer.section("text_config")
        name = nested.text("model_type", "llama" if name.startswith("llava") else name)
        facts = outer.section("text_config", NESTED.get(name))
    if name not in FAMILIES:
        near = ", ".join(UnknownName("model_type", name, FAMILIES).suggestions) or "llama"
        facts.refuse(
            "model_type",
            f'"{name[:40]}" is not modelled; if its layers equal those of {near}, write that',
        )
    return facts, name


def _decoder(facts: Facts, family: Family, name: str) -> Architecture:
    hidden = facts.count(*HIDDEN)
    context = facts.count(*_CONTEXT, default=0, least=0, most=1_000_000_000)
    build = IRREGULAR.get(name)
    layers = build(facts, family) if build else regular_layers(facts, family, name)
    norm = hidden * (2 if family.shift else 1)
    learned = family.positions >= 0 or (name == "mpt" and _mpt_positions(facts))
    return Architecture(
        hidden=hidden,
        vocab=facts.count("vocab_size", most=100_000_000),
        layers=grouped(layers),
        tied_embeddings=facts.flag("tie_word_embeddings", family.tied),
        final_norm_parameters=norm,
        position_parameters=(context + max(0, family.positions)) * hidden if learned else 0,
        lookup_parameters=_per_layer_table(facts),
        embedding_norm_parameters=norm if family.embedding_norm else 0,
        lm_head_bias=facts.flag("lm_head_bias", family.head_bias),
        extra_parameters=_beside_the_layers(facts, hidden),
        max_context=context,
        draft_layers=_draft_layers(facts),
    )


def _mpt_positions(facts: Facts) -> bool:
    """Whether an MPT learns its positions: not when attention has linear biases instead."""
    linear = facts.has("attn_config") and facts.section("attn_config").flag("alibi")
    return facts.flag("learned_pos_emb", True) and not linear


def _per_layer_table(facts: Facts) -> int:
    """Parameters of the table that holds a small input of every token for every layer."""
    inputs = facts.count("hidden_size_per_layer_input", default=0, least=0)
    if not inputs:
        return 0
    return (
        facts.count("vocab_size_per_layer_input", most=100_000_000) * layer_number(facts) * inputs
    )


def _beside_the_layers(facts: Facts, hidden: int) -> int:
    """Small matrices outside the layers: to per-layer inputs, or out of residual streams."""
    inputs = facts.count("hidden_size_per_layer_input", default=0, least=0)
    if inputs:
        return hidden * layer_number(facts) * inputs + inputs
    streams = facts.count("hc_mult", default=0, least=0, most=100)
    return streams * (streams * hidden + 1) + 1 if streams else 0


def _draft_layers(facts: Facts) -> int:
    for key in ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"):
        if facts.has(key):
            return facts.count(key, least=0, most=100)
    return 0


def grouped(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Equal layers merged into one with their count, in order of first appearance."""
    counts: dict[Layer, int] = {}
    for layer in layers:
        one = replace(layer, count=1)
        counts[one] = counts.get(one, 0) + layer.count
    return tuple(replace(layer, count=count) for layer, count in counts.items())
