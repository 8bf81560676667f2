"""Benchmark clients: how many requests they send, of which lengths, and how they time them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.evidence.points import Point

__all__ = ["Client", "client_of", "engine_named", "version_of"]

# Versions that a publication ran throughout without stating them row by row, by how its name
# begins, and by engine: vLLM 0.11 in the third leaderboard of ML.ENERGY; Argonne measured in 2024.
_VERSIONS = {
    ("ml.energy", "vllm"): "0.11", ("argonne", "vllm"): "0.5", ("argonne", "tensorrt-llm"): "0.11",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Client:
    """The habits of a benchmark client, and of the servers that it starts.

    waves [count], requests for each user where the row is silent; shortest [1], lengths are drawn
    evenly from this share of the nominal to the nominal itself; stream_steps in a streamed chunk;
    intake_steps between two looks at new requests of a server with few users, intake_busy_steps
    of one with many; turnaround_s [s], mean time between an answer and the user's next request;
    small_cache, whether the cache has 8 bits where weights have 8 or fewer; steady, whether the
    start and the end of a test are cut off; beams [count], sequences for each request; narrow,
    whether weights take the narrowest float of the chip; server_share [1] of the offline rate
    that limits on latency leave; step_tokens [tokens], the budget of a step that it sets, 0 for
    the engine's own; spare_tokens, where it sets that to a prompt, a token of each user and so
    many more, below 0 where it does not; whole_prompts, whether it leaves prompts uncut;
    hold_steps that a prompt waits at most until every attention rank has one; compile_s [s] that
    the first wave waits for kernels where its prompts exceed compile_tokens, warm_s [s] in any
    case; peaks, whether odd numbers of users are the most that were ever inside, of requests that
    came at their own times; step_s [s] that its program adds to each step of an engine that runs
    inside it; buffer_tokens that its engines are built for at least; alike [1], see `Engine`;
    padding [1] of prompts to the longest of their batch; runs_to [tokens] at which a batch ends,
    0 where answers leave it one by one; ends_at [tokens] at which answers end by themselves, while
    rates count what was asked for, 0 where lengths are forced; unseen, share [1] of answers of
    which it sees the first chunk alone and takes that for all of them: those that end before they
    have done thinking, where a server streams thoughts in a field of their own; drafts, tokens
    that its servers guess before a step, and shared_drafts those of servers with attention ranks,
    0 for the usual number.
    """

    name: str
    waves: float
    shortest: float
    stream_steps: float
    intake_steps: float
    intake_busy_steps: float
    turnaround_s: float
    small_cache: bool
    steady: bool
    beams: float
    narrow: bool
    server_share: float
    step_tokens: int
    spare_tokens: float
    whole_prompts: bool
    hold_steps: float
    compile_s: float
    compile_tokens: float
    warm_s: float
    peaks: bool
    step_s: float
    buffer_tokens: float
    alike: float
    padding: float
    runs_to: float
    ends_at: float
    unseen: float
    drafts: int
    shared_drafts: int


@lru_cache(maxsize=64)
def _client(name: str, year: str = "") -> Client:
    """A client by its name, "family-engine-detail-..."; the longest name on record counts.

    Habits of one year are on record as "name@year", and count before those of all years.
    """
    known = load.calibration("clients").figures
    parts = name.split("-")
    owners = [*("-".join(parts[:many]) for many in range(len(parts), 0, -1)), "usual"]
    owners = [dated for owner in owners for dated in (f"{owner}@{year}", owner)]

    def value(key: str) -> float:
        return next(known[f"{o}/{key}"].value for o in owners if f"{o}/{key}" in known)

    return Client(
        name=name, waves=value("waves"), shortest=value("shortest"), stream_steps=value("stream"),
        intake_steps=value("intake"), turnaround_s=value("turnaround"),
        small_cache=value("small_cache") > 0.5, steady=value("steady") > 0.5,
        beams=value("beams"), narrow=value("narrow") > 0.5, server_share=value("server_share"),
        intake_busy_steps=value("intake_busy"), step_tokens=int(value("step_tokens")),
        spare_tokens=value("spare"),
        whole_prompts=value("whole") > 0.5, hold_steps=value("hold"), compile_s=value("compile"),
        compile_tokens=value("compile_tokens"), warm_s=value("warm"),
        peaks=value("peaks") > 0.5,
        step_s=value("step"), buffer_tokens=value("buffer"), alike=value("alike"),
        padding=value("padding"), runs_to=value("runs_to"),
        ends_at=value("ends_at"), unseen=value("unseen"),
        drafts=int(value("drafts")), shared_drafts=int(value("shared_drafts")),
    )  # fmt: skip


# What names of engines contain, and the engine on record that runs (or is most like) it.
_NAMES = {
    "trt": "tensorrt-llm", "tensorrt": "tensorrt-llm", "nim": "tensorrt-llm", "sglang": "sglang",
    "vllm": "vllm", "exllamav": "exllamav2", "exllama": "exllama", "ollama": "ollama",
    "llama.cpp": "llama.cpp", "llama-cpp": "llama.cpp", "llamacpp": "llama.cpp",
    "llamafile": "llama.cpp", "koboldcpp": "llama.cpp", "mlx": "llama.cpp",
    "lm studio": "llama.cpp", "lmstudio": "llama.cpp", "mlc": "mlc-llm",
    "deepspeed": "deepspeed-mii",
}  # fmt: skip


def engine_named(text: str) -> str:
    """The engine on record that a publication's name of an engine means, or the name itself."""
    name = text.strip().lower()
    return next((engine for part, engine in _NAMES.items() if part in name), name)


def client_of(point: Point, architecture: str) -> Client:
    """The client that a row was measured with, by its publication, engine and GPU family.

    The vLLM rows of aiconfigurator's sample are InferenceX sweeps (1,024 and 8,192 tokens in and
    out), whose lengths are drawn.
    """
    publication = point.text("publication").lower()
    engine = engine_named(point.text("engine"))
    if publication.startswith("gpustack"):
        return _client("gpustack-thoughts" if _hides_thoughts(point) else "gpustack")
    if publication.startswith("ml.energy"):
        return _client("ml.energy")
    if publication.startswith(("jan:", "jan ")):
        return _client("jan")
    if publication.startswith("splitwise"):
        return _client("splitwise")
    if publication.startswith("argonne"):
        return _client(f"argonne-{engine}")
    if publication.startswith("mlperf"):
        return _client(f"mlperf-{point.text('model')}", point.text("date")[:4])
    inferencex = publication.startswith("inferencex")
    if publication == "aic-sample" and engine != "vllm":
        return _client(f"aic-{engine}")
    if not inferencex and not (publication == "aic-sample" and engine == "vllm"):
        static = "-static" if point.text("load") == "static_batch" else ""
        return _client(f"usual-{engine}{static}")
    family = architecture.rstrip("0123456789")
    if point.text("mode") == "disaggregated":
        return _client(f"inferencex-dynamo+{engine}-{family}", point.text("date")[:4])
    return _client(f"inferencex-{engine}-{family}", point.text("date")[:4])


def _hides_thoughts(point: Point) -> bool:
    """Whether vLLM was started to stream thoughts in a field of their own; launch commands stand
    in notes, and stay there above a block that another engine's label heads."""
    note = point.text("note").lower()
    return "vllm serve" in note and "--reasoning-parser" in note and 'section "sglang' not in note


def version_of(point: Point) -> str:
    """The engine's version: the row's own, or the one that its publication ran."""
    publication, engine = point.text("publication").lower(), engine_named(point.text("engine"))
    usual = (
        v for (name, e), v in _VERSIONS.items() if publication.startswith(name) and e == engine
    )
    return point.text("engine_version") or next(usual, "")
