"""Verbs over the catalogue: show, check, new."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenmill.catalog import load
from tokenmill.catalog.figure import Figure
from tokenmill.catalog.records import Accelerator, Calibration, Model, Record, System
from tokenmill.errors import BadRecord, InputError, UnknownName
from tokenmill.interface.cli import text, view
from tokenmill.units import format_quantity

if TYPE_CHECKING:
    from tokenmill.catalog.prices import Price

__all__ = ["check", "new_model", "show"]

_KINDS: dict[str, Callable[[str], Record]] = {
    "accelerators": load.accelerator,
    "systems": load.system,
    "models": load.model,
}


def show(kind: str | None, name: str | None, *, json: bool) -> None:
    """List the kinds, the records of a kind, or one record figure by figure.

    A name alone is looked up in every kind.
    """
    if kind is None:
        counts = {key: len(load.names(key)) for key in (*_KINDS, "prices", "sites", "tariffs")}
        _print(counts, json, [f"{count:5} {key}" for key, count in counts.items()])
    elif kind == "prices":
        _show_prices(name, json=json)
    elif kind == "sites":
        _show_sites(name, json=json)
    elif kind == "tariffs":
        _show_tariffs(name, json=json)
    elif name is None and kind in _KINDS:
        _list(kind, json=json)
    else:
        _show_record(_find(kind, name), json=json)


def _print(value: Any, json: bool, lines: Iterable[str]) -> None:
    if json:
        view.print_json(value)
        return
    for line in lines:
        print(line)


def _list(kind: str, *, json: bool) -> None:
    found = [(slug, _KINDS[kind](slug).name) for slug in load.names(kind)]
    _print(dict(found), json, [f"{slug:36} {name}" for slug, name in found])


def _find(kind: str, name: str | None) -> Record:
    if name is not None:
        if kind not in _KINDS:
            raise UnknownName("kind", kind, [*_KINDS, "prices", "sites", "tariffs"])
        return _KINDS[kind](name)
    for look_up in _KINDS.values():
        try:
            return look_up(kind)
        except UnknownName:
            continue
    known = [*_KINDS, *(name for key in _KINDS for name in load.spellings(key))]
    raise UnknownName("kind or record", kind, known)


def _figures(record: Record) -> list[tuple[str, Figure]]:
    sections: list[dict[str, Figure]] = [record.figures]
    if isinstance(record, Accelerator):
        sections.append(record.peaks)
    if isinstance(record, Model):
        sections.append(record.published)
    return [(key, item) for section in sections for key, item in section.items()]


def _show_record(record: Record, *, json: bool) -> None:
    if json:
        view.print_json(record.model_dump(mode="json"))
        return
    from rich.table import Table

    out = view.console()
    out.print(f"{record.name}  [{record.slug}]", style="bold", markup=False)
    facts = record.model_dump(
        exclude={"figures", "peaks", "published", "sources", "config", "name", "slug"}
    )
    for key, value in facts.items():
        if value:
            words = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            out.print(f"{key}: {words}", markup=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("figure", "value", "range", "kind", "source", "note"):
        table.add_column(title, overflow="fold")
    for key, item in _figures(record):
        spread = ""
        if item.low != item.high:
            low, high = (format_quantity(x, item.dimension) for x in (item.low, item.high))
            spread = f"{low} to {high}"
        value = format_quantity(item.value, item.dimension, 4)
        table.add_row(key, value, spread, item.kind, item.source, item.note)
    out.print(table)
    for key, source in record.sources.items():
        out.print(
            f"{key}: {source.title} {source.url} ({source.kind}, {source.read})", markup=False
        )
    if isinstance(record, Model):
        out.print(f"config: {record.config}", markup=False)


def _show_prices(name: str | None, *, json: bool) -> None:
    from tokenmill.catalog.prices import prices

    found = prices(name)
    if name is not None and not found:
        raise UnknownName("priced item", name, {item for one in prices() for item in one.items})
    today = datetime.date.today()
    lines = [
        f"{', '.join(one.items):28} {one.amount:>12,.10g} {one.currency} per {one.per:14} "
        f"{one.kind:22} {one.date + text.OLD * one.is_stale(today):11} {_between(one)}"
        f"{one.source.title}"
        for one in found
    ]
    if any(one.is_stale(today) for one in found):
        lines.append(text.FOOT_STALE)
    told = [one.model_dump(mode="json") | {"stale": one.is_stale(today)} for one in found]
    _print(told, json, lines)


def _between(price: Price) -> str:
    """The range of a price, where its source gives one."""
    return f"{price.low:,.10g} to {price.high:,.10g}, " if price.low < price.high else ""


def _show_tariffs(name: str | None, *, json: bool) -> None:
    from tokenmill.catalog.tariffs import tariff

    if name is None:
        _print(load.names("tariffs"), json, load.names("tariffs"))
        return
    found = tariff(name)
    old = found.is_stale(datetime.date.today())
    lines = [f"{found.name}, {found.date}{text.OLD * old}", found.note]
    for month in range(12):
        for day, words in enumerate(text.DAYS):
            row = found.per_kwh[month][day]
            lines.append(f"{month + 1:2} {words:8} " + " ".join(f"{x:.5g}" for x in row))
    lines += [text.PER_KWH.format(currency=found.currency), found.source.title]
    lines += [text.FOOT_STALE] * old
    _print(found.model_dump(mode="json") | {"stale": old}, json, lines)


def _show_sites(name: str | None, *, json: bool) -> None:
    from tokenmill.catalog.sites import site

    if name is None:
        _print(load.names("sites"), json, load.names("sites"))
    else:
        record = site(name)
        if json:
            view.print_json(record.model_dump(mode="json"))
            return
        print(f"{record.name}  [{record.slug}], {record.country}, "
              f"{record.latitude:g}° N, {record.longitude:g}° E")  # fmt: skip
        rows = {"temperature °C": record.temperature_c, "humidity %": record.humidity}
        for label, months in rows.items():
            scale = 100.0 if "%" in label else 1.0
            print(f"{label:16}" + " ".join(f"{one.value * scale:5.1f}" for one in months))
        carbon = record.carbon_per_kwh
        print(f"{'carbon g/kWh':16}{carbon.value * 1e3:5.0f} "
              f"({carbon.low * 1e3:.0f} to {carbon.high * 1e3:.0f}, {carbon.kind})")  # fmt: skip
        for key, source in record.sources.items():
            print(f"{key}: {source.title} {source.url} ({source.kind}, {source.read})")


def check(paths: list[Path], *, json: bool) -> None:
    """Read and check the catalogue, or the files named; the first wrong one is the refusal."""
    count = 0
    if paths:
        for path in paths:
            load.read_record(path, _kind_of(path))
            count += 1
    else:
        for kind in _KINDS:
            count += sum(1 for record in load.records(kind) if _shape_of(record))
        count += _check_rest()
    _print({"checked": count}, json, [text.CHECKED_FILES.format(count=count)])


def _shape_of(record: Record) -> bool:
    """Build a language model's architecture, so that a wrong configuration is found here."""
    if isinstance(record, Model) and record.family == "language":
        from tokenmill.work.huggingface import architecture

        architecture(record.config, where=f"{record.slug}.toml [config]")
    return True


def _check_rest() -> int:
    from tokenmill.catalog.prices import prices
    from tokenmill.catalog.sites import site
    from tokenmill.catalog.tariffs import tariff

    for slug in load.names("sites"):
        site(slug)
    for slug in load.names("tariffs"):
        tariff(slug)
    for slug in load.names("calibration"):
        load.calibration(slug)
    others = sum(len(load.names(kind)) for kind in ("sites", "tariffs", "calibration"))
    return len(prices()) + others


def _kind_of(path: Path) -> type[Record]:
    table = load.read_toml(path)
    if "family" in table and ("config" in table or "published" in table):
        return Model
    if "architecture" in table:
        return Accelerator
    if "fabric" in table:
        return System
    if "figures" in table:
        return Calibration
    raise BadRecord(
        path, "", "not a record: an accelerator has architecture, a system fabric, a model config"
    )


def new_model(config: Path, slug: str | None, folder: Path | None, *, json: bool) -> None:
    """Write a model record from a Hugging Face config.json; the file appears whole or not at all.

    Raises: BadRecord for a config that cannot be read as a language model; InputError where the
    record exists already or no folder is known.
    """
    from tokenmill.work.new_model import new_model as build

    place = config.resolve()
    name = slug or load.canonical((place if place.is_dir() else place.parent).name)
    target = _folder(folder) / "models" / f"{name}.toml"
    if target.exists():
        raise InputError(text.EXISTS.format(path=target))
    content = build(config, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(f".{os.getpid()}.part")
    try:
        scratch.write_text(content, encoding="utf-8")
        _shape_of(load.read_record(scratch, Model))
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    _print({"written": str(target)}, json, [text.WRITTEN.format(path=target)])


def _folder(given: Path | None) -> Path:
    if given is not None:
        return given
    folders = load.data_folders()
    if len(folders) < 2:
        raise InputError(text.NO_FOLDER)
    return folders[0]
