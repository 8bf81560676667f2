"""Collectives: limits of the wire, order, and how near the measured times they come."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenmill.catalog import load
from tokenmill.errors import InputError, NoCalibration
from tokenmill.evidence.collectives import files as fabric_files
from tokenmill.evidence.collectives.fit import cross_validate, errors, fabric_of, fit, predict
from tokenmill.evidence.collectives.rows import FABRICS, NETWORKS, read_rows
from tokenmill.physics import collectives, fabric
from tokenmill.physics.fabric import Fabric, Link, Timing

OPERATIONS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast", "p2p")
FAMILIES = [name for name in load.names("calibration") if name.startswith("fabric-")]
MESSAGES = 2.0 ** np.arange(3, 35)


def link_of(name: str) -> Link:
    return fabric.link(load.calibration(name).figures, name)


def hgx_h100() -> Fabric:
    return Fabric(
        "nvlink-switch", 450e9, 8, link_of("fabric-nvlink4"), 50e9,
        link_of("fabric-infiniband"), sharp=True,
    )  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_readable_and_below_the_line_rate(name: str) -> None:
    link = link_of(name)
    for op in OPERATIONS:
        timing: Timing = getattr(link, op)
        assert 0.0 < timing.efficiency <= 1.0
        assert min(timing.launch_s, timing.hop_s, timing.pipeline_s, timing.copy) >= 0.0


@pytest.mark.parametrize("name", [n for n in FAMILIES if "nvlink" in n or "pcie" in n])
@pytest.mark.parametrize("op", OPERATIONS)
def test_never_faster_than_the_wire(name: str, op: str) -> None:
    box = Fabric("nvlink-switch", 300e9, 8, link_of(name), sharp=True)
    for n in (2.0, 4.0, 8.0):
        seconds = collectives.collective_s(box, op, MESSAGES, n)
        least = collectives.wire_bytes(op, MESSAGES, n)
        if op == "all_reduce":  # a switch that adds up needs less of each GPU's wire
            least = np.minimum(least, MESSAGES * (1.0 + 1.0 / n))
        assert np.all(seconds >= least / 300e9)
        assert np.all(np.diff(seconds) > 0.0), "a longer message cannot be faster"


@given(
    op=st.sampled_from(OPERATIONS),
    nodes=st.integers(1, 64),
    message=st.floats(1.0, 1e11),
    rate=st.floats(1e9, 1e12),
    more=st.floats(1.0, 8.0),
)
def test_a_wider_network_is_never_slower(
    op: str, nodes: int, message: float, rate: float, more: float
) -> None:
    narrow = replace(hgx_h100(), scaleout_bytes_per_s=rate)
    wide = replace(narrow, scaleout_bytes_per_s=rate * more, link_bytes_per_s=450e9 * more)
    slow = collectives.collective_s(narrow, op, message, 8 * nodes)
    fast = collectives.collective_s(wide, op, message, 8 * nodes)
    assert fast <= slow * (1 + 1e-12)
    if nodes > 1 and op == "all_reduce":
        assert slow >= 2 * (nodes - 1) / nodes * message / 8 / rate


def test_a_group_of_one_costs_nothing_and_arrays_broadcast() -> None:
    box = hgx_h100()
    seconds = collectives.collective_s(box, "all_reduce", MESSAGES[:, None], [1, 2, 8, 64])
    assert seconds.shape == (MESSAGES.size, 4)
    assert np.all(seconds[:, 0] == 0.0)
    alone = collectives.collective_s(box, "all_reduce", MESSAGES, 64)
    assert np.array_equal(seconds[:, 3], alone), "one element must not depend on its neighbours"


def test_leaving_the_domain_costs_more_than_staying() -> None:
    box = hgx_h100()
    inside = collectives.collective_s(box, "all_reduce", MESSAGES, 8)
    spread = collectives.collective_s(box, "all_reduce", MESSAGES, 8, gpus_per_node=1)
    assert np.all(spread > inside)
    rack = replace(box, domain_gpus=72, link_bytes_per_s=900e9)
    assert np.all(
        collectives.collective_s(rack, "all_to_all", MESSAGES, 64)
        < collectives.collective_s(box, "all_to_all", MESSAGES, 64)
    )


def test_the_switch_takes_over_where_it_is_faster() -> None:
    box, large = hgx_h100(), 2.0**33
    ring = collectives.collective_s(replace(box, sharp=False), "all_reduce", large, 8)
    assert collectives.collective_s(box, "all_reduce", large, 8) < 0.95 * ring


def test_engines_kernels_help_small_messages_only() -> None:
    box = hgx_h100()
    library = collectives.collective_s(box, "all_reduce", MESSAGES, 8)
    for engine in (*fabric.ENGINES, "another"):
        own = collectives.custom_all_reduce_s(box, MESSAGES, 8, engine=engine)
        assert np.all(own <= library)
        assert own[0] < 0.5 * library[0]
        above = MESSAGES > collectives.SHOT_LIMIT_BYTES
        assert np.array_equal(own[above], library[above])


def test_no_peer_access_is_slower() -> None:
    desk = Fabric("pcie", 32e9, 4, link_of("fabric-pcie4"))
    bounced = replace(desk, peer_access=False)
    large = 2.0**28
    near = collectives.collective_s(desk, "all_reduce", large, 2)
    assert collectives.collective_s(bounced, "all_reduce", large, 2) > 1.5 * near
    assert collectives.collective_s(desk, "all_reduce", large, 4) > 2 * near


def test_a_pair_in_a_mesh_has_one_link() -> None:
    mesh = Fabric("infinity-fabric", 448e9, 8, link_of("fabric-infinity-fabric"))
    seconds = collectives.collective_s(mesh, "p2p", 1e9, 2)
    assert seconds >= 1e9 / (448e9 / 7)


def test_low_latency_exchange_wins_for_few_tokens_only() -> None:
    box = hgx_h100()
    times = {
        backend: [
            float(collectives.expert_exchange_s(
                box, "dispatch", tokens, 14336, 8, top_k=8, backend=backend
            ))
            for tokens in (1, 4096)
        ]
        for backend in fabric.BACKENDS
    }  # fmt: skip
    assert times["high-throughput"][1] < 2 * times["low-latency"][1]
    assert times["low-latency"][0] < 2 * times["high-throughput"][0]
    assert collectives.exchange_copies(8, 1) == pytest.approx(1.0)
    assert collectives.exchange_copies(8, 8) < 8


def test_refusals() -> None:
    with pytest.raises(InputError, match="unknown collective"):
        collectives.collective_s(hgx_h100(), "all_reduced", 1.0, 2)
    with pytest.raises(NoCalibration, match="scale-out"):
        collectives.collective_s(replace(hgx_h100(), outside=None), "all_reduce", 1.0, 16)
    with pytest.raises(NoCalibration, match="all_reduce_efficiency"):
        fabric.link({}, "fabric-none")


def catalogue_links() -> dict[str, Link]:
    measured = {name for name, *_ in (*FABRICS.values(), *NETWORKS.values())}
    return {name: link_of(f"fabric-{name}") for name in measured}


# Median and mean absolute error that published sweeps may have. They may only shrink.
BUDGET = {
    "a100_sxm": (0.05, 0.07),
    "h100_sxm": (0.05, 0.08),
    "l40s": (0.10, 0.14),
    "dgx-cloud-h100-x1-node": (0.06, 0.11),
    "oci-bm-gpu4-8-x1": (0.18, 0.22),
    "aws-p4de-24xlarge-x2": (0.05, 0.07),
    "aws-p5-48xlarge-x2": (0.08, 0.11),
    "aws-p5-48xlarge-x2-eks": (0.32, 0.32),
    "oci-bm-gpu4-8-x2-16x100g-roce": (0.18, 0.20),
}


def test_evidence_of_published_sweeps(shared: Path) -> None:
    rows = read_rows(shared / "measurements")
    predicted = predict(rows, catalogue_links())
    found = errors(rows, predicted, lambda r: r.system)
    assert set(found) == set(BUDGET)
    for system, (_, median, mean) in found.items():
        assert (median, mean) <= BUDGET[system], (system, median, mean)
        assert mean <= BUDGET[system][1], (system, mean)
    everything = np.abs(predicted / rows.seconds - 1.0)
    assert np.median(everything) <= 0.06
    assert everything.mean() <= 0.10


def test_evidence_of_kernel_tables_with_each_gpu_left_out(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = read_rows(shared / "measurements", shared / "silicon")
    library = rows.where((rows.table == "nccl") & (rows.nodes <= 1))
    seconds = cross_validate(library, lambda r: r.gpu)
    found = errors(library, seconds, lambda r: r.gpu)
    for gpu in ("h100-sxm", "h200-sxm", "b200-sxm", "gb200"):
        _, median, mean = found[gpu]
        assert median <= 0.08, (gpu, median)
        assert mean <= 0.11, (gpu, mean)
    # A generation that nobody measured, from the next one's constants and its own link rate.
    assert found["a100-sxm-80gb"][1] <= 0.32


def test_the_files_are_what_the_fit_writes(shared: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = read_rows(shared / "measurements", shared / "silicon")
    links = fit(rows)
    for name in ("nvlink3", "nvlink4", "nvlink5", "pcie4", "efa1", "efa2", "roce-2020"):
        record = load.calibration(f"fabric-{name}")
        for key, value in fabric_files.figures(links[name]).items():
            if key != "bounce":
                assert float(record.figures[key].value) == pytest.approx(value, rel=1e-3, abs=1e-12)
    gpu = "h100-sxm"
    written = predict(rows.where(rows.gpu == gpu), catalogue_links())
    fitted = predict(rows.where(rows.gpu == gpu), links)
    assert np.allclose(written, fitted, rtol=2e-3)
    assert fabric_of(gpu, links).inside is links["nvlink4"]
