"""The verb `runs`: what the ledger holds."""

from __future__ import annotations

from typing import Annotated

import typer

from tokenmill.interface.cli import simulate_text as text
from tokenmill.interface.cli import text as shared

__all__ = ["register"]

_Json = Annotated[bool, typer.Option("--json", help=shared.OPTION["json"])]
_Id = Annotated[int, typer.Argument(help=text.OPTION["id"])]


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    verbs = typer.Typer(help=text.RUNS, invoke_without_command=True)
    verbs.callback()(listed)
    verbs.command("show", help=text.RUNS_SHOW)(show)
    verbs.command("diff", help=text.RUNS_DIFF)(diff)
    app.add_typer(verbs, name="runs")


def listed(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", help=text.OPTION["limit"])] = 20,
    json: _Json = False,
) -> None:
    """List the latest runs."""
    if context.invoked_subcommand is not None:
        return
    from tokenmill.evidence.ledger import ledger_path, runs
    from tokenmill.interface.cli import simulate_view

    simulate_view.show_runs(runs(limit), str(ledger_path()), json=json)


def show(number: _Id, json: _Json = False) -> None:
    """Print one run."""
    from tokenmill.evidence.ledger import look_up
    from tokenmill.interface.cli import simulate_view

    simulate_view.show_run(look_up(number), json=json)


def diff(before: _Id, after: _Id, json: _Json = False) -> None:
    """Compare two runs."""
    from tokenmill.evidence.ledger import diff as compare
    from tokenmill.evidence.ledger import look_up
    from tokenmill.interface.cli import simulate_view

    one, other = look_up(before), look_up(after)
    simulate_view.show_diff(one, other, compare(one, other), json=json)
