"""The shopper: ranking, money that adds up, limits kept, remedies that work, prices missing."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.catalog.boards import board, desktop_cards
from tokenmill.cost.money import Money
from tokenmill.errors import InputError, NoPrice, Unsupported
from tokenmill.planner.shop.answer import Offer, Shop, Turned, ranked
from tokenmill.planner.shop.buy import buy
from tokenmill.planner.shop.question import Job, jobs_of, shop_question
from tokenmill.planner.shop.use import use_of
from tokenmill.planner.single import can_run

TODAY = datetime.date(2026, 11, 23)
TRIO = "rtx-4090,rtx-a4500,rtx-4070"
SEVERAL = ("rtx-3060-12gb", "rtx-3090", "rtx-4060-ti-16gb", "rtx-4070", "rtx-4090", "rtx-a4500",
           "rtx-5090", "rtx-4060")  # fmt: skip
GOALS = ("money", "power", "speed")


def ask(**given_: Any) -> Shop:
    return buy(shop_question(**{"cards": TRIO, "region": "JP"} | given_), today=TODAY)


def offer(shop: Shop, card: str) -> Offer:
    return next(one for one in shop.offers if one.card == card)


def test_the_question_of_the_three_cards_is_answered_in_full() -> None:
    shop = ask()
    assert {one.card for one in shop.offers} == set(TRIO.split(","))
    assert shop.currency == "JPY" and shop.tariff.items == ("jp",)
    assert shop.tariff.kind == "electricity-residential"
    best = offer(shop, "rtx-4090")
    assert best.runs == 4 and best.work == 1.0
    short = offer(shop, "rtx-4070")
    assert short.runs == 3 and not short.uses[3].runs
    assert short.uses[3].needs_bytes > short.uses[3].has_bytes
    for one in shop.offers:
        assert one.idle_w < one.busy_w.low <= one.busy_w.value <= one.busy_w.high <= one.limit_w
        assert one.busy_w.value < one.wall_w <= one.most_wall_w
        assert one.board is not None and one.price is not None


@pytest.mark.parametrize("goal", GOALS)
def test_offers_are_ranked_by_what_runs_and_then_by_the_goal(goal: str) -> None:
    shop = ask(best=goal, cards=",".join(SEVERAL))
    keys = [(-one.runs, -one.score(goal)) for one in shop.offers]
    assert keys == sorted(keys)
    best = shop.best(goal)
    assert best is shop.offers[0]
    assert all(best.score(goal) >= one.score(goal) for one in shop.offers if one.runs == best.runs)


def test_work_is_the_hours_weighted_share_of_the_fastest() -> None:
    shop = ask(jobs="sdxl=1,llama-3.1-8b=3")
    fastest = [max(one.uses[at].per_s.value for one in shop.offers) for at in (0, 1)]
    for one in shop.offers:
        sdxl, chat = (one.uses[at].per_s.value / fastest[at] for at in (0, 1))
        assert one.work == pytest.approx((sdxl + 3 * chat) / 4)


@given(cheaper=st.floats(0.1, 0.99), faster=st.floats(1.0, 3.0))
@settings(max_examples=30)
def test_a_card_that_is_cheaper_and_does_no_less_is_never_ranked_below(
    cheaper: float, faster: float
) -> None:
    one = offer(ask(), "rtx-4090")
    assert one.price is not None and one.costs.purchase is not None
    line = replace(one.costs.purchase, money=one.costs.purchase.money * cheaper)
    other = replace(one, card="zz", work=one.work * faster, costs=replace(one.costs, purchase=line))
    for goal in GOALS:
        assert other.score(goal) >= one.score(goal)
    assert ranked([one, other], "money")[0] is other


@given(
    hours=st.floats(0.1, 12.0), extra=st.floats(0.0, 12.0), years=st.floats(0.5, 20.0),
    resale=st.floats(0.0, 1.0), count=st.integers(1, 3), currency=st.sampled_from(["JPY", "USD"]),
)  # fmt: skip
@settings(max_examples=40)
def test_totals_equal_the_sums_of_their_lines(
    hours: float, extra: float, years: float, resale: float, count: int, currency: str
) -> None:
    shop = ask(hours=hours, on_hours=hours + extra, life_years=years, resale=resale, count=count,
               currency=currency)  # fmt: skip
    for one in shop.offers:
        lines = [line.money.nano for line in one.yearly.lines]
        assert one.yearly.total.nano == sum(lines)
        assert sum(share.nano for share in one.shares if share) == sum(lines)
        shown = one.yearly.shown(0)
        assert shown.total.nano == sum(line.money.nano for line in shown.lines)
        assert one.between is not None
        assert one.between[0].nano <= one.yearly.total.nano <= one.between[1].nano


def test_electricity_is_watts_times_hours_times_the_tariff() -> None:
    shop = ask(hours=2.0, on_hours=5.0, jobs="sdxl", prices=("jp=¥40/kWh",))
    for one in shop.offers:
        # 3 % fans and 94 % of the supply, as the workstation's record has them
        at_wall = 1.03 / 0.94 * 365.0 / 1000.0 * 40.0
        lines = {line.label: line.money.amount for line in one.yearly.lines}
        busy = one.uses[0].card_w.value * 2.0 * at_wall
        assert lines["electricity: sdxl-1.0"] == pytest.approx(busy)
        assert lines["electricity: idle"] == pytest.approx(one.idle_w * 3.0 * at_wall)
        assert one.price is not None
        assert lines["purchase"] == pytest.approx(one.price.amount.amount / 4.0)
        cost = one.unit_costs[0]
        images = one.uses[0].per_s.value * 2.0 * 3600.0 * 365.0
        assert cost is not None
        assert cost.amount * images / 1000.0 == pytest.approx(sum(lines.values()), rel=1e-6)


def test_a_dearer_tariff_and_more_hours_cost_more_and_change_no_speed() -> None:
    plain, dear, long = ask(), ask(prices=("jp=¥50/kWh",)), ask(hours=8.0)
    for one in plain.offers:
        other, more = offer(dear, one.card), offer(long, one.card)
        assert other.uses == one.uses
        assert other.costs.energy_j == one.costs.energy_j < more.costs.energy_j
        assert one.yearly.total < other.yearly.total and one.yearly.total < more.yearly.total


def test_currencies_agree_through_the_rate() -> None:
    yen, dollars = ask(), ask(currency="USD", region="JP")
    for one in yen.offers:
        other = offer(dollars, one.card)
        assert one.yearly.total.amount == pytest.approx(other.yearly.total.amount * 155.0, rel=1e-6)
        assert other.uses == one.uses


@given(
    budget=st.integers(20_000, 800_000), power=st.integers(150, 900), quiet=st.integers(60, 500),
    count=st.integers(1, 2), slots=st.integers(1, 6),
)  # fmt: skip
@settings(max_examples=40)
def test_limits_are_kept_and_every_remedy_lets_the_card_in(
    budget: int, power: int, quiet: int, count: int, slots: int
) -> None:
    given_: dict[str, Any] = {
        "cards": SEVERAL, "jobs": ("sdxl", "llama-3.1-8b"), "budget": f"¥{budget}",
        "power_w": f"{power} W", "quiet_w": f"{quiet} W", "count": count, "slots": slots,
    }  # fmt: skip
    shop = ask(**given_)
    assert {one.card for one in shop.offers} | {one.card for one in shop.turned} == set(SEVERAL)
    for one in shop.offers:
        assert one.purchase is not None and one.purchase.amount <= budget
        assert one.wall_w <= power and one.busy_w.value <= quiet
        assert 1 <= one.count <= count
        assert one.board is not None and one.board.slots.value * one.count <= slots
    for out in shop.turned:
        assert out.needs > out.has or out.limit in ("price", "memory")
        if out.remedies:
            again = ask(**given_ | _change(out) | {"cards": (out.card,), "count": out.count})
            assert [one.card for one in again.offers] == [out.card], out


def _change(out: Turned) -> dict[str, Any]:
    """The question's fields that the remedies of a turned-down card change."""
    change: dict[str, Any] = {}
    for remedy in out.remedies:
        if remedy.kind == "budget":
            change["budget"] = f"¥{remedy.value}"
        elif remedy.kind == "used":
            change["condition"] = "used"
        else:
            key = {"cap": "cap_w", "power": "power_w", "quiet": "quiet_w", "slots": "slots"}
            change[key[remedy.kind]] = remedy.value if remedy.kind != "slots" else int(remedy.value)
    return change


def test_what_does_not_fit_is_told_with_changes_that_do() -> None:
    shop = ask()
    short = {
        (one.card, found.use.job.model): found for one in shop.offers for found in one.shortages
    }
    assert ("rtx-4070", "qwen2.5-32b") in short and ("rtx-4070", "flux.1-dev") in short
    assert not [key for key in short if key[0] == "rtx-4090"]
    kinds = {one.kind: one.value for one in short["rtx-a4500", "qwen2.5-32b"].remedies}
    assert kinds["form"] == "q3_k_m" and kinds["count"] == 2 and "card" in kinds
    for (card, _), found in short.items():
        assert found.use.needs_bytes > found.use.has_bytes
        assert found.remedies, card
        for remedy in found.remedies:
            assert remedy.use is not None and remedy.use.runs
            job, other, count = remedy.use.job, card, 1
            if remedy.kind == "card":
                other = remedy.value
            if remedy.kind == "count":
                count = remedy.value
            again = use_of(job, other, count)
            assert again == remedy.use
            assert again.needs_bytes <= again.has_bytes


def test_the_larger_card_named_is_the_cheapest_on_record_that_holds_it() -> None:
    shop = ask(condition="used")
    found = next(x for x in offer(shop, "rtx-4070").shortages if x.use.job.model == "qwen2.5-32b")
    remedy = next(one for one in found.remedies if one.kind == "card")
    everything = buy(shop_question(region="JP", jobs="qwen2.5-32b", condition="used", top=1000),
                     today=TODAY)  # fmt: skip
    prices = [one.price.amount.amount for one in everything.offers if one.price]
    assert remedy.price is not None and remedy.price.amount.amount == min(prices)


def test_a_missing_price_is_unknown_and_never_zero() -> None:
    shop = ask(cards="rtx-a1000,rtx-4070", jobs="llama-3.1-8b")
    unknown = offer(shop, "rtx-a1000")
    assert unknown.price is None and unknown.purchase is None and unknown.between is None
    assert unknown.score("money") == 0.0 and unknown.unit_costs == (None,)
    assert shop.offers[-1] is unknown
    assert shop.to_dict()["offers"][-1]["purchase"] is None
    turned = ask(cards="rtx-a1000", budget="¥900000").turned
    assert [one.limit for one in turned] == ["price"]
    stated = ask(cards="rtx-a1000", jobs="llama-3.1-8b", prices=("rtx-a1000=¥45,000",))
    assert stated.offers[0].purchase == Money.of(45_000, "JPY")


def test_prices_older_than_a_year_are_flagged_and_fresh_ones_come_first() -> None:
    now = offer(ask(), "rtx-4090")
    assert now.price is not None and not now.price.stale
    assert now.price.low < now.price.amount < now.price.high
    assert now.used is not None and now.used.used and now.used.amount < now.price.amount
    later = buy(shop_question(cards=TRIO, region="JP"), today=datetime.date(2031, 1, 1))
    assert all(one.price is not None and one.price.stale for one in later.offers)
    assert later.tariff_stale and not ask().tariff_stale
    launch = offer(ask(cards="rtx-2070", jobs="llama-3.1-8b"), "rtx-2070").price
    assert launch is not None and launch.launch and launch.stale
    for card in ("rtx-4070", "rtx-a4500"):
        market = offer(ask(), card).price
        assert market is not None and market.used and not market.stale
        assert market.low < market.amount < market.high


def test_used_cards_are_bought_when_used_is_asked_for_or_all_that_the_budget_allows() -> None:
    used = offer(ask(condition="used"), "rtx-4090").price
    assert used is not None and used.used
    both = offer(ask(budget="¥300000"), "rtx-4090").price
    assert both == used
    new = ask(condition="new", budget="¥300000")
    out = next(one for one in new.turned if one.card == "rtx-4090")
    assert [remedy.kind for remedy in out.remedies] == ["used"]


@given(cap=st.floats(100.0, 500.0), card=st.sampled_from(SEVERAL), count=st.integers(1, 2))
@settings(max_examples=40)
def test_a_cap_never_speeds_a_card_up_and_is_never_exceeded(
    cap: float, card: str, count: int
) -> None:
    for job in jobs_of(shop_question())[0]:
        free, capped = use_of(job, card, count), use_of(job, card, count, cap)
        assert capped.runs == free.runs
        assert capped.per_s.value <= free.per_s.value * (1 + 1e-12)
        assert capped.card_w.value <= min(free.card_w.value, count * cap) * (1 + 1e-12)
        assert capped.card_w.high <= max(count * cap, capped.card_w.value) * (1 + 1e-12)


def test_two_cards_never_do_less_than_one() -> None:
    for job in jobs_of(shop_question())[0]:
        for card in SEVERAL:
            one, two = use_of(job, card, 1), use_of(job, card, 2)
            assert two.per_s.value >= one.per_s.value and two.runs >= one.runs
            if one.runs:
                assert two.card_w.value > one.card_w.value


def test_chat_says_what_can_i_run_says() -> None:
    for card in SEVERAL:
        job = Job("chat", "llama-3.1-8b", "q4_k_m", 4096.0, 0, 0, 0, 1.0)
        fit = can_run("llama-3.1-8b", on=card, weights="q4_k_m", engine="llama.cpp", cache="fp16",
                      context_tokens=4096.0)  # fmt: skip
        use = use_of(job, card, 1)
        assert use.runs == fit.runs
        assert use.per_s.value == fit.tokens_per_s and use.first_s == fit.ttft_s


def test_every_desktop_card_is_answered_or_turned_down_with_a_reason() -> None:
    shop = buy(shop_question(region="US", jobs="sdxl,llama-3.1-8b"), today=TODAY)
    told = [one.card for one in shop.offers] + [one.card for one in shop.turned]
    assert sorted(told) == sorted(desktop_cards()) and shop.currency == "USD"
    assert all(one.needs > 0 or one.message for one in shop.turned)
    for card in ("rtx-4090", "rtx-a4500", "rtx-4070"):
        assert board(card).supply.value > 0 and board(card).slots.value in (1, 2, 3)


def test_what_goes_into_no_slot_is_turned_down() -> None:
    shop = ask(cards="h100-sxm,rtx-4090-laptop,rtx-4070")
    assert [one.card for one in shop.offers] == ["rtx-4070"]
    assert {one.limit for one in shop.turned} == {"form"}


def test_jobs_are_read_with_format_detail_and_hours() -> None:
    question = shop_question(jobs="llama-3.1-8b@q8_0:8k=2h,sdxl:768x512:30=0.5,gaming,flux")
    jobs, unmodelled, on_hours = jobs_of(question)
    assert jobs[0] == Job("chat", "llama-3.1-8b", "q8_0", 8192.0, 0, 0, 0, 2.0)
    assert jobs[1] == Job("image", "sdxl-1.0", "", 0.0, 768, 512, 30, 0.5)
    assert jobs[2].model == "flux.1-dev" and jobs[2].hours > 0
    assert unmodelled == ("gaming",) and on_hours == 8.0
    assert sum(job.hours for job in jobs_of(shop_question(hours=5.0))[0]) == pytest.approx(5.0)


def test_uses_that_nobody_predicts_are_said_so() -> None:
    shop = ask(jobs="llama-3.1-8b,video,fine-tuning,gaming")
    assert shop.unmodelled == ("video", "training", "gaming") and len(shop.jobs) == 1
    with pytest.raises(Unsupported, match="video"):
        ask(jobs="video")


@pytest.mark.parametrize(
    "wrong",
    [
        {"cards": "rtx-9999"}, {"jobs": "nope"}, {"jobs": "sdxl@q9"}, {"jobs": "sdxl:1x"},
        {"jobs": "llama-3.1-8b:999k"}, {"jobs": "sdxl=0"}, {"jobs": "sdxl=2,flux", "hours": 2.0},
        {"hours": 0.0}, {"hours": 25.0}, {"hours": float("nan")}, {"hours": 5.0, "on_hours": 1.0},
        {"budget": "¥-5"}, {"budget": "¥0"}, {"budget": "lots"}, {"power_w": "5 GB"},
        {"power_w": "0 W"}, {"quiet_w": "-1 W"}, {"count": 0}, {"slots": 0}, {"condition": "old"},
        {"currency": "GBP"}, {"prices": ("rtx-4090=0",)}, {"prices": ("rtx-4090=¥-1",)},
        {"rates": ("USD=0",)}, {"life_years": 0.0}, {"resale": 1.5}, {"best": "luck"},
        {"colour": "red"},
    ],
)  # fmt: skip
def test_a_wrong_question_is_one_clear_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refusal:
        ask(**wrong)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 300


def test_a_region_without_a_tariff_says_how_to_state_one() -> None:
    with pytest.raises(NoPrice, match='--price "fr='):
        ask(region="FR")
    assert ask(region="FR", prices=("fr=€0.25/kWh",), currency="EUR").offers


def test_the_same_question_gives_the_same_answer() -> None:
    assert ask().to_dict() == ask().to_dict()
