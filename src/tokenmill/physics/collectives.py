"""Seconds of collective operations: ring, tree, in-switch and hierarchical algorithms.

One algorithm costs, with w the time its bytes need on the wire of the busiest GPU,

    launch + hop x chain + w / efficiency + 2 sqrt(pipeline x w) + copy

- the square root is what an optimally chunked pipeline pays for filling (Sanders, Speck,
Träff 2009, doi:10.1016/j.parco.2009.09.001); wire volumes are those of Thakur, Rabenseifner,
Gropp 2005, doi:10.1177/1094342005051521. The library takes the fastest algorithm, so do we.
Messages are counted as by nccl-tests: the whole buffer of a rank.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from tokenmill.errors import InputError, NoCalibration
from tokenmill.physics.fabric import Fabric, Link, Timing

__all__ = [
    "SHOT_LIMIT_BYTES", "Cost", "Operation", "bus_factor", "collective_s", "custom_all_reduce_s",
    "exchange_copies", "expert_exchange_s", "inside_cost", "wire_bytes",
]  # fmt: skip

Array = NDArray[np.float64]
Operation = Literal["all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "p2p"]
# Spellings of nccl-tests and MPI; a reduction to one rank runs as a broadcast does, backwards.
_ALIASES = {
    "allreduce": "all_reduce", "allgather": "all_gather", "reducescatter": "reduce_scatter",
    "alltoall": "all_to_all", "hypercube": "all_to_all", "send_recv": "p2p", "sendrecv": "p2p",
    "send": "p2p", "bcast": "broadcast", "reduce": "broadcast", "gather": "all_gather",
    "scatter": "all_gather",
}  # fmt: skip
# Largest message for engines' own kernels: the default limit of vLLM and SGLang, 8 MiB.
SHOT_LIMIT_BYTES = 2.0**23
# A chain of n-1 hops up to 8 ranks (measured), a tree beyond: continuous at 8.
_TREE_HOPS = 7.0 / math.log2(8)


class Cost(NamedTuple):
    """Parts of a time [s]; two levels add latency and fill, and overlap their wires."""

    latency_s: Array
    wire_s: Array
    fill_s: Array

    @property
    def total_s(self) -> Array:
        """The whole time [s]."""
        return self.latency_s + self.wire_s + self.fill_s

    def over(self, other: Cost) -> Cost:
        """Both levels in one pipeline: the slower wire hides the faster."""
        return Cost(
            self.latency_s + other.latency_s,
            np.maximum(self.wire_s, other.wire_s),
            self.fill_s + other.fill_s,
        )


def bus_factor(op: str, n_gpus: Any) -> Array:
    """Bytes on each GPU's wire per byte of message, one direction.

    Parameters: op; n_gpus, count or array of counts (>= 1).
    Returns: factor, 2(n-1)/n for all_reduce, (n-1)/n for the others, 1 for broadcast and p2p.
    """
    n = np.asarray(n_gpus, dtype=float)
    if op in ("broadcast", "p2p"):
        return np.where(n > 1, 1.0, 0.0)
    factor: Array = (2.0 if op == "all_reduce" else 1.0) * (n - 1.0) / n
    return factor


def wire_bytes(op: str, message_bytes: Any, n_gpus: Any) -> Array:
    """Bytes sent by each GPU [B] in the leanest point-to-point algorithm, for energy and limits."""
    volume: Array = bus_factor(_name(op), n_gpus) * np.asarray(message_bytes, dtype=float)
    return volume


def collective_s(
    fabric: Fabric, op: str, message_bytes: Any, n_gpus: Any, *, gpus_per_node: Any = None
) -> Array:
    """Time of a collective operation [s], the fastest of the algorithms the fabric offers.

    Parameters: op, an `Operation`; message_bytes [B], whole buffer of a rank as nccl-tests
    counts it, scalar or array; n_gpus in the group, scalar or array; gpus_per_node, how many of
    them share a domain (default: as many as fit).
    Returns: seconds, in the broadcast shape; 0 for a group of one.
    Raises: InputError for an unknown operation, NoCalibration for a group that leaves its domain
    where the fabric has no network.
    """
    name = _name(op)
    message, n = np.broadcast_arrays(
        np.asarray(message_bytes, dtype=float), np.asarray(n_gpus, dtype=float)
    )
    local = np.minimum(n, fabric.domain_gpus if gpus_per_node is None else gpus_per_node)
    nodes = np.ceil(n / local)
    if bool(np.any(nodes > 1)):
        times = [cost.total_s for cost in _both_levels(fabric, name, message, local, nodes)]
    else:
        times = [cost.total_s for cost in _inside(fabric, name, message, n)]
    return np.where(n > 1, np.minimum.reduce(times), 0.0)


def custom_all_reduce_s(
    fabric: Fabric, message_bytes: Any, n_gpus: Any, *, engine: str = "vllm"
) -> Array:
    """Time of an all-reduce [s] as inference engines do it inside a domain, in a CUDA graph.

    Small messages are read from every peer at once (one-shot) or reduced and gathered in two
    steps (two-shot); the library's own all-reduce takes over where it is faster. Fabrics
    without such kernels, and groups that leave a domain, use the library.
    Parameters: as in `collective_s`; engine, one of `fabric.ENGINES` (others: their mean).
    """
    message, n = np.broadcast_arrays(
        np.asarray(message_bytes, dtype=float), np.asarray(n_gpus, dtype=float)
    )
    inside = fabric.inside
    times = [collective_s(fabric, "all_reduce", message, n)]
    launches = dict(inside.shot_launch)
    if launches:
        launch_s = launches.get(engine, sum(launches.values()) / len(launches))
        for shot, volume in ((inside.one_shot, n - 1.0), (inside.two_shot, 2.0 * (n - 1.0) / n)):
            if shot is not None:
                cost = _cost(shot, volume * message, n, message, _rate(fabric, n))
                fits = (n <= fabric.domain_gpus) & (message <= SHOT_LIMIT_BYTES)
                times.append(np.where(fits, cost.total_s + launch_s, np.inf))
    return np.where(n > 1, np.minimum.reduce(times), 0.0)


def expert_exchange_s(
    fabric: Fabric,
    phase: Literal["dispatch", "combine"],
    tokens: Any,
    token_bytes: Any,
    n_gpus: Any,
    *,
    top_k: int,
    backend: str = "high-throughput",
) -> Array:
    """Time to send tokens to the GPUs of their experts, or results back [s].

    Parameters: phase; tokens held by each GPU, scalar or array; token_bytes [B] of one token's
    activation on the wire; n_gpus the experts are spread over; top_k experts of a token;
    backend, "high-throughput" (a token travels once to each GPU that needs it) or
    "low-latency" (once to each expert).
    Returns: seconds. Where no exchange kernel was measured: an all-to-all of the same bytes.
    """
    count, n = np.broadcast_arrays(np.asarray(tokens, dtype=float), np.asarray(n_gpus, dtype=float))
    copies = exchange_copies(n, top_k, backend)
    message = count * np.asarray(token_bytes, dtype=float) * copies
    kernel = dict(fabric.inside.experts).get(f"{backend}-{phase}")
    if kernel is None or bool(np.any(n > fabric.domain_gpus)):
        return collective_s(fabric, "all_to_all", message, n)
    wire_s = message * (n - 1.0) / n / _rate(fabric, n)
    seconds = kernel.launch_s + kernel.token_s * count * copies + wire_s / kernel.efficiency
    return np.where(n > 1, seconds, 0.0)


def exchange_copies(n_gpus: Any, top_k: Any, backend: str = "high-throughput") -> Array:
    """Times a token is sent in an expert exchange: to each GPU that needs it, or each expert.

    Parameters: n_gpus the experts are spread over; top_k experts of a token; backend as in
    `expert_exchange_s`.
    Returns: copies of each token, the mean over even routing.
    """
    n, k = np.broadcast_arrays(np.asarray(n_gpus, dtype=float), np.asarray(top_k, dtype=float))
    return n * (1.0 - (1.0 - 1.0 / n) ** k) if backend == "high-throughput" else k


def _name(op: str) -> str:
    plain = op.removesuffix("_perf")
    name = _ALIASES.get(plain, plain)
    if name not in get_args(Operation):
        known = ", ".join(get_args(Operation))
        raise InputError(f'unknown collective "{op[:40]}"; known: {known}')
    return name


def _rate(fabric: Fabric, n: Array, op: str = "all_reduce") -> Array:
    """Rate of one GPU inside the domain [B/s] in a group of n."""
    link = fabric.inside
    rate = fabric.link_bytes_per_s * np.ones_like(n)
    if fabric.is_mesh and fabric.domain_gpus > 1:
        partners = np.ones_like(n) if op == "p2p" else np.minimum(n, fabric.domain_gpus) - 1.0
        rate = rate * np.maximum(partners, 1.0) / (fabric.domain_gpus - 1.0)
    if link.contention:
        rate = rate * (2.0 / np.maximum(n, 2.0)) ** link.contention
    return rate if fabric.peer_access else rate * link.bounce


def _chain(n: Array) -> Array:
    """Hops of the shortest chain: ring or tree."""
    return np.minimum(n - 1.0, _TREE_HOPS * np.log2(np.maximum(n, 1.0)))


def _cost(timing: Timing, wire: Array, n: Array, message: Array, rate: Array) -> Cost:
    wire_s = wire / rate
    copy_s = timing.copy * message / n / rate
    return Cost(
        timing.launch_s + timing.hop_s * _chain(n) + np.zeros_like(wire_s),
        wire_s / timing.efficiency + copy_s,
        2.0 * np.sqrt(timing.pipeline_s * wire_s),
    )


def _inside(fabric: Fabric, op: str, message: Array, n: Array) -> list[Cost]:
    """Every algorithm within a domain."""
    timing: Timing = getattr(fabric.inside, op)
    rate = _rate(fabric, n, op)
    costs = [_cost(timing, bus_factor(op, n) * message, n, message, rate)]
    sharp = fabric.inside.sharp
    if op == "all_reduce" and fabric.sharp and sharp is not None:
        # The switch adds up: a GPU sends its buffer once and its reduced share once.
        costs.append(_cost(sharp, message * (1.0 + 1.0 / n), n, message, rate))
    return costs


def _both_levels(fabric: Fabric, op: str, message: Array, local: Array, nodes: Array) -> list[Cost]:
    """Hierarchical algorithms: every GPU carries its share of the message between domains."""
    outside = fabric.outside
    if outside is None or fabric.scaleout_bytes_per_s <= 0.0:
        raise NoCalibration(fabric.kind, "scale-out network (the group leaves its domain)")
    # An all-to-all sends its own buffer, and a pair has one network card each.
    share = message if op in ("all_to_all", "p2p") else message / local
    between = _network(outside, op, share, nodes, fabric.scaleout_bytes_per_s)
    alone = local <= 1.0
    costs = []
    for cost in _inside(fabric, op, message, np.maximum(local, 1.0)):
        within = Cost(*(np.where(alone, 0.0, part) for part in cost))
        costs.append(within.over(between))
    return costs


def _network(link: Link, op: str, share: Array, nodes: Array, rate: float) -> Cost:
    timing: Timing = getattr(link, op)
    n = np.maximum(nodes, 1.0)
    cost = _cost(timing, bus_factor(op, n) * share, n, share, rate * np.ones_like(n))
    return Cost(*(np.where(nodes > 1.0, part, 0.0) for part in cost))


def inside_cost(fabric: Fabric, op: str, message_bytes: Array, n_gpus: Array) -> Cost:
    """Parts of the fastest algorithm within a domain [s], element by element, for fits."""
    costs = _inside(fabric, _name(op), message_bytes, n_gpus)
    best = np.argmin(np.stack([cost.total_s for cost in costs]), axis=0)
    return Cost(*(np.choose(best, [cost[part] for cost in costs]) for part in range(3)))
