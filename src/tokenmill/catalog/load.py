"""Read, check and look up catalogue files: one TOML file per thing, the stem is its slug.

Files come from the package and from the folders in the environment variable
`TOKENMILL_CATALOG` (separated as in PATH), which are searched first, so that a user's
record replaces ours.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tokenmill.catalog.figure import Figure, Source
from tokenmill.catalog.records import (
    FIELDS,
    Accelerator,
    Calibration,
    Model,
    Record,
    System,
)
from tokenmill.errors import BadRecord, BadUnit, InputError, UnknownName
from tokenmill.units import parse_any

__all__ = [
    "accelerator",
    "calibration",
    "canonical",
    "data_folders",
    "figure",
    "files",
    "model",
    "names",
    "read_record",
    "read_toml",
    "records",
    "resolve",
    "slug_of",
    "sources",
    "spellings",
    "system",
]

_ALIASES = re.compile(r"^aliases\s*=\s*\[(.*?)\]", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r'"([^"]*)"')
AnyRecord = TypeVar("AnyRecord", bound=Record)

_LIMIT_BYTES = 1_000_000  # a record is a page, not a database


def data_folders() -> tuple[Path, ...]:
    """Folders that hold catalogue kinds, the user's own first."""
    own = [Path(part) for part in os.environ.get("TOKENMILL_CATALOG", "").split(os.pathsep) if part]
    return (*own, Path(__file__).parent / "data")


def canonical(name: str) -> str:
    """A name as records are looked up: lower case, spaces and underscores as hyphens."""
    return re.sub(r"[\s_]+", "-", name.strip().lower())


def read_toml(path: Path) -> dict[str, Any]:
    """The content of one TOML file.

    Raises: BadRecord where the file is missing, too large, or not TOML.
    """
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise BadRecord(path, "", "larger than 1 MB; a record is a page")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as problem:
        raise BadRecord(path, "", f"not valid TOML: {problem}") from None
    except UnicodeDecodeError:
        raise BadRecord(path, "", "not UTF-8 text") from None
    except RecursionError:
        raise BadRecord(path, "", "nested too deeply for a record") from None
    except BadRecord:
        raise
    except ValueError as problem:  # a number of thousands of digits
        raise BadRecord(path, "", f"not valid TOML: {problem}") from None
    except OSError as problem:
        raise BadRecord(path, "", f"cannot be read: {problem.strerror}") from None


def files(kind: str) -> dict[str, Path]:
    """Slug to file of every record of a kind ("accelerators", "models", ...)."""
    return _files(kind, os.environ.get("TOKENMILL_CATALOG", ""))


@cache
def _files(kind: str, _user_folders: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in reversed(data_folders()):
        for path in sorted((folder / kind).glob("*.toml")):
            found[path.stem] = path
    return dict(sorted(found.items()))


def names(kind: str) -> list[str]:
    """Slugs of a kind, sorted."""
    return list(files(kind))


@cache
def _aliases(kind: str, _user_folders: str) -> dict[str, str]:
    """Canonical alias to slug. Read by pattern: parsing every file would cost 100 times more."""
    index: dict[str, str] = {}
    for slug, path in files(kind).items():
        try:
            with path.open("rb") as file:
                text = file.read(_LIMIT_BYTES).decode(errors="replace")
        except OSError:
            continue  # asking for the record itself says why it cannot be read
        match = _ALIASES.search(text)
        for alias in _QUOTED.findall(match[1]) if match else ():
            index.setdefault(canonical(alias), slug)
    return index


def resolve(kind: str, name: str) -> str:
    """The slug that a name or alias stands for.

    Raises: UnknownName with the nearest names.
    """
    slug = slug_of(kind, name)
    if slug is None:
        raise UnknownName(kind.rstrip("s"), name, spellings(kind))
    return slug


def slug_of(kind: str, name: str) -> str | None:
    """The slug that a name or alias stands for, None for a name of nothing on record."""
    wanted = canonical(name)
    slugs = files(kind)
    if wanted in slugs:
        return wanted
    index = _aliases(kind, os.environ.get("TOKENMILL_CATALOG", ""))
    tail = wanted.rsplit("/", 1)[-1]
    for candidate in (wanted, tail, re.sub(r"^(nvidia|geforce|amd|radeon)-", "", tail)):
        if candidate in slugs:
            return candidate
        if candidate in index:
            return index[candidate]
    return None


def spellings(kind: str) -> list[str]:
    """Every slug and alias of a kind, for "did you mean"."""
    return [*files(kind), *_aliases(kind, os.environ.get("TOKENMILL_CATALOG", ""))]


def figure(
    cell: object, key: str, dimension: str, found: Mapping[str, Source], path: Path
) -> Figure:
    """One checked cell `{ value, source, low, high, note }` of a record.

    Parameters: cell as read; key for messages; dimension it must have ("money" accepts any
    currency); found, the file's sources; path for messages.
    Raises: BadRecord naming file, key and remedy.
    """
    if not isinstance(cell, Mapping):
        raise BadRecord(path, key, 'write { value = "...", source = "..." }')
    unknown = set(cell) - {"value", "source", "low", "high", "note"}
    if unknown:
        raise BadRecord(
            path, key, f"unknown key {sorted(unknown)[0]}; use value, source, low, high, note"
        )
    source = cell.get("source")
    if not isinstance(source, str) or source not in found:
        raise BadRecord(path, key, f'source "{source}" is not among the [sources.*] of the file')
    value, low, high = _bounds(cell, key, dimension, path)
    if not low <= value <= high:
        raise BadRecord(path, key, "low <= value <= high does not hold")
    # every field has been checked here already: a thousand figures need no second check
    return Figure.model_construct(
        value=value, low=low, high=high, dimension=dimension,
        source=source, kind=found[source].kind, note=str(cell.get("note", "")),
    )  # fmt: skip


def _bounds(
    cell: Mapping[str, Any], key: str, dimension: str, path: Path
) -> tuple[float, float, float]:
    numbers: list[float] = []
    for part in ("value", "low", "high"):
        if part != "value" and part not in cell:
            numbers.append(numbers[0])
            continue
        text: Any = cell.get(part)
        try:
            number, seen = parse_any(text)
        except (BadUnit, TypeError, AttributeError) as problem:
            raise BadRecord(path, f"{key}.{part}", str(problem)) from None
        if seen != dimension and not (dimension == "money" and seen.startswith("money:")):
            raise BadRecord(path, f"{key}.{part}", f'"{text}" is {seen}, {dimension} is needed')
        numbers.append(number)
    return numbers[0], numbers[1], numbers[2]


def sources(table: Mapping[str, Any], path: Path) -> dict[str, Source]:
    """The checked `[sources.*]` of a file.

    Raises: BadRecord.
    """
    result = {}
    for key, value in _section(table, "sources", path).items():
        try:
            result[key] = Source.model_validate(value)
        except ValidationError as problem:
            first = problem.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BadRecord(path, f"sources.{key}.{where}", first["msg"]) from None
    return result


def _section(table: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    """A table of the file, empty where there is none. Raises: BadRecord."""
    section = table.get(name, {})
    if not isinstance(section, Mapping):
        raise BadRecord(path, name, f"write it as a table: [{name}]")
    return section


def _figures(
    table: Mapping[str, Any], section: str, known: Mapping[str, str],
    found: Mapping[str, Source], path: Path,
) -> dict[str, Figure]:  # fmt: skip
    result = {}
    for key, cell in _section(table, section, path).items():
        dimension = known.get(key, known.get("*", ""))
        if key not in known and "*" not in known:
            hint = str(UnknownName("key", key, known))
            if "spars" in key:
                hint = "peaks are dense; write the dense figure, half of the sparse one"
            raise BadRecord(path, f"{section}.{key}", hint)
        if dimension == "any":
            value = cell.get("value") if isinstance(cell, Mapping) else None
            try:
                dimension = parse_any(value)[1] if value is not None else "1"
            except BadUnit as problem:
                raise BadRecord(path, f"{section}.{key}", str(problem)) from None
        result[key] = figure(cell, f"{section}.{key}", dimension, found, path)
        if "*" not in known and result[key].low <= 0:
            raise BadRecord(path, f"{section}.{key}", "must be above zero; leave out what is none")
    return result


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """One record, checked: known keys, right dimensions, sources that exist.

    Raises: BadRecord(file, key, remedy).
    """
    table = read_toml(path)
    found = sources(table, path)
    if "slug" in table:
        raise BadRecord(path, "slug", "the name of the file is the slug; remove the key")
    content: dict[str, Any] = {"slug": path.stem, "sources": found}
    for section, known in FIELDS[kind].items():
        content[section] = _figures(table, section, known, found, path)
    content |= {key: table[key] for key in table if key not in content}
    try:
        record = kind.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRecord(path, where, first["msg"].removeprefix("Value error, ")) from None
    return record


@cache
def _record(kind: str, name: str, _user_folders: str) -> Record:
    slug = resolve(kind, name)
    path = files(kind)[slug]
    if kind == "accelerators":
        return read_record(path, Accelerator)
    if kind == "systems":
        return read_record(path, System)
    if kind == "models":
        return read_record(path, Model)
    return read_record(path, Calibration)


def _look_up(kind: str, name: str) -> Record:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"a name of {kind} is needed, not {name!r}")
    return _record(kind, name, os.environ.get("TOKENMILL_CATALOG", ""))


def accelerator(name: str) -> Accelerator:
    """The accelerator of that slug or alias. Raises: UnknownName, BadRecord."""
    record = _look_up("accelerators", name)
    assert isinstance(record, Accelerator)  # narrows the type; the kind decides it
    return record


def system(name: str) -> System:
    """The system of that slug or alias. Raises: UnknownName, BadRecord."""
    record = _look_up("systems", name)
    assert isinstance(record, System)
    return record


def model(name: str) -> Model:
    """The model of that slug or alias. Raises: UnknownName, BadRecord."""
    record = _look_up("models", name)
    assert isinstance(record, Model)
    return record


def calibration(name: str) -> Calibration:
    """The calibration constants of that family. Raises: UnknownName, BadRecord."""
    record = _look_up("calibration", name)
    assert isinstance(record, Calibration)
    return record


def records(kind: str) -> Iterator[Record]:
    """Every record of a kind, read and checked one after another."""
    for slug in names(kind):
        yield _look_up(kind, slug)
