"""How a simulation and the ledger look on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tokenmill.interface.cli import simulate_text as text
from tokenmill.interface.cli import view
from tokenmill.units import format_si

if TYPE_CHECKING:
    from tokenmill.evidence.ledger import Change, RunRow
    from tokenmill.simulator.outcome import Distribution
    from tokenmill.simulator.simulated import Served, Simulated

__all__ = ["show_diff", "show_run", "show_runs", "show_simulated"]


def show_simulated(result: Simulated, *, json: bool) -> None:
    """Print what a run answers: latencies, counts, energy and money of each service."""
    if json:
        view.print_json(result.to_dict())
        return
    out = view.console()
    for service in result.services:
        outcome = service.outcome
        out.print(text.TITLE.format(
            model=outcome.model, weights=outcome.weights, gpus=outcome.gpus,
            accelerator=outcome.accelerator, layout=outcome.layout, replicas=outcome.replicas,
            engine=outcome.engine,
        ), style="bold")  # fmt: skip
        out.print(text.LOAD.format(
            name=result.load, requests=service.counts.requests, span=_span(result.end_s)
        ))  # fmt: skip
        out.print(_times(service))
        out.print(_rows(result, service))
    if result.chain_s is not None:
        out.print(_table([(text.CHAIN, *_cells(result.chain_s))], text.TIMES))
    for note in result.notes:
        out.print(note, style="bold")


def _span(seconds: float) -> str:
    if seconds < 120:
        return format_si(seconds, "s")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _seconds(value: float) -> str:
    return format_si(value, "s") if value == value else "–"


def _cells(times: Distribution) -> tuple[str, ...]:
    return tuple(_seconds(value) for value in asdict(times).values())


def _times(service: Served) -> Any:
    outcome = service.outcome
    spreads = {
        "ttft": outcome.ttft_s, "tpot": outcome.tpot_s, "itl": service.itl_s,
        "e2e": outcome.e2e_s, "queue": service.queue_s,
    }  # fmt: skip
    rows = [(text.TIME_ROWS[key], *_cells(spread)) for key, spread in spreads.items()]
    return _table(rows, text.TIMES)


def _table(
    rows: Sequence[tuple[str, ...]], titles: tuple[str, ...] = (), *, words: tuple[int, ...] = (0,)
) -> Any:
    """A table without lines; the columns of `words` start at the left, figures end at the right."""
    from rich.table import Table

    table = Table(box=None, show_header=bool(titles), header_style="bold", pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index in words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _rows(result: Simulated, service: Served) -> Any:
    outcome, counts = service.outcome, service.counts
    requests = text.REQUESTS.format(**asdict(counts))
    requests += text.UNSENT.format(unsent=counts.unsent) if counts.unsent else ""
    requests += text.PREEMPTED.format(preemptions=counts.preemptions) if counts.preemptions else ""
    cache = text.CACHE.format(peak=service.kv_peak)
    cache += text.PREFIXES.format(share=service.prefix_hits) if service.prefix_hits else ""
    promised = min(result.slo.ttft_s, result.slo.tpot_s, result.slo.e2e_s) < float("inf")
    goodput = text.GOODPUT.format(rate=service.goodput_per_s, share=service.within_slo)
    rows = {
        "requests": requests,
        "goodput": goodput if promised else "",
        "rate": text.RATE.format(value=outcome.output_tokens_per_s),
        "total": text.RATE.format(value=outcome.total_tokens_per_s),
        "batch": text.BATCH.format(batch=outcome.batch, busy=outcome.utilisation),
        "cache": cache,
        "power": text.POWER.format(
            gpu=format_si(outcome.gpu_watts, "W"), wall=format_si(outcome.watts, "W")
        ),
        "energy": text.ENERGY.format(
            token=outcome.joules_per_output_token, request=service.joules_per_request
        ),
        "money": view.outcome_money(outcome),
        "limit": outcome.limiting,
        "waits": _waits(service.waits),
    }
    return _table([(text.ROWS[key], words) for key, words in rows.items() if words])


def _waits(waits: dict[str, float]) -> str:
    said = [
        words.format(share=waits[key]) for key, words in text.WAITS.items() if waits[key] >= 0.0005
    ]
    return ", ".join(said) or text.NO_WAITS


def show_runs(rows: list[RunRow], where: str, *, json: bool) -> None:
    """Print a list of runs."""
    if json:
        view.print_json([asdict(row) for row in rows])
    elif not rows:
        print(text.NO_RUNS.format(path=where))
    else:
        cells = [
            (str(row.id), row.at.removesuffix("+00:00"), row.verb, row.title, f"{row.took_s:.2f} s")
            for row in rows
        ]
        view.console().print(_table(cells, text.RUN_COLUMNS, words=(1, 2, 3)))


def show_run(row: RunRow, *, json: bool) -> None:
    """Print one run in full."""
    if json:
        view.print_json(asdict(row))
        return
    from tokenmill.evidence.ledger import flat

    out = view.console()
    out.print(text.RUN_TITLE.format(
        id=row.id, title=row.title, verb=row.verb, at=row.at.removesuffix("+00:00"),
        took=row.took_s, version=row.version,
    ), style="bold", markup=False)  # fmt: skip
    for title, values in ((text.QUESTION, row.question), (text.ANSWER, row.answer)):
        out.print(title, style="bold")
        out.print(_table([(key, _value(value)) for key, value in flat(values)]))
    for path in row.files:
        out.print(path, markup=False)


def show_diff(before: RunRow, after: RunRow, changes: list[Change], *, json: bool) -> None:
    """Print what differs between two runs."""
    if json:
        view.print_json([{**asdict(change), "ratio": change.ratio} for change in changes])
    elif not changes:
        print(text.SAME.format(before=before.id, after=after.id))
    else:
        titles = tuple(
            title.format(before=before.id, after=after.id) for title in text.DIFF_COLUMNS
        )
        rows = [
            (change.key, _value(change.before), _value(change.after), _ratio(change.ratio))
            for change in changes
        ]
        view.console().print(_table(rows, titles))


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else str(value)


def _ratio(ratio: float) -> str:
    return f"{ratio:.4g}" if ratio == ratio else ""
