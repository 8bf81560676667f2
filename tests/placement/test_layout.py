"""Layouts: legal is what divides, found by brute force."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.errors import InputError
from tokenmill.placement.layout import Layout, LayoutGrid, check, legal_layouts, refusal
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    Dense,
    Experts,
    LatentAttention,
    Layer,
    Mamba2,
)
from work.models import SLUGS, arch


def whole(number: float) -> bool:
    return number == int(number)


def legal(model: Architecture, tp: int, pp: int, dp: int, ep: int) -> bool:
    """Whether every GPU gets whole heads, columns and experts, and every stage a layer."""
    ranks = tp * dp
    blocks = [layer.feed_forward for layer in model.layers]
    routed = [block for block in blocks if isinstance(block, Experts)]
    fits = pp <= sum(layer.count for layer in model.layers) and whole(ranks / ep)
    for layer in model.layers:
        mixer = layer.mixer
        if isinstance(mixer, Attention | LatentAttention | Mamba2):
            fits &= whole(mixer.heads / tp)
        if isinstance(mixer, Attention):
            fits &= whole(mixer.kv_heads / tp) or whole(tp / mixer.kv_heads)
    for block in blocks:
        if isinstance(block, Dense):
            fits &= whole(block.width / tp)
        if isinstance(block, Experts):
            fits &= whole(block.shared_width / tp) and whole(block.count / ep)
            fits &= whole(ranks / ep) and whole(block.width / (ranks // ep or 1))
    return fits and (bool(routed) or (dp == 1 and ep == 1))


HEADS = st.sampled_from([4, 6, 8, 12, 24, 40, 64])
MIXERS = st.one_of(
    HEADS.flatmap(
        lambda heads: st.sampled_from([n for n in (1, 2, 4, 8) if heads % n == 0]).map(
            lambda kv: Attention(heads, kv, 64, 64)
        )
    ),
    HEADS.map(lambda heads: LatentAttention(heads, 0, 512, 64, 128, 128)),
    HEADS.map(lambda heads: Mamba2(heads, 64, 1, 128, 4)),
)
BLOCKS = st.one_of(
    st.sampled_from([1000, 4096, 11008]).map(Dense),
    st.builds(
        Experts, st.sampled_from([8, 40, 64]), st.just(2), st.sampled_from([768, 1000]),
        st.sampled_from([0, 512, 1000]),
    ),
    st.none(),
)  # fmt: skip
MODELS = st.lists(
    st.builds(Layer, MIXERS, BLOCKS, st.just(0), st.integers(1, 9)), min_size=1, max_size=2
).map(lambda layers: Architecture(1024, 32000, tuple(layers), False, 0))


@given(MODELS)
def test_legal_is_what_divides(model: Architecture) -> None:
    for degrees in product((1, 2, 3, 4, 8), (1, 2, 3, 12), (1, 2, 4), (1, 2, 4, 8)):
        layout = Layout(*degrees)
        said = refusal(model, layout)
        assert (said == "") == legal(model, *degrees), said


@given(MODELS, st.sampled_from([1, 2, 4, 8, 16, 72]), st.sampled_from([1, 4, 8, 72]))
def test_no_legal_layout_is_missed(model: Architecture, most: int, domain: int) -> None:
    powers = [2**i for i in range(7)]
    wanted = {
        Layout(tp, pp, dp, ep)
        for tp, pp, dp, ep in product(powers, (1, 2, 3, 4, 6, 8, 16), powers, powers)
        if tp * dp <= domain and tp * pp * dp <= most and legal(model, tp, pp, dp, ep)
    }
    found = legal_layouts(model, most, domain)
    assert wanted <= set(found)
    assert len(set(found)) == len(found)
    for layout in found:
        assert legal(model, layout.tp, layout.pp, layout.dp, layout.ep)
        assert layout.gpus <= most
        assert layout.tp * layout.dp <= domain
        assert layout.ep * layout.moe_tp == layout.tp * layout.dp


@pytest.mark.parametrize("slug", SLUGS)
def test_every_model_runs_on_one_gpu_as_far_as_layouts_go(slug: str) -> None:
    assert Layout() in legal_layouts(arch(slug), 1, 1)


@pytest.mark.parametrize(
    ("slug", "layout", "said"),
    [
        ("llama-3.1-8b", Layout(3), "32 attention heads do not divide by TP 3"),
        ("llama-3.2-3b", Layout(6), "TP 6 neither divides 8 KV heads nor copies them evenly"),
        ("llama-3.1-8b", Layout(pp=33), "PP 33 exceeds 32 layers"),
        ("llama-3.1-8b", Layout(dp=2), "need a mixture of experts"),
        ("mixtral-8x7b", Layout(ep=2), "EP 2 does not divide TP x DP = 1"),
        ("mixtral-8x7b", Layout(tp=16, ep=16), "8 experts do not divide by EP 16"),
        ("llama-3.1-8b", Layout(tp=0), "at least 1"),
    ],
)
def test_a_refused_layout_says_what_does_not_divide(slug: str, layout: Layout, said: str) -> None:
    with pytest.raises(InputError, match=said) as problem:
        check(arch(slug), layout)
    assert str(layout) in str(problem.value)


def test_layouts_read_well_and_count() -> None:
    layout = Layout(4, 2, 2, 8)
    assert (str(layout), layout.gpus, layout.moe_tp) == ("TP4·PP2·DP2·EP8", 16, 1)
    grid = LayoutGrid.of((Layout(), layout))
    assert grid.gpus.ravel().tolist() == [1, 16]
    assert grid.moe_tp.ravel().tolist() == [1, 1]
