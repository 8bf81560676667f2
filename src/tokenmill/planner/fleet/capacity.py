"""What one machine of a system does for a workload: requests a second inside limits, and watts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tokenmill.errors import Infeasible, InputError
from tokenmill.physics.power import node_w
from tokenmill.placement.platform import platform
from tokenmill.planner.answer import Refusal
from tokenmill.planner.fleet.question import WorkloadEntry
from tokenmill.planner.plan import answer_on
from tokenmill.planner.question import Question, question

__all__ = ["Capacity", "CapacityOf", "asked_of_planner", "capacity"]

# A load so high that the last, partly filled instance no longer counts.
_MANY_PER_S = 1e5


@dataclass(frozen=True, slots=True)
class Capacity:
    """One machine on one workload: requests_per_s inside its limits; power at the wall [W];
    tokens_per_s of output, 0 where only requests are known."""

    requests_per_s: float
    watts_busy: float
    watts_idle: float
    gpus: int
    basis: str = "given"
    tokens_per_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.watts_idle <= self.watts_busy < float("inf"):
            raise InputError(
                f"idle power must be above zero and at most the busy power, not "
                f"{self.watts_idle:g} and {self.watts_busy:g} W"
            )
        if not 0 < self.requests_per_s < float("inf"):
            raise InputError(f"a capacity must be above zero, not {self.requests_per_s}")


CapacityOf = Callable[[WorkloadEntry, str], Capacity]


def asked_of_planner(workload: WorkloadEntry, rate_per_s: float = _MANY_PER_S) -> Question:
    """The planner's question for a workload: as few GPUs as can be, inside the limits.

    Raises: InputError.
    """
    return question(
        models=(workload.model,), prompt_tokens=workload.prompt_tokens,
        output_tokens=workload.output_tokens, rate_per_s=rate_per_s, ttft_s=workload.ttft,
        tpot_s=workload.tpot, percentile=workload.percentile, weights=workload.weights,
        engine=workload.engine, minimise="gpus",
    )  # fmt: skip


def capacity(workload: WorkloadEntry, hardware: str) -> Capacity:
    """The most that one machine of a kind does for a workload, by the planner's closed form.

    Parameters: workload, with its model and limits; hardware, a name of the catalogue.
    Returns: rate and power of one full machine, among many that share the load.
    Raises: Infeasible with the limit that binds; Unsupported; UnknownName.
    """
    where = platform(hardware)
    answer = answer_on(asked_of_planner(workload), hardware)
    if isinstance(answer, Refusal):
        raise Infeasible(answer.message, change=answer.remedy)
    machines = answer.gpus / where.machine_gpus
    layout = answer.outcomes[0].layout
    idle_w = float(node_w(where.node, where.power.idle_w, where.machine_gpus))
    return Capacity(
        requests_per_s=_MANY_PER_S / machines,
        watts_busy=max(answer.watts / machines, idle_w),
        watts_idle=idle_w,
        gpus=where.machine_gpus,
        basis=f"closed form: {answer.outcomes[0].weights}, {layout}",
        tokens_per_s=answer.output_tokens_per_s / machines,
    )
