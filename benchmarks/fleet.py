"""The fleet planner at full size: 5 years x 4 quarters x 20 workloads x 15 systems x 3 sites.

Seconds to a plan within 1 % of the best, against branch and bound by HiGHS alone on the same
programme with the same time. The scenarios are drawn at random (seeded), their figures invented
within the range of today's machines; they measure the solver, not the world.

Usage: python benchmarks/fleet.py [SEEDS] [LIMIT_S] [--no-baseline]
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from tokenmill.planner.fleet import solve as fleet_solve
from tokenmill.planner.fleet.cuts import tightened
from tokenmill.planner.fleet.highs import Model
from tokenmill.planner.fleet.problem import fleet_problem
from tokenmill.planner.fleet.program import fleet_program
from tokenmill.planner.fleet.question import FleetScenario, fleet_scenario

WORKLOADS, SYSTEMS, GAP = 20, 15, 0.01


def scenario(seed: int, load: float = 1.0) -> FleetScenario:
    """A random scenario of full size; `load` scales the demand."""
    dice = np.random.default_rng(seed)
    speed = np.exp(dice.normal(0.0, 0.8, SYSTEMS))
    watts = 5000.0 * speed**0.6 * np.exp(dice.normal(0.0, 0.2, SYSTEMS))
    price = 150e3 * speed**0.9 * np.exp(dice.normal(0.0, 0.2, SYSTEMS))
    quarters = dice.integers(0, 10, SYSTEMS)
    quarters[:6] = 0
    systems = {
        f"system-{s}": {
            "price": f"${price[s]:.0f}", "price_growth": -0.1, "resale": 0.3, "life": "4 years",
            "watts_idle": 0.3 * watts[s], "gpus": 8, "lead": "90 days" if s >= 6 else "0 s",
            "available": f"{2027 + quarters[s] // 4}-Q{quarters[s] % 4 + 1}",
        }
        for s in range(SYSTEMS)
    }  # fmt: skip
    return fleet_scenario({
        "name": f"random {seed}", "start": "2027", "years": 5, "capital": f"${4e7 * load:.0f}",
        "workloads": _workloads(dice, speed, watts, load), "systems": systems,
        "sites": {
            name: {"power": f"{mw * load:.3f} MW", "pue": pue, "tariff": f"${tariff}"}
            for name, mw, pue, tariff in (("tokyo", 1.0, 1.4, 0.19), ("ashburn", 1.0, 1.2, 0.1),
                                          ("lulea", 1.5, 1.1, 0.08))
        },
        "existing": [{"system": f"system-{s}", "site": "tokyo", "age": "1 years",
                      "machines": max(int(12 * load), 1)} for s in range(4)],
    })  # fmt: skip


def _workloads(
    dice: np.random.Generator, speed: Any, watts: Any, load: float
) -> dict[str, dict[str, Any]]:
    found = {}
    for w in range(WORKLOADS):
        weight = float(np.exp(dice.normal(1.0, 1.0)))
        each = speed * 5.0 / weight * np.exp(dice.normal(0.0, 0.25, SYSTEMS))
        able = dice.random(SYSTEMS) > 0.15
        able[:4] |= not able[:4].any()
        busy = watts * dice.uniform(0.7, 1.0, SYSTEMS)
        machines = float(np.exp(dice.normal(1.0, 1.0))) * load
        found[f"workload-{w}"] = {
            "rate": machines * 5.0 / weight, "growth": float(dice.uniform(0.0, 0.6)),
            "mean_load": 0.6,
            "on": {f"system-{s}": {"requests_per_s": float(each[s]), "watts_busy": float(busy[s])}
                   for s in range(SYSTEMS) if able[s]},
        }  # fmt: skip
    return found


def main() -> None:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    seeds = int(words[0]) if words else 3
    limit_s = float(words[1]) if len(words) > 1 else 20.0
    print(f"{'fleet':>10} {'machines':>9} {'rows':>6} {'columns':>8} {'build':>7} "
          f"{'to plan':>8} {'CPU':>8} {'gap':>7}   HiGHS alone")  # fmt: skip
    for seed in range(seeds):
        for load in (3.0, 1.0, 0.3):
            _run(seed, load, limit_s, baseline="--no-baseline" not in sys.argv)


def _run(seed: int, load: float, limit_s: float, *, baseline: bool) -> None:
    started, worked = time.perf_counter(), time.process_time()
    problem = fleet_problem(scenario(seed, load))
    program = fleet_program(problem)
    built_s = time.perf_counter() - started
    lower = fleet_solve.relaxed(program)
    if lower is None:
        print(f"{seed:>10}: no plan meets its limits")
        return
    tight = tightened(problem, program, lower)
    found = fleet_solve.solve(*tight, gap=GAP, limit_s=limit_s)
    spent_s, cpu_s = time.perf_counter() - started, time.process_time() - worked
    machines = found and program.machines.of(found.columns)[:, :, -1].sum()
    words = ""
    if baseline:
        started = time.perf_counter()
        model = Model(program)
        model.whole(np.arange(program.integers))
        alone = model.branch(None, limit_s=limit_s, gap=GAP)
        alone_s = time.perf_counter() - started
        cost = float(program.cost @ alone.columns) if alone else float("nan")
        gap = (cost - max(alone.bound, lower.cost)) / cost if alone else float("nan")
        words = f"{alone_s:6.1f} s, gap {gap:.2%}; {alone_s / spent_s:.1f} x the time"
    print(f"{seed:>4}, x{load:<4g} {machines or 0:9.0f} {len(program.row_lower):6} "
          f"{len(program.cost):8} {built_s:5.2f} s {spent_s:6.1f} s {cpu_s:6.1f} s "
          f"{found.gap if found else float('nan'):7.2%}   {words}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
