"""The hardware records: what they must contain, and what no spec sheet may smuggle in."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

import tokenmill.catalog
from tokenmill.catalog import load
from tokenmill.catalog.figure import Kind
from tokenmill.catalog.records import Accelerator
from tokenmill.units import parse

DATA = Path(tokenmill.catalog.__file__).parent / "data"
FILES = sorted([*(DATA / "accelerators").glob("*.toml"), *(DATA / "systems").glob("*.toml")])
ACCELERATORS = load.names("accelerators")
SHARED = Path(__file__).resolve().parents[3] / "shared"

# Dense FP16 FLOP per clock and multiprocessor (AMD: compute unit) with FP32 accumulate: the most
# that any member of the family does.
FULL_RATE = {
    "volta": 1024, "turing": 1024, "ampere": 2048, "ada": 1024, "hopper": 4096,
    "blackwell": 8192, "blackwell-ultra": 8192, "blackwell-geforce": 1024,
    "cdna2": 1024, "cdna3": 2048, "cdna4": 4096, "rdna3": 512,
}  # fmt: skip
TENSOR = ("turing", "ampere", "ada", "blackwell-geforce")

CELLS = {
    "mem_GB": ("figures", "memory", 1e9),
    "mem_bw_GBps": ("figures", "memory_bandwidth", 1e9),
    "tdp_W": ("figures", "tdp", 1.0),
    "l2_MB": ("figures", "l2", 1e6),
    "sms": ("figures", "sm_count", 1.0),
    "tensor_cores": ("figures", "tensor_cores", 1.0),
    "boost_MHz": ("figures", "boost_clock", 1e6),
    "transistors_B": ("figures", "transistors", 1e9),
    "nvlink_bw_GBps": ("figures", "nvlink_bandwidth", 1e9),
    "fp64": ("peaks", "fp64", 1e12),
    "fp64_tensor": ("peaks", "fp64_tensor", 1e12),
    "fp32": ("peaks", "fp32", 1e12),
    "tf32_dense": ("peaks", "tf32", 1e12),
    "fp16_dense": ("peaks", "fp16", 1e12),
    "bf16_dense": ("peaks", "bf16", 1e12),
    "fp16_fp16acc_dense": ("peaks", "fp16_fp16acc", 1e12),
    "fp8_dense": ("peaks", "fp8", 1e12),
    "fp6": ("peaks", "fp6", 1e12),
    "fp4_dense": ("peaks", "fp4", 1e12),
    "int8_dense": ("peaks", "int8", 1e12),
}


def _facts(name: str, key: str, *, only: str = "") -> list[Any]:
    """Rows of a table of facts (those with a cell in `only`), or a skip where it is absent."""
    path = SHARED / "facts" / name
    if not path.exists():
        skip = pytest.mark.skip(reason=f"{name} is not beside the project")
        return [pytest.param({}, marks=skip, id="absent")]
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not only or row[only]]
    return [pytest.param(row, id=row[key]) for row in rows]


def _numbers(text: str) -> list[float]:
    """Numbers of a cell such as "96 / 141", "270-288" or "~1035"."""
    return [float(part) for part in re.findall(r"\d+(?:\.\d+)?", text)]


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _cells(table: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for section in ("figures", "peaks"):
        yield from table.get(section, {}).items()


# --- the files by themselves -------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_figure_has_a_source_that_exists_and_says_enough(path: Path) -> None:
    table = _read(path)
    for key, cell in _cells(table):
        source = table["sources"][cell["source"]]
        assert source["kind"] in get_args(Kind), key
        assert source["read"] in ("2026-11-23", "2026-11-28"), key
        if "low" in cell or "high" in cell:
            told = cell.get("note") or source.get("note")
            assert told, f"{key} has a range and does not say whose"
    used = {cell["source"] for _, cell in _cells(table)}
    assert used == set(table["sources"]), "a source that no figure uses"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_package_registry_and_no_local_path(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"pypi\.|npmjs|registry\.|file://|(?<![\w.])/(?:work|home|tmp|root)/", text
    )


@pytest.mark.parametrize("slug", ACCELERATORS)
def test_every_accelerator_loads_with_what_a_plan_needs(slug: str) -> None:
    record = load.accelerator(slug)
    for key in ("memory", "memory_bandwidth", "tdp"):
        assert record.value(key) > 0.0
    assert {"fp16", "bf16"} & set(record.peaks)


@pytest.mark.parametrize("slug", load.names("systems"))
def test_every_system_loads_and_its_accelerator_exists(slug: str) -> None:
    record = load.system(slug)
    assert record.accelerator == "any" or record.accelerator in ACCELERATORS
    assert record.value("gpus") >= 1.0
    if record.fabric.startswith("nvlink") and "nvlink_bandwidth" in record.figures:
        link = load.accelerator(record.accelerator).figure("nvlink_bandwidth")
        assert record.value("nvlink_bandwidth") == pytest.approx(link.value)


@pytest.mark.parametrize("kind", ["accelerators", "systems"])
def test_aliases_are_canonical_and_stand_for_one_record(kind: str) -> None:
    owner = {slug: slug for slug in load.names(kind)}
    for slug, path in load.files(kind).items():
        for alias in _read(path)["aliases"]:
            assert load.canonical(alias) == alias, f"{slug}: {alias}"
            assert alias not in owner, f"{alias}: {slug} and {owner[alias]}"
            owner[alias] = slug


TYPED = {
    "4090": "rtx-4090",
    "rtx4090": "rtx-4090",
    "GeForce RTX 4090": "rtx-4090",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "RTX 3060": "rtx-3060-12gb",
    "NVIDIA GeForce RTX 4060 Laptop GPU": "rtx-4060-laptop",
    "4070 ti super": "rtx-4070-ti-super",
    "h100": "h100-sxm",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "NVIDIA H100 PCIe": "h100-pcie",
    "a100": "a100-sxm-80gb",
    "NVIDIA A100-SXM4-80GB": "a100-sxm-80gb",
    "NVIDIA A100-PCIE-40GB": "a100-pcie-40gb",
    "Tesla T4": "t4",
    "Tesla V100-SXM2-16GB": "v100-sxm-16gb",
    "h200": "h200-sxm",
    "b200": "b200-sxm",
    "b300": "b300-sxm",
    "rubin": "rubin-vr200",
    "mi300": "mi300x",
    "jetson-orin": "jetson-orin-agx-64gb",
    "NVIDIA RTX A6000": "rtx-a6000",
    "NVIDIA RTX 6000 Ada Generation": "rtx-6000-ada",
    "rtx_pro_6000": "rtx-pro-6000-workstation",
}


@pytest.mark.parametrize(("typed", "slug"), TYPED.items())
def test_what_people_type_resolves(typed: str, slug: str) -> None:
    assert load.resolve("accelerators", typed) == slug


@pytest.mark.parametrize(
    ("typed", "slug"),
    [("nvl72", "gb200-nvl72"), ("DGX A100", "dgx-a100-320gb"), ("superpod", "dgx-superpod-gb200")],
)
def test_what_people_type_for_machines_resolves(typed: str, slug: str) -> None:
    assert load.resolve("systems", typed) == slug


CONFLICTS = [
    ("b200-sxm", "memory_bandwidth", "7.7 TB/s", "8 TB/s"),
    ("b200-sxm", "memory", "180 GB", "192 GB"),
    ("gb300", "memory", "279 GB", "288 GB"),
    ("b300-sxm", "memory", "268 GB", "288 GB"),
    ("l40s", "l2", "48 MB", "96 MB"),
    ("v100-sxm-32gb", "tdp", "250 W", "300 W"),
    ("jetson-thor", "tdp", "40 W", "130 W"),
]


@pytest.mark.parametrize(("slug", "key", "less", "more"), CONFLICTS)
def test_conflicts_are_kept_as_ranges_with_a_note(
    slug: str, key: str, less: str, more: str
) -> None:
    cell = load.accelerator(slug).figure(key)
    assert cell.low <= parse(less, cell.dimension) < parse(more, cell.dimension) <= cell.high
    assert cell.note


# --- against the tables of facts ---------------------------------------------------------


@pytest.mark.parametrize("row", _facts("gpus.csv", "slug"))
def test_record_contains_the_facts(row: dict[str, str]) -> None:
    record = load.accelerator(row["slug"])
    for column, (section, key, scale) in CELLS.items():
        for number in _numbers(row[column]) if row[column] != "0" else []:
            if row["slug"] == "gh200" and number in (141.0, 4900.0):
                continue  # the other variant: the next test
            cell = getattr(record, section)[key]
            assert cell.low * 0.999 <= number * scale <= cell.high * 1.001, (key, number)
    for generation in _numbers(row["pcie_gen"].split(" ")[0]):
        cell = record.figure("pcie_generation")
        assert cell.low <= generation <= cell.high


def test_both_variants_of_gh200_are_on_record() -> None:
    small, large = load.accelerator("gh200"), load.accelerator("gh200-141gb")
    assert parse("96 GB", "bytes") == small.value("memory")
    assert parse("141 GB", "bytes") == large.value("memory")
    assert small.value("memory_bandwidth") < large.value("memory_bandwidth")


@pytest.mark.parametrize("row", _facts("gpus.csv", "slug", only="derived_fp16_fp32acc_dense"))
def test_derived_fp16_is_the_one_of_the_facts(row: dict[str, str]) -> None:
    peak = load.accelerator(row["slug"]).peak("fp16")
    derived = float(row["derived_fp16_fp32acc_dense"])
    if row["fp16_dense"]:  # published: the derivation must come close
        assert peak.low * 0.98 <= derived * 1e12 <= peak.high * 1.02
    else:
        assert peak.kind == "derived"
        assert peak.value / 1e12 == pytest.approx(derived, rel=5e-3)


SYSTEM_ROWS = {
    "DGX-1 (P100)": ["dgx-1"],
    "DGX-1V (V100)": ["dgx-1v"],
    "DGX-2": ["dgx-2"],
    "DGX A100 320GB": ["dgx-a100-320gb"],
    "DGX H100": ["dgx-h100"],
    "DGX H200": ["dgx-h200"],
    "DGX B200 / HGX B200": ["dgx-b200", "hgx-b200"],
    "HGX/DGX B300": ["dgx-b300", "hgx-b300"],
    "GB200 NVL72": ["gb200-nvl72"],
    "GB300 NVL72": ["gb300-nvl72"],
    "Vera Rubin NVL72 (announced as NVL144)": ["vera-rubin-nvl72"],
    "DGX SuperPOD with DGX GB200 (8 racks)": ["dgx-superpod-gb200"],
    "Meta Llama 3 cluster (Grand Teton)": ["llama3-cluster"],
}
SYSTEM_CELLS = {
    "gpus": ("gpus", 1.0),
    "gpu_mem_GB_total": ("gpu_memory", 1e9),
    "nvswitch_chips": ("nvswitch_chips", 1.0),
    "nvlink_domain_gpus": ("nvlink_domain_gpus", 1.0),
    "nvlink_bw_per_gpu_GBps": ("nvlink_bandwidth", 1e9),
    "nvlink_aggregate_TBps": ("nvlink_aggregate", 1e12),
    "scaleout_nic_per_gpu_Gbps": ("scaleout_bandwidth", 1e9 / 8.0),
    "max_power_kW": ("max_power", 1e3),
}


@pytest.mark.parametrize("row", _facts("systems.csv", "system"))
def test_system_contains_the_facts(row: dict[str, str]) -> None:
    for slug in SYSTEM_ROWS[row["system"]]:
        record = load.system(slug)
        for column, (key, scale) in SYSTEM_CELLS.items():
            for number in _numbers(re.sub(r"\((?!16384).*", "", row[column])):
                cell = record.figure(key)
                assert cell.low * 0.999 <= number * scale <= cell.high * 1.001, (slug, key, number)


def test_every_measured_gpu_has_a_record() -> None:
    folder = SHARED / "measurements"
    if not folder.exists():
        pytest.skip("measurements are not beside the project")
    seen: set[str] = set()
    for path in folder.glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            seen |= {row.get("gpu", "") for row in csv.DictReader(file)}
    assert sorted(seen - {""} - set(ACCELERATORS)) == []


# --- physics that a spec sheet cannot break ----------------------------------------------


def _records(wanted: Callable[[Accelerator], bool]) -> list[Any]:
    found = (load.accelerator(slug) for slug in ACCELERATORS)
    return [pytest.param(record, id=record.slug) for record in found if wanted(record)]


def _has_rate(record: Accelerator) -> bool:
    sized = {"sm_count", "boost_clock"} <= set(record.figures)
    return sized and record.architecture in FULL_RATE


def _has_pair(record: Accelerator) -> bool:
    return record.architecture in TENSOR and record.market != "embedded"


@pytest.mark.parametrize("record", _records(_has_rate))
def test_peaks_are_dense(record: Accelerator) -> None:
    blocks, clock = record.figure("sm_count").high, record.figure("boost_clock").high
    most = 1.15 * FULL_RATE[record.architecture] * blocks * clock
    for precision in {"fp16", "bf16"} & set(record.peaks):
        assert record.peak(precision).value <= most
    base = record.peak("fp16").value
    for precision, times in {"fp8": 2.0, "int8": 4.0, "fp4": 8.0, "tf32": 0.5}.items():
        if precision in record.peaks:
            assert record.peak(precision).value <= 1.02 * times * base, precision


@pytest.mark.parametrize("record", _records(_has_pair))
def test_geforce_halves_fp32_accumulate_and_nobody_else_does(record: Accelerator) -> None:
    ratio = 2.0 if record.market in ("consumer", "laptop") else 1.0
    fp16 = record.peak("fp16").value
    assert record.peak("fp16_fp16acc").value == pytest.approx(ratio * fp16, rel=0.01)
    assert record.peak("int8").value == pytest.approx(2.0 * ratio * fp16, rel=0.03)
    assert ("bf16" in record.peaks) is (record.architecture != "turing")


@pytest.mark.parametrize("record", _records(lambda record: True))
def test_blackwell_for_the_data_centre_is_two_joined_dies(record: Accelerator) -> None:
    if record.architecture in ("blackwell", "blackwell-ultra") and record.market == "datacenter":
        assert record.dies == 2
        assert record.figure("die_to_die_bandwidth").value == pytest.approx(10e12)
    else:
        assert "die_to_die_bandwidth" not in record.figures
        assert record.dies == 1 or record.architecture in ("cdna2", "rubin", "apple", "rdu")


@pytest.mark.parametrize("record", _records(lambda record: "pcie_lanes" in record.figures))
def test_pcie_rate_follows_from_generation_and_lanes(record: Accelerator) -> None:
    lane = {3: 15.75e9, 4: 31.5e9, 5: 63e9}[int(record.value("pcie_generation"))] / 16
    cell = record.figure("pcie_bandwidth")
    assert cell.low <= lane * record.value("pcie_lanes") <= cell.high
    assert cell.kind == "derived"
