"""What joins GPUs: link rates, domains and the few constants that collectives run by.

A fabric has two levels: links inside a domain (NVLink, Infinity Fabric, PCIe of one host) and
the network between domains. Each level carries a `Link`: constants per operation, fitted per
family and kept in catalog/data/calibration/fabric-*.toml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, SupportsFloat

from tokenmill.errors import NoCalibration

__all__ = [
    "BACKENDS", "ENGINES", "PHASES", "Exchange", "Fabric", "Link", "Timing", "family", "link",
]  # fmt: skip

ENGINES = ("vllm", "sglang", "trtllm")
BACKENDS = ("high-throughput", "low-latency")  # of the expert exchange, and its phases
PHASES: tuple[Literal["dispatch", "combine"], ...] = ("dispatch", "combine")
_OPERATIONS = (
    "all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "p2p",
)  # fmt: skip
_OPTIONAL = ("sharp", "one_shot", "two_shot")


@dataclass(frozen=True, slots=True)
class Timing:
    """How one algorithm takes its time.

    launch_s [s]: from kernel start to the first byte. hop_s [s]: per further rank in the chain.
    pipeline_s [s]: cost of one chunk; an optimally chunked transfer of wire time w pays
    2 sqrt(pipeline_s w) for filling its pipeline. efficiency: share of the link rate that an
    endless message reaches. copy: link times per byte of a rank's own share copied locally.
    """

    launch_s: float
    hop_s: float = 0.0
    pipeline_s: float = 0.0
    efficiency: float = 1.0
    copy: float = 0.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """How a kernel that sends tokens to their experts takes its time.

    launch_s [s]; token_s [s]: for each copy of a token that it handles, whatever its size;
    efficiency: share of the link rate that the bytes reach.
    """

    launch_s: float
    token_s: float
    efficiency: float


@dataclass(frozen=True, slots=True)
class Link:
    """Constants of one level of a fabric, by operation; None where it has no such algorithm.

    `shot_launch` and `experts` hold pairs (engine, launch seconds) and
    ("backend-phase", Exchange).
    contention: how the rate of each GPU falls as a group grows past two, as (2/n)^contention,
    where GPUs share host bridges. bounce: the share of the rate left where bytes must be copied
    through host memory for want of peer access.
    """

    all_reduce: Timing
    all_gather: Timing
    reduce_scatter: Timing
    all_to_all: Timing
    broadcast: Timing
    p2p: Timing
    sharp: Timing | None = None
    one_shot: Timing | None = None
    two_shot: Timing | None = None
    shot_launch: tuple[tuple[str, float], ...] = ()
    experts: tuple[tuple[str, Exchange], ...] = ()
    contention: float = 0.0
    bounce: float = 1.0


@dataclass(frozen=True, slots=True)
class Fabric:
    """The way between GPUs of one system.

    kind: "nvlink-switch", "nvlink-mesh", "nvlink-bridge", "infinity-fabric", "pcie".
    link_bytes_per_s [B/s]: of one GPU, per direction, inside a domain of domain_gpus GPUs.
    scaleout_bytes_per_s [B/s]: network of one GPU, per direction; 0 where there is none.
    sharp: the switch adds up in flight (NVSwitch of Hopper and later).
    peer_access: GPUs read each other's memory over PCIe (not so on GeForce).
    """

    kind: str
    link_bytes_per_s: float
    domain_gpus: int
    inside: Link
    scaleout_bytes_per_s: float = 0.0
    outside: Link | None = None
    sharp: bool = False
    peer_access: bool = True

    @property
    def is_mesh(self) -> bool:
        """Whether each pair of GPUs has its own wires, so that a pair cannot use them all."""
        return self.kind in ("nvlink-mesh", "infinity-fabric")


def family(kind: str, generation: float) -> str:
    """The calibration family of a kind of link.

    Parameters: kind as in `Fabric`; generation of NVLink or PCIe (ignored for others).
    Returns: slug of the calibration file, such as "fabric-nvlink4".
    """
    if kind.startswith("nvlink"):
        return f"fabric-nvlink{generation:.0f}"
    if kind == "pcie":
        return f"fabric-pcie{generation:.0f}"
    return f"fabric-{kind}"


def _timing(name: str, figures: Mapping[str, SupportsFloat], where: str) -> Timing:
    if f"{name}_efficiency" not in figures:
        raise NoCalibration(where, f"{name}_efficiency")
    read = {key: float(figures.get(f"{name}_{key}", 0.0)) for key in ("launch", "hop", "pipeline")}
    return Timing(
        read["launch"], read["hop"], read["pipeline"],
        float(figures[f"{name}_efficiency"]), float(figures.get(f"{name}_copy", 0.0)),
    )  # fmt: skip


def _exchanges(figures: Mapping[str, SupportsFloat]) -> tuple[tuple[str, Exchange], ...]:
    found = []
    for backend in BACKENDS:
        for phase in PHASES:
            key = f"{backend}-{phase}"
            if f"{key}_efficiency" in figures:
                parts = (float(figures[f"{key}_{p}"]) for p in ("launch", "token", "efficiency"))
                found.append((key, Exchange(*parts)))
    return tuple(found)


def link(figures: Mapping[str, SupportsFloat], where: str = "fabric") -> Link:
    """The constants of a link out of the figures of its calibration record.

    Parameters: figures by key, `<operation>_<launch|hop|pipeline|efficiency|copy>` [s or 1];
    where, the family's name for messages.
    Raises: NoCalibration where an operation has no constants.
    """
    present = [name for name in _OPTIONAL if f"{name}_efficiency" in figures]
    timings = {name: _timing(name, figures, where) for name in (*_OPERATIONS, *present)}
    shots = [(e, float(figures[f"shot_{e}"])) for e in ENGINES if f"shot_{e}" in figures]
    return Link(
        **timings,
        shot_launch=tuple(shots),
        experts=_exchanges(figures),
        contention=float(figures.get("contention", 0.0)),
        bounce=float(figures.get("bounce", 1.0)),
    )
