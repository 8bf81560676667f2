"""Parameter counts: of every record against its published figures, by part against papers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest

from tokenmill.catalog import load
from tokenmill.catalog.load import canonical, files, read_toml
from tokenmill.catalog.records import Model
from tokenmill.work.architecture import Architecture, Attention, Experts
from tokenmill.work.huggingface import architecture
from tokenmill.work.parameters import (
    active_parameters,
    layer_parameters,
    mixer_parameters,
    parameters,
    total_parameters,
)
from tokenmill.work.precision import weight_format

CONVENTIONS = ("all", "no-embedding", "no-embedding-no-head")


@cache
def language_models() -> Mapping[str, Model]:
    return {
        slug: load.model(slug)
        for slug, path in files("models").items()
        if read_toml(path)["family"] == "language"
    }


@cache
def arch(slug: str) -> Architecture:
    return architecture(load.model(slug).config, where=slug)


STATED = [slug for slug, m in language_models().items() if "parameters_stated" in m.published]
MOE = [slug for slug, model in language_models().items() if "active_parameters" in model.published]


def test_there_are_many() -> None:
    assert len(language_models()) >= 180
    assert len(MOE) >= 40


@pytest.mark.parametrize("slug", language_models())
def test_total_equals_the_published_count(slug: str) -> None:
    published = language_models()[slug].published["parameters"]
    assert total_parameters(arch(slug)) == pytest.approx(published.value, rel=1e-3)


@pytest.mark.parametrize("slug", STATED)
def test_total_rounds_to_what_the_makers_state(slug: str) -> None:
    stated = language_models()[slug].published["parameters_stated"]
    assert stated.low <= total_parameters(arch(slug)) <= stated.high


@pytest.mark.parametrize("slug", language_models())
def test_a_count_has_another_origin_than_this_code(slug: str) -> None:
    model = language_models()[slug]
    source = model.sources[model.published["parameters"].source]
    assert source.kind in ("vendor", "paper", "derived")
    assert "tokenmill" not in source.title


@pytest.mark.parametrize("slug", MOE)
def test_active_lies_within_the_published_precision(slug: str) -> None:
    model = language_models()[slug]
    published = model.published["active_parameters"]
    assert model.convention in CONVENTIONS
    active = active_parameters(arch(slug), model.convention)  # type: ignore[arg-type]
    assert published.low <= active <= published.high


@pytest.mark.parametrize("slug", language_models())
def test_experts_mean_an_active_figure(slug: str) -> None:
    routed = any(isinstance(layer.feed_forward, Experts) for layer in arch(slug).layers)
    assert routed == (slug in MOE)


@pytest.mark.parametrize("slug", language_models())
def test_parts_add_up(slug: str) -> None:
    whole = arch(slug)
    parts = parameters(whole)
    assert parts.total == total_parameters(whole)
    layers = sum(layer_parameters(one, whole.hidden).total * one.count for one in whole.layers)
    ends = parts.embedding + parts.head + parts.vision
    rest = whole.final_norm_parameters + whole.embedding_norm_parameters + whole.extra_parameters
    assert layers + ends + rest == parts.total
    dense = parts.total - parts.experts - parts.vision
    assert dense <= active_parameters(whole) <= parts.total


@pytest.mark.parametrize("slug", language_models())
def test_conventions_only_drop_parts(slug: str) -> None:
    counts = [active_parameters(arch(slug), name) for name in CONVENTIONS]  # type: ignore[arg-type]
    assert counts == sorted(counts, reverse=True)


@pytest.mark.parametrize("slug", language_models())
def test_records_are_whole(slug: str) -> None:
    model = language_models()[slug]
    assert model.name and model.developer and model.licence
    assert model.published["context"].value >= 1024
    weight_format(model.native_dtype)
    assert arch(slug).max_context > 0


def test_aliases_are_unique() -> None:
    owner: dict[str, str] = {}
    for slug, path in files("models").items():
        for name in {slug, *map(canonical, read_toml(path).get("aliases", ()))}:
            assert owner.setdefault(name, slug) == slug, f"{name}: {owner[name]} and {slug}"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("meta-llama/Llama-3.1-70B-Instruct", "llama-3.1-70b"),
        ("llama3.1:70b", "llama-3.1-70b"),
        ("Qwen/Qwen3-30B-A3B", "qwen3-30b-a3b"),
        ("deepseek-ai/DeepSeek-R1-0528", "deepseek-r1"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("lmsys/vicuna-7b-v1.3", "llama-1-7b"),
        ("Mixtral 8x7B", "mixtral-8x7b"),
    ],
)
def test_common_names_resolve(name: str, slug: str) -> None:
    assert load.resolve("models", name) == slug


# Table 1 of the gpt-oss model card (arXiv:2508.10925): MLP, attention, embedding and head,
# active, all in billions.
@pytest.mark.parametrize(
    ("slug", "mlp", "attention", "ends", "active"),
    [("gpt-oss-120b", 114.71, 0.96, 1.16, 5.13), ("gpt-oss-20b", 19.12, 0.64, 1.16, 3.61)],
)
def test_gpt_oss_by_part(
    slug: str, mlp: float, attention: float, ends: float, active: float
) -> None:
    parts = parameters(arch(slug))
    assert (parts.feed_forward + parts.experts) / 1e9 == pytest.approx(mlp, abs=0.006)
    assert parts.attention / 1e9 == pytest.approx(attention, abs=0.006)
    assert (parts.embedding + parts.head) / 1e9 == pytest.approx(ends, abs=0.006)
    assert active_parameters(arch(slug), "no-embedding") / 1e9 == pytest.approx(active, abs=0.006)


# Table 1 of the Gemma 3 report (arXiv:2503.19786): vision encoder, embedding, the rest [million].
@pytest.mark.parametrize(
    ("slug", "vision", "embedding", "rest"),
    [
        ("gemma-3-1b", 0, 302, 698),
        ("gemma-3-4b", 417, 675, 3_209),
        ("gemma-3-12b", 417, 1_012, 10_759),
        ("gemma-3-27b", 417, 1_416, 25_600),
    ],
)
def test_gemma_3_by_part(slug: str, vision: float, embedding: float, rest: float) -> None:
    parts = parameters(arch(slug))
    projector = arch(slug).vision.projector_parameters if arch(slug).vision else 0  # type: ignore[union-attr]
    assert (parts.vision - projector) / 1e6 == pytest.approx(vision, abs=1)
    assert parts.embedding / 1e6 == pytest.approx(embedding, rel=0.007)
    others = parts.total - parts.vision - parts.embedding
    assert others / 1e6 == pytest.approx(rest, abs=1)


def test_deepseek_v3_attention_from_the_paper() -> None:
    """Section 4.2 of arXiv:2412.19437 gives every size of the latent attention."""
    layer = arch("deepseek-v3").layers[0]
    query = 7168 * 1536 + 1536 * 128 * (128 + 64)
    latent = 7168 * (512 + 64) + 512 * 128 * (128 + 128)
    norms = 1536 + 512
    assert mixer_parameters(layer.mixer, 7168) == query + latent + 128 * 128 * 7168 + norms


def test_a_layer_that_shares_keys_has_none_of_its_own() -> None:
    own = Attention(heads=8, kv_heads=2, head_dim=16, value_head_dim=16)
    shared = replace(own, shares_kv=True)
    twin = replace(own, values_are_keys=True)
    assert mixer_parameters(own, 64) - mixer_parameters(shared, 64) == 64 * 2 * 2 * 16
    assert mixer_parameters(own, 64) - mixer_parameters(twin, 64) == 64 * 2 * 16


def test_every_measured_language_model_has_a_record(shared) -> None:  # type: ignore[no-untyped-def]
    import csv

    with (shared / "measurements" / "serving.csv").open(newline="", encoding="utf-8") as rows:
        slugs = {row["model"] for row in csv.DictReader(rows)}
    assert {slug for slug in slugs if load.resolve("models", slug)} == slugs
