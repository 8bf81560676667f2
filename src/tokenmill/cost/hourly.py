"""The cost of a machine per hour, rented or owned, and of what it makes per unit."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass

from tokenmill.catalog.prices import BUY, Price, price, prices
from tokenmill.cost.exchange import Rates
from tokenmill.cost.money import Line, Money, Statement
from tokenmill.cost.ownership import HOURS_PER_YEAR, Ownership, owning_per_year
from tokenmill.errors import InputError

__all__ = [
    "Running",
    "TokenPrice",
    "as_money",
    "owned_per_hour",
    "per_million_tokens",
    "per_unit",
    "purchase_price",
    "rented_per_hour",
]


_LISTED = ("purchase-launch", "purchase-quoted")  # prices that no shop may ask


@dataclass(frozen=True, slots=True)
class Running:
    """Yearly costs besides the machine and its electricity; every amount in one currency.

    `space` per kW of facility feed and month; `staff` per person and year and how many
    machines one person keeps; `software` per GPU and year; `network` as a part of the price
    of the machines, carried on the same terms (switches, optics and cables).
    """

    space_per_kw_month: Money | None = None
    staff_per_year: Money | None = None
    machines_per_person: float = 500.0
    software_per_gpu_year: Money | None = None
    network_share: float = 0.0

    def __post_init__(self) -> None:
        if not self.machines_per_person > 0 or not 0 <= self.network_share <= 2:
            raise InputError(
                "machines per person must be above zero and the network share in 0 to 2, not "
                f"{self.machines_per_person} and {self.network_share}"
            )


def as_money(entry: Price, rates: Rates, currency: str, today: datetime.date) -> Line:
    """One unit of a price as a line that names date, source and, after a year, its age."""
    age = ", older than a year" if entry.is_stale(today) else ""
    basis = f"{entry.date}, {entry.source.title}{age}"
    return Line(f"{entry.items[0]} ({entry.kind})", rates.price(entry, currency), basis)


def purchase_price(
    machine: str, accelerator: str, gpus: int, *, region: str | None = None,
    today: datetime.date | None = None,
) -> tuple[Price, int]:  # fmt: skip
    """The purchase price to use, and how many of it make the machine.

    Parameters: machine, slug of a system ("" for none); accelerator, slug of its GPU; gpus in
    the machine; region. Returns: (price, count): (rack, 1) where the machine has a price of
    its own, else (one GPU, gpus), which leaves the host out. On a day `today`, street prices of
    the last year come before older ones, whatever their kind and region. Raises: NoPrice.
    """
    for item, count in ((machine, 1), (accelerator, gpus)):
        found = prices(item, BUY, region=region, date=today) if item else ()
        if found and today is not None:
            return min(found, key=lambda one: (one.kind in _LISTED, one.is_stale(today))), count
        if found:
            return found[0], count
    return price(accelerator, BUY, region=region, date=today), gpus


def rented_per_hour(line: Line, gpus: int) -> Statement:
    """Rent of a machine per hour. Parameters: line, rent per GPU-hour; gpus, above zero."""
    if gpus <= 0:
        raise InputError(f"a machine has at least one GPU, not {gpus}")
    if line.money.nano <= 0:
        raise InputError(f"rent must be above zero: {line.money}")
    basis = f"{gpus} GPUs, {line.basis}"
    return Statement((Line(line.label, line.money * gpus, basis),), line.money.currency)


def owned_per_hour(
    machine_price: Money,
    gpus: int,
    *,
    facility_power_w: float,
    electricity_per_kwh: Money,
    terms: Ownership | None = None,
    running: Running | None = None,
    feed_power_w: float | None = None,
) -> Statement:
    """The cost per hour of owning one machine, line by line.

    Parameters: machine_price; gpus in it; facility_power_w [W], its mean draw at the meter
    with cooling and losses; electricity_per_kwh; terms of the purchase; running costs;
    feed_power_w [W], the feed that is paid for as space (the mean draw where left out).
    Returns: hardware, network, electricity, space, staff and software lines.
    Raises: InputError for a negative or infinite figure or mixed currencies.
    """
    terms, running = terms or Ownership(), running or Running()
    for name, value in (("facility power", facility_power_w), ("feed", feed_power_w or 0.0)):
        if not 0 <= value < math.inf:
            raise InputError(f"{name} must be a number of watts from zero up, not {value}")
    if gpus <= 0:
        raise InputError(f"a machine has at least one GPU, not {gpus}")
    yearly = owning_per_year(machine_price, terms)
    if running.network_share:
        yearly += owning_per_year(machine_price * running.network_share, terms, "network")
    statement = yearly.per(HOURS_PER_YEAR)
    kw = facility_power_w / 1e3
    lines = [
        Line("electricity", electricity_per_kwh * kw, f"{kw:.3g} kW at {electricity_per_kwh}/kWh")
    ]
    if running.space_per_kw_month is not None:
        feed_kw = (facility_power_w if feed_power_w is None else feed_power_w) / 1e3
        amount = running.space_per_kw_month * (12.0 * feed_kw / HOURS_PER_YEAR)
        lines.append(Line("space", amount, f"{feed_kw:.3g} kW of feed"))
    if running.staff_per_year is not None:
        amount = running.staff_per_year / (running.machines_per_person * HOURS_PER_YEAR)
        lines.append(Line("staff", amount, f"{running.machines_per_person:g} machines a person"))
    if running.software_per_gpu_year is not None:
        amount = running.software_per_gpu_year * (gpus / HOURS_PER_YEAR)
        lines.append(Line("software", amount, f"{gpus} GPUs"))
    return statement + Statement(tuple(lines), machine_price.currency)


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """Cost per million tokens: input, output, and both together, each as a statement.

    `blended` shares the whole cost over all tokens. `input` and `output` share it by the part
    of busy time that each takes, so that input x tokens in + output x tokens out is the cost
    again up to rounding.
    """

    input: Statement | None
    output: Statement | None
    blended: Statement


def per_million_tokens(
    per_hour: Statement,
    input_tokens_per_s: float,
    output_tokens_per_s: float,
    *,
    prefill_share: float,
    utilisation: float = 1.0,
) -> TokenPrice:
    """The cost of a million tokens of a machine that runs at those rates when busy.

    Parameters: per_hour, cost of an hour whether busy or not; rates [tokens/s] while busy;
    prefill_share, part of the busy time spent on input (0 to 1); utilisation, part of the
    hours that are busy (above 0 to 1). Returns: statements per million tokens.
    Raises: InputError for rates or parts outside their range.
    """
    if not 0 < utilisation <= 1 or not 0 <= prefill_share <= 1:
        raise InputError(
            "utilisation must lie above 0 to 1 and the prefill share in 0 to 1, not "
            f"{utilisation} and {prefill_share}"
        )
    for name, rate in (("input", input_tokens_per_s), ("output", output_tokens_per_s)):
        if not 0 <= rate < math.inf:
            raise InputError(f"{name} rate must be tokens per second from zero up, not {rate}")
    hour = 3600.0 * utilisation / 1e6  # million tokens an hour for one token per second
    both = (input_tokens_per_s + output_tokens_per_s) * hour

    def shared(share: float, rate: float) -> Statement | None:
        return per_hour.times(share).per(rate * hour) if rate > 0 else None

    return TokenPrice(
        input=shared(prefill_share, input_tokens_per_s),
        output=shared(1.0 - prefill_share, output_tokens_per_s),
        blended=per_hour.per(both, "tokens per second"),
    )


def per_unit(per_hour: Statement, units_per_s: float, *, utilisation: float = 1.0) -> Statement:
    """The cost of one image, robot-hour, trained model or other unit of work.

    Parameters: per_hour, cost of an hour whether busy or not; units_per_s [1/s] while busy
    (a model trained in T seconds is 1/T); utilisation, above 0 to 1.
    Raises: InputError for a rate or utilisation outside its range.
    """
    if not 0 < utilisation <= 1:
        raise InputError(f"utilisation must lie above 0 to 1, not {utilisation}")
    if not 0 < units_per_s < math.inf:
        raise InputError(f"units per second must be above zero, not {units_per_s}")
    return per_hour.per(units_per_s * 3600.0 * utilisation)
