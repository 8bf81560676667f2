"""Number formats: bits with their scales, and files of the sizes that were published."""

from __future__ import annotations

import pytest

from tokenmill.errors import UnknownName
from tokenmill.placement.memory import stored_bytes
from tokenmill.work.language import operations
from tokenmill.work.ops import ExpertBlock, Matmul
from tokenmill.work.precision import (
    CACHE_FORMATS,
    WEIGHT_FORMATS,
    cache_format,
    weight_format,
)
from tokenmill.work.storage import stored_bits
from work.models import SLUGS, arch

# GB of the files that llama.cpp writes, as their publishers state them (Hugging Face, files
# of bartowski/*-GGUF and TheBloke/*-GGUF); a file holds the tokenizer and its metadata too.
PUBLISHED_GB = {
    ("llama-2-7b", "q4_k_m"): 4.08, ("llama-2-7b", "q5_k_m"): 4.78, ("llama-2-7b", "q6_k"): 5.53,
    ("llama-2-7b", "q8_0"): 7.16, ("llama-2-7b", "q3_k_m"): 3.30, ("llama-2-7b", "q4_0"): 3.83,
    ("llama-3.1-8b", "q4_k_m"): 4.92, ("llama-3.1-8b", "q8_0"): 8.54,
    ("llama-3.1-8b", "q6_k"): 6.60, ("llama-3.1-8b", "q5_k_m"): 5.73,
    ("llama-3.1-8b", "q3_k_m"): 4.02, ("llama-3.1-8b", "q2_k"): 3.18,
    ("llama-3.1-70b", "q4_k_m"): 42.52, ("llama-3.1-70b", "q8_0"): 74.98,
    ("llama-3.1-70b", "q2_k"): 26.38, ("mistral-7b", "q4_k_m"): 4.37,
    ("mixtral-8x7b", "q8_0"): 49.62, ("llama-3.2-3b", "q4_k_m"): 2.02,
    # rows of 29,568 values are no multiple of 256 and fall back to other blocks
    ("qwen2.5-32b", "q4_k_m"): 19.85, ("qwen2.5-72b", "q4_k_m"): 47.42,
}  # fmt: skip


@pytest.mark.parametrize(("slug", "name"), PUBLISHED_GB)
def test_gguf_files_are_as_large_as_published(slug: str, name: str) -> None:
    stored = stored_bytes(arch(slug), weight_format(name))
    assert stored / 1e9 == pytest.approx(PUBLISHED_GB[slug, name], rel=0.015)


@pytest.mark.parametrize("slug", ["llama-3.1-8b", "mixtral-8x7b", "gpt-oss-20b"])
def test_fewer_bits_are_smaller_files(slug: str) -> None:
    order = ("bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k", "iq2_xxs")
    sizes = [stored_bytes(arch(slug), weight_format(name)) for name in order]
    assert sizes == sorted(sizes, reverse=True)


def test_bits_hold_their_scales() -> None:
    bits = {name: weight_format(name).feed_forward_bits for name in ("int4", "nvfp4", "fp8_block")}
    assert bits == {"int4": 4 + 20 / 128, "nvfp4": 4.5, "fp8_block": 8 + 32 / 128**2}
    assert weight_format("mxfp4").expert_bits == 4 + 8 / 32
    assert weight_format("mxfp4").attention_bits == 16  # gpt-oss quantises its experts alone
    assert cache_format("fp8").value_bytes == 1.0
    assert cache_format("bf16").value_bytes == 2.0


def test_gpt_oss_ships_at_its_published_size() -> None:
    """12.8 and 60.8 GiB of checkpoint (gpt-oss model card, table 1)."""
    for slug, gib in (("gpt-oss-20b", 12.8), ("gpt-oss-120b", 60.8)):
        assert stored_bytes(arch(slug), weight_format("mxfp4")) / 2**30 == pytest.approx(
            gib, rel=0.02
        )


@pytest.mark.parametrize("name", WEIGHT_FORMATS)
def test_every_matrix_has_bits(name: str) -> None:
    for slug in ("llama-3.1-8b", "gpt-oss-20b", "qwen2.5-0.5b", "deepseek-v3"):
        for op in operations(arch(slug)):
            if isinstance(op, Matmul | ExpertBlock):
                assert 1.5 <= stored_bits(op, weight_format(name)) <= 16.0


@pytest.mark.parametrize("slug", SLUGS)
def test_sixteen_bits_are_two_bytes_a_parameter(slug: str) -> None:
    from tokenmill.work.parameters import total_parameters

    model = arch(slug)
    assert stored_bytes(model, weight_format("bf16")) == pytest.approx(
        2.0 * total_parameters(model), rel=1e-9
    )


@pytest.mark.parametrize(
    ("alias", "name"),
    [("AWQ", "int4"), (" bfloat16 ", "bf16"), ("FP4", "nvfp4"), ("w8a8", "int8"), ("q4", "q4_k_m")],
)
def test_aliases(alias: str, name: str) -> None:
    assert weight_format(alias).name == name


def test_exl2_takes_any_width() -> None:
    assert weight_format("exl2-4.25bpw").feed_forward_bits == 4.25
    for name in ("exl2-bpw", "exl2-nanbpw", "exl2-0.1bpw", "exl2-99bpw", "exl2-4bit"):
        with pytest.raises(UnknownName):
            weight_format(name)


def test_unknown_formats_get_the_nearest() -> None:
    with pytest.raises(UnknownName, match="q4_k_m"):
        weight_format("q4_k_n")
    with pytest.raises(UnknownName, match="fp8"):
        cache_format("fp9")
    assert set(CACHE_FORMATS) >= {"bf16", "fp8", "int8"}


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("Q8_0", 8.5), ("IQ4_XS", 4.25), ("F16", 16), ("4.65bpw", 4.65), ("exl2-3.0bpw", 3.0),
        ("gptq-4bit-g128-act-order", 4.15625), ("gptq-4bit-32g", 4.15625), ("awq", 4.15625),
        ("gptq-4bit-g32", 4.5), ("q4f16_1", 4.5), ("gptq-3bit-g128", 3.15625), ("w8a16", 8.125),
    ],
)  # fmt: skip
def test_formats_by_the_names_that_publications_use(name: str, bits: float) -> None:
    assert weight_format(name).feed_forward_bits == pytest.approx(bits)


def test_a_format_nobody_uses_is_refused() -> None:
    for name in ("0.5bpw", "grey", "q11_0"):
        with pytest.raises(UnknownName):
            weight_format(name)


def test_gguf_files_of_gpt_oss_have_their_published_size() -> None:
    """12.1 and 63.4 GB (ggml-org/gpt-oss-20b-GGUF and -120b-GGUF)."""
    for slug, gigabytes in (("gpt-oss-20b", 12.1), ("gpt-oss-120b", 63.4)):
        size = stored_bytes(arch(slug), weight_format("mxfp4_moe"))
        assert size / 1e9 == pytest.approx(gigabytes, rel=0.04)


def test_wide_experts_take_16_bits_and_leave_the_rest() -> None:
    small = weight_format("fp8")
    wide = small.wide_experts()
    assert (wide.expert_bits, wide.experts) == (16.0, "bf16")
    assert (wide.attention, wide.feed_forward_bits) == (small.attention, small.feed_forward_bits)
    assert wide.name != small.name
