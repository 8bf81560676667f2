"""Every sentence of the verb `hall`; a translation replaces this file."""

from __future__ import annotations

HALL = "A hall of machines at a place: racks, cooling, PUE, water, hot hours, caps, swings."
OPTION = {
    "on": "the GPU or system that fills the hall",
    "at": "the place (tokyo, osaka, ishikari, phoenix, lulea ...)",
    "machines": "machines (for a bare GPU: the machine it is usually sold in)",
    "cooling": "air-chiller, air-economiser, evaporative or warm-water",
    "busy": "draw of the GPUs at work, from idle (0) to their limit (1); training: 0.875",
    "spare": "share of the hall's power that is built and not used, 0 to below 1",
    "rack": 'power that a rack is fed and cooled for, such as "40 kW"',
    "row": 'power that a row carries, such as "400 kW"',
    "cap": 'a limit on each machine at its plug, such as "6 kW" in an hour of demand response',
    "step": 'a step of synchronous training, such as "2 s"',
    "exchange": "share of a step that GPUs wait for each other, 0 to below 1",
    "storage": 'energy storage between grid and machines, such as "5 MJ"',
    "json": "print the answer as JSON",
}

TITLE = "{machines} × {hardware} ({gpus:,} GPUs) in {place}, {cooling}"
AT_WORK = "at work {it} of {rated} IT power · a machine {machine} at work, {most} at its limit"
RACKS = "machines a rack: {per} ({rack}), racks: {racks}, rows: {rows} (the fullest {row})"
YEAR = (
    "a year: PUE {pue:.3f} · at the meter {meter} on average, {kwh:,.0f} MWh · cooling {cooling}, "
    "losses of transformer, UPS and wires {losses} · water {water:,.0f} m³"
)
HOT = "hottest hour {hottest:.0f} °C: cooling carries {limit} of IT power, {then}"
HOT_FINE = "enough"
HOT_SLOW = "machines throttle to {speed:.0%} of their speed"
CAP = "limit of {machine} a machine: {gpu} a GPU, {speed:.1%} of the speed"
SWING = (
    "training in step: {least} to {peak}, {ramp} a second at most, at {frequency:.3g} Hz{smooth}"
)
SMOOTH = "; with storage the grid sees {least} to {peak}"
COLUMNS = {"month": "", "outdoor": "outdoor °C", "pue": "PUE", "meter": "at the meter",
           "water": "L/kWh"}  # fmt: skip
FOOT = "weakest figure behind this: {kind}"
