"""Every sentence of the verb `growth`."""

from __future__ import annotations

GROWTH = "What better hardware does to fleet, energy, tokens and money when cheap tokens find use."
SCENARIO = "a TOML file with demand, first fleet, site and policies; see docs/examples/growth.toml"
OPTION = {
    "samples": "worlds to draw",
    "seed": "seed of the draws",
    "plot": "draw the policies by year into this file (.svg or .png)",
    "json": "print the answer as JSON",
}  # fmt: skip

TITLE = "{name}: {first} to {last}, {samples} worlds, seed {seed}"
CURVES = "Progress on record"
GENERATIONS = "Generations on record from the first: {names}"
POLICIES = "Policies over all years (80 % of worlds lie between the ends)"
POLICY_COLUMNS = ("policy", "energy", "tokens", "money")
RANGE = "{middle}\n{low} to {high}"
REBOUND = "Does efficiency save energy?"
BY_YEAR = "{policy}, by year"
YEAR_COLUMNS = {
    "year": "year", "gpus": "GPUs", "power_w": "power", "tokens_per_s": "tokens/s",
    "price": "per M tokens", "paid": "paid", "unserved": "unserved",
}  # fmt: skip
MONEY = "Money, with every uncertain number at its middle"
MONEY_LINE = "{policy}: {lines}; total {total}"
MONEY_PART = "{label} {amount}"
NOTES = "What it rests on"
# quantity by year -> (label of its axis, what it is divided by)
FIGURE = {
    "gpus": ("GPUs", 1.0), "power_w": ("power at the meter [MW]", 1e6),
    "tokens_per_s": ("million tokens/s", 1e6), "paid": ("paid a year [million {currency}]", 1e6),
}  # fmt: skip
