"""The verb `growth` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from tokenmill.interface.cli import growth_text as text
from tokenmill.interface.cli.options import Count, options

__all__ = ["register"]


_option = options(text.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("growth", help=text.GROWTH)(growth)


def growth(
    scenario: Annotated[Path, typer.Argument(help=text.SCENARIO)],
    samples: Annotated[Count, _option("samples", "--samples")] = None,
    seed: Annotated[Count, _option("seed", "--seed")] = None,
    plot: Annotated[Optional[Path], _option("plot", "--plot")] = None,  # noqa: UP045
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Play policies of renewal through worlds in which demand answers to the price."""
    from tokenmill.interface.cli import growth_view, view
    from tokenmill.planner.growth import growth as planner
    from tokenmill.planner.growth.question import read_growth

    if plot is not None:
        from tokenmill.interface.cli.plots import can_draw

        can_draw(plot)
    given = {"samples": samples, "seed": seed}
    asked = read_growth(scenario, {key: value for key, value in given.items() if value is not None})
    with view.progress() as told:
        answer = planner.growth(asked, origin=str(scenario), progress=told)
    if json:
        view.print_json(answer.to_dict())
    else:
        growth_view.show(answer)
    if plot is not None:
        from tokenmill.interface.cli.plots import draw_growth

        draw_growth(answer, plot)
