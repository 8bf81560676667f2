"""Benchmark clients: how many requests they send, of which lengths, and how they time them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.evidence.points import Point

__all__ = ["Client", "client_of", "version_of"]

# Versions that a publication ran throughout without stating them row by row, by how its name
# begins: vLLM 0.11 in the third leaderboard of ML.ENERGY; Argonne measured in 2024.
_VERSIONS = {"ml.energy": "0.11", "argonne": "0.5"}


@dataclass(frozen=True, slots=True)
class Client:
    """The habits of a benchmark client, and of the servers that it starts.

    waves [count], requests for each user where the row is silent; shortest [1], lengths are drawn
    evenly from this share of the nominal to the nominal itself; stream_steps in a streamed chunk;
    intake_steps between two looks at new requests; turnaround_s [s], mean time between an answer
    and the user's next request; small_cache, whether the cache has 8 bits where weights have 8
    or fewer; steady, whether the start and the end of a test are cut off; beams [count],
    sequences for each request; narrow, whether weights take the narrowest float of the chip;
    server_share [1] of the offline rate that limits on latency leave.
    """

    name: str
    waves: float
    shortest: float
    stream_steps: float
    intake_steps: float
    turnaround_s: float
    small_cache: bool
    steady: bool
    beams: float
    narrow: bool
    server_share: float


@lru_cache(maxsize=32)
def _client(name: str) -> Client:
    known = load.calibration("clients").figures
    owners = (name, name.split("-")[0], "usual")

    def value(key: str) -> float:
        return next(known[f"{o}/{key}"].value for o in owners if f"{o}/{key}" in known)

    return Client(
        name=name, waves=value("waves"), shortest=value("shortest"), stream_steps=value("stream"),
        intake_steps=value("intake"), turnaround_s=value("turnaround"),
        small_cache=value("small_cache") > 0.5, steady=value("steady") > 0.5,
        beams=value("beams"), narrow=value("narrow") > 0.5, server_share=value("server_share"),
    )  # fmt: skip


def client_of(point: Point, architecture: str) -> Client:
    """The client that a row was measured with, by its publication, engine and GPU family.

    The vLLM rows of aiconfigurator's sample are InferenceX sweeps (1,024 and 8,192 tokens in and
    out), whose lengths are drawn.
    """
    publication = point.text("publication").lower()
    engine = point.text("engine").lower()
    if publication.startswith("ml.energy"):
        return _client("ml.energy")
    if publication.startswith("mlperf"):
        return _client(f"mlperf-{point.text('model')}")
    inferencex = publication.startswith("inferencex")
    if not inferencex and not (publication == "aic-sample" and engine == "vllm"):
        return _client("usual")
    if architecture.startswith("cdna"):
        return _client("inferencex-amd")
    if engine.startswith("dynamo+"):
        return _client(f"inferencex-{engine}")
    return _client(f"inferencex-{engine}-{architecture}")


def version_of(point: Point) -> str:
    """The engine's version: the row's own, or the one that its publication ran."""
    publication = point.text("publication").lower()
    usual = (v for name, v in _VERSIONS.items() if publication.startswith(name))
    return point.text("engine_version") or next(usual, "")
