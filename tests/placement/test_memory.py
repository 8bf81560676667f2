"""Memory of one GPU: by hand, against published sizes, and never less than the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.errors import DoesNotFit
from tokenmill.placement.layout import Layout, LayoutGrid, legal_layouts
from tokenmill.placement.memory import cache_size, stored_bytes, weight_bytes, workspace_bytes
from tokenmill.planner.single import estimate
from tokenmill.work.language import cache_bytes_per_token, state_bytes_per_sequence
from tokenmill.work.parameters import parameters, total_parameters
from tokenmill.work.precision import cache_format, weight_format
from work.models import SLUGS, arch

BF16, KV16 = weight_format("bf16"), cache_format("bf16")
ONE = LayoutGrid.of((Layout(),))


def on(layout: Layout) -> LayoutGrid:
    return LayoutGrid.of((layout,))


@pytest.mark.parametrize(
    ("layout", "gb"), [(Layout(8), 17.64), (Layout(4, 2), 17.64), (Layout(1, 8), 19.21)]
)
def test_llama_70b_is_divided_whole(layout: Layout, gb: float) -> None:
    """141.1 GB in 16 bits over eight GPUs; a last stage of its own holds the whole head."""
    each = float(weight_bytes(arch("llama-3.1-70b"), BF16, on(layout))[0, 0])
    assert each / 1e9 == pytest.approx(gb, rel=1e-3)


@given(st.sampled_from(SLUGS), st.data())
def test_ranks_together_hold_at_least_the_whole(slug: str, data: st.DataObject) -> None:
    model = arch(slug)
    layouts = legal_layouts(model, 64, 64)
    layout = data.draw(st.sampled_from(layouts))
    each = float(weight_bytes(model, BF16, on(layout))[0, 0])
    whole = stored_bytes(model, BF16)
    # data-parallel ranks hold copies of attention, never less
    assert each * layout.gpus >= whole * (1 - 1e-9)
    assert each <= whole * (1 + 1e-9)


@given(st.sampled_from(SLUGS), st.data())
def test_splitting_further_never_needs_more(slug: str, data: st.DataObject) -> None:
    model = arch(slug)
    layouts = legal_layouts(model, 64, 64)
    fine = data.draw(st.sampled_from(layouts))
    coarser = [
        x for x in layouts
        if fine.tp % x.tp == 0 and fine.ep % x.ep == 0 and fine.dp == x.dp and x.pp <= fine.pp
        and fine.moe_tp % x.moe_tp == 0
    ]  # fmt: skip
    for coarse in coarser:
        one, other = (weight_bytes(model, BF16, on(x))[0, 0] for x in (fine, coarse))
        assert one <= other * (1 + 1e-9)
        size, larger = (cache_size(model, KV16, on(x)) for x in (fine, coarse))
        assert size.of(5000)[0, 0] <= larger.of(5000)[0, 0] * (1 + 1e-9)


def test_experts_spread_over_ranks() -> None:
    """DeepSeek-V3 on 32 GPUs: 256 experts are 8 a GPU; attention is copied 32 times."""
    model, fp8 = arch("deepseek-v3"), weight_format("fp8")
    each = float(weight_bytes(model, fp8, on(Layout(1, 1, 32, 32)))[0, 0])
    parts = parameters(model)
    experts = parts.experts / 32
    copied = parts.attention + parts.feed_forward
    tables = 2 * 2 * model.vocab * model.hidden  # embedding and head stay in 16 bits
    assert each == pytest.approx(experts + copied + tables, rel=0.01)


@pytest.mark.parametrize("slug", SLUGS)
def test_a_sequence_holds_what_its_layers_keep(slug: str) -> None:
    model = arch(slug)
    size = cache_size(model, KV16, ONE)
    full, windowed, window = cache_bytes_per_token(model, KV16)
    state = state_bytes_per_sequence(model)
    for context in (1.0, 100.0, 1e5):
        wanted = full * context + windowed * min(context, window or 0) + state
        assert float(size.of(context)[0, 0]) == pytest.approx(wanted)
    assert float(size.of(1000.0, 7)[0, 0]) == pytest.approx(7 * float(size.of(1000.0)[0, 0]))


@pytest.mark.parametrize(
    ("slug", "context", "gb"),
    [
        ("llama-3.1-8b", 8192, 131_072 * 8192 / 1e9),
        ("deepseek-v3", 100_000, 7.0272),
        # 18 of 36 layers keep everything, the others 128 tokens
        ("gpt-oss-120b", 100_000, 36_864 * (100_000 + 128) / 1e9),
        ("gemma-3-27b", 32_768, (81_920 * 32_768 + 425_984 * 1024) / 1e9),
    ],
)
def test_cache_of_a_context_by_hand(slug: str, context: int, gb: float) -> None:
    held = float(cache_size(arch(slug), KV16, ONE).of(context)[0, 0])
    assert held / 1e9 == pytest.approx(gb, rel=1e-6)


def test_heads_are_divided_and_latents_copied() -> None:
    grid = LayoutGrid.of((Layout(1), Layout(4), Layout(8), Layout(16)))
    heads = cache_size(arch("llama-3.1-70b"), KV16, grid).token_bytes.ravel()
    assert (heads / heads[0]).tolist() == [1, 1 / 4, 1 / 8, 1 / 8]  # 8 KV heads
    latent = cache_size(arch("deepseek-v3"), KV16, grid).token_bytes.ravel()
    assert set(latent) == {61 * 576 * 2}


def test_an_embedding_in_one_piece_is_on_every_rank() -> None:
    model = arch("llama-3.1-70b")
    split, whole = (
        float(weight_bytes(model, BF16, on(Layout(4)), whole_embedding=one)[0, 0])
        for one in (False, True)
    )
    assert whole - split == pytest.approx(0.75 * model.vocab * model.hidden * 2.0)


def test_workspace_grows_with_the_step() -> None:
    model = arch("llama-3.1-8b")
    small, large = (float(workspace_bytes(model, ONE, t, 64)[0, 0]) for t in (512, 8192))
    assert 0 < small < large < 3e9


def test_the_refusal_has_the_bytes_of_both_sides() -> None:
    with pytest.raises(DoesNotFit) as refusal:
        estimate("llama-3.1-405b", on="h100", weights="bf16")
    problem = refusal.value
    assert problem.needs_bytes > 2 * total_parameters(arch("llama-3.1-405b"))
    assert problem.needs_bytes < 1.02 * 2 * total_parameters(arch("llama-3.1-405b"))
    assert 70e9 < problem.has_bytes < 86e9
    assert f"needs {problem.needs_bytes / 1e9:.1f} GB" in str(problem)
    assert f"has {problem.has_bytes / 1e9:.1f} GB" in str(problem)
    assert problem.change in str(problem)
