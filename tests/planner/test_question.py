"""Questions: what a scenario file may say, and one line for everything it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenmill.errors import BadRecord, InputError
from tokenmill.planner.demand import demand_of
from tokenmill.planner.question import DEMO, Amount, Question, asked, question, read_question

GOOD = """
models = ["llama-3.1-8b", "gpt-oss-20b"]
hardware = "h100, rtx-4090"
rate_per_s = "5 req/s"
prompt_tokens = "1000 tokens"
output_tokens = 300
ttft_s = "500 ms"
tpot_s = "none"
budget = "¥3,000,000"
power_w = "20 kW"
currency = "JPY"
prices = "rtx-4090=¥250,000"
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    return tmp_path / "scenario.toml"


def test_a_scenario_is_read_in_base_units(scenario: Path) -> None:
    scenario.write_text(GOOD, encoding="utf-8")
    wanted = read_question(scenario)
    assert wanted.models == ("llama-3.1-8b", "gpt-oss-20b")
    assert wanted.hardware == ("h100", "rtx-4090")
    assert (wanted.rate_per_s, wanted.prompt_tokens, wanted.power_w) == (5.0, 1000.0, 20e3)
    assert (wanted.ttft_s, wanted.tpot_s) == (0.5, None)
    assert wanted.budget == Amount(amount=3e6, currency="JPY")
    assert wanted.prices == ("rtx-4090=¥250,000",)


def test_options_win_over_the_scenario(scenario: Path) -> None:
    scenario.write_text(GOOD, encoding="utf-8")
    given_ = {"models": "qwen3-8b", "ttft_s": "none", "budget": "$25", "users": None}
    wanted = asked(scenario, given_)
    assert wanted.models == ("qwen3-8b",)
    assert wanted.ttft_s is None
    assert wanted.budget == Amount(amount=25.0, currency="USD")
    assert wanted.power_w == 20e3


def test_a_question_needs_a_model() -> None:
    with pytest.raises(InputError, match=r"tokenmill plan llama-3\.3-70b"):
        asked(None, {"hardware": "h100"})


# a line added to a good question -> what the refusal must say
WRONG = {
    "modls = 'x'": "did you mean models",
    "zzz = 1": "known: models, hardware",
    "[traffic]": 'unknown key "traffic"',
    "ttft_s = '5 W'": "ttft_s: .*power quantity",
    "ttft_s = '5 m'": "ttft_s: .*without a unit",
    "ttft_s = nan": "ttft_s: must be .* not nan",
    "ttft_s = -1": "ttft_s: must be",
    "ttft_s = 1e99": "ttft_s: must be",
    "ttft_s = true": "ttft_s: true is no value",
    "ttft_s = [1]": "ttft_s: ",
    "rate_per_s = '5 tokens/s'": "rate_per_s: .*token rate",
    "rate_per_s = 0": "rate_per_s: must be",
    "users = inf": "users: must be",
    "users = 0.5": "users: must be",
    "rate_per_s = 1\nusers = 5": "a rate or a number of users, not both",
    "think_s = -1": "think_s: must be",
    "prompt_tokens = 0": "prompt_tokens: must be",
    "prompt_tokens = '1k'": "prompt_tokens: .*without a unit",
    "output_tokens = 1e9": "output_tokens: must be",
    "percentile = 100": "percentile: must be",
    "gpus = 0": "gpus: must be",
    "gpus = 1.5": "gpus: .*integer",
    "seed = -1": "seed: must be",
    "budget = 5": "budget: .*amount of money",
    "budget = '-¥5'": "budget: ",
    "budget = { amount = nan, currency = 'JPY' }": "budget.amount: .*finite",
    "budget = { amount = 1, currency = 'XXX' }": "budget.currency: ",
    "budget_per = 'year'": "budget_per: .*'purchase', 'hour' or 'month'",
    "power_w = '1e300 GW'": "power_w: .*finite",
    "minimise = 'joy'": "minimise: .*'cost'",
    "acquire = 'steal'": "acquire: ",
    "currency = 'GBP'": "currency: ",
    "hardware = []": "hardware: name at least one",
    "hardware = ['']": "hardware: name at least one",
    "trace = 5": "trace: ",
    "models = 3": "not valid TOML",  # the key a second time
    "x = [": "not valid TOML",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_scenario_is_one_line_with_file_and_key(line: str, scenario: Path) -> None:
    scenario.write_text(f"models = 'llama-3.1-8b'\n{line}\n", encoding="utf-8")
    with pytest.raises(BadRecord, match=WRONG[line]) as refusal:
        read_question(scenario)
    assert str(refusal.value).startswith(f"{scenario}: ")
    assert str(refusal.value).isprintable()


def test_files_that_are_no_scenario(scenario: Path, tmp_path: Path) -> None:
    for content in (b"", b"\xff\x00", b"a" * 2_000_000, b"models = 5"):
        scenario.write_bytes(content)
        with pytest.raises(BadRecord):
            read_question(scenario)
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(BadRecord, match="cannot be read"):
            read_question(path)


_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.sampled_from(["5 req/s", "500 ms", "$5", "none", "20 kW", "h100", "JPY", "hour"]),
    st.lists(st.text(max_size=5), max_size=3), st.dictionaries(st.text(max_size=5), st.floats()),
)  # fmt: skip


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from([*Question.model_fields, "other"]), _values))
def test_any_values_are_a_question_or_a_line(values: dict[str, object]) -> None:
    try:
        wanted = question(**values)
    except InputError as refusal:
        assert str(refusal).isprintable()
    else:
        assert Question(**wanted.model_dump()) == wanted


def test_what_a_load_is() -> None:
    plain = {"models": ("llama-3.1-8b",)}
    whole_hour = demand_of(question(**plain))
    assert whole_hour.origin == "azure-2023-conversation"
    assert whole_hour.rate_per_s == pytest.approx(5.5, rel=0.02)
    lengths = demand_of(question(**plain, prompt_tokens=500, output_tokens=100))
    assert (lengths.prompt_mean, lengths.output_mean, lengths.rate_per_s) == (500, 100, 1.0)
    thinking = demand_of(question(**plain, users=40, think_s="20 s", prompt_tokens=500))
    assert (thinking.rate_per_s, thinking.concurrency) == (2.0, 0.0)
    eager = demand_of(question(**plain, users=40, think_s=0))
    assert (eager.rate_per_s, eager.concurrency) == (0.0, 40.0)
    assert eager.prompt_mean == whole_hour.prompt_mean


def test_the_demonstration_is_the_one_promised() -> None:
    assert DEMO.models == ("llama-3.3-70b",)
    assert DEMO.hardware == (
        "rtx-4090", "rtx-a4500", "l40s", "a100", "h100", "h200", "b200", "gb200-nvl72",
    )  # fmt: skip
