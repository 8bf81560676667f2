"""Measured collectives as columns: published sweeps and kernel tables."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import Unsupported

__all__ = [
    "EXPERTS", "FABRICS", "NCCL", "NETWORKS", "SHOT", "Rows", "kernel_cells", "read_rows",
]  # fmt: skip

Array = NDArray[np.float64]

# What each measured GPU hangs on: (family, rate of one GPU per direction [B/s], domain, sharp).
FABRICS: Mapping[str, tuple[str, float, int, bool]] = {
    "a100-sxm-80gb": ("nvlink3", 300e9, 8, False),
    "a100-sxm-40gb": ("nvlink3", 300e9, 8, False),
    "h100-sxm": ("nvlink4", 450e9, 8, True),
    "h200-sxm": ("nvlink4", 450e9, 8, True),
    "b200-sxm": ("nvlink5", 900e9, 8, True),
    "gb200": ("nvlink5", 900e9, 72, True),
    "l40s": ("pcie4", 32e9, 8, False),
}
# What each measured cluster hangs on: (family, rate of one GPU per direction [B/s]).
NETWORKS: Mapping[str, tuple[str, float]] = {
    "aws-p4de-24xlarge-x2": ("efa1", 6.25e9),
    "aws-p5-48xlarge-x2": ("efa2", 50e9),
    "aws-p5-48xlarge-x2-eks": ("efa2", 50e9),
    "oci-bm-gpu4-8-x2-16x100g-roce": ("roce-2020", 25e9),
}
NCCL, SHOT, EXPERTS = "nccl", "shot", "experts"


@dataclass(frozen=True)
class Rows:
    """Measured collectives as columns.

    table: "nccl", "shot" (engines' own all-reduce) or "experts"; detail: the engine, or the
    exchange backend; nodes: domains the group spans; tokens, token_bytes, top_k: of exchanges.
    """

    table: NDArray[np.str_]
    publication: NDArray[np.str_]
    system: NDArray[np.str_]
    gpu: NDArray[np.str_]
    op: NDArray[np.str_]
    detail: NDArray[np.str_]
    n_gpus: Array
    nodes: Array
    message_bytes: Array
    seconds: Array
    tokens: Array
    token_bytes: Array
    top_k: Array

    def where(self, mask: NDArray[np.bool_]) -> Rows:
        """The rows of a mask."""
        return Rows(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))

    @property
    def family(self) -> NDArray[np.str_]:
        """Family of each row: of the network where the group spans domains, else of the link."""
        inside = [FABRICS[gpu][0] for gpu in self.gpu]
        outside = [NETWORKS.get(system, ("",))[0] for system in self.system]
        return np.where(self.nodes > 1, outside, inside)


def read_rows(measurements: Path, silicon: Path | None = None) -> Rows:
    """Every measured collective of the shared folders.

    Parameters: measurements, folder with collectives.csv; silicon, folder of kernel tables.
    Raises: Unsupported where kernel tables are asked for and pyarrow is absent.
    """
    records = list(_published(measurements / "collectives.csv"))
    if silicon is not None:
        # The published single-node sweeps are the kernel table's own rows: keep one copy.
        records = [r for r in records if not str(r[1]).startswith("aiconfigurator")]
        records += [*_nccl(silicon), *_shots(silicon), *_exchanges(silicon)]
    columns = list(zip(*records, strict=True))
    names, numbers = columns[:6], columns[6:]
    return Rows(*(np.array(c) for c in names), *(np.array(c, dtype=float) for c in numbers))


_Record = tuple[str | float, ...]


def _published(path: Path) -> Iterator[_Record]:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            n, local = float(row["n_gpus"]), float(row["gpus_per_node"])
            yield (
                NCCL, row["publication"], row["system"], row["gpu"], _op(row["op"]), "",
                n, np.ceil(n / local), float(row["message_bytes"]), float(row["latency_s"]),
                0.0, 0.0, 0.0,
            )  # fmt: skip


def _op(name: str) -> str:
    return "all_to_all" if name == "alltoall" else name


def _table(silicon: Path, name: str) -> Iterable[dict[str, object]]:
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise Unsupported("kernel tables need pyarrow; pip install 'tokenmill[parquet]'") from None
    rows: list[dict[str, object]] = parquet.read_table(silicon / f"{name}.parquet").to_pylist()
    return rows


def _nccl(silicon: Path) -> Iterator[_Record]:
    for row in _table(silicon, "nccl"):
        if row["nccl_dtype"] == "half":
            yield _kernel(NCCL, row, _op(str(row["op_name"])), "")


def kernel_cells(silicon: Path) -> Iterator[dict[str, str]]:
    """Sweeps of the kernel table of collectives, as rows of the schema of measurements.

    Nothing where pyarrow is absent.
    """
    try:
        records = list(_nccl(silicon))
    except Unsupported:
        return
    for _, publication, _, gpu, op, _, n_gpus, _, message, seconds, *_ in records:
        yield {
            "id": f"nccl/{gpu}/{op}/{n_gpus}/{message}", "publication": str(publication),
            "quality": "a", "gpu": str(gpu), "op": str(op), "n_gpus": f"{n_gpus:.0f}",
            "gpus_per_node": f"{n_gpus:.0f}", "message_bytes": str(message),
            "latency_s": str(seconds),
        }  # fmt: skip


def _shots(silicon: Path) -> Iterator[_Record]:
    # Eager rows time the host's launch, not the fabric.
    for row in _table(silicon, "custom_allreduce"):
        if "eager" not in str(row["kernel_source"]):
            yield _kernel(SHOT, row, "all_reduce", str(row["engine"]))


def _kernel(table: str, row: Mapping[str, object], op: str, detail: str) -> _Record:
    return (
        table, "kernel tables", str(row["gpu"]), str(row["gpu"]), op, detail,
        float(str(row["num_gpus"])), 1.0, float(str(row["message_bytes"])),
        float(str(row["latency_s"])), 0.0, 0.0, 0.0,
    )  # fmt: skip


_TOKEN_BYTES = {"bfloat16": 2.0, "default": 2.0, "fp8": 1.0, "fp4": 0.5625, "nvfp4": 0.5625}


def _exchanges(silicon: Path) -> Iterator[_Record]:
    for row in _table(silicon, "moe_a2a"):
        backend = str(row["comm_backend"])
        if not backend.endswith(("_ll", "_ht")):
            continue
        mode = "low-latency" if backend.endswith("_ll") else "high-throughput"
        phase = str(row["phase"])
        width = _TOKEN_BYTES[str(row["comm_dtype"])]
        if phase == "combine" and mode == "high-throughput":
            width = 2.0  # results return in bf16 whatever was sent
        # transmit_s, because latency_s of this table is in milliseconds.
        yield (
            EXPERTS, "kernel tables", str(row["gpu"]), str(row["gpu"]), phase, mode,
            float(str(row["ep_size"])), 1.0, 0.0, float(str(row["transmit_s"])),
            float(str(row["num_tokens"])), width * float(str(row["hidden_size"])),
            float(str(row["topk"])),
        )  # fmt: skip
