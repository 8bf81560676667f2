"""The user's own cluster, where a question names its calibration: engines, power, how sure."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from tokenmill.evidence.certainty import with_intervals
from tokenmill.evidence.cluster.cluster import Cluster, beside, read_cluster
from tokenmill.placement.engines import Engine, engine
from tokenmill.placement.platform import Platform
from tokenmill.simulator.outcome import Outcome

__all__ = ["drawn_here", "engine_here", "sure_here"]


def engine_here(name: str, where: Platform, calibration: str) -> Engine:
    """An engine as it runs on a platform, by the calibration of a cluster where one is named.

    Raises: UnknownName for the engine, BadRecord for the calibration.
    """
    runs_on = engine(name)
    cluster = _cluster(calibration)
    return cluster.engine_on(runs_on, where.accelerator.slug) if cluster else runs_on


def drawn_here(outcome: Outcome, calibration: str) -> Outcome:
    """An outcome with the power that the cluster draws. Raises: BadRecord."""
    cluster = _cluster(calibration)
    return cluster.drawn(outcome) if cluster else outcome


def sure_here(outcome: Outcome, calibration: str, *, closed: bool) -> Outcome:
    """An outcome with its intervals, narrower where the cluster was measured. Raises: BadRecord."""
    return with_intervals(outcome, closed=closed, cluster=_cluster(calibration))


def _cluster(path: str) -> Cluster | None:
    if not path:
        return None
    place = beside(Path(path))
    changed = place.stat().st_mtime_ns if place.exists() else 0
    return _read(str(place), changed)


@lru_cache(maxsize=16)
def _read(path: str, _changed: int) -> Cluster:
    return read_cluster(Path(path))
