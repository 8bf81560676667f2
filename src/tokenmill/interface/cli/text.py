"""Every sentence the command line says, in one place: a translation replaces this file."""

from __future__ import annotations

APP = "A digital twin of the AI factory: how fast, how much energy, how much money, how sure."
PLAN = "Which hardware for these models, under this load and these limits?"
ESTIMATE = "One configuration in closed form: latency, throughput, memory, power, cost, limits."
CAN_I_RUN = "Can this hardware run that model? In words, with a memory bar."
SHOW = "What the catalogue says, figure by figure with its source."
NEW = "Add a record of your own."
NEW_MODEL = "Add a model from its Hugging Face config.json (read locally, no network)."
CHECK = "Read and check every record, or the files you name."
DEMO = "Plan Llama-3.3-70B for an hour of real conversation traffic over eight kinds of GPU."
CALIBRATE = "Tighten the twin to your own cluster by its own measurements."
CALIBRATE_TITLE = (
    "{rows} figures of {accelerator} under {engine}; "
    "mean error {before:.1%} before, {after:.1%} after"
)
CALIBRATE_COLUMNS = ("time or power", "over the catalogue", "80 % between", "before measuring")
CALIBRATE_NAMES = {
    "compute": "time of arithmetic",
    "memory": "time of memory",
    "host": "time of the host",
    "link": "time between GPUs",
    "power": "power above idle",
}
CALIBRATE_LEFT = "not used: {reason}"
FIT = "Fit calibration files on a folder of measurements; each with range, rows and residuals."
SCORE = "Hold predictions against measured rows of a CSV file."

OPTION = {
    "models": "model or models, comma-separated",
    "hardware": "GPUs or systems, comma-separated; all = everything on record",
    "trace": "a traffic file (Azure, BurstGPT, vidur, Mooncake; .gz too)",
    "prompt": "prompt tokens of a request",
    "output": "output tokens of a request",
    "rate": 'request rate, such as "5 req/s" or "500 images/h"',
    "users": "people using it at once",
    "think": 'time a person takes between answers, such as "20 s"; 0 s = asks again at once',
    "ttft": 'limit on time to first token, such as "2 s"; none = no limit',
    "tpot": 'limit on time per output token, such as "100 ms"; none = no limit',
    "percentile": "share of the requests that must be inside the limits",
    "budget": 'most money to spend, such as "¥3,000,000" or "$12"',
    "budget_per": "what the budget is for: purchase, hour or month",
    "power": 'most power at the wall, such as "20 kW"',
    "minimise": "cost, energy, gpus or latency",
    "acquire": "rent or buy",
    "weights": "weight formats to try, comma-separated (bf16, fp8, int4, nvfp4, q4_k_m ...)",
    "cache": "KV cache format (bf16, fp8, int8)",
    "engine": "serving engine (vllm, sglang, tensorrt-llm, llama.cpp ...)",
    "gpus": "most GPUs to use",
    "currency": "USD, JPY or EUR",
    "region": "whose prices come first, such as JP or US",
    "price": 'a price of your own, such as "rtx-4090=$1,500" or "h100=$2.49/GPU-hour"; repeatable',
    "scenario": "a TOML file with the whole question; options on the line win over it",
    "json": "print the answer as JSON",
    "version": "print the version",
    "measurements": "measurements (CSV; columns: docs/score.md); - = standard input",
    "calibration": "what `calibrate` saved of this cluster, or the factory file it stands beside",
    "results": "serving CSV, or JSON of vllm bench serve, aiperf, guidellm, Prometheus",
    "save": "factory file to save the calibration beside (FACTORY.calibration.toml)",
    "calibrate_on": "the GPU that ran them", "calibrate_model": "the model that ran",
    "calibrate_engine": "the engine that ran it, with --engine-version if known",
    "engine_version": "version of the engine", "calibrate_gpus": "GPUs of the whole deployment",
    "subjects": "kernels, collectives, power, images, serving, intervals; none = all of them",
    "shared": "folder that holds measurements and silicon",
    "fit_out": "catalogue folder to write to (default: the first folder of TOKENMILL_CATALOG)",
    "score_json": "write one object per row and metric to this file; - = standard output",
    "on": "the GPU or system",
    "tp": "tensor parallel degree", "pp": "pipeline stages",
    "dp": "attention data parallel degree", "ep": "expert parallel degree",
    "replicas": "equal instances that share the load",
    "concurrency": "requests always in flight (instead of a rate)",
    "batch": "fix the running batch instead of looking it up from the load",
    "context": "tokens of prompt and answer that one request must have room for",
    "kind": "accelerators, systems, models, prices, sites, tariffs",
    "resolution": 'size of an image, such as "1024x768"',
    "steps": "denoising steps of an image",
    "image_batch": "images made at once",
    "software": "how images are made: eager, compile, tensorrt, onediff, stable-fast, xdit",
    "softwares": "how images are made, comma-separated: eager, compile, tensorrt ...",
    "share": "GPUs that split one image between them (transformer models)",
    "latency": 'limit on the time an image may take, such as "5 s"',
    "name": "one record; without it the kind is listed",
    "from_hf": "path of a config.json",
    "slug": "name of the new record",
    "folder": "where to write it (default: the first folder of TOKENMILL_CATALOG)",
    "files": "record files to check; none = the whole catalogue",
    "seed": "seed of synthetic traffic",
    "played": "play the real traffic against the finalists; fewest replicas by bisection",
    "plot": "draw the options, money against speed, into this file (.svg or .png)",
}  # fmt: skip

COLUMNS = {
    "rank": "", "hardware": "hardware", "gpus": "GPUs", "layout": "layout", "weights": "weights",
    "ttft": "TTFT p{p:g}", "tpot": "TPOT p{p:g}", "rate": "out tok/s", "watts": "power",
    "joules": "J/token", "per_hour": "per hour", "per_mtok": "per M out", "basis": "basis",
    "purchase": "to buy",
}  # fmt: skip
PLAN_TITLE = "{models} for {demand}"
PLAN_LOAD = "{rate:.3g} requests/s, {prompt:.0f} tokens in and {output:.0f} out on average"
PLAN_CLOSED = "{users:.0f} requests in flight, {prompt:.0f} tokens in and {output:.0f} out"
PLAN_LIMITS = "limits at p{p:g}: TTFT {ttft}, TPOT {tpot}"
NO_LIMIT = "none"
PLAN_BEST = {
    "cheapest": "cheapest: {name}, {hour} per hour",
    "fastest": "fastest: {name}, {tpot} per token",
    "greenest": "greenest: {name}, {joules} J per token",
}
PLAN_FRONT = "on the Pareto front of money, speed and energy: {names}"
PLAN_AHEAD = (
    "{name} keeps its limits with probability {within}, and {better} than each of the others "
    "with probability: {chances}"
)
PLAN_BETTER = {
    "cost": "is cheaper", "energy": "needs less energy", "gpus": "needs fewer GPUs",
    "latency": "is faster",
}  # fmt: skip
PLAN_REFUSED = "Not possible"
PLAN_NOTHING = "Nothing on the list can do this."
REFUSED_COLUMNS = ("hardware", "binding limit", "would work with")
CHECKED = "{remedy} (checked)"
UNCHECKED = "{remedy}"
EVALUATED = "{count:,} configurations evaluated in closed form"
NO_PRICE = "no price"
FOOT_BASIS = (
    "rent: market rent per GPU-hour; own: purchase over four years with electricity. "
    "Power is at the wall, without cooling; racks are bought whole."
)
OLD = "*"
FOOT_STALE = "* price older than a year"
DAYS = ("weekdays", "weekends")
PER_KWH = "{currency} per kWh, by month, kind of day and hour from midnight"

ESTIMATE_TITLE = (
    "{model} in {weights} on {gpus} x {accelerator} ({layout}, {replicas} instance(s), {engine})"
)
ESTIMATE_ROWS = {
    "ttft": "time to first token", "tpot": "time per output token", "e2e": "whole request",
    "rate": "output tokens", "per_gpu": "output tokens per GPU", "total": "tokens in and out",
    "requests": "requests", "batch": "running batch", "memory": "memory of a GPU",
    "gpu_watts": "power of a GPU", "watts": "power at the wall",
    "joules": "energy per output token",
    "money": "cost", "limit": "limited by", "weakest": "weakest figure",
}  # fmt: skip
DISTRIBUTION = "{mean} mean · {p50} p50 · {p95} p95 · {p99} p99"
MEMORY = (
    "{used} of {capacity}: weights {weights}, KV cache {cache}, workspace {workspace}, "
    "reserve {reserve}"
)
MONEY = "{hour} per hour ({basis}) · {inp} per M tokens in · {out} per M tokens out"
BREAKDOWN = "A decode step, operation by operation"
BREAKDOWN_COLUMNS = ("operation", "time", "share", "of roofline", "bound by")
FIGURES = "Figures used"
FIGURE_COLUMNS = ("record", "figure", "value", "range", "kind", "source")
WITHIN = "{value} (80 %: {low} to {high})"

YES = "Yes. {gpus} x {accelerator} runs {model} in {weights} ({engine})."
YES_ROOM = "There is room for {requests:.0f} requests of {context:.0f} tokens at once."
SPEED = "One user sees {rate:.0f} tokens a second and waits {ttft} for the first."
NO = "No. {reason}."
NO_CHANGE = "It would run with {change}."
BAR_PARTS = ("weights", "KV cache", "workspace", "reserve", "free")

WRITTEN = "wrote {path}"
EXISTS = "{path} exists; choose another --slug or remove it first"
NO_FOLDER = "set TOKENMILL_CATALOG to a folder of your own, or give --folder"
CHECKED_FILES = "{count} records checked, every figure has a source"
SCORE_TITLE = "{family}: {predicted} of {rows} rows predicted ({coverage:.1%} coverage)"
SCORE_MORE = "and {count} more reasons; --json has them row by row"
SCORE_COLUMNS = ("rows", "median error", "MAPE", "p90 error", "bias", "in interval")
PROGRESS = "searching {name}"
REFERENCE = (
    "# Command line\n\n"
    "Made by `make docs` from the commands themselves. Every refusal is one line on standard error "
    "and exits\nwith 2; `--json` prints the whole answer in base units (s, B, W, J, tokens)."
)
