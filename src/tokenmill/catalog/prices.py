"""What things cost: dated prices with their sources, of hardware, rent, licences and tokens.

A price file holds one list, `prices = [{ item, kind, value, per, date, source, ... }]`, and
its `[sources.*]`. A price is never invented and never zero by default: where none is on
record, `price` raises NoPrice and says how to supply one.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tokenmill.catalog.figure import Kind, Source
from tokenmill.catalog.load import canonical, files, read_toml, slug_of, sources
from tokenmill.errors import BadRecord, BadUnit, InputError, NoPrice, UnknownName
from tokenmill.units import parse_any

__all__ = [
    "BUY",
    "PRICE_KINDS",
    "PRICE_UNITS",
    "RENT",
    "Price",
    "first_day",
    "given",
    "is_stale",
    "price",
    "prices",
]

PRICE_KINDS = {
    "purchase-new": "new, street or estimated list price",
    "purchase-launch": "list price at launch",
    "purchase-used": "second-hand",
    "purchase-quoted": "a remark of the maker",
    "purchase-resale": "reports of resale above list",
    "rent-on-demand": "rent by the hour",
    "rent-community": "rent by the hour from private hosts",
    "rent-spot": "rent that can be taken away",
    "rent-reserved": "rent under a long contract",
    "rent-index": "market index of rent",
    "own-tco": "cost of owning by a published model",
    "api-input": "input tokens of a hosted model",
    "api-output": "output tokens of a hosted model",
    "electricity-industrial": "electricity, industry",
    "electricity-commercial": "electricity, business",
    "electricity-residential": "electricity, households",
    "space": "floor, power and cooling in someone else's building",
    "software": "licence",
    "staff": "one full-time person",
    "exchange": "one unit of the currency that is the item",
}
PRICE_UNITS = (
    "unit", "GPU-hour", "GPU-year", "kWh", "kW-month", "million tokens", "year",
)  # fmt: skip

BUY = ("purchase-new", "purchase-used", "purchase-launch", "purchase-quoted")
RENT = ("rent-on-demand", "rent-community", "rent-reserved", "rent-spot", "rent-index")

_REQUIRED = frozenset({"item", "kind", "value", "per", "date", "source"})
_OPTIONAL = ("region", "provider", "condition", "note", "n", "providers")
_STALE_DAYS = 365


class Price(BaseModel):
    """An amount of money for a unit of something, on a date, by a source.

    `amount`, `low` and `high` are in `currency`, for one `per`; `date` may be a year, a month
    or a day; `n` counts the observations behind a derived price.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    items: tuple[str, ...]
    kind: str
    amount: float
    low: float
    high: float
    currency: str
    per: str
    date: str
    source: Source
    region: str = ""
    provider: str = ""
    condition: str = ""
    note: str = ""
    n: int = 1
    providers: int = 1

    @property
    def source_kind(self) -> Kind:
        """How firm the source is."""
        return self.source.kind

    def age_days(self, on: datetime.date) -> int:
        """Days [d] from the first day the date can mean to `on`; never negative."""
        return _age_days(self.date, on)

    def is_stale(self, on: datetime.date) -> bool:
        """Whether the price is older than a year on that day."""
        return is_stale(self.date, on)


def is_stale(date: str, on: datetime.date) -> bool:
    """Whether a price of that date is older than a year on a day. Raises: InputError."""
    return _age_days(date, on) > _STALE_DAYS


def _age_days(date: str, on: datetime.date) -> int:
    return max(0, (on - first_day(date)).days)


def first_day(text: str) -> datetime.date:
    """The first day that "2026", "2026-05" or "2026-05-03" can mean.

    Raises: InputError.
    """
    padded = f"{text}-01-01"[:10] if len(text) in (4, 7) else text
    try:
        return datetime.date.fromisoformat(padded)
    except ValueError:
        raise InputError(
            f'"{text[:40]}" is not a date; write 2026, 2026-05 or 2026-05-03'
        ) from None


def price(
    item: str,
    kinds: Sequence[str] = RENT,
    *,
    region: str | None = None,
    date: datetime.date | None = None,
    extra: Iterable[Price] = (),
) -> Price:
    """The best price on record: first by kind in the order given, then by region, then the newest.

    Parameters: item, a slug or alias of an accelerator, system or model, or another item of the
    price files; kinds, wanted kinds of `PRICE_KINDS` with the preferred first; region, such as
    "JP": its prices come first, others still serve; date, nothing newer is looked at; extra,
    prices of the user (see `given`), which win over every record.
    Returns: one price. Raises: NoPrice with the remedy; InputError for an unknown kind.
    """
    slug, families = _slug(item), {_family(kind) for kind in kinds}
    own = [entry for entry in extra if slug in entry.items and _family(entry.kind) in families]
    found = own or prices(item, kinds, region=region, date=date)
    if not found:
        item = " ".join(item.split())
        raise NoPrice(
            f"{item} ({', '.join(kinds)})" + (f" up to {date}" if date else ""),
            f'give one with --price "{item}=AMOUNT/{_unit_of(kinds[0])}" '
            "or add a line to prices/*.toml in TOKENMILL_CATALOG",
        )
    return found[0]


def prices(
    item: str | None = None,
    kinds: Sequence[str] | None = None,
    *,
    region: str | None = None,
    date: datetime.date | None = None,
) -> tuple[Price, ...]:
    """Every price on record that answers, the best first.

    Parameters: as in `price`; None means any. Returns: prices, perhaps none.
    Raises: InputError for an unknown kind; BadRecord for a bad file.
    """
    wanted = tuple(PRICE_KINDS) if kinds is None else tuple(kinds)
    for kind in wanted:
        if kind not in PRICE_KINDS:
            raise UnknownName("kind of price", kind, PRICE_KINDS)
    pool = _by_item().get(_slug(item), ()) if item is not None else _all()
    found = [
        entry
        for entry in pool
        if entry.kind in wanted and (date is None or first_day(entry.date) <= date)
    ]

    def rank(entry: Price) -> tuple[int, int, int]:
        place = 0 if entry.region == (region or "") else 1 if not entry.region else 2
        newest = -first_day(entry.date).toordinal()
        return wanted.index(entry.kind), place if region else 0, newest

    return tuple(sorted(found, key=rank))


def given(text: str, *, today: datetime.date) -> Price:
    """A price that the user states: "rtx-4090=$1,500", "h100=$2.49/GPU-hour", "jp=¥31/kWh".

    Parameters: text, item, amount and (after a slash) unit, which is "unit" when left out;
    today, its date. Returns: a price of kind "assumed" by source. Raises: InputError.
    """
    text = " ".join(text.split())
    item, equals, rest = text.partition("=")
    amount_text, _, per = rest.partition("/")
    per = per.strip() or "unit"
    if not equals or not item.strip() or per not in PRICE_UNITS:
        raise InputError(
            f'cannot read the price "{text[:60]}"; write ITEM=AMOUNT/UNIT with a unit of '
            f"{', '.join(PRICE_UNITS)}"
        )
    amount, currency = _amount(amount_text.strip())
    kind = _KIND_BY_UNIT[per]
    return Price(
        items=(_slug(item),), kind=kind, amount=amount, low=amount, high=amount,
        currency=currency, per=per, date=today.isoformat(),
        source=Source(kind="assumed", title="given by the user"),
    )  # fmt: skip


_KIND_BY_UNIT = {
    "unit": "purchase-new", "GPU-hour": "rent-on-demand", "GPU-year": "software",
    "kWh": "electricity-industrial", "kW-month": "space", "million tokens": "api-output",
    "year": "staff",
}  # fmt: skip


def _unit_of(kind: str) -> str:
    """The unit that a kind of price is usually given for."""
    units = (per for per, known in _KIND_BY_UNIT.items() if _family(known) == _family(kind))
    return next(units, "unit")


def _family(kind: str) -> str:
    return kind.split("-")[0]


def _slug(item: str) -> str:
    """The item as price files write it: its own name, or the slug that an alias stands for."""
    return _known_slug(canonical(item), os.environ.get("TOKENMILL_CATALOG", ""))


@cache
def _known_slug(name: str, _user_folders: str) -> str:
    for kind in ("systems", "accelerators", "models"):
        slug = slug_of(kind, name)
        if slug is not None:
            return slug
    return name


def _all() -> tuple[Price, ...]:
    return _read_all(os.environ.get("TOKENMILL_CATALOG", ""))


def _by_item() -> Mapping[str, tuple[Price, ...]]:
    return _index(os.environ.get("TOKENMILL_CATALOG", ""))


@cache
def _index(user_folders: str) -> dict[str, tuple[Price, ...]]:
    index: dict[str, tuple[Price, ...]] = {}
    for entry in _read_all(user_folders):
        for item in {_known_slug(item, user_folders) for item in entry.items}:
            index[item] = (*index.get(item, ()), entry)
    return index


@cache
def _read_all(_user_folders: str) -> tuple[Price, ...]:
    return tuple(entry for path in files("prices").values() for entry in _read(path))


def _read(path: Path) -> list[Price]:
    table = read_toml(path)
    found = sources(table, path)
    rows = table.get("prices")
    if not isinstance(rows, list) or set(table) - {"prices", "sources"}:
        raise BadRecord(path, "", "a price file holds prices = [...] and [sources.*], nothing else")
    return [_entry(row, f"prices[{index}]", found, path) for index, row in enumerate(rows)]


def _entry(row: object, key: str, found: Mapping[str, Source], path: Path) -> Price:
    if not isinstance(row, Mapping):
        raise BadRecord(path, key, "write { item, kind, value, per, date, source }")
    unknown = sorted(set(row) - _REQUIRED - {"low", "high", *_OPTIONAL})
    missing = sorted(_REQUIRED - set(row))
    if unknown or missing:
        raise BadRecord(path, key, f"unknown {unknown}, missing {missing}")
    for part, allowed in (("kind", PRICE_KINDS), ("per", PRICE_UNITS), ("source", found)):
        if row[part] not in allowed:
            raise BadRecord(path, f"{key}.{part}", f'"{row[part]}" is none of {sorted(allowed)}')
    item = row["item"]
    items = tuple(canonical(name) for name in ([item] if isinstance(item, str) else item))
    try:
        amount, low, high, currency = _range(row)
        first_day(str(row["date"]))
    except InputError as problem:
        raise BadRecord(path, key, str(problem)) from None
    rest: dict[str, Any] = {part: row[part] for part in _OPTIONAL if part in row}
    return Price(
        items=items, kind=row["kind"], amount=amount, low=low, high=high, currency=currency,
        per=row["per"], date=str(row["date"]), source=found[row["source"]], **rest,
    )  # fmt: skip


def _range(row: Mapping[str, Any]) -> tuple[float, float, float, str]:
    amount, currency = _amount(row["value"])
    low, low_currency = _amount(row.get("low", row["value"]))
    high, high_currency = _amount(row.get("high", row["value"]))
    if {low_currency, high_currency} != {currency}:
        raise InputError("value, low and high are in different currencies")
    if not low <= amount <= high:
        raise InputError(f"low <= value <= high does not hold: {low}, {amount}, {high}")
    return amount, low, high, currency


def _amount(text: object) -> tuple[float, str]:
    """(amount, currency). Raises: InputError for no money, and for what is not above zero."""
    if not isinstance(text, str):
        raise BadUnit(f'{text!r} is not an amount of money; write "$2.49" or "¥298,000"')
    try:
        amount, dimension = parse_any(text)
    except BadUnit:
        amount, dimension = 0.0, ""
    if not dimension.startswith("money:"):
        raise BadUnit(f'"{text[:60]}" is not an amount of money; write "$2.49" or "¥298,000"')
    if amount <= 0:
        raise InputError(f'a price must be above zero, not "{text[:60]}"')
    return amount, dimension.removeprefix("money:")
