"""The verb `hall`, its options, and how its answer looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tokenmill.interface.cli import hall_text as text
from tokenmill.interface.cli.options import Text, options
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.planner.hall import HallAnswer

__all__ = ["register"]


_option = options(text.OPTION)


def register(app: typer.Typer) -> None:
    """Add the verb to an app."""
    app.command("hall", help=text.HALL)(hall)


def hall(
    on: Annotated[str, _option("on", "--on")],
    at: Annotated[str, _option("at", "--at")],
    machines: Annotated[int, _option("machines", "--machines")] = 1,
    cooling: Annotated[str, _option("cooling", "--cooling")] = "air-economiser",
    busy: Annotated[float, _option("busy", "--busy")] = 0.875,
    spare: Annotated[float, _option("spare", "--spare")] = 0.0,
    rack: Annotated[Text, _option("rack", "--rack")] = None,
    row: Annotated[Text, _option("row", "--row")] = None,
    cap: Annotated[Text, _option("cap", "--cap")] = None,
    step: Annotated[str, _option("step", "--step")] = "2 s",
    exchange: Annotated[float, _option("exchange", "--exchange")] = 0.2,
    storage: Annotated[Text, _option("storage", "--storage")] = None,
    json: Annotated[bool, _option("json", "--json")] = False,
) -> None:
    """Racks, cooling, weather, water, meter, hot hours, caps and swings of a hall."""
    from tokenmill.interface.cli import view
    from tokenmill.planner.hall import ask

    answer = ask(
        on, at=at, machines=machines, cooling=cooling, busy=busy, spare=spare, rack=rack, row=row,
        cap=cap, step=step, exchange=exchange, storage=storage,
    )  # fmt: skip
    if json:
        view.print_json(answer.to_dict())
    else:
        _show(answer)


def _w(value: float) -> str:
    return format_si(value, "W")


def _show(answer: HallAnswer) -> None:
    from tokenmill.interface.cli.page import Page

    page, racks = Page(), answer.racks
    page.say(text.TITLE.format(
        machines=answer.machines, hardware=answer.hardware, gpus=answer.gpus, place=answer.place,
        cooling=answer.cooling,
    ), "bold")  # fmt: skip
    page.say(text.AT_WORK.format(
        it=_w(answer.it_w), rated=_w(answer.rated_it_w), machine=_w(answer.machine_w),
        most=_w(answer.most_w),
    ))  # fmt: skip
    page.say(text.RACKS.format(
        per=racks.machines_per_rack, rack=_w(racks.rack_w), racks=racks.racks, rows=racks.rows,
        row=_w(racks.row_w),
    ))  # fmt: skip
    page.say(text.YEAR.format(
        pue=answer.pue, meter=_w(answer.meter_w), kwh=answer.meter_kwh / 1e3,
        cooling=_w(answer.cooling_w), losses=_w(answer.losses_w), water=answer.water_m3,
    ))  # fmt: skip
    slow = answer.hot_speed < 1.0
    then = text.HOT_SLOW.format(speed=answer.hot_speed) if slow else text.HOT_FINE
    page.say(text.HOT.format(hottest=answer.hottest_c, limit=_w(answer.hot_limit_w), then=then))
    if answer.cap is not None:
        page.say(text.CAP.format(
            machine=_w(answer.cap.machine_w), gpu=_w(answer.cap.gpu_w), speed=answer.cap.speed
        ))  # fmt: skip
    page.say(_swing(answer))
    page.say()
    rows = [
        {"month": month.name, "outdoor": f"{month.outdoor_c:.1f}", "pue": f"{month.pue:.3f}",
         "meter": _w(month.meter_w), "water": f"{month.water_l_per_kwh:.2f}"}
        for month in answer.months
    ]  # fmt: skip
    page.table(text.COLUMNS, rows, ("water",), ("month",))
    page.say(text.FOOT.format(kind=answer.kind))


def _swing(answer: HallAnswer) -> str:
    swing, smooth = answer.swing, ""
    if answer.smooth is not None:
        least, peak = _w(answer.smooth.least_w), _w(answer.smooth.peak_w)
        smooth = text.SMOOTH.format(least=least, peak=peak)
    return text.SWING.format(
        least=_w(swing.least_w), peak=_w(swing.peak_w), ramp=_w(swing.ramp_up_w_per_s),
        frequency=swing.frequency_hz, smooth=smooth,
    )  # fmt: skip
