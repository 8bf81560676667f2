"""Number formats of weights and of the KV cache: bits per value and the arithmetic they need.

Bits include scales: a block of 32 mxfp4 values shares one 8-bit exponent (OCP MX v1.0), 16
nvfp4 values share one fp8 scale, 128 x 128 fp8 values share one fp32 scale (DeepSeek-V3 report,
section 3.3), 128 int4 values share a 16-bit scale and a 4-bit zero point (GPTQ, AWQ). The block
formats of llama.cpp (ggml-quants) hold 256 values in 144 (Q4_K), 176 (Q5_K), 210 (Q6_K), 110
(Q3_K, IQ3_S), 84 (Q2_K), 66 (IQ2_XXS), 74 (IQ2_XS), 82 (IQ2_S), 98 (IQ3_XXS), 136 (IQ4_XS) or 50
(IQ1_S) bytes, and 32 values in 18 (Q4_0, IQ4_NL), 20 (Q4_1), 22 (Q5_0), 24 (Q5_1), 34 (Q8_0) or
17 (MXFP4). MLC's q4f16_1 shares a 16-bit scale among 32 values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from tokenmill.errors import UnknownName

__all__ = [
    "CACHE_FORMATS",
    "WEIGHT_FORMATS",
    "CacheFormat",
    "WeightFormat",
    "cache_format",
    "weight_format",
]

Arithmetic = Literal["bf16", "fp8", "fp8_block", "int8", "fp4", "int8_wo", "int4_wo"]


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """How weights are stored, by part of the model, and how they are multiplied.

    bits: bits per value of attention, feed-forward, experts, embedding and LM head, scales
    included; `value_blocks` and `down_blocks`, bits of the blocks that value and down
    projections take in equal parts where they differ (`work.storage` puts them together).
    `arithmetic` is the matrix-multiply the parts need; `_wo` is weight-only: stored small,
    multiplied in 16 bits.
    """

    name: str
    attention_bits: float
    feed_forward_bits: float
    expert_bits: float
    embedding_bits: float
    head_bits: float
    attention: Arithmetic
    feed_forward: Arithmetic
    experts: Arithmetic
    gguf: bool = False
    value_blocks: tuple[float, ...] = ()
    down_blocks: tuple[float, ...] = ()

    def wide_experts(self) -> WeightFormat:
        """The same format with its experts in 16 bits."""
        return replace(self, name=f"{self.name}-wide", expert_bits=16.0, experts="bf16")


def _plain(
    name: str, bits: float, arithmetic: Arithmetic, *, attention_bits: float | None = None,
    attention: Arithmetic | None = None, ends: float = 16.0,
) -> WeightFormat:  # fmt: skip
    return WeightFormat(
        name, bits if attention_bits is None else attention_bits, bits, bits, ends, ends,
        arithmetic if attention is None else attention, arithmetic, arithmetic,
    )  # fmt: skip


def _gguf(
    name: str, bits: float, *, embedding: float, head: float, attention: float = 0.0,
    value: tuple[float, ...] = (), down: tuple[float, ...] = (),
) -> WeightFormat:  # fmt: skip
    arithmetic: Arithmetic = "int8_wo" if bits > 6.6 else "int4_wo"
    return WeightFormat(
        name, attention or bits, bits, bits, embedding, head, arithmetic, arithmetic, arithmetic,
        gguf=True, value_blocks=value, down_blocks=down,
    )  # fmt: skip


_Q2K, _Q3K, _Q4K, _Q5K, _Q6K, _Q8 = 2.625, 3.4375, 4.5, 5.5, 6.5625, 8.5

# The mixtures (llama.cpp, llama_tensor_get_type) keep value and down projections in finer blocks
# in half of the layers (Q4_K_M, Q5_K_M) or in all; where the output of attention differs too
# (Q3_K_M, Q2_K), its blocks are averaged into those of attention.
# fmt: off
_FORMATS = (
    _plain("bf16", 16, "bf16"),
    _plain("fp16", 16, "bf16"),
    _plain("fp8", 8, "fp8"),
    _plain("fp8_block", 8 + 32 / 128**2, "fp8_block"),
    _plain("int8", 8 + 32 / 4096, "int8"),
    _plain("int8_wo", 8 + 16 / 128, "int8_wo"),
    _plain("int4", 4 + 20 / 128, "int4_wo"),
    _plain("nvfp4", 4 + 8 / 16, "fp4"),
    # gpt-oss ships only its experts in mxfp4; the rest stays in 16 bits (model card, section 2.1)
    WeightFormat("mxfp4", 16, 16, 4.25, 16, 16, "bf16", "bf16", "fp4"),
    _gguf("q8_0", _Q8, embedding=_Q8, head=_Q8),
    _gguf("q6_k", _Q6K, embedding=_Q6K, head=_Q6K),
    _gguf("q5_k_m", _Q5K, embedding=_Q5K, head=_Q6K, value=(_Q5K, _Q6K), down=(_Q5K, _Q6K)),
    _gguf("q4_k_m", _Q4K, embedding=_Q4K, head=_Q6K, value=(_Q4K, _Q6K), down=(_Q4K, _Q6K)),
    _gguf("q5_k_s", _Q5K, embedding=_Q5K, head=_Q6K),
    _gguf("q4_k_s", _Q4K, embedding=_Q4K, head=_Q6K, value=(_Q5K, *7 * (_Q4K,)),
          down=(_Q5K, *7 * (_Q4K,))),
    _gguf("q5_0", 5.5, embedding=5.5, head=_Q6K),
    _gguf("q5_1", 6.0, embedding=6.0, head=_Q6K),
    _gguf("q4_0", 4.5, embedding=4.5, head=_Q6K),
    _gguf("q4_1", 5.0, embedding=5.0, head=_Q6K),
    _gguf("iq4_nl", 4.5, embedding=4.5, head=_Q6K),
    _gguf("iq4_xs", 4.25, embedding=4.25, head=_Q6K),
    _gguf("q3_k_l", _Q3K, embedding=_Q3K, head=_Q6K, attention=(_Q3K + _Q5K) / 2, value=(_Q5K,),
          down=(_Q5K,)),
    _gguf("q3_k_s", _Q3K, embedding=_Q3K, head=_Q6K),
    _gguf("iq3_s", _Q3K, embedding=_Q3K, head=_Q6K),
    _gguf("iq3_xxs", 3.0625, embedding=_Q3K, head=_Q5K),
    _gguf("q3_k_m", _Q3K, embedding=_Q3K, head=_Q6K, attention=(_Q3K + _Q4K) / 2, value=(_Q4K,),
          down=(_Q5K, *15 * (_Q4K,))),
    _gguf("q2_k", _Q2K, embedding=_Q2K, head=_Q6K, attention=(_Q2K + _Q3K) / 2, value=(_Q4K,),
          down=(_Q3K,)),
    _gguf("iq2_s", 2.5625, embedding=_Q3K, head=_Q5K),
    _gguf("iq2_xs", 2.3125, embedding=_Q2K, head=_Q5K, attention=2.4, down=(_Q2K,)),
    _gguf("iq1_s", 1.5625, embedding=_Q2K, head=_Q5K, attention=2.0, down=(2.0625,)),
    # gpt-oss in GGUF files: experts in mxfp4, all other matrices in 8 bits
    WeightFormat("mxfp4_moe", _Q8, _Q8, 4.25, _Q8, _Q8, "int8_wo", "int8_wo", "int4_wo", True),
    _plain("fp6", 6.0, "int8_wo"),
    _plain("int4_g32", 4 + 16 / 32, "int4_wo"),
    _plain("int3", 3 + 20 / 128, "int4_wo"),
    _gguf("iq2_xxs", 2.0625, embedding=_Q2K, head=_Q5K, attention=2.2, down=(_Q2K,)),
)
# fmt: on
WEIGHT_FORMATS: dict[str, WeightFormat] = {item.name: item for item in _FORMATS}

_WEIGHT_ALIASES = {
    "fp4": "nvfp4", "w4a16": "int4", "w8a8": "int8", "w8a16": "int8_wo", "float16": "fp16",
    "bfloat16": "bf16", "awq": "int4", "gptq": "int4", "awq-int4": "int4", "int4-awq": "int4",
    "q6": "q6_k", "q4": "q4_k_m", "q8": "q8_0", "q5": "q5_k_m",
    "f16": "fp16", "half": "fp16", "f32": "bf16", "fp32": "bf16", "q4_k": "q4_k_m",
    "q5_k": "q5_k_m", "q3_k": "q3_k_m", "iq3_m": "iq3_s", "iq2_m": "iq2_s", "iq1_m": "iq1_s",
    "q4f16_1": "int4_g32", "q4f16_0": "int4_g32", "q4f16": "int4_g32", "q3f16_1": "int3",
    "q0f16": "fp16", "q8f16_1": "int8_wo", "q4f32_1": "int4_g32", "nf4": "int4_g32",
    "bnb-4bit": "int4_g32", "bnb-8bit": "int8_wo", "w4a8": "int4", "w4a8-awq": "int4",
    "smoothquant": "int8", "sq": "int8", "fp8-e4m3": "fp8", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8",
    "w8a8-fp8": "fp8", "fp6_e3m2": "fp6", "hqq": "int4", "marlin": "int4",
    "mxfp8": "fp8", "fp8-block": "fp8_block", "int4_wo": "int4", "4bit": "int4", "8bit": "int8_wo",
}  # fmt: skip
_BPW = re.compile(r"(?:exl[23][-_ ])?(\d+(?:\.\d+)?)[-_ ]?bpw")
_GROUPED = re.compile(
    r"(?:gptq|awq|int|w)(?:[-_ ]?(?:int)?([348])(?:[-_ ]?bit|a16)?)?(?:[-_ ]g(\d+))?(?:[-_ ].*)?"
)


@dataclass(frozen=True, slots=True)
class CacheFormat:
    """How the KV cache is stored: bits per value, scales included."""

    name: str
    bits: float

    @property
    def value_bytes(self) -> float:
        """Bytes per cached value [B]."""
        return self.bits / 8.0


CACHE_FORMATS: dict[str, CacheFormat] = {
    item.name: item
    for item in (
        CacheFormat("bf16", 16),
        CacheFormat("fp16", 16),
        CacheFormat("fp8", 8),
        CacheFormat("int8", 8 + 16 / 64),
        CacheFormat("q8_0", _Q8),
        CacheFormat("q4_0", 4.5),
        CacheFormat("int4", 4 + 32 / 64),
        CacheFormat("fp4", 4.5),
    )
}
_CACHE_ALIASES = {
    "f16": "fp16", "float16": "fp16", "bfloat16": "bf16", "auto": "bf16", "f32": "bf16",
    "fp8_e4m3": "fp8", "fp8-e4m3": "fp8", "fp8_e5m2": "fp8", "q8": "q8_0", "q4": "q4_0",
    "nvfp4": "fp4",
}  # fmt: skip


def weight_format(name: str) -> WeightFormat:
    """The weight format of that name or alias.

    "exl2-4.0bpw" and "exl3-4.0bpw" give any width, "gptq-4bit-g128-act-order" and "awq-int4" any
    of their kind.

    Raises: UnknownName.
    """
    folded = name.strip().lower()
    folded = _WEIGHT_ALIASES.get(folded, folded)
    if folded in WEIGHT_FORMATS:
        return WEIGHT_FORMATS[folded]
    if found := _BPW.fullmatch(folded):
        bits = float(found[1])
        if 1.0 <= bits <= 16.0:
            return _gguf(folded, bits, embedding=16.0, head=6.0)
    if found := _GROUPED.fullmatch(folded):
        wide = {"3": "int3", "8": "int8_wo"}.get(found[1] or "4", "int4")
        return WEIGHT_FORMATS["int4_g32" if wide == "int4" and found[2] == "32" else wide]
    raise UnknownName("weight format", name, [*WEIGHT_FORMATS, *_WEIGHT_ALIASES])


def cache_format(name: str) -> CacheFormat:
    """The KV cache format of that name. Raises: UnknownName."""
    folded = name.strip().lower()
    folded = _CACHE_ALIASES.get(folded, folded)
    if folded in CACHE_FORMATS:
        return CACHE_FORMATS[folded]
    raise UnknownName("KV cache format", name, CACHE_FORMATS)
