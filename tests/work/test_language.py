"""Work of language models against hand formulas from the papers, and over the whole catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.work.architecture import (
    Architecture,
    Attention,
    Dense,
    Experts,
    GatedDeltaNet,
    LatentAttention,
    Layer,
    Mamba2,
)
from tokenmill.work.language import (
    attended_pairs,
    cache_bytes_per_token,
    decode_work,
    distinct_experts,
    mixing_work,
    operations,
    prefill_work,
    state_bytes_per_sequence,
    window_tokens,
)
from tokenmill.work.ops import Elementwise, ExpertBlock, Matmul, Work
from tokenmill.work.parameters import parameters, total_parameters
from tokenmill.work.precision import cache_format, weight_format
from work.models import SLUGS, arch

BF16, KV16 = weight_format("bf16"), cache_format("bf16")
FP8, KV8 = weight_format("fp8"), cache_format("fp8")
HIDDEN, VOCAB = 512, 1000


def one_layer(mixer: object, block: object = None, **more: object) -> Architecture:
    layer = Layer(mixer, block, norm_parameters=0)  # type: ignore[arg-type]
    return Architecture(HIDDEN, VOCAB, (layer,), False, 0, **more)  # type: ignore[arg-type]


def matrices(arch: Architecture) -> int:
    return sum(
        op.parameters for op in operations(arch) if isinstance(op, Matmul | ExpertBlock)
    )  # fmt: skip


def total(works: Iterable[Work]) -> Work:
    return sum(works, Work())


# --- attention: 2 FLOP a weight and token, 4 x heads x head size a (query, key) pair ------------


@pytest.mark.parametrize(("heads", "kv_heads"), [(8, 8), (8, 2), (8, 1)], ids=["MHA", "GQA", "MQA"])
@pytest.mark.parametrize("batch", [1, 7])
def test_decode_of_plain_attention(heads: int, kv_heads: int, batch: int) -> None:
    dim, context = 64, 1000
    model = one_layer(Attention(heads, kv_heads, dim, dim), Dense(2048))
    work = decode_work(model, BF16, KV16, batch, context)
    q, kv, ffn = HIDDEN * heads * dim, 2 * HIDDEN * kv_heads * dim, 3 * HIDDEN * 2048
    assert work["qkv"].flop == 2 * batch * (q + kv)
    assert work["attention out"].flop == 2 * batch * q
    assert work["mlp up"].flop + work["mlp down"].flop == 2 * batch * ffn
    assert work["lm head"].flop == 2 * batch * HIDDEN * VOCAB
    assert work["attention"].flop == 4 * heads * dim * (context + 1) * batch
    # the cache is read once, the new token's keys and values too, and written once
    assert work["attention"].cache_bytes == 2 * kv_heads * dim * (context + 1 + 1) * 2 * batch
    weights = 2 * (q + kv + q + ffn + HIDDEN * VOCAB)
    assert total(work.values()).weight_bytes == weights


def test_prefill_of_plain_attention_counts_causal_pairs() -> None:
    model = one_layer(Attention(8, 2, 64, 64))
    tokens, context, sequences = 300, 100, 3
    work = prefill_work(model, BF16, KV16, tokens, context, sequences)
    pairs = sum(context + i for i in range(1, tokens + 1))
    assert work["attention"].flop == 4 * 8 * 64 * pairs * sequences
    assert work["qkv"].flop == 2 * tokens * sequences * HIDDEN * (8 + 2 * 2) * 64
    assert work["lm head"].flop == 2 * sequences * HIDDEN * VOCAB  # one answer a sequence


@given(st.integers(1, 300), st.integers(0, 300), st.integers(0, 200))
def test_attended_pairs_are_those_one_counts(new: int, context: int, window: int) -> None:
    rows = (context + i for i in range(1, new + 1))
    counted = sum(min(row, window) if window else row for row in rows)
    assert float(attended_pairs(new, context, window)) == counted


def test_a_window_bounds_pairs_and_reads() -> None:
    local = one_layer(Attention(8, 2, 64, 64, window=128))
    whole = one_layer(Attention(8, 2, 64, 64))
    near, far = (decode_work(local, BF16, KV16, 1, c)["attention"] for c in (1000, 100_000))
    assert near == far
    assert near.flop == 4 * 8 * 64 * 128
    assert near.cache_bytes == 2 * 2 * 64 * 2 * (128 + 1)  # 128 tokens read, one written
    inside = [decode_work(x, BF16, KV16, 1, 99)["attention"] for x in (local, whole)]
    assert inside[0] == inside[1]


def test_borrowed_keys_and_values_are_read_but_not_written() -> None:
    own = decode_work(one_layer(Attention(8, 2, 64, 64)), BF16, KV16, 1, 99)
    borrowed = decode_work(one_layer(Attention(8, 2, 64, 64, shares_kv=True)), BF16, KV16, 1, 99)
    assert own["attention"].cache_bytes - borrowed["attention"].cache_bytes == 2 * 2 * 64 * 2
    assert own["qkv"].flop - borrowed["qkv"].flop == 2 * HIDDEN * 2 * 2 * 64


# --- latent attention: DeepSeek-V2 report, section 2.1 ------------------------------------------

MLA = LatentAttention(128, 1536, 512, 64, 128, 128)


def test_latent_attention_absorbed_and_not() -> None:
    model, new, context = one_layer(MLA), 256, 1000
    absorbed = mixing_work(model, KV16, 1, context, 1, absorbed=True)
    # scores over 512 + 64 latent values, sums over 512
    assert absorbed.flop == 2 * 128 * (576 + 512) * (context + 1)
    assert absorbed.cache_bytes == 576 * 2 * (context + 1 + 1)
    whole = mixing_work(model, KV16, new, context, 1, absorbed=False)
    pairs = new * context + new * (new + 1) / 2
    assert whole.flop == 2 * 128 * (128 + 64 + 128) * pairs


def test_projections_cost_the_same_absorbed_or_not() -> None:
    """Absorbed, the up-projection is applied to queries and outputs: the same values and FLOPs."""
    model = one_layer(MLA)
    decode = decode_work(model, BF16, KV16, 16, 100)
    prefill = prefill_work(model, BF16, KV16, 16, 100)
    for name in ("latent down", "query up", "latent up", "attention out"):
        assert decode[name].flop == prefill[name].flop
        assert decode[name].weight_bytes == prefill[name].weight_bytes
    assert decode["latent up"].flop == 2 * 16 * 512 * 128 * (128 + 128)


def test_sparse_attention_reads_what_its_indexer_chose() -> None:
    sparse = replace(MLA, index_heads=64, index_dim=128, index_topk=2048)
    short, long = (
        mixing_work(one_layer(sparse), KV8, 1, c, 1, absorbed=True) for c in (50_000, 100_000)
    )
    index = 2 * 64 * 128
    assert short.flop == 2 * 128 * (576 + 512) * 2048 + index * 50_001
    assert long.flop - short.flop == index * 50_000  # only the indexer still sees everything
    assert long.cache_bytes - short.cache_bytes == 128 * 50_000


# --- published sizes of the KV cache -------------------------------------------------------------

PUBLISHED_KV = {
    "llama-3.1-8b": 131_072, "llama-3.1-70b": 327_680, "llama-3.3-70b": 327_680,
    "llama-3.1-405b": 516_096, "llama-2-7b": 524_288, "llama-2-70b": 327_680,
    "mixtral-8x7b": 131_072, "gpt3-175b": 4_718_592, "deepseek-v3": 61 * 576 * 2,
    "deepseek-v2": 60 * 576 * 2, "kimi-k2": 61 * 576 * 2, "qwen2.5-72b": 327_680,
}  # fmt: skip


@pytest.mark.parametrize("slug", PUBLISHED_KV)
def test_cache_of_a_token_as_published(slug: str) -> None:
    full, windowed, _ = cache_bytes_per_token(arch(slug), KV16)
    assert full + windowed == PUBLISHED_KV[slug]


def test_deepseek_v3_keeps_576_values_a_token_and_layer() -> None:
    assert arch("deepseek-v3").layer_count == 61
    assert cache_bytes_per_token(arch("deepseek-v3"), KV8)[0] == 61 * 576
    # V3.2 adds the indexer's key of 128 values, in 8 bits
    assert cache_bytes_per_token(arch("deepseek-v3.2"), KV8)[0] == 61 * (576 + 128)


def test_windows_of_gemma_3_and_gpt_oss() -> None:
    gemma = arch("gemma-3-27b")  # 5 local layers of 1,024 tokens to 1 global one
    local = sum(x.count for x in gemma.layers if x.mixer.window)  # type: ignore[union-attr]
    assert (gemma.layer_count, local) == (62, 52)
    assert cache_bytes_per_token(gemma, KV16) == (10 * 8192, 52 * 8192, 1024)
    oss = arch("gpt-oss-120b")  # 128 tokens in every second layer
    assert cache_bytes_per_token(oss, KV16) == (18 * 2048, 18 * 2048, 128)


# --- mixture of experts ---------------------------------------------------------------------------


@pytest.mark.parametrize(("experts", "top_k"), [(8, 2), (64, 6), (256, 8)])
@pytest.mark.parametrize("tokens", [1, 4, 32, 200])
def test_distinct_experts_as_monte_carlo_counts_them(experts: int, top_k: int, tokens: int) -> None:
    random = np.random.default_rng(0)
    order = random.random((400, tokens, experts)).argpartition(top_k, axis=-1)[..., :top_k]
    hit = np.zeros((400, experts), bool)
    np.put_along_axis(hit, order.reshape(400, -1), True, axis=1)
    seen = hit.sum(axis=1)
    error = max(4 * seen.std() / 20, 0.01)  # four standard errors of the mean of 400
    assert float(distinct_experts(experts, top_k, tokens)) == pytest.approx(seen.mean(), abs=error)


@given(st.integers(1, 300), st.integers(1, 12), st.floats(1, 1e5))
def test_distinct_experts_have_limits(experts: int, top_k: int, tokens: float) -> None:
    top_k = min(top_k, experts)
    found = float(distinct_experts(experts, top_k, tokens))
    assert top_k * (1 - 1e-9) <= found <= experts * (1 + 1e-9)
    assert found <= float(distinct_experts(experts, top_k, 2 * tokens)) * (1 + 1e-12)
    assert float(distinct_experts(experts, top_k, 1)) == pytest.approx(top_k)


def test_routed_and_shared_experts() -> None:
    block = Experts(count=64, top_k=6, width=256, shared_width=512)
    work = decode_work(one_layer(None, block), FP8, KV16, 10, 0)
    assert work["router"].flop == 2 * 10 * HIDDEN * 64
    assert work["router"].weight_bytes == 2 * HIDDEN * 64  # routers stay in 16 bits
    assert work["experts"].flop == 2 * 10 * 6 * 3 * HIDDEN * 256
    touched = 64 * (1 - (1 - 6 / 64) ** 10)
    assert work["experts"].weight_bytes == pytest.approx(touched * 3 * HIDDEN * 256)
    shared = work["shared expert up"] + work["shared expert down"]
    assert shared.flop == 2 * 10 * 3 * HIDDEN * 512
    assert shared.weight_bytes == 3 * HIDDEN * 512


def test_first_layers_of_deepseek_v3_are_dense() -> None:
    ops = {op.name: op for op in operations(arch("deepseek-v3"))}
    dense, routed = ops["mlp up"], ops["experts"]
    assert isinstance(dense, Matmul)
    assert isinstance(routed, ExpertBlock)
    assert (dense.count, dense.n, routed.count) == (3, 2 * 18432, 58)
    assert routed.parameters == 58 * 256 * 3 * 7168 * 2048


def test_experts_in_a_latent_are_narrower() -> None:
    plain, narrow = Experts(8, 2, 256), Experts(8, 2, 256, input_width=128)
    wide = decode_work(one_layer(None, plain), BF16, KV16, 1, 0)["experts"]
    thin = decode_work(one_layer(None, narrow), BF16, KV16, 1, 0)["experts"]
    assert wide.flop == 4 * thin.flop


# --- states instead of a cache ------------------------------------------------------------------


def test_mamba_2_keeps_a_state_and_no_cache() -> None:
    mixer = Mamba2(heads=24, head_dim=64, groups=1, state_dim=128, conv_width=4)
    model = one_layer(mixer)
    assert cache_bytes_per_token(model, KV16) == (0.0, 0.0, 0)
    conv = (24 * 64 + 2 * 128) * 3 * 2
    assert state_bytes_per_sequence(model) == 24 * 64 * 128 * 4 + conv
    one, many = (decode_work(model, BF16, KV16, b, 10_000)["state space"] for b in (1, 5))
    # per state: decay and input, read-out; a convolution of four taps
    assert one.flop == 6 * 24 * 64 * 128 + 2 * (24 * 64 + 2 * 128) * 4
    assert many.flop == 5 * one.flop
    assert one.cache_bytes == 2 * 4 * 24 * 64 * 128  # read and written
    assert decode_work(model, BF16, KV16, 1, 0)["state space"] == one


def test_gated_delta_nets_keep_a_state_and_no_cache() -> None:
    mixer = GatedDeltaNet(key_heads=16, value_heads=32, key_dim=128, value_dim=128, conv_width=4)
    model = one_layer(mixer)
    assert cache_bytes_per_token(model, KV16) == (0.0, 0.0, 0)
    state = 32 * 128 * 128 * 4
    assert state_bytes_per_sequence(model) == state + (2 * 16 * 128 + 32 * 128) * 3 * 2
    work = decode_work(model, BF16, KV16, 3, 777)["gated delta"]
    assert work.cache_bytes == 3 * 2 * state
    assert work.flop == 3 * (8 * 32 * 128 * 128 + 2 * (2 * 16 * 128 + 32 * 128) * 4)


# --- the whole catalogue ------------------------------------------------------------------------


def vectors(model: Architecture) -> int:
    """Values that are neither in matrices nor in tables, counted layer by layer."""
    count = model.position_parameters + model.final_norm_parameters + model.extra_parameters
    count += model.embedding_norm_parameters + model.vocab * model.lm_head_bias
    for layer in model.layers:
        each = layer.norm_parameters + layer.extra_parameters
        mixer, block = layer.mixer, layer.feed_forward
        if isinstance(mixer, Attention):
            query = mixer.heads * mixer.head_dim * (2 if mixer.output_gate else 1)
            own = 0 if mixer.shares_kv else mixer.kv_heads
            wide = mixer.head_dim + (0 if mixer.values_are_keys else mixer.value_head_dim)
            each += mixer.qk_norm + mixer.heads * mixer.sinks
            each += (query + own * wide) * mixer.qkv_bias + model.hidden * mixer.out_bias
        elif isinstance(mixer, LatentAttention):
            each += mixer.q_lora_rank + mixer.kv_lora_rank  # norms
            each += 2 * mixer.index_dim if mixer.index_heads else 0
            wide = mixer.q_lora_rank + mixer.kv_lora_rank + mixer.rope_dim + model.hidden
            each += wide if mixer.bias else 0
        elif isinstance(mixer, Mamba2):
            inner = mixer.heads * mixer.head_dim
            channels = inner + 2 * mixer.groups * mixer.state_dim
            each += channels * (mixer.conv_width + mixer.conv_bias) + 3 * mixer.heads + inner
            each += (inner + channels + mixer.heads + model.hidden) * mixer.proj_bias
        elif isinstance(mixer, GatedDeltaNet):
            channels = 2 * mixer.key_heads * mixer.key_dim + mixer.value_heads * mixer.value_dim
            each += channels * mixer.conv_width + 2 * mixer.value_heads + mixer.value_dim
        if isinstance(block, Dense):
            each += (block.width * (2 if block.gated else 1) + model.hidden) * block.bias
        elif isinstance(block, Experts):
            wide = block.width * (2 if block.gated else 1) + (block.input_width or model.hidden)
            each += block.count * (wide * block.bias + block.router_bias)
            each += model.hidden * block.shared_gate
        count += each * layer.count
    return count


@pytest.mark.parametrize("slug", [slug for slug in SLUGS if "deepseek-v4" not in slug])
def test_matrices_tables_and_vectors_are_all_parameters(slug: str) -> None:
    model = arch(slug)
    table = 0 if model.tied_embeddings else model.vocab * model.hidden
    known = matrices(model) + table + model.lookup_parameters + vectors(model)
    assert known + parameters(model).vision == total_parameters(model)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_token_costs_two_flops_a_weight_that_it_touches(slug: str) -> None:
    model = arch(slug)
    work = decode_work(model, BF16, KV16, 1, 0)
    linear = sum(
        float(work[op.name].flop)
        for op in {op.name: op for op in operations(model)}.values()
        if isinstance(op, Matmul | ExpertBlock)
    )
    idle = sum(
        (op.experts.count - op.experts.top_k) * op.parameters // op.experts.count
        for op in operations(model) if isinstance(op, ExpertBlock)
    )  # fmt: skip
    assert linear == 2.0 * (matrices(model) - idle)
    read = sum(float(one.weight_bytes) for one in work.values())
    assert read == pytest.approx(2.0 * (matrices(model) - idle), rel=1e-9)


@pytest.mark.parametrize("slug", ["llama-3.2-1b", "gemma-3-27b"])
def test_tied_embeddings_are_stored_once_and_read_as_head(slug: str) -> None:
    model = arch(slug)
    assert model.tied_embeddings
    assert matrices(model) + vectors(model) + parameters(model).vision == total_parameters(model)
    assert decode_work(model, BF16, KV16, 1, 0)["lm head"].weight_bytes == (
        2 * model.vocab * model.hidden
    )


@pytest.mark.parametrize("slug", ["deepseek-v4-pro", "deepseek-v4-flash"])
def test_compressed_attention_counts_its_matrices_and_reads_little(slug: str) -> None:
    model = arch(slug)
    assert matrices(model) == pytest.approx(total_parameters(model), rel=0.01)
    reads = [
        total(decode_work(model, BF16, KV16, 1, context).values()).cache_bytes
        for context in (4096, 65536)
    ]
    plain = total(decode_work(arch("deepseek-r1"), BF16, KV16, 1, 65536).values()).cache_bytes
    assert reads[0] < reads[1] < plain / 4.0


def test_batches_and_contexts_may_be_arrays() -> None:
    model = arch("gpt-oss-20b")
    batches, contexts = np.array([1.0, 8.0, 64.0]), np.array([10.0, 1000.0, 5000.0])
    together = total(decode_work(model, BF16, KV16, batches, contexts).values())
    for i, (batch, context) in enumerate(zip(batches, contexts, strict=True)):
        alone = total(decode_work(model, BF16, KV16, batch, context).values())
        for name in ("flop", "weight_bytes", "cache_bytes", "activation_bytes"):
            wanted = getattr(alone, name)
            assert np.broadcast_to(getattr(together, name), 3)[i] == pytest.approx(wanted)


def test_work_adds_up_and_scales() -> None:
    one = Work(flop=10.0, weight_bytes=3.0, cache_bytes=1.0, activation_bytes=1.0, kernels=1)
    assert one + one == 2 * one == one * 2
    assert sum([one, one]) == 2 * one
    assert (one.memory_bytes, one.intensity) == (5.0, 2.0)
    assert isinstance(operations(arch("llama-2-7b"))[0], Elementwise)


def test_without_windows_every_layer_reads_all_of_the_context() -> None:
    model = arch("mistral-7b")
    cut, whole = (
        sum(cache_bytes_per_token(one, cache_format("bf16"))[:2])
        for one in (model, model.windowless())
    )
    assert cut == whole
    assert window_tokens(model) == 4096
    assert window_tokens(model.windowless()) == 0
