"""A fleet problem as a mixed-integer programme: columns, rows, and one sparse matrix.

Machines of one kind at one site are a count, not single machines, and the load that they carry
is continuous, so that the relaxation is tight. Columns, in order: machines in place, delivered
and retired [S, J, T], whole numbers; then `load`, machines of a system at a site busy with a
workload. Rows, in blocks:

demand    [W, T]     what systems carry of a workload, over its demand, is at least 1
room      [S, J, T]  machines busy with any workload are at most those in place
power     [J, T]     draw at the meter over the limit is at most 1
balance   [S, J, T]  in place = in place before + delivered - retired
life      [S, J, T]  in place are at most those delivered within the life of the system
capital   [years]    money for deliveries, in units of the limit
places    [J, T]     machines at a site
supply    [S, T]     machines delivered in a period
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tokenmill.planner.fleet.problem import FleetProblem

__all__ = ["Block", "Extra", "Program", "Row", "capital_units", "fleet_program"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """A block of rows or columns: where it starts, and its shape."""

    start: int
    shape: tuple[int, ...]

    @property
    def index(self) -> Ints:
        """Numbers of its rows or columns, in its shape."""
        return self.start + np.arange(int(np.prod(self.shape))).reshape(self.shape)

    def of(self, values: Floats) -> Floats:
        """Its part of an array over all rows or columns, in its shape."""
        return values[self.start : self.start + int(np.prod(self.shape))].reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Extra:
    """A column to add: what it stands for, its cost, its upper bound, and its entries."""

    name: str
    cost: float
    upper: float
    rows: tuple[int, ...]
    value: float


@dataclass(frozen=True, slots=True)
class Row:
    """A row to add: values of its columns, which are at least `least`."""

    columns: Ints
    values: Floats
    least: float


@dataclass(frozen=True)
class Program:
    """Minimise cost x over lower <= x <= upper and row_lower <= A x <= row_upper.

    The first `integers` columns are whole numbers. Costs are in `scale` units of money; A is
    given by columns (start, index, value). workload, system, site, period index each column of
    `load`.
    """

    cost: Floats
    lower: Floats
    upper: Floats
    row_lower: Floats
    row_upper: Floats
    start: Ints
    index: Ints
    value: Floats
    integers: int
    scale: float
    machines: Block
    delivered: Block
    retired: Block
    load: Block
    workload: Ints
    system: Ints
    site: Ints
    period: Ints
    rows: dict[str, Block]

    def with_extras(self, extras: Sequence[Extra], *, keep_cost: float) -> Program:
        """The programme with columns added, its own costs times `keep_cost`."""
        lengths = np.array([len(one.rows) for one in extras], dtype=np.int64)
        rows = [row for one in extras for row in one.rows]
        return replace(
            self,
            cost=np.append(self.cost * keep_cost, [one.cost for one in extras]),
            lower=np.append(self.lower, np.zeros(len(extras))),
            upper=np.append(self.upper, [one.upper for one in extras]),
            start=np.append(self.start, self.start[-1] + np.cumsum(lengths)),
            index=np.append(self.index, np.array(rows, dtype=np.int64)),
            value=np.append(self.value, np.repeat([one.value for one in extras], lengths)),
        )

    def with_rows(self, added: Sequence[Row]) -> Program:
        """The programme with rows added after its own."""
        matrix, count = _Matrix(), len(self.row_lower)
        matrix.add(
            self.index, np.repeat(np.arange(len(self.cost)), np.diff(self.start)), self.value
        )
        for at, row in enumerate(added):
            matrix.add(count + at, row.columns, row.values)
        start, index, value = matrix.by_column(len(self.cost))
        return replace(
            self, start=start, index=index, value=value,
            row_lower=np.append(self.row_lower, [row.least for row in added]),
            row_upper=np.append(self.row_upper, np.full(len(added), np.inf)),
        )  # fmt: skip


class _Matrix:
    """Entries of the matrix as they are written down, row by column."""

    def __init__(self) -> None:
        self.rows: list[Ints] = []
        self.columns: list[Ints] = []
        self.values: list[Floats] = []

    def add(self, rows: ArrayLike, columns: ArrayLike, values: ArrayLike) -> None:
        """Entries of equal or broadcast shape."""
        row, column, value = np.broadcast_arrays(rows, columns, values)
        self.rows.append(row.ravel().astype(np.int64))
        self.columns.append(column.ravel().astype(np.int64))
        self.values.append(value.ravel().astype(np.float64))

    def by_column(self, count: int) -> tuple[Ints, Ints, Floats]:
        """(start, index, value) in compressed columns, zeros left out."""
        rows, columns = np.concatenate(self.rows), np.concatenate(self.columns)
        values = np.concatenate(self.values)
        kept = values != 0.0
        rows, columns, values = rows[kept], columns[kept], values[kept]
        order = np.lexsort((rows, columns))
        start = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(np.bincount(columns, minlength=count), out=start[1:])
        return start, rows[order], values[order]


def fleet_program(problem: FleetProblem) -> Program:
    """The programme whose least cost is the present value of the best plan."""
    shape = (len(problem.systems), len(problem.sites), problem.calendar.count)
    size = int(np.prod(shape))
    workload, system, site, period = _loads(problem, shape)
    machines, delivered, retired = (Block(k * size, shape) for k in range(3))
    load = Block(3 * size, workload.shape)
    rows = _row_blocks(problem, shape)
    matrix = _Matrix()
    low, high = _demand_rows(problem, rows, matrix, load, workload, system, period)
    _use_rows(problem, rows, matrix, machines, load, workload, system, site, period)
    _machine_rows(problem, rows, matrix, machines, delivered, retired, low, high)
    count = 3 * size + len(workload)
    start, index, value = matrix.by_column(count)
    scale = float(np.median([row[0].amount for row in problem.prices.buy]))
    cost = np.concatenate([
        *(part.ravel() for part in _machine_costs(problem, shape)),
        _load_cost(problem, workload, system, site, period),
    ])  # fmt: skip
    upper = np.full(count, np.inf)
    upper[delivered.index[~_deliverable(problem, shape)]] = 0.0
    return Program(
        cost=cost / scale, lower=np.zeros(count), upper=upper, row_lower=low, row_upper=high,
        start=start, index=index, value=value, integers=3 * size, scale=scale,
        machines=machines, delivered=delivered, retired=retired, load=load,
        workload=workload, system=system, site=site, period=period, rows=rows,
    )  # fmt: skip


def _deliverable(problem: FleetProblem, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    periods = np.arange(shape[2])
    inside = (periods >= problem.earliest[:, None]) & (periods <= problem.latest[:, None])
    return np.broadcast_to(inside[:, None, :], shape)


def _loads(problem: FleetProblem, shape: tuple[int, ...]) -> tuple[Ints, Ints, Ints, Ints]:
    """(workload, system, site, period) of every load that could be: none before a machine."""
    there = np.maximum.accumulate(_deliverable(problem, shape), axis=2)
    for one in problem.existing:
        there[one.system, one.site, one.arrives : one.expires] = True
    able = (
        (problem.capacity_per_s > 0)[:, :, None, None]
        & problem.allowed[:, None, :, None]
        & (problem.demand_per_s > 0)[:, None, None, :]
        & there[None]
    )
    workload, system, site, period = np.nonzero(able)
    return workload, system, site, period


def _row_blocks(problem: FleetProblem, shape: tuple[int, int, int]) -> dict[str, Block]:
    systems, sites, periods = shape
    shapes: dict[str, tuple[int, ...]] = {
        "demand": (len(problem.workloads), periods), "room": shape, "power": (sites, periods),
        "balance": shape, "life": shape, "capital": (len(problem.capital),),
        "places": (sites, periods), "supply": (systems, periods),
    }  # fmt: skip
    blocks, start = {}, 0
    for name, each in shapes.items():
        blocks[name] = Block(start, each)
        start += int(np.prod(each))
    return blocks


def _demand_rows(
    problem: FleetProblem, rows: dict[str, Block], matrix: _Matrix, load: Block,
    workload: Ints, system: Ints, period: Ints,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Demand is met; returns bounds of all rows, set for demand and free or zero elsewhere."""
    demand = problem.demand_per_s
    carried = problem.capacity_per_s[workload, system] / demand[workload, period]
    matrix.add(rows["demand"].index[workload, period], load.index, carried)
    count = rows["supply"].start + int(np.prod(rows["supply"].shape))
    low, high = np.full(count, -np.inf), np.full(count, np.inf)
    low[rows["demand"].index[demand > 0]] = 1.0
    high[rows["room"].index] = 0.0
    high[rows["power"].index] = 1.0
    return low, high


def _use_rows(
    problem: FleetProblem, rows: dict[str, Block], matrix: _Matrix, machines: Block, load: Block,
    workload: Ints, system: Ints, site: Ints, period: Ints,
) -> None:  # fmt: skip
    """Loads and machines share room and power."""
    matrix.add(rows["room"].index[system, site, period], load.index, 1.0)
    matrix.add(rows["room"].index, machines.index, -1.0)
    meter = problem.pue[:, None] / problem.power_w
    above = problem.busy_w[workload, system] - problem.idle_w[system]
    matrix.add(rows["power"].index[site, period], load.index, above * meter[site, period])
    matrix.add(rows["power"].index[None], machines.index,
               problem.idle_w[:, None, None] * meter[None])  # fmt: skip


def _machine_rows(
    problem: FleetProblem, rows: dict[str, Block], matrix: _Matrix, machines: Block,
    delivered: Block, retired: Block, low: Floats, high: Floats,
) -> None:  # fmt: skip
    """Machines come, stay no longer than they live, and go, within capital, places and supply."""
    count, deliveries = machines.shape[2], delivered.index
    arriving, alive = _in_place(problem, machines.shape)
    balance, life = rows["balance"].index, rows["life"].index
    matrix.add(balance, machines.index, 1.0)
    matrix.add(balance[:, :, 1:], machines.index[:, :, :-1], -1.0)
    matrix.add(balance, deliveries, -1.0)
    matrix.add(balance, retired.index, 1.0)
    low[balance] = high[balance] = arriving
    matrix.add(life, machines.index, -1.0)
    low[life] = -alive
    for at in range(count):
        window = np.arange(at, count)[None, :] < at + problem.life[:, None]
        system, later = np.nonzero(window)
        matrix.add(life[system, :, at + later], deliveries[system, :, at], 1.0)
    price = np.array([[p.amount for p in row[:-1]] for row in problem.prices.buy])
    for year, unit in enumerate(capital_units(problem)):
        if np.isfinite(unit):
            row = rows["capital"].start + year
            span = slice(year * problem.calendar.per_year, (year + 1) * problem.calendar.per_year)
            matrix.add(row, deliveries[:, :, span], price[:, None, span] / unit)
            high[row] = problem.capital[year] / unit
    matrix.add(rows["places"].index[None], machines.index, 1.0)
    high[rows["places"].index] = problem.most_machines[:, None]
    matrix.add(rows["supply"].index[:, None], deliveries, 1.0)
    high[rows["supply"].index] = problem.most_bought[:, None]


def capital_units(problem: FleetProblem) -> Floats:
    """The amount that 1 stands for in each row of capital: the limit, or a price where it is 0."""
    usual = float(np.median([row[0].amount for row in problem.prices.buy]))
    return np.where(problem.capital > 0, problem.capital, usual)


def _in_place(problem: FleetProblem, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """(machines bought before that arrive, of these not yet at the end of life) [S, J, T]."""
    arriving, alive = np.zeros(shape), np.zeros(shape)
    for one in problem.existing:
        if one.arrives < shape[2]:
            arriving[one.system, one.site, one.arrives] += one.machines
        alive[one.system, one.site, one.arrives : one.expires] += one.machines
    return arriving, alive


def _machine_costs(problem: FleetProblem, shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """Present cost of a machine in place, delivered and retired [S, J, T]."""
    prices, factor = problem.prices, problem.discount
    buy, resale, upkeep, kwh = (
        np.array([[p.amount for p in row] for row in table])
        for table in (prices.buy, prices.resale, prices.upkeep, prices.per_kwh)
    )
    energy = (problem.idle_w / 1e3 * problem.hours)[:, None, None] * (problem.pue[:, None] * kwh)
    space = np.array([p.amount for p in prices.space]) * problem.calendar.months
    feed = (problem.feed_w / 1e3)[:, None, None] * space[:, None]
    stay = (upkeep[:, None, :] + energy + feed) * factor[:-1]
    stay[:, :, -1] -= (resale[:, -1] * factor[-1])[:, None]
    come = np.broadcast_to((buy[:, :-1] * factor[:-1])[:, None, :], shape)
    go = np.broadcast_to((-resale[:, :-1] * factor[:-1])[:, None, :], shape)
    return stay, come, go


def _load_cost(
    problem: FleetProblem, workload: Ints, system: Ints, site: Ints, period: Ints
) -> Floats:
    """Present cost of the power that a busy machine draws above an idle one."""
    kwh = np.array([[p.amount for p in row] for row in problem.prices.per_kwh])
    above = problem.busy_w[workload, system] - problem.idle_w[system]
    energy = above / 1e3 * problem.hours * problem.mean_load[workload] * problem.pue[site]
    return np.asarray(energy * kwh[site, period] * problem.discount[period])
