"""What the decoder families of Hugging Face differ in, as one table of traits.

A row says what a `config.json` of that `model_type` leaves unsaid: norms, biases, tying,
which layers look through a window. Traits are read off the modelling code published with
the weights, or that of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

__all__ = ["FAMILIES", "NESTED", "Family"]


@dataclass(frozen=True, slots=True)
class Family:
    """Traits of one `model_type`; the defaults are those of Llama."""

    gated: bool = True  # feed-forward block with three matrices
    shift: bool = False  # norms with a shift beside the scale
    norms: int = 2  # per layer
    bias_key: str = "attention_bias"  # decides on biases around attention; "" = nothing does
    qkv_bias: bool = False  # where that key is absent
    out_bias: bool | None = None  # None: as the queries have it
    mlp_bias_key: str = "mlp_bias"
    mlp_bias: bool = False
    qk_norm: Literal["", "head", "wide"] = ""  # a scale per head dimension, or per feature
    qk_shift: bool = False  # with a shift beside each scale
    qk_norm_key: str = ""  # the key that switches it on; "" = always
    tied: bool = False  # where tie_word_embeddings is absent
    window: Literal["", "all", "flag", "pattern", "chunk"] = ""  # where layer_types is absent
    pattern: int = 1  # every pattern-th layer sees everything
    fourfold: bool = False  # feed-forward width is 4 x hidden unless stated
    router_bias: bool = False
    shared_gate: bool = False
    output_gate: bool = False
    head_bias: bool = False
    positions: int = -1  # learned positions, and how many beyond the context; -1 = none
    embedding_norm: bool = False
    sinks: bool = False


_GPT = Family(
    gated=False, shift=True, bias_key="", qkv_bias=True, mlp_bias_key="", mlp_bias=True,
    tied=True, fourfold=True,
)  # fmt: skip
_MISTRAL = Family(bias_key="", window="all")
_QWEN2 = Family(bias_key="", qkv_bias=True, out_bias=False, window="flag")
_QWEN3 = Family(qk_norm="head", window="flag")
_QWEN3_NEXT = Family(qk_norm="head", shared_gate=True, output_gate=True)
_GEMMA3 = Family(tied=True, norms=4, qk_norm="head", window="pattern", pattern=6)
_LATENT = Family(router_bias=True)

FAMILIES: Mapping[str, Family] = {
    "llama": Family(),
    "granite": Family(),
    "granitemoe": Family(),
    "helium": Family(),
    "arcee": Family(gated=False),
    "seed_oss": Family(qkv_bias=True, out_bias=False),
    "stablelm": Family(shift=True, bias_key="use_qkv_bias", out_bias=False),
    "ernie4_5": Family(bias_key="use_bias", mlp_bias_key="use_bias", tied=True),
    "cohere": Family(norms=1, tied=True, qk_norm="wide", qk_norm_key="use_qk_norm"),
    "cohere2": Family(norms=1, tied=True, window="pattern", pattern=4),
    "exaone4": Family(bias_key="", qk_norm="head", window="pattern", pattern=4),
    "smollm3": Family(tied=True),
    "internlm2": Family(bias_key="bias"),
    "mistral": _MISTRAL,
    "ministral": _MISTRAL,
    "ministral3": _MISTRAL,
    "mixtral": _MISTRAL,
    "phi3": _MISTRAL,
    "olmo2": Family(qk_norm="wide"),
    "olmo3": Family(qk_norm="wide", window="pattern", pattern=4),
    "olmoe": Family(qk_norm="wide"),
    "qwen": replace(_QWEN2, window=""),
    "qwen2": _QWEN2,
    "qwen2_moe": replace(_QWEN2, shared_gate=True),
    "qwen2_5_vl_text": _QWEN2,
    "qwen3": _QWEN3,
    "qwen3_moe": _QWEN3,
    "qwen3_vl_text": _QWEN3,
    "qwen3_vl_moe_text": _QWEN3,
    "qwen3_omni_moe_text": _QWEN3,
    "qwen3_next": _QWEN3_NEXT,
    "qwen3_5_text": _QWEN3_NEXT,
    "qwen3_5_moe_text": _QWEN3_NEXT,
    "gemma": Family(tied=True),
    "gemma2": Family(tied=True, norms=4, window="pattern", pattern=2),
    "gemma3_text": _GEMMA3,
    "gemma4_text": _GEMMA3,
    "phi": replace(_GPT, norms=1, head_bias=True, tied=False),
    "phi3small": replace(_GPT, gated=True),
    "phimoe": Family(shift=True, head_bias=True, window="all"),
    "starcoder2": Family(
        gated=False, shift=True, bias_key="use_bias", qkv_bias=True, mlp_bias_key="use_bias",
        mlp_bias=True, window="all", tied=True,
    ),
    "gpt2": replace(_GPT, positions=0),
    "gpt_bigcode": replace(_GPT, positions=0),
    "gptj": replace(_GPT, norms=1, qkv_bias=False, tied=False, head_bias=True),
    "gpt_neox": replace(_GPT, bias_key="attention_bias", tied=False, fourfold=False),
    "opt": replace(
        _GPT, bias_key="enable_bias", mlp_bias_key="enable_bias", positions=2, fourfold=False
    ),
    "bloom": replace(_GPT, embedding_norm=True),
    "mpt": Family(gated=False, bias_key="", mlp_bias_key="", fourfold=True, tied=True),
    "falcon": Family(
        gated=False, shift=True, bias_key="bias", mlp_bias_key="bias", fourfold=True, tied=True
    ),
    "nemotron": Family(gated=False, shift=True),
    "nemotron_h": Family(gated=False, norms=1, router_bias=True, bias_key=""),
    "nemotron-nas": Family(),
    "deci": Family(),
    "chameleon": Family(qk_norm="wide", qk_shift=True),
    "deepseek": Family(),
    "deepseek_v2": Family(),
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "deepseek_v4": _LATENT,
    "kimi_k2": _LATENT,
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "glm": Family(out_bias=False),
    "glm4": Family(norms=4, out_bias=False),
    "glm4_moe": Family(
        out_bias=False, qk_norm="head", qk_norm_key="use_qk_norm", router_bias=True
    ),
    "minimax_m2": Family(bias_key="", qk_norm="wide", router_bias=True),
    "gpt_oss": Family(
        qkv_bias=True, mlp_bias_key="", mlp_bias=True, router_bias=True, sinks=True,
        window="pattern", pattern=2,
    ),
    "llama4_text": Family(window="chunk"),
}  # fmt: skip

# Sizes that the format lets a nested text_config leave out, where published files do so.
NESTED: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "llama": {
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
            "num_hidden_layers": 32, "num_attention_heads": 32, "max_position_embeddings": 2048,
        },
        "mistral": {
            "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
            "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        },
        "gemma3_text": {
            "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216,
            "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
            "head_dim": 256, "sliding_window": 4096, "max_position_embeddings": 131072,
        },
    }
)  # fmt: skip
