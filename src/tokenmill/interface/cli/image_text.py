"""What the command line says about images."""

from __future__ import annotations

TITLE = (
    "{model} in {weights} on {gpus} x {accelerator}: {width} x {height}, {steps} steps, "
    "batch {batch}, {software}"
)
SHARED = "{share} GPUs share an image, {replicas} group(s)"
ROWS = {
    "image": "time per image", "latency": "time of a batch", "parts": "of which",
    "rate": "images", "busy": "busy", "memory": "memory of a GPU", "gpu_watts": "power of a GPU",
    "watts": "power at the wall", "joules": "energy per image", "flop": "work per image",
    "money": "cost", "limit": "limited by", "weakest": "weakest figure",
}  # fmt: skip
PARTS = "text {text} · {steps} steps {denoise} · decoding {decode}{offload}"
OFFLOAD = " · fetching weights {seconds}"
RATE = "{second:,.4g} a second ({hour:,.0f} an hour)"
MEMORY = "{used} of {capacity}: weights {weights}, working memory {work}, driver {reserve}"
MONEY = "{image} per image · {thousand} per thousand · {hour} per hour ({basis})"
ENERGY = "{joules:,.4g} J at the wall, {gpu:,.4g} J in the GPUs"

PLAN_TITLE = "{models}"
PLAN_LOAD = "{rate:.4g} images/s ({hour:,.0f} an hour) of each model; an image may take {limit}"
PLAN_FREE = "one group of GPUs, always busy; an image may take {limit}"
COLUMNS = {
    "rank": "", "hardware": "hardware", "gpus": "GPUs", "weights": "weights",
    "software": "software", "batch": "batch", "latency": "latency", "rate": "images/s",
    "watts": "power", "joules": "J/image", "per_hour": "per hour",
    "per_thousand": "per 1000 images", "basis": "basis", "purchase": "to buy",
}  # fmt: skip
FOOT = (
    "latency: the time of a batch, without a queue. images/s: what the hardware can make. rent: "
    "market rent per GPU-hour; own: purchase over four years with electricity."
)
NOTE = "{hardware}: {note}"
ANY = "any time"
NOTHING = "Nothing on the list can do this."

YES = "Yes. {accelerator} makes {width} x {height} images with {model} in {weights}."
WAYS = {
    "resident": "Everything stays on the card: {needs} of {has}.",
    "by network": "Text encoders, denoiser and decoder take turns on the card: {whole} in all, "
                  "{has} there; weights are fetched for every batch.",
    "by layer": "Weights stream through the card at every step: {whole} in all, {has} there. "
                "It works, slowly.",
}  # fmt: skip
YES_SPEED = "An image of {steps} steps takes about {seconds}; up to {batch} at once."
NO = "No. {reason}."
NO_CHANGE = "It would run with {change}."
NOT_PLAYED = "images are planned in closed form; leave out {option}"
