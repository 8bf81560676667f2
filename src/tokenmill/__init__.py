"""tokenmill, a digital twin of the AI factory.

Five nouns, one direction: records -> Work -> StepTable -> Outcome -> Plan. Every floor imports
only from floors below it:

    8  interface/    who asks: the command line
    7  planner/      what to buy: questions, search, plans
    6  cost/         what it costs: money, carbon      evidence/  how far to trust it
    5  simulator/    what happens: closed form, event engine, Outcome
    4  placement/    how it is split: layouts, memory, steps
    3  physics/      how long, how much energy: roofline, collectives, power, facility
    2  work/         what must be computed: FLOPs, bytes, messages, traffic
    1  catalog/      what exists: facts with sources
    0  units.py      "3.35 TB/s" <-> 3.35e12           errors.py  every way of saying no

The verbs below load what they need when they are first used, so that `import tokenmill` is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenmill.catalog.load import accelerator as accelerator
    from tokenmill.catalog.load import model as model
    from tokenmill.catalog.load import system as system
    from tokenmill.evidence.cluster.results import calibrate_files as calibrate
    from tokenmill.evidence.score import Score as Score
    from tokenmill.evidence.score import score_file as score
    from tokenmill.planner.answer import Option as Option
    from tokenmill.planner.answer import Plan as Plan
    from tokenmill.planner.answer import Refusal as Refusal
    from tokenmill.planner.ask import ask as plan
    from tokenmill.planner.ask import can_run as can_run
    from tokenmill.planner.ask import estimate as estimate
    from tokenmill.planner.cost.cost import ask as cost_of
    from tokenmill.planner.fleet.fleet import ask as fleet
    from tokenmill.planner.growth.growth import ask as growth
    from tokenmill.planner.hall import ask as hall
    from tokenmill.planner.question import Question as Question
    from tokenmill.planner.shop.buy import ask as buy
    from tokenmill.planner.single import Fit as Fit
    from tokenmill.planner.trial import simulate as simulate
    from tokenmill.simulator.outcome import Outcome as Outcome
    from tokenmill.simulator.simulated import Simulated as Simulated

# name -> (module, name there)
_PUBLIC = {
    "Fit": ("planner.single", "Fit"),
    "Option": ("planner.answer", "Option"),
    "Outcome": ("simulator.outcome", "Outcome"),
    "Plan": ("planner.answer", "Plan"),
    "Question": ("planner.question", "Question"),
    "Refusal": ("planner.answer", "Refusal"),
    "Score": ("evidence.score", "Score"),
    "Simulated": ("simulator.simulated", "Simulated"),
    "accelerator": ("catalog.load", "accelerator"),
    "buy": ("planner.shop.buy", "ask"),
    "calibrate": ("evidence.cluster.results", "calibrate_files"),
    "can_run": ("planner.ask", "can_run"),
    "cost_of": ("planner.cost.cost", "ask"),
    "errors": ("errors", ""),
    "estimate": ("planner.ask", "estimate"),
    "fleet": ("planner.fleet.fleet", "ask"),
    "growth": ("planner.growth.growth", "ask"),
    "hall": ("planner.hall", "ask"),
    "model": ("catalog.load", "model"),
    "plan": ("planner.ask", "ask"),
    "score": ("evidence.score", "score_file"),
    "simulate": ("planner.trial", "simulate"),
    "system": ("catalog.load", "system"),
    "units": ("units", ""),
}

__all__ = [
    "Fit", "Option", "Outcome", "Plan", "Question", "Refusal", "Score", "Simulated",
    "accelerator", "buy", "calibrate", "can_run", "cost_of", "errors", "estimate", "fleet",
    "growth", "hall", "model", "plan", "score", "simulate", "system", "units",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tokenmill' has no attribute {name!r}")
    module, inside = _PUBLIC[name]
    found = import_module(f"tokenmill.{module}")
    return getattr(found, inside) if inside else found


def __dir__() -> list[str]:
    return sorted(__all__)
