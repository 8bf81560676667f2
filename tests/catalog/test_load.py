"""Records: names resolve, and what is wrong in a file is one line with file, key and remedy."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.records import Accelerator, Calibration, Model, Record, System
from tokenmill.errors import BadRecord, InputError, NoPeak, TokenmillError, UnknownName, Unsupported

GOOD = """
name = "Test GPU"
vendor = "Someone"
architecture = "hopper"
market = "datacenter"
aliases = ["the-test-gpu"]
[figures]
memory = { value = "80 GB", low = "79 GB", high = "81 GB", source = "sheet" }
memory_bandwidth = { value = "2 TB/s", source = "sheet" }
sm_count = { value = "100", source = "sheet" }
boost_clock = { value = "1 GHz", source = "sheet" }
[peaks]
bf16 = { value = "400 TFLOP/s", source = "sheet" }
fp8 = { value = "800 TFLOP/s", source = "sheet" }
[sources.sheet]
kind = "vendor"
title = "a data sheet"
"""


def written(folder: Path, text: str, name: str = "test-gpu") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A catalogue folder of the user's own."""
    (tmp_path / "accelerators").mkdir()
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    yield tmp_path


# what people type -> the record they mean
ALIASES = {
    "accelerator": {
        "h100": "h100-sxm", "H100 SXM": "h100-sxm", "NVIDIA GeForce RTX 4090": "rtx-4090",
        "a100": "a100-sxm-80gb", "4090": "rtx-4090", "RTX_A4500": "rtx-a4500", "l40s": "l40s",
    },
    "model": {
        "meta-llama/Llama-3.1-70B-Instruct": "llama-3.1-70b", "llama3.1:70b": "llama-3.1-70b",
        "llama-3.3-70b": "llama-3.3-70b", "deepseek-ai/DeepSeek-V3": "deepseek-v3",
        "openai/gpt-oss-120b": "gpt-oss-120b",
    },
    "system": {"gb200 nvl72": "gb200-nvl72", "DGX H100": "dgx-h100"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in ALIASES.items() for name in names]
)
def test_common_names_resolve(kind: str, name: str) -> None:
    assert getattr(load, kind)(name).slug == ALIASES[kind][name]


@pytest.mark.parametrize("kind", ["accelerators", "systems", "models"])
def test_every_slug_and_alias_names_one_record(kind: str) -> None:
    for name in load.spellings(kind):
        assert load.resolve(kind, name) in load.names(kind)


@pytest.mark.parametrize(
    ("kind", "wrong", "expected"),
    [
        ("accelerator", "h10", "h100"),
        ("accelerator", "rtx4900", "rtx-4090"),
        ("model", "lama-3.1-70b", "llama-3.1-70b"),
        ("system", "gb200-nvl7", "gb200-nvl72"),
    ],
)
def test_unknown_names_get_the_nearest(kind: str, wrong: str, expected: str) -> None:
    with pytest.raises(UnknownName) as refusal:
        getattr(load, kind)(wrong)
    found = [load.resolve(f"{kind}s", name) for name in refusal.value.suggestions]
    assert load.resolve(f"{kind}s", expected) in found


@pytest.mark.parametrize("name", ["", "  ", None, 5, "../../etc/passwd", "a\nb", "x" * 100_000])
def test_no_name_crashes(name: object) -> None:
    with pytest.raises(InputError) as refusal:
        load.accelerator(name)  # type: ignore[arg-type]
    assert len(str(refusal.value)) < 300


def test_a_record_of_ones_own_replaces_ours(own: Path) -> None:
    written(own / "accelerators", GOOD, "h100-sxm")
    written(own / "accelerators", GOOD.replace("the-test-gpu", "mine"), "another-one")
    assert load.accelerator("h100-sxm").name == "Test GPU"
    assert load.accelerator("mine").slug == "another-one"


def test_what_lies_in_a_folder_of_ones_own_does_no_harm(own: Path) -> None:
    (own / "accelerators" / "a-folder.toml").mkdir()
    (own / "accelerators" / "bytes.toml").write_bytes(bytes(range(256)))
    assert load.accelerator("h100-sxm").value("memory") > 0
    for name, said in (("a-folder", "cannot be read"), ("bytes", "not UTF-8")):
        with pytest.raises(BadRecord, match=said):
            load.accelerator(name)


def test_a_record_is_read_with_its_ranges_and_sources(tmp_path: Path) -> None:
    record = load.read_record(written(tmp_path, GOOD), Accelerator)
    assert record.slug == "test-gpu"
    memory = record.figure("memory")
    assert (memory.low, memory.value, memory.high, memory.kind) == (79e9, 80e9, 81e9, "vendor")
    assert record.peak("fp8").value == 800e12
    assert float(memory) == 80e9
    with pytest.raises(Unsupported, match="has no figure for tdp"):
        record.value("tdp")
    assert record.value("tdp", 300.0) == 300.0
    with pytest.raises(NoPeak, match="has bf16, fp8"):
        record.peak("fp4")


# what is changed in the good record -> what the refusal must say
WRONG: dict[str, tuple[tuple[str, str], str]] = {
    "a wrong unit": (('"80 GB"', '"80 W"'), "figures.memory.value: .*bytes is needed"),
    "no unit": (('"2 TB/s"', '"2"'), "figures.memory_bandwidth.value: .*bytes/s is needed"),
    "an unknown unit": (('"80 GB"', '"80 GX"'), "figures.memory.value: unknown unit"),
    "a NaN": (('"80 GB"', "nan"), "figures.memory.value: nan is not a finite number"),
    "a huge value": (('"80 GB"', '"1e308 GB"'), "figures.memory.value: .*finite"),
    "a negative value": (('"2 TB/s"', '"-2 TB/s"'), "figures.memory_bandwidth: must be above"),
    "a zero": (('"400 TFLOP/s"', '"0 TFLOP/s"'), "peaks.bf16: must be above zero"),
    "a list for a value": (('"80 GB"', "[80]"), "figures.memory.value: .*not a quantity"),
    "a range upside down": (('low = "79 GB"', 'low = "90 GB"'), "figures.memory: low <= value"),
    "a bare figure": (('{ value = "2 TB/s", source = "sheet" }', '"2 TB/s"'), "write { value"),
    "an unknown key": (("memory_bandwidth =", "memory_bandwith ="), "mean memory_bandwidth"),
    "a sparse peak": (("fp8 =", "fp8_sparse ="), "peaks.fp8_sparse: peaks are dense"),
    "sparse in disguise": (('"400 TFLOP/s"', '"800 TFLOP/s"'), "bf16 is more .* peaks are dense"),
    "sparse fp8": (('"800 TFLOP/s"', '"1600 TFLOP/s"'), "fp8 is more .* peaks are dense"),
    "no such source": (('source = "sheet"', 'source = "shet"'), 'source "shet" is not among'),
    "a kind of its own": (('kind = "vendor"', 'kind = "rumour"'), "sources.sheet.kind"),
    "an odd cell key": (('"2 TB/s", source', '"2 TB/s", src = 1, source'), 'unknown key "?src'),
    "an unknown market": (('"datacenter"', '"moon"'), "market"),
    "an unknown field": (("vendor =", "vendro = 1\nvendor ="), "vendro"),
    "a missing name": (('name = "Test GPU"', ""), "name: Field required"),
    "a slug": (("vendor =", 'slug = "x"\nvendor ='), "slug: the name of the file is the slug"),
    "figures no table": (("[figures]", "figures = 3\n[other]"), "figures: write it as a table"),
    "sources no table": (("[sources.sheet]", "[[sources]]"), "sources: write it as a table"),
    "no TOML": (("[peaks]", "[peaks"), "not valid TOML"),
    "deep": (("vendor =", f"x = {'[' * 3000}{']' * 3000}\nvendor ="), "nested too deeply"),
    "long": (("vendor =", f"x = {'9' * 5000}\nvendor ="), "not valid TOML"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_record_is_one_line_with_file_key_and_remedy(what: str, tmp_path: Path) -> None:
    (before, after), said = WRONG[what]
    assert before in GOOD
    path = written(tmp_path, GOOD.replace(before, after))
    with pytest.raises(BadRecord, match=said) as refusal:
        load.read_record(path, Accelerator)
    assert str(refusal.value).startswith(f"{path}: ")


def test_files_that_are_no_records(tmp_path: Path) -> None:
    for content, said in ((b"\xff\xfe", "not UTF-8"), (b"#" * 1_000_001, "larger than")):
        path = tmp_path / "odd.toml"
        path.write_bytes(content)
        with pytest.raises(BadRecord, match=said):
            load.read_record(path, Accelerator)
    with pytest.raises(BadRecord, match="No such file"):
        load.read_record(tmp_path / "none.toml", Accelerator)


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["80 GB", "5 W", "sheet", "$5", "1"]),
)  # fmt: skip
_tables = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["value", "low", "high", "source", "note", "x"]), inner),
    max_leaves=8,
)  # fmt: skip
_KEYS = ["name", "vendor", "figures", "peaks", "sources", "aliases", "market", "config", "family"]


@settings(max_examples=300)
@given(
    st.dictionaries(st.sampled_from(_KEYS), _tables, min_size=1),
    st.sampled_from([Accelerator, System, Model, Calibration]),
)
def test_no_table_crashes_the_reader(table: dict[str, object], kind: type[Record]) -> None:
    content = tomllib.loads(GOOD) | table
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "read_toml", lambda path: content)
        try:
            record = load.read_record(Path("x.toml"), kind)
        except TokenmillError as refusal:
            assert str(refusal).startswith("x.toml: ")
        else:
            assert all(isinstance(one, Figure) for one in record.figures.values())
