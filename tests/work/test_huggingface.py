"""config.json in, architecture out: real shapes, and one clear line for everything else."""

from __future__ import annotations

import copy
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.catalog import load
from tokenmill.catalog.load import files, read_toml
from tokenmill.errors import BadRecord, InputError
from tokenmill.work.architecture import (
    Architecture,
    Attention,
    CompressedAttention,
    Dense,
    Experts,
    GatedDeltaNet,
    LatentAttention,
    Mamba2,
)
from tokenmill.work.huggingface import architecture
from tokenmill.work.new_model import new_model
from tokenmill.work.parameters import total_parameters

CONFIGS: dict[str, dict[str, Any]] = {
    slug: table["config"]
    for slug, path in files("models").items()
    if (table := read_toml(path))["family"] == "language"
}
LLAMA = CONFIGS["llama-3.1-8b"]


def config(slug: str, **changes: Any) -> dict[str, Any]:
    """A copy of a catalogue configuration with keys changed; None removes one."""
    result = copy.deepcopy(CONFIGS[slug])
    for key, value in changes.items():
        if value is None:
            result.pop(key)
        else:
            result[key] = value
    return result


def arch(slug: str) -> Architecture:
    return architecture(CONFIGS[slug], where=slug)


def windows(slug: str) -> dict[int, int]:
    """Window -> layers of a decoder whose mixers are all plain attention."""
    found: dict[int, int] = {}
    for layer in arch(slug).layers:
        assert isinstance(layer.mixer, Attention)
        found[layer.mixer.window] = found.get(layer.mixer.window, 0) + layer.count
    return found


# -- shapes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "expected"),
    [
        ("mistral-7b", {4096: 32}),
        ("mistral-7b-v0.3", {0: 32}),
        ("gemma-2-9b", {4096: 21, 0: 21}),
        ("gemma-3-27b", {1024: 52, 0: 10}),
        ("gpt-oss-120b", {128: 18, 0: 18}),
        ("llama-4-scout", {8192: 36, 0: 12}),
        ("qwen2.5-7b", {0: 28}),
    ],
)
def test_windows(slug: str, expected: dict[int, int]) -> None:
    assert windows(slug) == expected


@pytest.mark.parametrize(
    ("slug", "dense", "routed", "count", "top_k", "shared"),
    [
        ("mixtral-8x7b", 0, 32, 8, 2, 0),
        ("deepseek-v3", 3, 58, 256, 8, 2048),
        ("llama-4-maverick", 24, 24, 128, 1, 8192),
        ("qwen3-next-80b-a3b", 0, 48, 512, 10, 512),
        ("glm-4.5-air", 1, 45, 128, 8, 1408),
        ("minimax-m2.5", 0, 62, 256, 8, 0),
    ],
)
def test_experts(slug: str, dense: int, routed: int, count: int, top_k: int, shared: int) -> None:
    layers = arch(slug).layers
    blocks = {type(layer.feed_forward): layer.feed_forward for layer in layers}
    experts = blocks[Experts]
    assert isinstance(experts, Experts)
    assert (experts.count, experts.top_k, experts.shared_width) == (count, top_k, shared)
    assert sum(x.count for x in layers if isinstance(x.feed_forward, Dense)) == dense
    assert sum(x.count for x in layers if isinstance(x.feed_forward, Experts)) == routed


@pytest.mark.parametrize(
    ("slug", "kinds"),
    [
        ("nemotron-nano-9b-v2", {Mamba2: 27, Attention: 4, type(None): 25}),
        ("nemotron-3-nano-30b-a3b", {Mamba2: 23, Attention: 6, type(None): 23}),
        ("qwen3.5-397b-a17b", {GatedDeltaNet: 45, Attention: 15}),
        ("deepseek-v3.2", {LatentAttention: 61}),
        ("deepseek-v4-flash", {CompressedAttention: 43}),
        ("llama-3.3-nemotron-super-49b", {Attention: 49, type(None): 31}),
    ],
)
def test_mixers(slug: str, kinds: dict[type, int]) -> None:
    found: dict[type, int] = {}
    for layer in arch(slug).layers:
        found[type(layer.mixer)] = found.get(type(layer.mixer), 0) + layer.count
    assert found == kinds


def test_indexers_that_are_shared() -> None:
    """GLM-5.2: 21 of 78 layers choose tokens, the others take over the choice."""
    mixers = [(x.mixer, x.count) for x in arch("glm-5.2").layers]
    own = sum(n for m, n in mixers if isinstance(m, LatentAttention) and m.index_heads)
    assert own == CONFIGS["glm-5.2"]["indexer_types"].count("full")
    assert all(m.index_topk == 2048 for m, _ in mixers if isinstance(m, LatentAttention))


def test_grouping_keeps_every_layer() -> None:
    for slug in CONFIGS:
        assert len(set(arch(slug).layers)) == len(arch(slug).layers)


def test_image_towers() -> None:
    assert {slug for slug in CONFIGS if arch(slug).vision} >= {
        "llava-1.5-7b", "gemma-3-12b", "mistral-small-3.2-24b", "llama-4-scout", "qwen3-vl-8b",
        "phi-3-vision-128k", "kimi-k2.5", "gemma-4-26b-a4b",
    }  # fmt: skip
    tokens = {slug: v.tokens_per_image for slug in CONFIGS if (v := arch(slug).vision)}
    assert tokens["llava-1.5-7b"] == 576
    assert tokens["gemma-3-12b"] == 256
    assert tokens["llama-4-scout"] == 144


def test_a_tied_flag_outside_text_config_counts() -> None:
    nested = config("qwen3-vl-4b")
    nested["text_config"].pop("tie_word_embeddings")
    assert not architecture(nested).tied_embeddings
    nested["tie_word_embeddings"] = True
    assert architecture(nested).tied_embeddings


FAMILY_COUNTS = json.loads((Path(__file__).parent / "family_counts.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(set(FAMILY_COUNTS) - {"about"}))
def test_families_count_as_their_reference_classes(name: str) -> None:
    """The default of each class, and with its biases or its tying flipped; to 0.01 %."""
    entry = FAMILY_COUNTS[name]
    counted = total_parameters(architecture(entry["config"], where=name))
    assert counted == pytest.approx(entry["parameters"], rel=1e-4)


# -- bad input ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "key", "says"),
    [
        ({"model_type": None}, "model_type", "missing"),
        ({"model_type": "llamma"}, "model_type", "llama"),
        ({"hidden_size": None}, "hidden_size", "missing"),
        ({"num_hidden_layers": -1}, "num_hidden_layers", "out of range"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers", "out of range"),
        ({"hidden_size": math.nan}, "hidden_size", "not a whole number"),
        ({"hidden_size": math.inf}, "hidden_size", "not a whole number"),
        ({"hidden_size": 4096.5}, "hidden_size", "not a whole number"),
        ({"hidden_size": "4096"}, "hidden_size", "not a whole number"),
        ({"hidden_size": True}, "hidden_size", "not a whole number"),
        ({"vocab_size": 10**12}, "vocab_size", "out of range"),
        ({"num_key_value_heads": 7}, "num_key_value_heads", "does not divide"),
        ({"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": None}, "num", "state"),
        ({"n_embd": 1024}, "hidden_size", "keep one"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings", "neither true nor false"),
        ({"layer_types": ["full_attention"]}, "layer_types", "1 entries for 32 layers"),
        ({"layer_types": ["odd"] * 32}, "layer_types[0]", "is not one of"),
    ],
)  # fmt: skip
def test_one_line_for_a_bad_llama(bad: dict[str, Any], key: str, says: str) -> None:
    wrong = config("llama-3.1-8b", head_dim=128) | {k: v for k, v in bad.items() if v is not None}
    for name in (name for name, value in bad.items() if value is None):
        wrong.pop(name, None)
    with pytest.raises(BadRecord) as caught:
        architecture(wrong, where="folder/config.json")
    message = str(caught.value)
    assert message.startswith(f"folder/config.json: {key}") and says in message
    assert "\n" not in message and len(message) < 300


@pytest.mark.parametrize(
    ("slug", "key", "value"),
    [
        ("mixtral-8x7b", "num_experts_per_tok", 9),
        ("mixtral-8x7b", "num_local_experts", 10**7),
        ("qwen3-30b-a3b", "moe_intermediate_size", None),
        ("deepseek-v3", "kv_lora_rank", 0),
        ("nemotron-nano-9b-v2", "hybrid_override_pattern", "MXM"),
        ("nemotron-nano-9b-v2", "num_hidden_layers", 3),
        ("nemotron-3-ultra", "layers_block_type", ["mamba", "door"]),
        ("decilm-7b", "num_key_value_heads_per_layer", [3] * 32),
        ("llama-3.3-nemotron-super-49b", "block_configs", [{"attention": {}, "ffn": {}}] * 80),
        ("deepseek-v4-flash", "compress_ratios", [4]),
        ("glm-5.2", "indexer_types", ["full"]),
        ("qwen-7b", "intermediate_size", 22_017),
    ],
)
def test_one_line_for_other_families(slug: str, key: str, value: Any) -> None:
    with pytest.raises(BadRecord) as caught:
        architecture(config(slug, **{key: value}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("wrong", [[], 3, None, "text", {"text_config": 3, "model_type": "llava"}])
def test_not_a_table(wrong: Any) -> None:
    with pytest.raises(BadRecord, match=r"table of keys|missing"):
        architecture(wrong)


def test_a_nested_key_is_named_with_its_path() -> None:
    wrong = config("gemma-3-12b")
    wrong["text_config"]["head_dim"] = -1
    with pytest.raises(BadRecord, match=r"text_config\.head_dim"):
        architecture(wrong)
    wrong = config("gemma-3-12b")
    wrong["vision_config"].pop("hidden_size")
    with pytest.raises(BadRecord, match=r"vision_config\.hidden_size"):
        architecture(wrong)


# -- properties -----------------------------------------------------------------------------

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.lists(st.integers(-3, 3), max_size=4), st.builds(dict), st.builds(lambda: [{}]),
    st.sampled_from([0, -1, 1, 2, 3, 7, 10**6, 10**30, 1e308, math.nan]),
)  # fmt: skip


def tables(value: Any) -> list[Any]:
    """Every table and list inside a configuration, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    here = [value] if isinstance(value, dict | list) and value else []
    return here + [table for item in inner for table in tables(item)]


@settings(max_examples=400)
@given(st.sampled_from(sorted(CONFIGS)), st.data())
def test_corruption_is_refused_in_one_line_or_understood(slug: str, data: st.DataObject) -> None:
    broken = copy.deepcopy(CONFIGS[slug])
    for _ in range(data.draw(st.integers(1, 3))):
        table = data.draw(st.sampled_from(tables(broken)))
        key = data.draw(st.sampled_from(sorted(table) if isinstance(table, dict) else [0]))
        if isinstance(table, dict) and data.draw(st.booleans()):
            del table[key]
        else:
            table[key] = data.draw(JUNK)
        if not broken:
            break
    try:
        count = total_parameters(architecture(broken, where="config.json"))
    except BadRecord as problem:
        assert "\n" not in str(problem)
        assert str(problem).startswith("config.json: ")
    else:
        assert 0 < count < 10**24


@settings(max_examples=100)
@given(st.sampled_from(["hidden_size", "intermediate_size", "vocab_size", "num_hidden_layers"]),
       st.integers(1, 8))  # fmt: skip
def test_a_larger_model_counts_more(key: str, times: int) -> None:
    larger = config("llama-3.1-8b", head_dim=128, **{key: LLAMA[key] * times})
    smaller = config("llama-3.1-8b", head_dim=128)
    ratio = total_parameters(architecture(larger)) / total_parameters(architecture(smaller))
    assert 1 <= ratio <= times


# -- new records ----------------------------------------------------------------------------


def written(folder: Path, content: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("slug", CONFIGS)
def test_a_new_record_has_the_same_architecture(slug: str, tmp_path: Path) -> None:
    noise = {"transformers_version": "5.0", "bos_token_id": 1, "time_step_limit": [0, math.inf]}
    text = new_model(written(tmp_path, CONFIGS[slug] | noise), slug)
    table = tomllib.loads(text)
    assert architecture(table["config"]) == arch(slug)
    assert not set(noise) & set(table["config"])


def test_a_new_record_passes_the_catalogue(tmp_path: Path) -> None:
    from tokenmill.catalog.records import Model

    folder = tmp_path / "My Model_8B"
    folder.mkdir()
    written(folder, LLAMA | {"torch_dtype": "bfloat16"})
    target = tmp_path / "mine.toml"
    target.write_text(new_model(folder), encoding="utf-8")
    record = load.read_record(target, Model)
    assert record.name == "my-model-8b"
    assert record.native_dtype == "bf16"
    assert "8.03 billion" in record.note


@pytest.mark.parametrize(
    ("extra", "dtype"),
    [
        ({"quantization_config": {"quant_method": "mxfp4"}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}},
         "fp8_block"),
        ({"quantization_config": {"quant_method": "fp8"}}, "fp8"),
        ({"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}}, "nvfp4"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "int4"),
        ({"torch_dtype": "float16"}, "fp16"),
        ({"quantization_config": 3, "dtype": ["x"]}, "bf16"),
    ],
)  # fmt: skip
def test_native_formats(extra: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    text = new_model(written(tmp_path, LLAMA | extra), "mine")
    assert tomllib.loads(text)["native_dtype"] == dtype


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"[1, 2]", "not a table"),
        (b"{}", "model_type: missing"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b" " * 1_000_001, "larger than 1 MB"),
    ],
)
def test_files_that_are_no_config(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(BadRecord, match=says) as caught:
        new_model(path, "mine")
    assert "\n" not in str(caught.value)


def test_missing_files_and_bad_slugs(tmp_path: Path) -> None:
    with pytest.raises(BadRecord, match="cannot be read"):
        new_model(tmp_path / "absent.json", "mine")
    path = written(tmp_path, LLAMA)
    for slug in ("", "../up", "A B", "a/b", "ä", "x" * 200):
        with pytest.raises(InputError, match="slug"):
            new_model(path, slug)
