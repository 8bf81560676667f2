"""Constants of fabrics, fitted on measured collectives, and how well they predict.

A constant belongs to a family of links, an operation or an engine, never to a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tokenmill.evidence.collectives.rows import EXPERTS, FABRICS, NCCL, NETWORKS, SHOT, Rows
from tokenmill.evidence.regression import relative_fit
from tokenmill.physics import collectives
from tokenmill.physics.fabric import BACKENDS, ENGINES, PHASES, Exchange, Fabric, Link, Timing

__all__ = ["cross_validate", "errors", "fabric_of", "fit", "predict"]

Array = NDArray[np.float64]

# Whose constants stand in for a family's missing ones, nearest first.
RELATIVES: Mapping[str, tuple[str, ...]] = {
    "nvlink3": ("nvlink4", "nvlink5"),
    "nvlink4": ("nvlink5", "nvlink3"),
    "nvlink5": ("nvlink4", "nvlink3"),
}
CONTENTION = 2.0  # PCIe: read off the kernel table's rates at 2, 4 and 8 GPUs (20, 5, 1.4 GB/s)
_RING = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")


def fabric_of(gpu: str, constants: Mapping[str, Link], system: str = "") -> Fabric:
    """The fabric of a measured GPU, with the constants of its families."""
    name, rate, domain, sharp = FABRICS[gpu]
    network, network_rate = NETWORKS.get(system, ("", 0.0))
    kind = "pcie" if name.startswith("pcie") else "nvlink-switch"
    outside = constants.get(network)
    return Fabric(kind, rate, domain, constants[name], network_rate, outside, sharp)


def fit(rows: Rows) -> dict[str, Link]:
    """Constants of every family that the rows measure.

    A family whose rows do not cover every operation takes the rest from its nearest relative.
    """
    inside = rows.where(rows.nodes <= 1)
    links: dict[str, Link] = {}
    names = sorted(set(inside.family.tolist()))
    families = sorted(names, key=lambda name: not _covered(inside, name))
    for name in families:
        relative = _relative(name, links)
        if relative is not None or _covered(inside, name):
            links[name] = _fit_inside(inside.where(inside.family == name), relative)
    for name in RELATIVES:
        parent = _relative(name, links)
        if name not in links and parent is not None:
            links[name] = parent
    for name in sorted(set(rows.family[rows.nodes > 1].tolist())):
        mine = rows.where((rows.family == name) & (rows.nodes > 1))
        if {FABRICS[gpu][0] for gpu in mine.gpu.tolist()} <= set(links):
            links[name] = _fit_network(mine, links)
    return links


def _covered(rows: Rows, name: str) -> bool:
    mine = rows.where((rows.family == name) & (rows.table == NCCL))
    return set(_RING) <= set(mine.op.tolist()) and np.unique(mine.n_gpus).size > 1


def _relative(name: str, links: Mapping[str, Link]) -> Link | None:
    return next((links[other] for other in RELATIVES.get(name, ()) if other in links), None)


def _rate(rows: Rows) -> Array:
    rate = np.array([FABRICS[gpu][1] for gpu in rows.gpu])
    pcie = np.array([FABRICS[gpu][0].startswith("pcie") for gpu in rows.gpu], dtype=bool)
    return np.where(pcie, rate * (2.0 / rows.n_gpus) ** CONTENTION, rate)


def _chain(rows: Rows) -> Array:
    return np.minimum(rows.n_gpus - 1.0, 7.0 / 3.0 * np.log2(rows.n_gpus))


def _timing(rows: Rows, wire: Array, *, hop: bool = True, copy: bool = True) -> Timing:
    """One algorithm's constants; its wire is never faster than the link."""
    if rows.seconds.size == 0:
        return Timing(0.0)
    wire_s = wire / _rate(rows)
    zero = np.zeros_like(wire_s)
    columns = np.stack([
        np.ones_like(wire_s),
        _chain(rows) if hop else zero,
        wire_s,
        np.sqrt(wire_s),
        rows.message_bytes / rows.n_gpus / _rate(rows) if copy else zero,
    ], axis=1)  # fmt: skip
    launch, step, excess, fill, local = relative_fit(columns, rows.seconds, fixed=wire_s).tolist()
    return Timing(launch, step, (fill / 2.0) ** 2, 1.0 / (1.0 + excess), local)


def _fit_inside(rows: Rows, relative: Link | None) -> Link:
    nccl = rows.where(rows.table == NCCL)
    pcie = FABRICS[str(rows.gpu[0])][0].startswith("pcie")
    found = {}
    for op in _RING:
        mine = nccl.where(nccl.op == op)
        if np.unique(mine.n_gpus).size > 1 or relative is None:
            wire = collectives.bus_factor(op, mine.n_gpus) * mine.message_bytes
            found[op] = _timing(mine, wire, copy=not pcie)
        else:
            found[op] = getattr(relative, op)
    link = _complete(found, CONTENTION if pcie else 0.0)
    if relative is not None:
        link = replace(
            link, sharp=relative.sharp, one_shot=relative.one_shot, two_shot=relative.two_shot,
            shot_launch=relative.shot_launch, experts=relative.experts,
        )  # fmt: skip
    reduce = nccl.where(nccl.op == "all_reduce")
    sharp = any(FABRICS[gpu][3] for gpu in set(nccl.gpu.tolist()))
    if sharp and np.unique(reduce.n_gpus).size > 1 and reduce.n_gpus.max() >= 8:
        link = _split_sharp(link, reduce)
    link = _fit_shots(link, rows.where(rows.table == SHOT))
    return _fit_experts(link, rows.where(rows.table == EXPERTS))


def _complete(found: Mapping[str, Timing], contention: float) -> Link:
    """Adds what nobody measured: a send is one step of a scatter, a broadcast runs as a gather."""
    scatter, gather = found["reduce_scatter"], found["all_gather"]
    send = replace(scatter, launch_s=scatter.launch_s + scatter.hop_s, hop_s=0.0, copy=0.0)
    return Link(
        found["all_reduce"], gather, scatter, found["all_to_all"], replace(gather, copy=0.0), send,
        contention=contention,
    )  # fmt: skip


def _split_sharp(link: Link, rows: Rows) -> Link:
    """Tells in-switch reduction from rings: each row belongs to the faster, then both refit."""
    wire_ring = collectives.bus_factor("all_reduce", rows.n_gpus) * rows.message_bytes
    wire_sharp = rows.message_bytes * (1.0 + 1.0 / rows.n_gpus)
    in_switch = (rows.n_gpus >= 8) & (rows.message_bytes >= 2.0**22)
    ring, sharp = link.all_reduce, Timing(0.0)
    for _ in range(8):
        ring = _timing(rows.where(~in_switch), wire_ring[~in_switch])
        sharp = _timing(rows.where(in_switch), wire_sharp[in_switch], hop=False, copy=False)
        before = in_switch
        in_switch = (rows.n_gpus >= 8) & (
            _seconds(sharp, wire_sharp, rows) < _seconds(ring, wire_ring, rows)
        )
        if not in_switch.any() or bool((in_switch == before).all()):
            break
    return replace(link, all_reduce=ring, sharp=sharp)


def _seconds(timing: Timing, wire: Array, rows: Rows) -> Array:
    wire_s = wire / _rate(rows)
    return (
        timing.launch_s + timing.hop_s * _chain(rows) + wire_s / timing.efficiency
        + 2.0 * np.sqrt(timing.pipeline_s * wire_s)
        + timing.copy * rows.message_bytes / rows.n_gpus / _rate(rows)
    )  # fmt: skip


def _fit_shots(link: Link, rows: Rows) -> Link:
    """One-shot and two-shot constants: shared by engines but for the launch."""
    if not rows.seconds.size:
        return link
    n, m = rows.n_gpus, rows.message_bytes
    volumes = {"one": (n - 1.0) * m, "two": 2.0 * (n - 1.0) / n * m}
    library = _library(link, rows)
    pcie = FABRICS[str(rows.gpu[0])][0].startswith("pcie")  # reads from every peer, no two-shot
    two = np.zeros(n.size, dtype=bool) if pcie else (n > 2) & (m * n > 2.0**20)
    small = m <= collectives.SHOT_LIMIT_BYTES
    own = small
    for _ in range(8):
        launches, timings = _shot_round(rows, volumes, two, own)
        times = _shot_seconds(rows, volumes, launches, timings)
        two = (times[1] < times[0]) & (n > 2) & (not pcie)
        own = small & (np.where(two, times[1], times[0]) < library)
    return replace(
        link, one_shot=timings[0], two_shot=None if pcie else timings[1],
        shot_launch=tuple(zip(ENGINES, launches.tolist(), strict=True)),
    )  # fmt: skip


def _library(link: Link, rows: Rows) -> Array:
    """Seconds of the library's own all-reduce for each row."""
    seconds = np.zeros_like(rows.seconds)
    for gpu in set(rows.gpu.tolist()):
        mine = rows.gpu == gpu
        fabric = fabric_of(gpu, {FABRICS[gpu][0]: link})
        seconds[mine] = collectives.collective_s(
            fabric, "all_reduce", rows.message_bytes[mine], rows.n_gpus[mine]
        )
    return seconds


def _shot_round(
    rows: Rows, volumes: Mapping[str, Array], two: NDArray[np.bool_], own: NDArray[np.bool_]
) -> tuple[Array, list[Timing]]:
    """Both kernels at once: launches by engine, then launch, hop, wire and fill of each."""
    blocks = [np.stack([rows.detail == e for e in ENGINES], axis=1).astype(float)]
    fixed = np.zeros_like(rows.seconds)
    for index, wire in enumerate(volumes.values()):
        mine = (two == bool(index)).astype(float)
        wire_s = wire / _rate(rows)
        columns = [mine * index, mine * (rows.n_gpus - 1.0), mine * wire_s, mine * np.sqrt(wire_s)]
        blocks.append(np.stack(columns, axis=1))
        fixed += mine * wire_s
    table = np.concatenate(blocks, axis=1)
    x = relative_fit(table[own], rows.seconds[own], fixed=fixed[own])
    k = len(ENGINES)
    timings = [
        Timing(float(a), float(b), (float(d) / 2.0) ** 2, 1.0 / (1.0 + float(c)))
        for a, b, c, d in (x[k : k + 4], x[k + 4 :])
    ]
    return x[:k], timings


def _shot_seconds(
    rows: Rows, volumes: Mapping[str, Array], launches: Array, timings: list[Timing]
) -> list[Array]:
    engine = np.select([rows.detail == e for e in ENGINES], list(launches))
    return [
        engine + _seconds(timing, wire, rows)
        for timing, wire in zip(timings, volumes.values(), strict=True)
    ]


def _fit_experts(link: Link, rows: Rows) -> Link:
    experts = []
    for backend in BACKENDS:
        for phase in PHASES:
            mine = rows.where((rows.op == phase) & (rows.detail == backend))
            if mine.seconds.size:
                experts.append((f"{backend}-{phase}", _exchange(mine, backend)))
    return replace(link, experts=tuple(experts)) if experts else link


def _exchange(rows: Rows, backend: str) -> Exchange:
    copies = rows.tokens * collectives.exchange_copies(rows.n_gpus, rows.top_k, backend)
    wire_s = copies * rows.token_bytes * (rows.n_gpus - 1.0) / rows.n_gpus / _rate(rows)
    columns = np.stack([np.ones_like(wire_s), copies, wire_s], axis=1)
    launch, token, excess = relative_fit(columns, rows.seconds, fixed=wire_s).tolist()
    return Exchange(launch, token, 1.0 / (1.0 + excess))


def _fit_network(rows: Rows, links: Mapping[str, Link]) -> Link:
    """All-reduce between two domains; the level inside is known, its wire hides in the slower.

    Only all-reduce was measured: the others get its constants, half its latency where they make
    half its passes.
    """
    share = rows.message_bytes / (rows.n_gpus / rows.nodes)
    rate = np.array([NETWORKS[system][1] for system in rows.system])
    wire_s = collectives.bus_factor("all_reduce", rows.nodes) * share / rate
    within = np.zeros_like(share)
    hidden = np.zeros_like(share)
    for gpu in set(rows.gpu.tolist()):
        mine = rows.gpu == gpu
        cost = collectives.inside_cost(
            fabric_of(gpu, links), "all_reduce", rows.message_bytes[mine],
            (rows.n_gpus / rows.nodes)[mine],
        )  # fmt: skip
        within[mine], hidden[mine] = cost.latency_s + cost.fill_s, cost.wire_s
    excess, x = 0.0, np.zeros(2)
    best = np.inf
    for trial in np.linspace(0.0, 6.0, 121):
        wire = np.maximum(wire_s * (1.0 + trial), hidden)
        columns = np.stack([np.ones_like(wire), np.sqrt(wire_s)], axis=1)
        found = relative_fit(columns, rows.seconds, fixed=within + wire, rounds=8)
        loss = float(np.mean(np.abs((within + wire + columns @ found) / rows.seconds - 1.0)))
        if loss < best:
            best, excess, x = loss, float(trial), found
    start_s, fill = float(x[0]) / 2.0, float(x[1]) / 2.0
    reduce = Timing(start_s, start_s, fill**2, 1.0 / (1.0 + excess))
    half = replace(reduce, launch_s=reduce.launch_s / 2.0, hop_s=reduce.hop_s / 2.0)
    return Link(reduce, half, half, half, half, half)


def predict(rows: Rows, links: Mapping[str, Link]) -> Array:
    """Seconds of each row by the product's own functions."""
    seconds = np.full(rows.seconds.size, np.nan)
    labels = np.stack([rows.table, rows.gpu, rows.system, rows.op, rows.detail], axis=1)
    keys, which = np.unique(labels, axis=0, return_inverse=True)
    for index, (table, gpu, system, op, detail) in enumerate(keys.tolist()):
        mine = which.reshape(-1) == index
        fabric = fabric_of(gpu, links, system)
        seconds[mine] = _predict(table, op, detail, fabric, rows.where(mine))
    return seconds


def _predict(table: str, op: str, detail: str, fabric: Fabric, rows: Rows) -> Array:
    n = rows.n_gpus
    if table == NCCL:
        local = n / rows.nodes
        return collectives.collective_s(fabric, op, rows.message_bytes, n, gpus_per_node=local)
    if table == SHOT:
        return collectives.custom_all_reduce_s(fabric, rows.message_bytes, n, engine=detail)
    seconds = np.zeros_like(n)
    for k in set(rows.top_k.tolist()):
        mine = rows.top_k == k
        seconds[mine] = collectives.expert_exchange_s(
            fabric, "dispatch" if op == "dispatch" else "combine", rows.tokens[mine],
            rows.token_bytes[mine], n[mine], top_k=int(k), backend=detail,
        )  # fmt: skip
    return seconds


def errors(
    rows: Rows, predicted: Array, by: Callable[[Rows], NDArray[np.str_]]
) -> dict[str, tuple[int, float, float]]:
    """Rows, median and mean absolute relative error of each group; unpredicted rows aside."""
    known = np.isfinite(predicted)
    wrong = np.abs(predicted[known] / rows.seconds[known] - 1.0)
    labels = by(rows)[known]
    return {
        str(label): (
            int((labels == label).sum()),
            float(np.median(wrong[labels == label])),
            float(np.mean(wrong[labels == label])),
        )
        for label in sorted(set(labels.tolist()))
    }


def cross_validate(rows: Rows, by: Callable[[Rows], NDArray[np.str_]]) -> Array:
    """Seconds of each row predicted without its group; NaN where its family is then unmeasured.

    Parameters: by, the group of each row, such as `lambda r: r.publication`.
    """
    seconds = np.full(rows.seconds.size, np.nan)
    labels = by(rows)
    for label in sorted(set(labels.tolist())):
        out = labels == label
        links = fit(rows.where(~out))
        known = out & np.isin(rows.family, list(links)) & np.isin(
            [FABRICS[gpu][0] for gpu in rows.gpu], list(links)
        )  # fmt: skip
        if known.any():
            seconds[known] = predict(rows.where(known), links)
    return seconds
