"""The arrays that the engine works on, made from requests; and parts of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tokenmill.simulator.requests import Requests
from tokenmill.work.traffic import Prefixes

__all__ = ["OUTPUTS", "flow_plan", "make_columns", "take_rows"]

INPUTS = ("arrival_s", "prompt_tokens", "output_tokens", "priority")
OUTPUTS = (
    "arrival_s", "schedule_s", "first_token_s", "done_s", "energy_j", "status", "preemptions",
    "generated_tokens", "replica",
)  # fmt: skip
NOBODY = -1

Columns = dict[str, Any]


def make_columns(requests: Requests) -> Columns:
    """The columns of a book: inputs, and outputs in which nothing has happened yet."""
    prefixes = requests.prefixes
    priority = requests.priority
    return {
        "arrival_s": requests.arrival_s.copy(),
        "prompt_tokens": requests.prompt_tokens,
        "output_tokens": requests.output_tokens,
        "priority": np.zeros(0, np.int8) if priority is None else priority,
        "block_offsets": np.zeros(0, np.int64) if prefixes is None else prefixes.offsets,
        "block_ids": requests.block_ids(),
        "leaf_tokens": 0 if prefixes is None else prefixes.block_tokens,
        **_blank(len(requests)),
    }


def take_rows(columns: Columns, rows: NDArray[np.int64]) -> Columns:
    """The columns of some requests, in the order of `rows`, with outputs of their own."""
    part: Columns = {name: columns[name] for name in ("block_offsets", "block_ids", "leaf_tokens")}
    for name in INPUTS:
        part[name] = columns[name][rows] if len(columns[name]) else columns[name]
    if columns["leaf_tokens"]:
        prefixes = Prefixes(columns["block_offsets"], columns["block_ids"], columns["leaf_tokens"])
        taken = prefixes.take(rows)
        part["block_offsets"], part["block_ids"] = taken.offsets, taken.hashes.astype(np.int32)
    return part | _blank(len(rows))


def _blank(count: int) -> Columns:
    return {
        "schedule_s": np.full(count, np.nan),
        "first_token_s": np.full(count, np.nan),
        "done_s": np.full(count, np.nan),
        "energy_j": np.zeros(count),
        "status": np.zeros(count, np.int8),
        "preemptions": np.zeros(count, np.int32),
        "generated_tokens": np.zeros(count, np.int32),
        "replica": np.full(count, NOBODY, np.int32),
    }


def flow_plan(requests: Requests, concurrency: int, limits: Sequence[int]) -> Columns:
    """Who comes when, who follows whom, and where to (see `engine_flow.Flow`)."""
    count = len(requests)
    empty = np.zeros(0, np.int32)
    own = np.arange(count, dtype=np.int32)
    child = sibling = empty
    if requests.after is not None:
        own = own[requests.after < 0]
        child, sibling = _families(requests.after)
    spare = empty
    if concurrency > 0:
        own, spare = own[:concurrency], own[concurrency:]
    calendar = own[np.argsort(requests.arrival_s[own], kind="stable")]
    return {
        "service": empty if requests.pool is None else requests.pool,
        "tenant": empty if requests.tenant is None else requests.tenant,
        "tenant_limits": np.asarray(limits, np.int32),
        "calendar": calendar,
        "child": child,
        "sibling": sibling,
        "delay_s": _delays(requests, len(child) > 0),
        "spare": spare,
    }


def _delays(requests: Requests, chained: bool) -> NDArray[np.float64]:
    if requests.delay_s is None:
        return np.zeros(len(requests) if chained else 0)
    return requests.delay_s


def _families(after: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """First child of each request, and next child of the same parent, in order of index."""
    count = len(after)
    child, sibling = np.full(count, NOBODY, np.int32), np.full(count, NOBODY, np.int32)
    rows = np.flatnonzero(after >= 0)
    rows = rows[np.argsort(after[rows], kind="stable")]
    parents = after[rows]
    first = np.ones(len(rows), bool)
    first[1:] = parents[1:] != parents[:-1]
    child[parents[first]] = rows[first]
    sibling[rows[:-1][~first[1:]]] = rows[1:][~first[1:]]
    return child, sibling
