"""Every sentence of the verb `fleet`."""

from __future__ import annotations

FLEET = "What to buy, when, where each workload runs, and when to retire it, over years."
SCENARIO = "a TOML file with workloads, sites, systems and limits; see docs/examples/fleet.toml"
OPTION = {
    "gap": 'how far from the best the plan may be, such as "1 %"',
    "time_limit": 'most time to search, such as "60 s"',
    "json": "print the answer as JSON",
}  # fmt: skip

TITLE = "{name}: {first} to {last}"
TOTAL = "{present} in money of the start, {cash} as paid; at most {gap:.2%} above the best plan"
BUY = "Buy"
BUY_COLUMNS = ("order", "there", "what", "where", "machines", "price")
BUY_NOTHING = "Buy nothing: the machines in place are enough."
RETIRE = "Retire"
RETIRE_COLUMNS = ("when", "what", "where", "machines", "brings")
MACHINES = "{machines} ({gpus:,} GPUs)"
STOCK = "Machines in place"
STOCK_LINE = "{system} at {site}: {steps}"
STOCK_STEP = "{machines} from {period}"
RUNS = "Where each workload runs"
RUNS_SPAN = "{first} to {last}"
RUNS_PART = "{system} at {site} {share}"
SHARE = "{low:.0%}"
SHARES = "{low:.0%} to {high:.0%}"
POWER = "Power at the meter"
POWER_LINE = "{site}: peak {peak} of {limit} in {period}, {energy} in all"
MONEY = "Money"
MONEY_COLUMNS = ("for", "as paid", "in money of the start")
YEARS = "By year"
YEAR_COLUMNS = ("year", "as paid")
SUM = "total"
RIGHT = ("machines", "price", "brings", "as paid", "in money of the start")
WORTH = "What limits are worth, at the margin"
WORTH_NONE = "No limit on power, capital, places or supply binds."
NO_PLAN = "No plan is possible"
TOGETHER = "These limits cannot hold together:"
PARTS = "Whole machines do not meet the limits; parts of machines would."
ENOUGH = "Any one of these changes would be enough:"
NOT_ENOUGH = "No change of a single kind of limit was found to be enough."
DECLINED = "Not possible"
DECLINED_LINE = "{workload} on {system}: {reason}"
NOTES = "Prices and what they rest on"
