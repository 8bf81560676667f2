"""Platform: hardware as a question names it, resolved to a chip, its fabric and its machine.

"h100" is an accelerator and stands for the machine it is usually sold in (an HGX board);
"gb200-nvl72" is a system. A card with a PCIe slot goes into a server or a workstation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.records import Accelerator, System
from tokenmill.errors import InputError, NoCalibration, UnknownName
from tokenmill.physics import power
from tokenmill.physics.chip import Chip, KernelConstants, kernel_constants
from tokenmill.physics.fabric import Fabric, Link, family, link
from tokenmill.physics.power import Node, PowerConstants
from tokenmill.placement.layout import Layout

__all__ = [
    "Platform",
    "bare_chip",
    "board_record",
    "by_die",
    "check_span",
    "chip_of",
    "hardware_names",
    "limited",
    "platform",
    "sustained",
]

_ANY = "any"
_APART = frozenset({"cdna2"})  # architectures whose dies are GPUs of their own to software
# How finely work is cut on chips whose makers count no multiprocessors (TPU, Gaudi, Trainium).
_BLOCKS = 100.0


@dataclass(frozen=True, slots=True)
class Platform:
    """One kind of GPU in one kind of machine.

    machine_gpus [count] sit in one machine; domain_gpus share the fast links; `most_gpus` is
    what one engine instance may span.
    """

    name: str
    accelerator: Accelerator
    system: System
    chip: Chip
    fabric: Fabric
    power: PowerConstants
    node: Node
    machine_gpus: int
    domain_gpus: int
    most_gpus: int

    def __hash__(self) -> int:
        return hash((self.name, self.system.slug, self.machine_gpus))


def check_span(where: Platform, layout: Layout) -> None:
    """Refuse an instance larger than what its links hold together. Raises: InputError."""
    if not where.fabric.scaleout_bytes_per_s and layout.gpus > where.machine_gpus:
        raise InputError(
            f"layout {layout} spans {layout.gpus} GPUs; {where.system.slug} holds "
            f"{where.machine_gpus} x {where.accelerator.slug} and has no network: "
            "use replicas, or a larger machine"
        )


def hardware_names() -> list[str]:
    """Every accelerator and every system that can be asked for."""
    systems = [slug for slug in load.names("systems") if load.system(slug).accelerator != _ANY]
    return [*load.names("accelerators"), *systems]


@lru_cache(maxsize=512)
def platform(name: str) -> Platform:
    """The platform that a name stands for; "2x rtx-4090" style counts are not part of a name.

    Raises: UnknownName with the nearest accelerators and systems.
    """
    try:
        accelerator = load.accelerator(name)
    except UnknownName:
        accelerator = None
    if accelerator is not None:
        return _assemble(accelerator.slug, accelerator, _usual_machine(accelerator))
    try:
        machine = load.system(name)
    except UnknownName:
        known = [*load.spellings("accelerators"), *load.spellings("systems")]
        raise UnknownName("hardware", name, known) from None
    if machine.accelerator == _ANY:
        raise InputError(f"{machine.slug} is a machine without a GPU; name the card instead")
    return _assemble(machine.slug, load.accelerator(machine.accelerator), machine)


def _usual_machine(accelerator: Accelerator) -> System:
    """The machine a bare accelerator is taken to sit in: its HGX board, a server, a workstation."""
    for slug in _machines_of(accelerator.slug):
        return load.system(slug)
    if accelerator.market in ("laptop", "embedded"):
        return load.system("workstation-1x")
    if accelerator.market in ("consumer", "workstation"):
        return load.system("workstation-4x")
    return load.system("server-8x-pcie")


@lru_cache(maxsize=512)
def _machines_of(slug: str) -> tuple[str, ...]:
    """Systems built around an accelerator, the plainest board first."""
    found = []
    for system_slug, path in load.files("systems").items():
        text = path.read_text(encoding="utf-8")
        if f'accelerator = "{slug}"' in text:
            found.append(system_slug)
    rank = {"hgx": 0, "mi300x": 0, "dgx": 2}
    return tuple(sorted(found, key=lambda s: (rank.get(s.split("-")[0], 1), s)))


def _assemble(name: str, accelerator: Accelerator, machine: System) -> Platform:
    machine_gpus = int(machine.value("gpus"))
    domain = int(machine.value("nvlink_domain_gpus", float(machine_gpus)))
    scales_out = "scaleout_bandwidth" in machine.figures
    return Platform(
        name=name,
        accelerator=accelerator,
        system=machine,
        chip=chip_of(accelerator),
        fabric=_fabric(accelerator, machine, machine_gpus, domain),
        power=_power(accelerator),
        node=_node(accelerator, machine, machine_gpus),
        machine_gpus=machine_gpus,
        domain_gpus=min(domain, 72),
        most_gpus=max(machine_gpus, 32) if scales_out else machine_gpus,
    )


def constants(name: str) -> dict[str, Figure]:
    """Calibration figures of a family, those that it inherits filled in beneath its own.

    Raises: NoCalibration where the family has no file.
    """
    gathered: dict[str, Figure] = {}
    wanted, seen = name, set()
    while wanted and wanted not in seen:
        seen.add(wanted)
        try:
            record = load.calibration(wanted)
        except UnknownName:
            raise NoCalibration(name, wanted) from None
        gathered = {**record.figures, **gathered}
        wanted = record.inherits
    return gathered


@lru_cache(maxsize=512)
def _chip(slug: str) -> Chip:
    accelerator = load.accelerator(slug)
    # kernels follow the die, as power does: both are split where one family had two processes
    split = power.family(accelerator.architecture, accelerator.process).removeprefix("power-")
    figures = constants(split)
    return replace(
        sustained(bare_chip(accelerator), split),
        constants=kernel_constants({key: item.value for key, item in figures.items()}),
        gap_s=figures["gap"].value if "gap" in figures else 0.0,
        unpack_ops=figures["unpack_ops"].value if "unpack_ops" in figures else 0.0,
    )


def sustained(bare: Chip, measured: str, *, gains: bool = False) -> Chip:
    """The chip with the peaks that its power limit lets it keep under a family's constants.

    Parameters: bare chip; measured, the family whose kernels were measured; gains, whether a card
    cooler than the measured one computes at more than that did, as when one limited card stands in
    for another. What its own limit cost that card is in the constants.
    """
    known = load.calibration("sustained").figures
    usual = known.get(f"{measured}/peak_per_watt")
    peak = bare.peaks.get("bf16", bare.peaks.get("fp16"))
    if usual is None or peak is None or not bare.tdp_w > 0.0:
        return bare
    wanted = peak / 1e12 / bare.tdp_w / usual.value
    share = float((wanted if gains else max(wanted, 1.0)) ** -known["exponent"].value)
    return replace(bare, peaks={name: peak * share for name, peak in bare.peaks.items()})


def by_die(where: Platform) -> Platform:
    """The platform with every die as a GPU of its own, where software sees them so (CDNA 2).

    What the record says of a card is divided evenly, its links too.
    """
    dies = where.accelerator.dies
    if where.chip.architecture not in _APART or dies == 1:
        return where
    chip, fabric = where.chip, where.fabric
    return replace(
        where, name=f"{where.name}-die", machine_gpus=where.machine_gpus * dies,
        domain_gpus=where.domain_gpus * dies, most_gpus=where.most_gpus * dies,
        chip=replace(
            chip, sm_count=chip.sm_count / dies, l2_bytes=chip.l2_bytes / dies,
            memory_bytes=chip.memory_bytes / dies, tdp_w=chip.tdp_w / dies,
            idle_w=chip.idle_w / dies, memory_bytes_per_s=chip.memory_bytes_per_s / dies,
            peaks={name: peak / dies for name, peak in chip.peaks.items()},
        ),
        fabric=replace(
            fabric, link_bytes_per_s=fabric.link_bytes_per_s / dies,
            domain_gpus=fabric.domain_gpus * dies,
        ),
        power=replace(
            where.power, limit_w=where.power.limit_w / dies, idle_w=where.power.idle_w / dies,
            active_w=where.power.active_w / dies, routed_w=where.power.routed_w / dies,
        ),
    )  # fmt: skip


def limited(where: Platform, watts: float) -> Platform:
    """The platform at another power limit [W]: arithmetic follows it by the exponent on record."""
    share = watts / where.chip.tdp_w
    if not share > 0.0 or share == 1.0:
        return where
    pace = share ** load.calibration("sustained").figures["exponent"].value
    chip = replace(
        where.chip, tdp_w=watts,
        peaks={name: peak * pace for name, peak in where.chip.peaks.items()},
    )  # fmt: skip
    return replace(
        where, name=f"{where.name}-{watts:.0f}w", chip=chip,
        power=replace(where.power, limit_w=watts),
    )  # fmt: skip


def bare_chip(accelerator: Accelerator) -> Chip:
    """The spec sheet of an accelerator as kernels see it, without any constants.

    Raises: Unsupported where the record lacks memory or bandwidth.
    """
    value = accelerator.value
    return Chip(
        name=accelerator.slug,
        architecture=accelerator.architecture,
        sm_count=value("sm_count", _BLOCKS),
        memory_bytes_per_s=value("memory_bandwidth") * _uncorrected(accelerator),
        l2_bytes=value("l2", 0.0),
        boost_hz=value("boost_clock", 1.5e9),
        peaks={key: item.value for key, item in accelerator.peaks.items()},
        constants=KernelConstants(),
        memory_bytes=_memory_bytes(accelerator),
        tdp_w=value("tdp", float("nan")),
        idle_w=value("idle_power", float("nan")),
    )


def chip_of(accelerator: Accelerator) -> Chip:
    """What kernels see of an accelerator: its spec sheet under its family's constants.

    Raises: NoCalibration, Unsupported where the record lacks memory or bandwidth.
    """
    return _chip(accelerator.slug)


def _power(accelerator: Accelerator) -> PowerConstants:
    wanted = power.family(accelerator.architecture, accelerator.process)
    own_idle = accelerator.figures.get("idle_power")
    return power.constants(
        constants(wanted), constants("power-shared"), limit_w=accelerator.value("tdp"),
        memory_type=accelerator.memory_type, idle_w=own_idle.value if own_idle else None,
    )  # fmt: skip


def _node(accelerator: Accelerator, machine: System, gpus: int) -> Node:
    """The machine around the GPUs: the host on record that is nearest to it, by number of GPUs.

    A host is on record for eight GPUs, a tray of four in an NVL72, or one workstation; its
    power grows with the GPUs it feeds.
    """
    if machine.fabric == "pcie":
        name, usual = "power-node-workstation", 1.0
    elif machine.slug.endswith("nvl72"):
        name, usual = "power-node-nvl72", 4.0
    else:
        name, usual = board_record(accelerator.architecture), 8.0
    figures = {key: item.value for key, item in constants(name).items()}
    share = (gpus / usual) ** 0.5 if usual == 1.0 else gpus / usual
    host_w = machine.value("host_power", figures["host"] * share)
    return Node(host_w, figures["fan_share"], figures["supply_efficiency"])


def board_record(architecture: str) -> str:
    """The record of the host around eight GPUs of an architecture, the newest where it has none."""
    generation = {"ampere": "a100", "hopper": "h100"}.get(architecture, "b200")
    return f"power-node-hgx-{generation}"


def _memory_bytes(accelerator: Accelerator) -> float:
    """Memory a program finds [B]. Labels say GB and chips hold GiB: an "80 GB" H100 shows 81,559
    MiB. Where a sixteenth is kept for error correction, that is about the difference."""
    label = accelerator.figure("memory")
    if _inline_ecc(accelerator):
        return label.value
    return min(label.high, label.value * 2**30 / 1e9)


def _uncorrected(accelerator: Accelerator) -> float:
    """Share of the bandwidth [1] that moves data and not what corrects its errors."""
    share = load.calibration("sustained").figures["inline_ecc"].value
    return share if _inline_ecc(accelerator) else 1.0


def _inline_ecc(accelerator: Accelerator) -> bool:
    """Whether check bits lie among the data: GDDR boards of data centres; HBM has its own."""
    return "GDDR" in accelerator.memory_type and accelerator.market == "datacenter"


def _fabric(accelerator: Accelerator, machine: System, gpus: int, domain: int) -> Fabric:
    kind = machine.fabric
    if kind == "pcie" or "nvlink_bandwidth" not in accelerator.figures:
        generation = accelerator.value("pcie_generation", 4.0)
        rate = accelerator.value("pcie_bandwidth", 15.75e9)
        kind = "pcie" if kind != "infinity-fabric" else kind
    else:
        generation = accelerator.value("nvlink_generation", 4.0)
        rate = machine.value("nvlink_bandwidth", accelerator.value("nvlink_bandwidth")) / 2.0
    if kind == "infinity-fabric":
        rate = accelerator.value("nvlink_bandwidth", 128e9) / 2.0
    network = machine.value("scaleout_bandwidth", 0.0)
    inside = _nearest(family(kind, generation), kind)
    return Fabric(
        kind=kind,
        link_bytes_per_s=rate,
        domain_gpus=max(domain, 1),
        inside=_link(inside, kind),
        scaleout_bytes_per_s=network,
        outside=_outside() if network else None,
        sharp=kind == "nvlink-switch" and generation >= 4,
        peer_access=not (kind == "pcie" and accelerator.market in ("consumer", "laptop")),
    )


def _link(name: str, kind: str) -> Link:
    """The constants of a link; on a PCIe bus, with the contention that serving hosts show.

    The one host whose collectives were measured throttles groups of four and eight much more
    than the hosts that served models on the same cards.
    """
    found = link({key: item.value for key, item in constants(name).items()}, name)
    if kind != "pcie":
        return found
    return replace(found, contention=constants("hosts-pcie")["contention"].value)


def _nearest(wanted: str, kind: str) -> str:
    """The calibration of a link, or that of the nearest generation on record."""
    known = [slug for slug in load.names("calibration") if slug.startswith("fabric-")]
    if wanted in known:
        return wanted
    same = [slug for slug in known if slug.rstrip("0123456789") == wanted.rstrip("0123456789")]
    if not same:
        raise NoCalibration(wanted, kind)
    return same[-1]


def _outside() -> Link:
    figures = constants("fabric-infiniband")
    return link({key: item.value for key, item in figures.items()}, "fabric-infiniband")
