"""The loop: more efficiency, cheaper tokens, more use, more investment; quarter by quarter.

Each quarter machines that are due leave, demand follows the price that users have got used to,
what is missing is bought from the generation whose tokens cost least, and the cost of the fleet
becomes the next price. All samples run at once; machines are counted in parts, since fleets are
large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tokenmill.cost.ownership import HOURS_PER_YEAR, annuity_factor
from tokenmill.planner.growth.question import YEAR_S, GrowthScenario, Policy
from tokenmill.planner.growth.world import STEPS_A_YEAR, World

__all__ = ["Paths", "play"]

Floats = NDArray[np.float64]

_STEP_YEARS = 1.0 / STEPS_A_YEAR
_PROVEN_YEARS = 1.0  # on sale before the cautious buy it


@dataclass(frozen=True)
class Paths:
    """What happened, [samples, steps]; powers and rates are means of a quarter.

    gpus; power_w at the meter; demand_per_s, tokens_per_s of output; price per million tokens
    that users see; spent, resold, upkeep and electricity in money of the quarter. left
    [samples]: what the machines of the last day cost, written down in a straight line.
    """

    gpus: Floats
    power_w: Floats
    demand_per_s: Floats
    tokens_per_s: Floats
    price: Floats
    spent: Floats
    resold: Floats
    upkeep: Floats
    electricity: Floats
    left: Floats

    @property
    def paid(self) -> Floats:
        """Money that goes out, less resale, in each quarter [samples, steps]."""
        return self.spent - self.resold + self.upkeep + self.electricity


class _Terms:
    """Terms of a policy: how long machines stay, what they cost a year, what may be bought."""

    def __init__(self, scenario: GrowthScenario, policy: Policy) -> None:
        first = scenario.first
        life_years = first.life / YEAR_S
        self.policy = policy
        self.years = min(policy.years or life_years, life_years)
        back = first.resale * (1.0 + scenario.finance) ** -self.years
        self.charge = (1.0 - back) * annuity_factor(scenario.finance, self.years)
        self.upkeep = first.upkeep
        self.around = 1.0 + first.around
        self.pue = scenario.site.pue
        self.peak = scenario.demand.peak
        self.reserve = scenario.reserve if policy.kind == "cautious" else 0.0
        self.proven = _PROVEN_YEARS if policy.kind == "cautious" else 0.0
        self.fall = scenario.progress.price_fall

    def power_w(self, world: World, load: Floats | float) -> Floats:
        """Power at the meter [W] of one GPU of each generation [n, g] at a load."""
        span = world.watts_busy - world.watts_idle
        return np.asarray((world.watts_idle + span * load) * self.pue)


def play(scenario: GrowthScenario, world: World, policy: Policy) -> Paths:
    """One policy through every sample of a world.

    Returns: paths. A machine's share of the price of a token is its yearly charge (annuity less
    resale), upkeep and electricity, at the planned load.
    """
    return _Play(scenario, world, _Terms(scenario, policy)).run()


class _Play:
    """The state of a run: machines by slot of purchase [n, slots], price in users' minds [n]."""

    def __init__(self, scenario: GrowthScenario, world: World, terms: _Terms) -> None:
        self.scenario, self.world, self.terms = scenario, world, terms
        self.rows = np.arange(len(world.growth))
        self.steps = scenario.years * STEPS_A_YEAR
        old = max(round(scenario.first.life / YEAR_S * STEPS_A_YEAR), 1)
        slots = old + self.steps
        # slot s is bought at step s - old; those before the start are the first fleet
        self.born = np.arange(slots) - old
        self.count = np.zeros((len(self.rows), slots))
        self.kind = np.zeros((len(self.rows), slots), dtype=np.int64)
        self.paid = np.zeros((len(self.rows), slots))
        begin = scenario.demand.tokens_per_s * terms.peak / world.tokens_per_s[:, 0]
        self.count[:, :old] = begin[:, None] / old
        self.paid[:, :old] = world.price[:, :1] * terms.around
        self.lag = 1.0 - math.exp(-_STEP_YEARS * YEAR_S / scenario.demand.lag) if (
            scenario.demand.lag > 0) else 1.0  # fmt: skip
        # the price at the start is that of the first fleet under its own life, for every policy
        own = _Terms(scenario, Policy(name="never", kind="never"))
        self.first_price = self._full(own, 0)[:, 0]
        self.price = self.first_price.copy()

    def _of(self, figures: Floats) -> Floats:
        """A figure of generations [n, g] for the machines of every slot [n, slots]."""
        return np.asarray(np.take_along_axis(figures, self.kind, axis=1))

    def _now(self, step: int) -> Floats:
        """Prices today of a GPU with its machine [n, g]; they fall from release on."""
        since = step * _STEP_YEARS - np.maximum(self.world.released, 0.0)
        fall = (1.0 - self.terms.fall) ** np.maximum(since, 0.0)
        return np.asarray(self.world.price * self.terms.around * fall)

    def _full(self, terms: _Terms, step: int) -> Floats:
        """All that a million tokens cost on a new machine of each generation [n, g]."""
        owning = self._now(step) * (terms.charge + terms.upkeep)
        return np.asarray((owning + self._energy(step)) / self._millions())

    def _energy(self, step: int) -> Floats:
        """Electricity of a year and GPU [n, g] at the planned load."""
        watts = self.terms.power_w(self.world, 1.0 / self.terms.peak)
        return np.asarray(watts / 1e3 * HOURS_PER_YEAR * self.world.per_kwh[:, step : step + 1])

    def _millions(self) -> Floats:
        """Million tokens of a year and GPU [n, g] at the planned load."""
        return np.asarray(self.world.tokens_per_s / self.terms.peak * YEAR_S / 1e6)

    def run(self) -> Paths:
        """Step through the years."""
        quarters = [self._step(step) for step in range(self.steps)]
        told = {name: np.stack([q[name] for q in quarters], axis=1) for name in quarters[0]}
        part = 1.0 - (self.steps - self.born) / (self.terms.years * STEPS_A_YEAR)
        left = (self.count * self.paid * np.maximum(part, 0.0)).sum(axis=1)
        return Paths(**told, left=left)

    def _step(self, step: int) -> dict[str, Floats]:
        terms, world, years = self.terms, self.world, step * _STEP_YEARS
        resold = self._leave(self.born + terms.years * STEPS_A_YEAR <= step + 1e-9)
        base = self.scenario.demand.tokens_per_s * (1.0 + world.growth) ** years
        demand = base * (self.price / self.first_price) ** -world.elasticity
        best, full = self._best(step)
        if terms.policy.kind == "expand":
            running = (self._energy(step) + self._now(step) * terms.upkeep) / self._millions()
            resold = resold + self._leave(self._of(running) > full[self.rows, best][:, None])
        spent = self._buy(step, best, demand * terms.peak * (1.0 + terms.reserve))
        return self._account(step, demand, full[self.rows, best], spent, resold)

    def _leave(self, due: NDArray[np.bool_]) -> Floats:
        """Machines of the slots that are due go; returns what they bring [n]."""
        going = np.where(due, self.count, 0.0)
        self.count -= going
        return np.asarray((going * self.paid).sum(axis=1) * self.scenario.first.resale)

    def _best(self, step: int) -> tuple[NDArray[np.int64], Floats]:
        """(the generation to buy [n], full cost of a million tokens by generation [n, g])."""
        full = self._full(self.terms, step)
        if self.terms.policy.kind == "never":
            return np.zeros(len(self.rows), dtype=np.int64), full
        on_sale = self.world.released <= step * _STEP_YEARS - self.terms.proven
        return np.argmin(np.where(on_sale, full, np.inf), axis=1), full

    def _buy(self, step: int, best: NDArray[np.int64], wanted: Floats) -> Floats:
        """Machines for the capacity wanted [tokens/s], as far as power goes; what they cost."""
        world, slot = self.world, int(np.flatnonzero(self.born == step)[0])
        short = np.maximum(wanted - (self.count * self._of(world.tokens_per_s)).sum(axis=1), 0.0)
        machines = short / world.tokens_per_s[self.rows, best]
        limit_w = self.scenario.site.power
        if limit_w is not None:
            each_w = self.terms.power_w(world, 1.0)
            room_w = np.maximum(limit_w - (self.count * self._of(each_w)).sum(axis=1), 0.0)
            machines = np.minimum(machines, room_w / each_w[self.rows, best])
        price = self._now(step)[self.rows, best]
        self.count[:, slot], self.kind[:, slot], self.paid[:, slot] = machines, best, price
        return np.asarray(machines * price)

    def _account(
        self, step: int, demand: Floats, newest: Floats, spent: Floats, resold: Floats
    ) -> dict[str, Floats]:
        """The quarter in numbers, and the price that the next one begins with."""
        terms, world = self.terms, self.world
        capacity = (self.count * self._of(world.tokens_per_s)).sum(axis=1)
        served = np.minimum(demand, capacity / terms.peak)
        load = np.divide(served, capacity, out=np.zeros_like(served), where=capacity > 0)
        power_w = (self.count * self._of(terms.power_w(world, load[:, None]))).sum(axis=1)
        owned = (self.count * self.paid).sum(axis=1)
        electricity = power_w / 1e3 * HOURS_PER_YEAR * world.per_kwh[:, step]
        seen = self.price.copy()
        planned = self._planned(step, capacity, owned)
        target = newest if terms.policy.kind == "expand" else planned
        self.price += (target - self.price) * self.lag
        return {
            "gpus": self.count.sum(axis=1), "power_w": power_w, "demand_per_s": demand,
            "tokens_per_s": served, "price": seen, "spent": spent,
            "resold": resold, "upkeep": owned * terms.upkeep * _STEP_YEARS,
            "electricity": electricity * _STEP_YEARS,
        }  # fmt: skip

    def _planned(self, step: int, capacity: Floats, owned: Floats) -> Floats:
        """What a million tokens cost at the planned load of the whole fleet [n]."""
        energy = (self.count * self._of(self._energy(step))).sum(axis=1)
        owning = owned * (self.terms.charge + self.terms.upkeep)
        tokens = capacity / self.terms.peak * YEAR_S / 1e6
        return np.asarray(
            np.divide(owning + energy, tokens, out=self.price.copy(), where=tokens > 0)
        )
