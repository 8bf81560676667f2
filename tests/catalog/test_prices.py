"""Prices: dated, sourced, never invented, and refused in one line when bad."""

from __future__ import annotations

import csv
import datetime
import statistics
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from tokenmill.catalog.boards import desktop_cards
from tokenmill.catalog.load import files
from tokenmill.catalog.prices import (
    BUY,
    PRICE_KINDS,
    PRICE_UNITS,
    RENT,
    Price,
    first_day,
    given,
    price,
    prices,
)
from tokenmill.errors import BadRecord, InputError, NoPrice, UnknownName

TODAY = datetime.date(2026, 11, 23)
DEMO = (
    "rtx-4090", "rtx-a4500", "l40s", "a100-sxm-80gb", "h100-sxm", "h200-sxm", "b200-sxm",
    "gb200-nvl72",
)  # fmt: skip


@pytest.mark.parametrize("item", DEMO)
@pytest.mark.parametrize("kinds", [BUY, RENT])
def test_the_demo_has_a_price_to_buy_and_to_rent(item: str, kinds: tuple[str, ...]) -> None:
    found = price(item, kinds)
    assert found.amount > 0 and found.source.title and found.date


def _sound(entry: Price) -> bool:
    return (
        entry.kind in PRICE_KINDS
        and entry.per in PRICE_UNITS
        and 0 < entry.low <= entry.amount <= entry.high
        and datetime.date(2000, 1, 1) < first_day(entry.date) <= TODAY
        and bool(entry.source.title and entry.source.read)
        and entry.currency in ("JPY", "USD", "EUR")
    )


def test_every_price_bears_date_source_and_range() -> None:
    assert len(prices()) > 200
    assert [entry for entry in prices() if not _sound(entry)] == []


def test_no_price_stands_twice() -> None:
    rows = [(one.items, one.kind, one.date, one.region, one.provider, one.per, one.amount)
            for one in prices()]  # fmt: skip
    assert len(rows) == len(set(rows))


def test_the_order_of_kinds_decides_then_the_newest_date() -> None:
    assert price("rtx-4090", ("purchase-used", "purchase-new")).kind == "purchase-used"
    assert price("rtx-4090", ("purchase-new", "purchase-used")).kind == "purchase-new"
    dates = [first_day(one.date) for one in prices("h100-sxm", ("rent-on-demand",))]
    assert dates == sorted(dates, reverse=True)


def test_a_region_comes_first_but_others_still_serve() -> None:
    assert price("rtx-5090", BUY, region="JP").currency == "JPY"
    assert price("rtx-a4500", BUY, region="JP").region == "US"


def test_a_date_hides_what_came_later() -> None:
    early = price("h100-sxm", RENT, date=datetime.date(2025, 6, 1))
    assert first_day(early.date) <= datetime.date(2025, 6, 1)
    with pytest.raises(NoPrice):
        price("b200-sxm", RENT, date=datetime.date(2020, 1, 1))


def test_a_price_is_stale_after_a_year() -> None:
    found = price("rtx-4090", ("purchase-launch",))
    assert found.age_days(first_day(found.date)) == 0
    assert not found.is_stale(first_day(found.date) + datetime.timedelta(days=365))
    assert found.is_stale(first_day(found.date) + datetime.timedelta(days=366))


def test_a_missing_price_says_how_to_supply_it() -> None:
    with pytest.raises(NoPrice, match=r'--price "a30=AMOUNT/GPU-hour"') as problem:
        price("a30", RENT)
    assert "\n" not in str(problem.value)
    own = given("a30=$0.80/GPU-hour", today=TODAY)
    assert price("a30", RENT, extra=[own]).amount == 0.8
    assert price("h100-sxm", RENT, extra=[given("h100-sxm=¥300/GPU-hour", today=TODAY)]) != price(
        "h100-sxm", RENT
    )


def test_an_unknown_kind_offers_the_nearest() -> None:
    with pytest.raises(UnknownName, match="purchase-new"):
        price("rtx-4090", ("purchase-knew",))


@pytest.mark.parametrize(
    "text",
    ["", "rtx-4090", "rtx-4090=", "rtx-4090=-5", "rtx-4090=$0", "rtx-4090=$nan", "x=$5/furlong",
     "=¥5", "x=5 kg", "x=$inf"],
)  # fmt: skip
def test_a_bad_price_of_the_user_is_one_line(text: str) -> None:
    with pytest.raises(InputError) as problem:
        given(text, today=TODAY)
    assert "\n" not in str(problem.value)


@forall(st.text(max_size=60))
def test_any_text_is_a_price_or_an_input_error(text: str) -> None:
    try:
        assert given(text, today=TODAY).amount > 0
    except InputError as problem:
        assert "\n" not in str(problem)


GOOD = (
    'prices = [ {{ item = "thing", kind = "{kind}", value = "{value}", per = "unit", '
    'date = "{date}", source = "{source}"{more} }} ]\n'
    '[sources.s]\nkind = "vendor"\ntitle = "t"\n'
)


def _write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "own.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))


def _entry(**changes: str) -> str:
    usual = {"kind": "purchase-new", "value": "$5", "date": "2026", "source": "s", "more": ""}
    return GOOD.format(**(usual | changes))


def test_a_file_of_the_user_adds_prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, monkeypatch, _entry())
    assert price("thing", BUY).amount == 5.0
    assert price("rtx-4090", BUY).amount > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_entry(value="-$5"), "prices\\[0\\]"),
        (_entry(value="$0"), "above zero"),
        (_entry(value="5 kg"), "not an amount of money"),
        (_entry(kind="gift"), "prices\\[0\\].kind"),
        (_entry(date="soon"), "not a date"),
        (_entry(source="nowhere"), "prices\\[0\\].source"),
        (_entry(more=', low = "$6"'), "low <= value <= high"),
        (_entry(more=', low = "¥1"'), "different currencies"),
        (_entry(more=", colour = 1"), "colour"),
        ("prices = 3\n", "prices = \\[...\\]"),
        ('prices = [{ item = "x" }]\n', "missing"),
    ],
)  # fmt: skip
def test_a_bad_record_names_file_and_key(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(tmp_path, monkeypatch, text)
    with pytest.raises(BadRecord, match=says) as problem:
        prices()
    assert "own.toml" in str(problem.value) and "\n" not in str(problem.value)


def test_every_price_file_is_read() -> None:
    assert {"purchase", "rental", "systems", "api", "electricity", "exchange"} <= set(
        files("prices")
    )


# Names of the table of March 2025 for catalogue slugs, and the rows whose column is a total.
_TABLE = {
    "a100-sxm-80gb": {"A100 (80 GB)"}, "t4": {"T4 (16 GB)"}, "rtx-a5000": {"A5000 (24 GB)"},
    "rtx-a6000": {"A6000 (48 GB)", "RTX A6000 (48 GB)"}, "h100-sxm": {"H100 (80 GB)",
    "H100 HGX (80GB)"}, "v100-sxm-16gb": {"V100 (16 GB)"}, "a40": {"A40 (48 GB)"},
}  # fmt: skip


@pytest.mark.parametrize("item", sorted(_TABLE))
def test_derived_medians_follow_from_the_rows(item: str, shared: Path) -> None:
    by_provider: dict[str, list[float]] = defaultdict(list)
    with (shared / "facts" / "prices.csv").open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if not row["source"].startswith("the-full-stack") or row["item"] not in _TABLE[item]:
                continue
            value = float(row["value"])
            if row["provider_or_market"] == "Exoscale" and item == "rtx-a5000":
                value /= int(row["condition"].split()[0])
            by_provider[row["provider_or_market"]].append(value)
    rows = [value for values in by_provider.values() for value in values]
    entry = next(one for one in prices(item, ("rent-on-demand",)) if one.date == "2025-03-07")
    median = statistics.median(statistics.median(values) for values in by_provider.values())
    assert entry.amount == pytest.approx(median, rel=1e-3)
    assert (entry.low, entry.high) == (pytest.approx(min(rows)), pytest.approx(max(rows), rel=1e-3))
    assert (entry.n, entry.providers) == (len(rows), len(by_provider))
    assert entry.source_kind == "derived"


def test_most_cards_for_a_desk_have_a_price() -> None:
    unpriced = [card for card in desktop_cards() if not prices(card, BUY)]
    assert len(unpriced) <= 47, unpriced


def test_a_used_price_is_a_range() -> None:
    used = [one for card in desktop_cards() for one in prices(card, ("purchase-used",))]
    assert used and all(one.low < one.amount < one.high for one in used)


def test_a_price_file_of_the_user_may_use_an_alias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prices").mkdir()
    (tmp_path / "prices" / "mine.toml").write_text(
        'prices = [{ item = "h100", kind = "purchase-new", value = "$28,000", per = "unit", '
        'date = "2026-11", source = "offer" }]\n[sources.offer]\nkind = "measured"\n'
        'title = "Offer of a dealer"\nread = "2026-11-28"\n', encoding="utf-8",
    )  # fmt: skip
    monkeypatch.setenv("TOKENMILL_CATALOG", str(tmp_path))
    found = [one.amount for one in prices("h100-sxm", ("purchase-new",))]
    assert 28_000.0 in found and found[0] == 28_000.0
