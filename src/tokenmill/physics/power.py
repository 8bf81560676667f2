"""Activity to watts: what a GPU draws, what a cap costs in speed, what its node adds.

Energy above idle is linear in activity - seconds that kernels run, FLOPs, bytes of memory,
cache and links - so that it adds up over operations and steps. Power is not: near its limit
the chip lowers its clock, so the draw bends towards the limit and never passes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, SupportsFloat

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError, NoCalibration

__all__ = [
    "Node", "PowerConstants", "at_clock", "at_temperature", "capped", "clock", "constants",
    "demand_w", "drawn_w", "family", "memory_key", "node_w", "step_joules",
]  # fmt: skip

Array = NDArray[np.float64]

_FORMAT = "format_"
_REFERENCE_K = 333.0  # 60 °C, where racks of the measured kind run
_LEAST_CLOCK = 0.05


@dataclass(frozen=True, slots=True)
class PowerConstants:
    """What one GPU draws, and how it answers a cap.

    limit_w [W]: its power limit as sold. idle_w [W]: with a program loaded and nothing running.
    active_w [W]: more while kernels run, whatever they do. flop_j: pairs (number format, energy
    [J/FLOP]). memory_j, cache_j, link_j [J/B]: memory traffic; attention reading its cache,
    arithmetic included; links, both ends. bend: how sharply the draw bends at the limit.
    voltage_floor: lowest voltage over the highest; knee: clock share at which it is reached.
    leakage [1/K]: growth of idle and active power with temperature. routed_w [W]: more while
    grouped products of experts run, and routed_flop, the energy of their FLOP, the padding of tiles
    included, over that of a dense one. link_share: of the active power, drawn while kernels only
    move messages. static_share: of the idle power, drawn at any clock.
    """

    limit_w: float
    idle_w: float
    active_w: float
    flop_j: tuple[tuple[str, float], ...]
    memory_j: float
    cache_j: float
    link_j: float
    bend: float
    voltage_floor: float
    knee: float
    leakage: float
    routed_w: float = 0.0
    routed_flop: float = 1.0
    link_share: float = 1.0
    static_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """What a machine adds to its GPUs.

    host_w [W]: processors, memory, network cards, switches. fan_share: fans per watt cooled.
    supply_efficiency: DC out over AC in.
    """

    host_w: float
    fan_share: float
    supply_efficiency: float


def family(architecture: str, process: str = "") -> str:
    """The calibration family of a GPU: its architecture, split where one had two processes.

    Returns: slug of the calibration file, such as "power-hopper".
    """
    if architecture == "ampere" and "samsung" in process.lower():
        return "power-ampere-samsung"
    return f"power-{architecture}"


def constants(
    figures: Mapping[str, SupportsFloat],
    shared: Mapping[str, SupportsFloat],
    *,
    limit_w: float,
    memory_type: str,
    idle_w: float | None = None,
) -> PowerConstants:
    """The constants of one GPU from its family's figures and its own spec sheet.

    Parameters: figures of the family (shares of the limit, energies); shared, the figures of
    "power-shared" (bytes by memory type, FLOPs by number format, shape of the draw); limit_w
    [W]; memory_type, such as "HBM3"; idle_w [W], the card's own where known.
    Raises: NoCalibration for a memory type or figure that nobody filled in.
    """
    try:
        flop_j = float(figures["flop"])
        return PowerConstants(
            limit_w=limit_w,
            idle_w=float(figures["idle_share"]) * limit_w if idle_w is None else idle_w,
            active_w=float(figures["active_share"]) * limit_w,
            flop_j=tuple(
                (key.removeprefix(_FORMAT), flop_j * float(ratio))
                for key, ratio in shared.items()
                if key.startswith(_FORMAT)
            ),
            memory_j=float(shared[memory_key(memory_type)]),
            cache_j=float(figures["cache"]),
            link_j=float(shared["link"]),
            bend=float(shared["bend"]),
            voltage_floor=float(shared["voltage_floor"]),
            knee=float(shared["knee"]),
            leakage=float(shared["leakage"]),
            routed_w=float(figures.get("routed_share", 0.0)) * limit_w,
            routed_flop=float(figures.get("routed_flop", 1.0)),
            link_share=float(shared.get("link_share", 1.0)),
            static_share=float(shared.get("static_share", 1.0)),
        )
    except KeyError as missing:
        raise NoCalibration("power", str(missing).strip("'")) from None


def memory_key(memory_type: str) -> str:
    """The key of "power-shared" for a memory type: "HBM3 / HBM3e" gives "byte_hbm3"."""
    return "byte_" + memory_type.lower().split("/")[0].strip().replace(" ", "-")


def step_joules(
    chip: PowerConstants,
    seconds: Any,
    flop: Mapping[str, Any],
    memory_bytes: Any,
    link_bytes: Any = 0.0,
    cache_bytes: Any = 0.0,
) -> Array:
    """Energy above idle of a piece of work on one GPU [J]; linear, so pieces add up.

    Parameters: seconds that kernels run [s]; flop by number format [FLOP], such as "bf16";
    memory_bytes read and written, cache included [B]; link_bytes sent [B]; cache_bytes, the part
    of memory_bytes that attention reads of its cache [B]. Scalars or arrays.
    Raises: InputError for an unknown number format.
    """
    joules: Array = (
        chip.active_w * np.asarray(seconds, dtype=float)
        + chip.memory_j * np.asarray(memory_bytes, dtype=float)
        + chip.cache_j * np.asarray(cache_bytes, dtype=float)
        + chip.link_j * np.asarray(link_bytes, dtype=float)
    )
    energies = dict(chip.flop_j)
    for dtype, amount in flop.items():
        if dtype not in energies:
            raise InputError(f'unknown number format "{dtype}"; known: {", ".join(energies)}')
        joules = joules + energies[dtype] * np.asarray(amount, dtype=float)
    return joules


def demand_w(chip: PowerConstants, joules_above_idle: Any, seconds: Any) -> Array:
    """Power that work asks for at full clock [W]: idle, and its energy over the time it takes.

    Parameters: joules_above_idle [J] as `step_joules` gives; seconds of wall clock [s] > 0.
    """
    wanted: Array = chip.idle_w + np.asarray(joules_above_idle, dtype=float) / np.asarray(
        seconds, dtype=float
    )
    return wanted


def drawn_w(chip: PowerConstants, wanted_w: Any, limit_w: Any = None) -> Array:
    """Power that is drawn [W]: the demand, bent towards the limit; idle <= drawn <= limit.

    Times measured at the limit as sold contain what the clock lost there, so no speed is
    lost here; for a lower cap see `capped`.
    Parameters: wanted_w, demand [W]; limit_w [W], as sold unless given.
    """
    limit = np.maximum(chip.limit_w if limit_w is None else limit_w, chip.idle_w)
    room = limit - chip.idle_w
    wanted = np.maximum(np.asarray(wanted_w, dtype=float) - chip.idle_w, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        load = np.where(room > 0.0, wanted / room, 0.0)
    # In logarithms: load**bend overflows for a demand far beyond the limit.
    steep = chip.bend * np.log(np.maximum(load, 1e-12))
    bent = load * np.exp(-np.logaddexp(0.0, steep) / chip.bend)
    drawn: Array = np.minimum(chip.idle_w + room * bent, limit)
    return drawn


def clock(chip: PowerConstants, full_w: Any, cap_w: Any) -> Array:
    """Clock under a cap, as a share of the clock without it.

    Switching power goes with f V²; the voltage falls with the clock down to its floor at the
    knee, below which only the clock is left to give.
    Parameters: full_w drawn without the cap [W]; cap_w [W]. Scalars or arrays.
    Reference: Le Sueur, Heiser 2010, "Dynamic voltage and frequency scaling: the laws of
    diminishing returns" (HotPower).
    """
    full, cap = np.broadcast_arrays(np.asarray(full_w, dtype=float), np.asarray(cap_w, dtype=float))
    static_w = chip.static_share * chip.idle_w
    above = np.maximum(full - static_w, 1e-9)
    share = np.clip((cap - static_w) / above, 0.0, 1.0)
    f = np.linspace(0.0, 1.0, 257)
    found: Array = np.maximum(np.interp(share, _switching(chip, f), f), _LEAST_CLOCK)
    return found


def _switching(chip: PowerConstants, clock_share: Array) -> Array:
    """Switching power at a share of the full clock, over that at full clock: f V²."""
    rise = np.clip((clock_share - chip.knee) / (1.0 - chip.knee), 0.0, 1.0)
    voltage = chip.voltage_floor + (1.0 - chip.voltage_floor) * rise
    share: Array = clock_share * voltage**2
    return share


def at_clock(chip: PowerConstants, full_w: Any, clock_share: Any) -> Array:
    """Power at a share of the full clock [W] of work that draws full_w [W] at all of it."""
    full, share = np.asarray(full_w, dtype=float), np.asarray(clock_share, dtype=float)
    static_w = np.minimum(chip.static_share * chip.idle_w, full)
    watts: Array = static_w + (full - static_w) * _switching(chip, share)
    return watts


def capped(
    chip: PowerConstants, wanted_w: Any, cap_w: Any, clock_bound: Any = 1.0
) -> tuple[Array, Array]:
    """What a power cap does to work: (slowdown >= 1, power drawn [W]).

    Parameters: wanted_w, demand at full clock [W]; cap_w [W]; clock_bound, the share of the
    time that goes with the core clock (1 = compute bound; memory-bound work, less).
    Returns: time over time without the cap, and the power, at most max(cap, idle).
    """
    full = drawn_w(chip, wanted_w)
    cap = np.minimum(np.asarray(cap_w, dtype=float), chip.limit_w)
    share = np.asarray(clock_bound, dtype=float)
    slowdown = (1.0 - share) + share / clock(chip, full, cap)
    return slowdown, np.minimum(full, np.maximum(cap, chip.idle_w))


def at_temperature(chip: PowerConstants, kelvin: float) -> PowerConstants:
    """The constants at another chip temperature [K]: leakage moves idle and active power."""
    factor = float(np.exp(chip.leakage * (kelvin - _REFERENCE_K)))
    return replace(chip, idle_w=chip.idle_w * factor, active_w=chip.active_w * factor)


def node_w(node: Node, gpu_w: Any, gpus: Any = 1) -> Array:
    """AC power of a machine [W]: GPUs and host, fans that cool them, losses of the supply.

    Parameters: gpu_w of each GPU [W]; gpus in the machine. Scalars or arrays.
    """
    inside = np.asarray(gpu_w, dtype=float) * np.asarray(gpus, dtype=float) + node.host_w
    outside: Array = inside * (1.0 + node.fan_share) / node.supply_efficiency
    return outside
