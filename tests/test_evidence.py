"""Budgets of error on published measurements: they may only shrink (`make validation`)."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tokenmill.evidence.budgets import Budgets, exceeded, measured, read_budgets, tightened
from tokenmill.evidence.claims import CLAIMS
from tokenmill.evidence.scatter import panels
from tokenmill.evidence.score import Scored

BUDGETS = Path(__file__).with_name("evidence_budgets.json")
some = st.dictionaries(
    st.sampled_from(["tpot", "ttft"]),
    st.dictionaries(st.sampled_from(["median", "mape"]), st.floats(0, 2)),
)


def test_no_error_exceeds_its_budget(shared: Path) -> None:
    lines = exceeded(measured(shared / "measurements"), read_budgets(BUDGETS))
    assert not lines, "\n".join(lines)


def test_every_budget_is_of_a_claim_and_every_aim_has_a_budget() -> None:
    budgets = read_budgets(BUDGETS)
    assert set(budgets) <= {claim.slug for claim in CLAIMS}
    assert {claim.slug for claim in CLAIMS if claim.median} <= set(budgets)
    assert all(set(one) == {"missing", "median", "mape", "intervals"} for one in budgets.values())


@given(some, some)
def test_budgets_never_grow(before: Budgets, now: Budgets) -> None:
    after = tightened(before, now)
    for slug, budget in before.items():
        assert all(after[slug][key] <= limit for key, limit in budget.items())
    assert not exceeded(after, before)


def test_a_worse_error_is_told() -> None:
    assert exceeded({"tpot": {"mape": 0.2}}, {"tpot": {"mape": 0.1}})
    assert exceeded({}, {"tpot": {"mape": 0.1}})


def test_a_drawing_marks_what_lies_outside_its_interval() -> None:
    def row(measured: float) -> Scored:
        return Scored("a", "m", measured, 1.0, 0.9, 1.1, "", "g", "m", "e", "p", "a", "")

    drawn = panels({"one <b>": [row(1.0), row(2.0)]}, "title")
    assert drawn.startswith("<svg") and "one &lt;b&gt;" in drawn
    assert drawn.count("h0") == 2 and 'class="o" d="M' in drawn
