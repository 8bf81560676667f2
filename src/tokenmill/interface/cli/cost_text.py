"""Every sentence of the verb `cost`; a translation replaces this file."""

from __future__ import annotations

COST = "What work costs by the hour and by the piece: bought, rented, hosted; break-even, carbon."
MODEL = "a language or image model: MODEL[@FORMAT][:WIDTHxHEIGHT:STEPS]; none with --makes"
OPTION = {
    "on": "the GPU or system that works",
    "gpus": "GPUs that work on it together",
    "makes": 'another unit: NAME=COUNT made in a busy hour, as "robot-hour=8"; repeatable',
    "gpu_hours": "GPU-hours that one trained model takes",
    "prompt": "prompt tokens of a request",
    "output": "output tokens of a request",
    "concurrency": "requests in flight while busy",
    "weights": "weight format (bf16, fp8, int4, q4_k_m ...)",
    "engine": "serving engine",
    "utilisation": "busy part of all hours, 0 to 1",
    "hours": 'local hours of the day with work, such as "22-6"',
    "site": "place whose grid, climate and tariff count (tokyo, phoenix, lulea ...)",
    "tariff": "a tariff by the hour (tepco-smart-life-2025, kepco-seasonal-2018, pge-e6-2016)",
    "pue": "power at the meter over power of the machines",
    "years": "years that the purchase is carried",
    "resale": "part of the price that a sale brings back at the end, 0 to 1",
    "finance": "interest a year on the money bound, such as 0.05",
    "upkeep": "part of the price paid a year for repair, spares and insurance",
    "space": 'floor and feed for each kW and month, such as "$150"',
    "staff": 'one person a year, such as "¥9,000,000"',
    "machines_per_person": "machines that one person keeps",
    "software": 'licences for each GPU and year, such as "$4,500"',
    "network": "switches and cables as a part of the price of the machines",
    "currency": "JPY, USD or EUR; default: the region's own",
    "region": "whose prices come first: JP, US, EU ...",
    "price": 'a price of your own: "h100=$28,000", "h100=$2.20/GPU-hour", "jp=¥31/kWh"; repeatable',
    "rate": 'an exchange rate of your own, such as "USD=¥150"; repeatable',
    "json": "print the answer as JSON",
}

TITLE = "{gpus} × {hardware}: {words}"
SETTING = "busy {utilisation:.0%} of all hours{hours} · {busy} at work, {idle} idle, PUE {pue:.3g}"
HOURS = " ({hours} o'clock)"
CHEAPEST = "Cheapest at this use: {way}, {cost} per {unit}"
WAYS = {"way": "", "hour": "an hour", "purchase": "to buy"}
SHORT = {
    "million output tokens": "per M out", "million input tokens": "per M in",
    "million tokens": "per M",
}  # fmt: skip
WAYS_FOOT = "an hour of the calendar, busy or not; a unit bears all of it"
LINES = "{way}, an hour line by line"
LINE_COLUMNS = {"label": "for", "amount": "{sign} an hour", "basis": "on"}
TOTAL = "total"
EVEN = "Break-even"
CROSSING = "{first} and {second} cost the same at {at:.1%} use"
SPAN = "from {start:.0%} to {end:.0%} use the cheapest is {way}"
TORNADO = "What moves it most: {way}, {sign} per {unit}"
TORNADO_COLUMNS = {
    "name": "figure", "low": "at low", "high": "at high", "from": "between", "bar": "",
}  # fmt: skip
TORNADO_FOOT = (
    "each figure alone; prices within their records' ranges, speed within its 80 % interval, "
    "the others as usual (assumed)"
)
CARBON = "Carbon at {site}"
CARBON_LINES = (
    "running: {running} CO2e an hour ({low} to {high}); making of the hardware ({kind}): {making}",
    "a kWh of the grid: {mean}, {clean} at 13:00, {dirty} at 1:00 ({source})",
)
CARBON_UNIT = "per {unit}: {value} ({low} to {high})"
KINDS = {"vendor": "the maker's", "measured": "measured", "paper": "published",
         "secondary": "second-hand", "derived": "derived", "assumed": "assumed"}  # fmt: skip
PRICES = "Prices"
PRICE = "{what}: {amount} per {per}{range}, {date}, {source}{old}"
RANGE = " ({low} to {high})"
OLD = "*"
OLD_FOOT = "* older than a year: look it up again and give it with --price"
EXCHANGE = "1 {currency} = {worth} ({date}, {source}{old})"
NOTES = "What it rests on"
WEAKEST = "the weakest figure behind speed and draw is {kind}"
