"""Every sentence of the verb `buy`; a translation replaces this file."""

from __future__ import annotations

BUY = "Which graphics card for images and language models at home?"
CARDS = (
    "cards to compare, one after another or comma-separated; none = every desktop card on record"
)
OPTION = {
    "jobs": "images, chat, or models, comma-separated and repeatable: "
    "MODEL[@FORMAT][:CONTEXT or :WIDTHxHEIGHT:STEPS][=HOURS], such as llama-3.1-8b@q4_k_m:8k=2h",
    "hours": "hours of work a day, over all workloads",
    "on_hours": "hours a day that the PC is on; what is not work is idling",
    "budget": 'most money for the cards, such as "¥200,000" or "$1500"',
    "power": 'most power of the whole PC at the wall, such as "600 W"',
    "quiet": 'most heat of the cards that may be cooled beside you, such as "200 W"',
    "cap": 'a power limit set on each card, such as "250 W"',
    "count": "most equal cards in the PC",
    "slots": "expansion slots that the cards may cover",
    "region": "whose prices and tariff count: JP, US, EU ...",
    "currency": "JPY, USD or EUR; default: the region's own",
    "condition": "new, used or either",
    "by": "rank by money, power or speed",
    "years": "years that a card is kept",
    "resale": "part of the price that a sale brings back at the end, 0 to 1",
    "price": 'a price of your own: "rtx-4070=¥80,000", "jp=¥31/kWh"; repeatable',
    "rate": 'an exchange rate of your own, such as "USD=¥150"; repeatable',
    "top": "how many cards to tell in full",
    "json": "print the answer as JSON",
}

TITLE = "Which card for {jobs}?"
AND = "and"
SETTING = (
    "{hours:g} h of work a day, PC on {on_hours:g} h · {condition} cards, kept {years:g} years · "
    "{region}, {per_kwh} a kWh ({tariff}, {date})"
)
CONDITION = {"either": "new or used", "new": "new", "used": "used"}
REGION = {"JP": "Japan", "US": "United States", "EU": "European Union"}
TARIFF = {
    "electricity-residential": "households", "electricity-commercial": "business",
    "electricity-industrial": "industry",
}  # fmt: skip
OWN_TARIFF = "yours"

BEST = {
    "money": "Most for the money: {card}",
    "power": "Most for the electricity: {card}",
    "speed": "Does the most: {card}",
    "all": "Does the most, and most for money and electricity: {card}",
}
BEST_RUNS = ", runs {runs} of {jobs}"
CHEAPER = "More for the money, but not for everything: {card} ({percent:.0%} more), without {jobs}"
NO_PRICE_BEST = "No price on record for any of them, so nothing is said about money."
NOTHING = "No card here can do this within the limits."

RANKING = {
    "rank": "", "card": "card", "runs": "runs", "work": "work", "money": "per {sign}",
    "power": "per kWh", "memory": "VRAM", "price": "price", "yearly": "{sign} a year",
}  # fmt: skip
RANKING_FOOT = {
    "work": "work: what gets done in the hours, the fastest card here for each workload being "
    "100 %.",
    "money": "per {sign}: work for each {sign} of a year, best = 100.",
    "power": "per kWh: work for each kWh of the cards, best = 100.",
}
NO_PRICE = "unknown"
COUNT = "{count} × {card}"

IMAGE_TITLE = "{model}: images a minute ({width} × {height}, {steps} steps, PyTorch as it comes)"
CHAT_TITLE = (
    "{model}: tokens a second of one conversation ({context:,.0f} tokens, llama.cpp, {form})"
)
JOB_HOURS = ", {hours:.3g} h a day"
IMAGE_UNIT, CHAT_UNIT = "images/min", "tokens/s"
IMAGE_RATE, CHAT_RATE = "a minute", "a second"
JOB = {
    "card": "card", "rate": "{rate}", "interval": "80 % of cases", "first": "{first}",
    "form": "format", "memory": "GiB needed", "draw": "draws", "unit_cost": "{sign} per {amount}",
}  # fmt: skip
IMAGE_FIRST, CHAT_FIRST = "an image", "first word"
IMAGE_AMOUNT, CHAT_AMOUNT = "1,000", "M tokens"
BETWEEN = "{low} to {high}"
DOES_NOT_RUN = "does not fit"
WAY = {
    "resident": "{needs} of {has}", "split": "{needs} of {has} each",
    "by network": "{needs} of {has}, in parts", "by layer": "{needs} of {has}, streamed",
    "": "{needs} of {has}",
}  # fmt: skip
TIGHT = ", tight"
FORMS = {
    "fp8_wo": "8-bit", "int8_wo": "8-bit", "int4_wo": "4-bit", "fp16": "fp16", "bf16": "bf16",
}  # fmt: skip
GIGABYTES = "{value:.1f} GiB"
LABEL = "{value:.0f} GB"

WATTS_TITLE = "Watts"
WATTS = {
    "card": "card", "limit": "limit", "busy": "at work", "interval": "80 % of cases",
    "idle": "idle", "wall": "PC at work", "most": "PC at most", "supply": "supply",
}  # fmt: skip
WATTS_FOOT = (
    "limit: the card's power limit as sold{cap}; at work and idle: predicted draw of the cards; "
    "PC: at the wall, with {host:.0f} W for the rest of it ({low:.0f} to {high:.0f}, {kind})."
)
SUPPLY_FOOT = (
    " supply: the size of power supply suggested for a PC with one card, which is no draw."
)
KIND = {
    "vendor": "the maker's", "measured": "measured", "paper": "published", "secondary":
    "second-hand", "derived": "derived", "assumed": "assumed",
}  # fmt: skip
DRAW_KIND = {
    "measured": "{cards}: draw from a fit on measured cards of the same family.",
    "derived": "{cards}: draw derived from measured families.",
    "assumed": "{cards}: draw carried over from a related family; nobody's measurement is on "
    "record for this one.",
}
WATTS_CAP = ", or the {cap:.0f} W set on it"

YEAR_TITLE = "{sign} a year"
YEAR = {
    "card": "card", "purchase": "card itself", "working": "at work", "idle": "idle",
    "total": "in all", "between": "from price and draw",
}  # fmt: skip
YEAR_FOOT = (
    "card itself: its price over {years:g} years{resale}; at work and idle: electricity of the "
    "cards with the losses of the power supply. The rest of the PC takes {pc} more, whichever "
    "the card. Costs for each image and token above share this out by hours."
)
YEAR_RESALE = " less {resale:.0%} from a sale"

SHORT_TITLE = "Not in the card's memory, and what would be"
SHORT = {
    True: "{card}: {model} in {form} takes {needs}, there are {has}; it runs from the PC's memory",
    False: "{card}: {model} in {form} takes {needs}, there are {has}; it does not run",
}
REMEDY = {
    "form": "in {value}, at some loss of quality{rate}",
    "context": "with a context of {value:,.0f} tokens{rate}",
    "size": "at {value} pixels across{rate}",
    "count": "on {value} × {card}{rate}",
    "card": "on one {value}{price}{rate}",
    "cap": "with each card's power limit set to {value:.0f} W (--cap), at {keeps:.0%} of the speed",
    "used": "used, for {value}",
    "budget": "a budget of {value}",
    "power": "{value:.0f} W at the wall",
    "quiet": "{value:.0f} W to cool",
    "slots": "{value:.0f} slots",
}
REMEDY_PRICE = " for {price}"
REMEDY_RATE = ": {rate} {unit}"
FITS_WITH = "would fit: {remedies}"
NO_REMEDY = "nothing that was tried fits"
ALL_TRIED = "Each of these was asked again before it was written here."

OUT_TITLE = "Turned down"
OUT = {
    "memory": "{card}: needs {needs}, has {has}",
    "budget": "{card}: costs {needs}{marks}, the budget is {has}",
    "price": "no price on record, so no budget can be kept: {cards}",
    "power": "{card}: the PC draws {needs} at the wall, the limit is {has}",
    "quiet": "{card}: {needs} to cool, the limit is {has}",
    "slots": "{card}: covers {needs} slots, there are {has}",
    "cap": "{card}: draws {needs} idle, its power limit was to be {has}",
    "form": "{card}: made as {message}, not as a card for a slot",
    "unsupported": "{card}: {message}",
}
OUT_REMEDY = "would do: {remedies}"
OUT_AND = " and "
OUT_MORE = "and {count} more"

PRICES_TITLE = "Prices of one card"
PRICE = "{card}: {price}{range}, {date}, {source}"
USED = "{price} used"
OLD, LAUNCH = "*", "†"
OLD_FOOT = "* older than a year: look it up again and give it with --price"
LAUNCH_FOOT = "† list price at launch; no street price is on record"
PRICE_UNKNOWN = '{card}: no price on record; give one with --price "{card}={example}"'
PRICE_HINT = 'give one with --price "{card}={example}"'
PRICES_FOOT = "Prices are without tax unless their source says so."
EXCHANGE = "1 {currency} = {worth} ({date}, {source})"
EXAMPLE = {"JPY": "¥80,000", "USD": "$500", "EUR": "€500"}

SURE_TITLE = "How sure"
SURE = (
    "Speed and draw are predictions of one conversation or one image at a time; 80 % of "
    "measurements should lie between the two figures beside them (bands: {intervals}). "
    "The weakest figure behind them is {kind}.",
    "Tight: less than a twentieth is left, and the screen on the same card takes its part.",
    "In parts, streamed: what the card does not hold is fetched from the PC's memory each time.",
    "Memory is in GiB, which is what the GB on a card's box are; llama.cpp takes {share:.0%}.",
    "Hours of work are hours in which the card works; waiting for you is idling.",
    "4-bit weights lose some quality; --for MODEL@FORMAT asks for another format.",
)
TARIFF_SOURCE = "Electricity: {title}, {date}{old}."
BOARD_SOURCE = "Slots and supplies: {title}; boards of other makers are often thicker."
NO_BOARD = "{cards}: how many slots it covers is not on record; measure before you buy."
NOT_MODELLED = {
    "video": "Video: not predicted by any model here yet.",
    "training": "Fine-tuning: not predicted by any model here yet.",
    "gaming": "Games: not predicted; nothing here says anything about frame rates.",
}
MORE = "and {count} more cards; --top {total} tells all"
PROGRESS = "asking {name}"
