"""Claims: what predictions of each kind are meant to reach, and what they do reach.

Errors are |predicted / measured - 1|; coverage is the share of the rows and metrics that get a
prediction; `inside` the share that the 80 % interval holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tokenmill.evidence.interval import quantity_of
from tokenmill.evidence.score import Score, Scored, Summary, summary

__all__ = ["CLAIMS", "Claim", "Reached", "reached"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A kind of prediction: which scored metrics belong to it, and the errors it aims at."""

    name: str
    slug: str
    families: tuple[str, ...]
    holds: Callable[[Scored], bool]
    median: float | None = None
    mape: float | None = None

    def of(self, scores: Iterable[Score]) -> list[Scored]:
        """The scored metrics of the claim."""
        return [
            item for score in scores if score.family in self.families
            for item in score.scored if self.holds(item)
        ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reached:
    """What a claim reaches: coverage [1] and errors; `weak` those of measurements of quality c."""

    claim: Claim
    coverage: float
    all: Summary | None
    firm: Summary | None
    weak: Summary | None

    @property
    def met(self) -> bool | None:
        """Whether firm rows meet the claim, None where it aims at nothing."""
        if self.claim.median is None or self.claim.mape is None:
            return None
        return self.firm is not None and (
            self.firm.median_error <= self.claim.median and self.firm.mape <= self.claim.mape
        )  # fmt: skip


def _is(*quantities: str, single: bool | None = None) -> Callable[[Scored], bool]:
    def holds(item: Scored) -> bool:
        alone = item.condition.startswith("single_stream")
        return quantity_of(item.metric) in quantities and single in (None, alone)

    return holds


CLAIMS: tuple[Claim, ...] = (
    Claim("serving: time per token", "tpot", ("serving",), _is("tpot", single=False), 0.09, 0.15),
    Claim("serving: time to first token", "ttft", ("serving",), _is("ttft", single=False),
          0.20, 0.30),
    Claim("serving: throughput", "throughput", ("serving",), _is("rate", single=False), 0.09, 0.15),
    Claim("single stream", "single-stream", ("serving",),
          _is("rate", "decode", "prefill", "tpot", "ttft", single=True), 0.12, 0.20),
    Claim("power and energy", "power", ("serving", "power"), _is("power", "energy"), 0.10, 0.18),
    Claim("collectives", "collectives", ("collectives",), _is("latency"), 0.12, 0.20),
    Claim("images and video", "media", ("media",), lambda item: True),
    Claim("serving: tails, gaps and whole requests", "tails", ("serving",),
          _is("ttft-tail", "tpot-tail", "itl", "itl-tail", "e2e", "e2e-tail")),
    Claim("training", "training", ("training",), lambda item: True),
    Claim("robots and stages", "others", ("policy", "robot_learning", "stages"),
          lambda item: True),
)  # fmt: skip


def reached(claim: Claim, scores: Sequence[Score]) -> Reached:
    """What a claim reaches over scored files."""
    items = claim.of(scores)
    predicted = sum(item.predicted is not None for item in items)
    weak = [item for item in items if item.quality == "c"]
    firm = [item for item in items if item.quality != "c"]
    return Reached(
        claim, predicted / len(items) if items else 0.0,
        summary(claim.name, items), summary(claim.name, firm), summary(claim.name, weak),
    )  # fmt: skip
