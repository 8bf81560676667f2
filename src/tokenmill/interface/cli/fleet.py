"""The verb `fleet` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tokenmill.interface.cli import fleet_text as text
from tokenmill.interface.cli.options import Text, options

__all__ = ["register"]


_option = options(text.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("fleet", help=text.FLEET)(fleet)


def fleet(
    scenario: Annotated[Path, typer.Argument(help=text.SCENARIO)],
    gap: Annotated[Text, _option("gap", "--gap")] = None,
    time_limit: Annotated[Text, _option("time_limit", "--time-limit")] = None,
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Plan a fleet over years; exits with 2 where no plan is possible."""
    from tokenmill.interface.cli import fleet_view, view
    from tokenmill.planner.fleet import fleet as planner
    from tokenmill.planner.fleet.question import read_fleet

    given = {"gap": gap, "time_limit": time_limit}
    asked = read_fleet(scenario, {key: value for key, value in given.items() if value is not None})
    with view.progress() as told:
        answer = planner.fleet(asked, origin=str(scenario), progress=told)
    if json:
        view.print_json(answer.to_dict())
    else:
        fleet_view.show(answer)
    if answer.plan is None:
        raise typer.Exit(2)
