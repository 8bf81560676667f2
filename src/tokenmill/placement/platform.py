"""Platform: hardware as a question names it, resolved to a chip, its fabric and its machine.

"h100" is an accelerator and stands for the machine it is usually sold in (an HGX board);
"gb200-nvl72" is a system. A card with a PCIe slot goes into a server or a workstation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.catalog.records import Accelerator, System
from tokenmill.errors import InputError, UnknownName
from tokenmill.physics.chip import Chip, chip
from tokenmill.physics.fabric import Fabric, fabric

__all__ = ["Platform", "hardware_names", "platform"]

_ANY = "any"


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
    machine_gpus: int
    domain_gpus: int
    most_gpus: int

    def __hash__(self) -> int:
        return hash((self.name, self.system.slug, self.machine_gpus))


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
        known = [*load.names("accelerators"), *load.names("systems")]
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
        chip=chip(accelerator),
        fabric=fabric(accelerator, machine),
        machine_gpus=machine_gpus,
        domain_gpus=min(domain, 72),
        most_gpus=max(machine_gpus, 32) if scales_out else machine_gpus,
    )
