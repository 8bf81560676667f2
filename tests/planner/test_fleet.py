"""The fleet planner against brute force: every count of machines, every vertex of the loads.

The oracle shares nothing with the planner: it reads the plain figures of a scenario, lists every
sequence of purchases and retirements, and finds the cheapest loads of every fleet at the
vertices of their polyhedron, without a solver.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tokenmill.planner.fleet.fleet import fleet
from tokenmill.planner.fleet.question import fleet_scenario

pytest.importorskip("highspy", reason="the fleet extra is not installed")

SHAPES = [(1, 1, 3, 2), (2, 1, 2, 2), (1, 2, 2, 2), (2, 1, 3, 1), (1, 2, 3, 1), (2, 2, 1, 1)]
INSTANCES, CHUNK = 240, 20
HOURS = 8760.0


@dataclass
class Case:
    """Plain figures: S systems, J sites, T years, W workloads."""

    demand: Any  # [W, T]
    carries: Any  # [W, S]
    busy: Any  # [W, S] W
    idle: Any  # [S] W
    allowed: Any  # [W, J]
    load: Any  # [W]
    power: Any  # [J] W
    pue: Any
    kwh: Any  # [J]
    space: Any  # [J] a kW and month
    places: Any  # [J]
    price: Any  # [S]
    change: Any  # [S] a year
    resale: Any  # [S]
    upkeep: Any  # [S]
    life: Any  # [S] years
    first: Any  # [S]
    supply: Any  # [S] a year, across sites
    capital: float
    existing: Any  # [S, J] machines, one year old
    discount: float


def draw(seed: int) -> Case:
    dice = np.random.default_rng(seed)
    systems, sites, years, workloads = SHAPES[seed % len(SHAPES)]
    price = dice.uniform(50e3, 200e3, systems)
    idle = dice.uniform(500.0, 1500.0, systems)
    carries = dice.uniform(1.0, 6.0, (workloads, systems))
    carries[dice.random(carries.shape) < 0.1] = 0.0
    demand = dice.uniform(0.5, 4.0, (workloads, 1)) * dice.uniform(0.9, 1.8, (workloads, years))
    allowed = dice.random((workloads, sites)) > 0.15
    return Case(
        demand=demand, carries=carries,
        busy=idle + dice.uniform(500.0, 6000.0, (workloads, systems)), idle=idle,
        allowed=allowed | ~allowed.any(axis=1, keepdims=True),
        load=dice.uniform(0.3, 1.0, workloads), power=dice.uniform(4e3, 30e3, sites),
        pue=dice.uniform(1.05, 1.6, sites), kwh=dice.uniform(0.05, 0.9, sites),
        space=dice.choice([0.0, 150.0], sites), places=dice.integers(1, 3, sites),
        price=price, change=dice.uniform(-0.4, 0.05, systems),
        resale=dice.uniform(0.0, 0.5, systems), upkeep=dice.uniform(0.0, 0.1, systems),
        life=dice.integers(1, 4, systems), first=dice.integers(0, 2, systems),
        supply=dice.integers(1, 3, systems),
        capital=float(dice.choice([150e3, 300e3, 1e9])),
        existing=dice.integers(0, 2, (systems, sites)), discount=float(dice.uniform(0, 0.15)),
    )  # fmt: skip


def table(case: Case) -> dict[str, Any]:
    """The scenario in the words of a file."""
    systems, sites = range(len(case.price)), range(len(case.power))
    return {
        "start": "2027", "years": case.demand.shape[1], "periods_per_year": 1,
        "discount": case.discount, "gap": 1e-6, "time_limit": "60 s",
        "capital": f"${case.capital:.17g}",
        "workloads": {
            f"w{w}": {
                "rate": row[0], "mean_load": case.load[w],
                "growth": list(np.array(row[1:]) / row[:-1] - 1.0) or 0.0,
                "sites": [f"j{j}" for j in sites if case.allowed[w, j]],
                "on": {f"s{s}": {"requests_per_s": case.carries[w, s],
                                 "watts_busy": case.busy[w, s]}
                       for s in systems if case.carries[w, s] > 0},
            } for w, row in enumerate(case.demand)
        },
        "systems": {
            f"s{s}": {
                "price": f"${case.price[s]:.17g}", "price_growth": case.change[s],
                "resale": case.resale[s], "upkeep": case.upkeep[s], "watts_idle": case.idle[s],
                "life": f"{case.life[s]} years", "lead": f"{case.first[s]} years",
                "most_per_period": int(case.supply[s]),
            } for s in systems
        },
        "sites": {
            f"j{j}": {"power": case.power[j], "pue": case.pue[j], "tariff": f"${case.kwh[j]:.17g}",
                      "space": f"${case.space[j]:.17g}", "machines": int(case.places[j])}
            for j in sites
        },
        "existing": [
            {"system": f"s{s}", "site": f"j{j}", "machines": int(case.existing[s, j]),
             "age": "1 years"}
            for s in systems for j in sites if case.existing[s, j] and case.life[s] > 1
        ],
    }  # fmt: skip


def vertices(matrix: Any) -> tuple[Any, Any]:
    """(which rows are tight [V, n], inverse of those rows [V, n, n]) of every possible vertex."""
    count = matrix.shape[1]
    chosen = np.array(list(itertools.combinations(range(len(matrix)), count)))
    bases = matrix[chosen]
    regular = np.abs(np.linalg.det(bases)) > 1e-9
    return chosen[regular], np.linalg.inv(bases[regular])


def running_costs(case: Case, pairs: list[tuple[int, int]], fleets: Any) -> Any:
    """Least yearly cost of each fleet [T, F]: power, upkeep and space; infinite where it fails."""
    years = case.demand.shape[1]
    columns = [(w, p) for w in range(len(case.load)) for p, (s, j) in enumerate(pairs)
               if case.carries[w, s] > 0 and case.allowed[w, j]]  # fmt: skip
    rows: list[Any] = []
    rows += [[case.carries[w, pairs[p][0]] * (w == k) for w, p in columns]
             for k in range(len(case.load))]  # fmt: skip
    rows += [[-1.0 * (p == k) for _, p in columns] for k in range(len(pairs))]
    above = [case.busy[w, pairs[p][0]] - case.idle[pairs[p][0]] for w, p in columns]
    drawn = [(pairs[p][1], a * case.pue[pairs[p][1]] / 1e3)
             for a, (_, p) in zip(above, columns, strict=True)]  # fmt: skip
    rows += [[-kw * (j == k) for j, kw in drawn] for k in range(len(case.power))]
    matrix = np.vstack([np.array(rows).reshape(-1, len(columns)), np.eye(len(columns))])
    chosen, inverse = vertices(matrix)
    idle = np.array([case.idle[s] * case.pue[j] for s, j in pairs]) * fleets / 1e3
    at = np.array([j for _, j in pairs])
    feed = [max(case.idle[s], *case.busy[case.carries[:, s] > 0, s], 0.0) for s, _ in pairs]
    cost = np.array([
        kw * case.load[w] * HOURS * case.kwh[j]
        for (j, kw), (w, _) in zip(drawn, columns, strict=True)
    ])  # fmt: skip
    result = np.empty((years, len(fleets)))
    for t in range(years):
        for f, machines in enumerate(fleets):
            left = case.power / 1e3 - np.bincount(at, idle[f], len(case.power))
            bound = np.concatenate([case.demand[:, t], -machines, -left, np.zeros(len(columns))])
            points = np.einsum("vij,vj->vi", inverse, bound[chosen])
            inside = (points @ matrix.T >= bound - 1e-9).all(axis=1)
            price = case.price * (1 + case.change) ** t
            stay = sum(
                n * (case.upkeep[s] * price[s] + 12 * case.space[j] * feed[p] / 1e3)
                for p, ((s, j), n) in enumerate(zip(pairs, machines, strict=True))
            )
            power = (idle[f] * case.kwh[at]).sum() * HOURS
            best = (points[inside] @ cost).min() if inside.any() else np.inf
            if (left < -1e-9).any():
                best = np.inf
            result[t, f] = best + power + stay
    return result


def histories(case: Case, s: int, j: int) -> list[tuple[Any, Any, Any]]:
    """Every (delivered, retired, in place) by year of one system at one site."""
    years, most, life = case.demand.shape[1], int(case.places[j]), int(case.life[s])
    had = int(case.existing[s, j]) if life > 1 else 0
    found: list[tuple[list[int], list[int], list[int]]] = [([], [], [])]
    for t in range(years):
        grown = []
        for bought, sold, held in found:
            before = (held[-1] if held else 0) + (had if t == 0 else 0)
            for b in range(most + 1 if t >= case.first[s] else 1):
                for r in range(before + 1):
                    new = [*bought, b]
                    alive = sum(new[max(0, t - life + 1) :]) + (had if t < life - 1 else 0)
                    if 0 <= before + b - r <= min(alive, most):
                        grown.append((new, [*sold, r], [*held, before + b - r]))
        found = grown
    return [tuple(np.array(part) for part in one) for one in found]  # type: ignore[misc]


def brute_force(case: Case) -> float:
    """Least present cost over everything; infinite where nothing is possible."""
    years = case.demand.shape[1]
    pairs = [(s, j) for s in range(len(case.price)) for j in range(len(case.power))]
    fleets = np.array(list(itertools.product(*[range(int(case.places[j]) + 1) for _, j in pairs])))
    place = np.array([np.bincount([j for _, j in pairs], f, len(case.power)) for f in fleets])
    running = running_costs(case, pairs, fleets)
    running[:, (place > case.places).any(axis=1)] = np.inf
    factor = (1 + case.discount) ** -np.arange(years + 1)
    steps = np.cumprod([1, *(int(case.places[j]) + 1 for _, j in pairs[:0:-1])])[::-1]
    total, spent = np.zeros(1), np.zeros((1, years))
    index, bought = np.zeros((1, years), int), np.zeros((1, len(case.price), years))
    for p, (s, j) in enumerate(pairs):
        price = case.price[s] * (1 + case.change[s]) ** np.arange(years + 1)
        own = histories(case, s, j)
        b, r, n = (np.array([one[k] for one in own]) for k in range(3))
        money = (b * price[:-1] - r * price[:-1] * case.resale[s]) @ factor[:-1]
        money = money - n[:, -1] * price[-1] * case.resale[s] * factor[-1]
        total = (total[:, None] + money).ravel()
        spent = (spent[:, None] + b * price[:-1]).reshape(-1, years)
        index = (index[:, None] + n * steps[p]).reshape(-1, years)
        add = np.zeros((len(b), len(case.price), years))
        add[:, s] = b
        bought = (bought[:, None] + add).reshape(-1, len(case.price), years)
    total = total + sum(running[t, index[:, t]] * factor[t] for t in range(years))
    total[(spent > case.capital * (1 + 1e-9)).any(axis=1)] = np.inf
    total[(bought > case.supply[:, None]).any(axis=(1, 2))] = np.inf
    return float(total.min())


def servable(case: Case) -> bool:
    """Whether every workload has a system at all; else the planner refuses at once."""
    return bool((case.carries > 0).any(axis=1).all())


CASES = [seed for seed in range(2000) if servable(draw(seed))][:INSTANCES]


@pytest.mark.parametrize("chunk", range(INSTANCES // CHUNK))
def test_plans_cost_what_brute_force_finds(chunk: int) -> None:
    for seed in CASES[chunk * CHUNK : (chunk + 1) * CHUNK]:
        case = draw(seed)
        least = brute_force(case)
        answer = fleet(fleet_scenario(table(case)))
        if not np.isfinite(least):
            assert answer.plan is None, f"seed {seed}: a plan where there is none"
            continue
        assert answer.plan is not None, f"seed {seed}: no plan, brute force has {least:,.0f}"
        found = answer.plan.present.total.amount
        assert found == pytest.approx(least, rel=1e-5, abs=1.0), f"seed {seed}"


def test_the_oracle_meets_both_kinds_of_case() -> None:
    costs = [brute_force(draw(seed)) for seed in CASES[:60]]
    assert 10 <= sum(np.isfinite(costs)) <= 55
