"""What `simulate` and `runs` say, in one place: a translation replaces this file."""

from __future__ import annotations

SIMULATE = "Play real traffic through the virtual factory: who waits, how long, and for what."
RUNS = "What was run on this computer, from the ledger."
RUNS_SHOW = "One run in full."
RUNS_DIFF = "What differs between two runs, in question and answer."

OPTION = {
    "scenario": "a TOML file with services, traffic, chains, tenants; options on the line win",
    "head": "only the first so many requests of the trace",
    "profile": "traffic of the shape of a profile on record",
    "stretch": "the trace over so many times its time; below 1 it is busier",
    "users": "people who each wait for an answer, think, and ask again",
    "concurrency": "requests always in flight, as benchmark tools keep them",
    "requests": "how many requests synthetic traffic has",
    "duration": 'how long traffic comes, such as "10 min"',
    "burst": "coefficient of variation of the gaps: 1 Poisson, above 1 bursts",
    "prompt_cv": "coefficient of variation of prompt lengths (log-normal); 0 = all the same",
    "output_cv": "coefficient of variation of output lengths (log-normal); 0 = all the same",
    "router": "round-robin, random, least-outstanding or prefix-aware",
    "batching": "continuous, inflight, prefill-first or static; default: as the engine does",
    "sequences": "most sequences that run at once on an instance",
    "budget_tokens": "most tokens in one step of an instance",
    "prefix_cache": "keep prompts that the traffic names by hashes (default) or do not",
    "queue_limit": "an instance with so many waiting rejects the next",
    "timeout": 'a request not begun by then is dropped, such as "30 s"',
    "power_cap": 'most power of all GPUs together, such as "5 kW"; steps slow down to keep it',
    "slo_ttft": 'promised time to first token, such as "2 s", for goodput',
    "slo_tpot": 'promised time per output token, such as "100 ms", for goodput',
    "slo_e2e": 'promised time for a whole request, such as "30 s", for goodput',
    "seed": "seed of all chance: same seed, same bytes",
    "until": "end of the simulated time",
    "budget_events": "stop after so many events",
    "budget_seconds": "stop after so many seconds of computing",
    "budget_memory": 'most memory for requests, such as "4 GB"; default: half of this computer\'s',
    "save": "folder for a Parquet row per request, and a record in the ledger",
    "plot": "draw the timeline and the latencies into this file (.svg or .png)",
    "limit": "how many runs to list, the latest first",
    "id": "number of a run, from `tokenmill runs`",
}

NO_MODEL = (
    "name a model and hardware, such as: tokenmill simulate llama-3.1-8b --on h100; "
    "or give a --scenario"
)
ONE_SERVICE = "--{option}: the scenario has {count} services; say it in the file"
MANY_MODELS = "simulate plays one model; for several, write a --scenario"

TITLE = (
    "{model} in {weights} on {gpus} x {accelerator} ({layout}, {replicas} instance(s), {engine})"
)
LOAD = "{name}: {requests:,} requests over {span}"
TIMES = ("", "mean", "p50", "p90", "p95", "p99", "p99.9")
TIME_ROWS = {
    "ttft": "time to first token (TTFT)",
    "tpot": "time per output token (TPOT)",
    "itl": "gap between tokens (ITL)",
    "e2e": "whole request (E2E)",
    "queue": "wait for the first step",
}
CHAIN = "whole chain"
ROWS = {
    "requests": "requests", "goodput": "goodput", "rate": "output tokens",
    "total": "tokens in and out", "batch": "running batch", "cache": "KV cache",
    "power": "power", "energy": "energy", "money": "cost", "limit": "limited by",
    "waits": "next request waited for",
}  # fmt: skip
REQUESTS = (
    "{requests:,} in = {done:,} done + {rejected:,} rejected + {timed_out:,} timed out + "
    "{running:,} running"
)
UNSENT = "; {unsent:,} not sent"
PREEMPTED = "; {preemptions:,} preemptions"
GOODPUT = "{rate:,.4g} requests/s inside the SLO, {share:.2%} of the requests"
RATE = "{value:,.4g} tokens/s"
BATCH = "{batch:,.3g} of each instance on average, busy {busy:.0%}"
CACHE = "{peak:.0%} of the blocks at the peak"
PREFIXES = "; {share:.1%} of the prompt tokens from the prefix cache"
POWER = "{gpu} a GPU, {wall} at the wall, on average"
ENERGY = "{token:.3g} J per output token, {request:.3g} J per request, at the wall"
WAITS = {
    "sequences": "a seat {share:.1%} of the step time",
    "tokens": "the token budget {share:.1%}",
    "memory": "KV memory {share:.1%}",
    "closed": "its batch to close {share:.1%}",
}
NO_WAITS = "nothing"
SAVED = "saved {path}"
RECORDED = "run {number} in the ledger; see it again with: tokenmill runs show {number}"
DRAWN = "drew {path}"

RUN_COLUMNS = ("run", "when (UTC)", "verb", "what", "took")
NO_RUNS = "No run is in the ledger ({path}); simulate with --save to add one."
DIFF_COLUMNS = ("what", "run {before}", "run {after}", "ratio")
SAME = "Run {before} and run {after} say the same."
RUN_TITLE = "run {id}: {title} ({verb}, {at} UTC, {took:.2f} s, tokenmill {version})"
QUESTION, ANSWER, FILES = "question", "answer", "files"

FIGURE = {
    "time": "time (s)", "running": "running", "waiting": "waiting", "requests": "requests",
    "kv": "share of KV blocks", "watts_axis": "power at the wall (kW)",
    "latency": "seconds", "share": "share of requests",
    "ttft": "TTFT", "tpot": "TPOT", "e2e": "E2E", "slo": "SLO", "tokens_axis": "TPOT (ms)",
    "cost": "cost per hour ({currency})", "front": "on the Pareto front",
    "beaten": "beaten by another",
}  # fmt: skip
