"""Fitted constants as text of a calibration file, each with its range and origin."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Constant", "Origin", "render"]

# unit -> what a value in base units is multiplied by before the unit is written
_SCALE = {
    "us": 1e6,
    "ns": 1e9,
    "": 1.0,
    "W": 1.0,
    "J/FLOP": 1.0,
    "J/B": 1.0,
    "FLOP": 1.0,
    "B": 1.0,
    "s": 1.0,
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A value with its range [base units], the unit it is written in, and its source's key."""

    value: float
    low: float
    high: float
    unit: str
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """A source of constants: kind as in the catalogue, title, date read, url and note."""

    kind: str
    title: str
    read: str
    url: str = ""
    note: str = ""


def _quantity(value: float, unit: str) -> str:
    return f"{value * _SCALE[unit]:.4g} {unit}".strip()


def _cell(constant: Constant) -> str:
    parts = {
        "value": _quantity(constant.value, constant.unit),
        "low": _quantity(min(constant.low, constant.value), constant.unit),
        "high": _quantity(max(constant.high, constant.value), constant.unit),
        "source": constant.source,
        "note": constant.note,
    }
    return "{ " + ", ".join(f'{key} = "{text}"' for key, text in parts.items() if text) + " }"


def _key(text: str) -> str:
    return text if re.fullmatch(r'[\w-]+|".*"', text) else f'"{text}"'


def render(
    name: str,
    family: str,
    constants: Mapping[str, Constant],
    origins: Mapping[str, Origin],
    *,
    note: str = "",
    inherits: str = "",
) -> str:
    """The text of a calibration file.

    Parameters: name and family of the record; constants by key; origins by source key; note and
    inherits of the record.
    Returns: TOML that the catalogue reads back to the written digits.
    """
    head = {"name": name, "family": family, "inherits": inherits, "note": note}
    lines = [f'{key} = "{text}"' for key, text in head.items() if text]
    lines += ["", "[figures]"]
    lines += [f"{_key(key)} = {_cell(constant)}" for key, constant in constants.items()]
    for key, origin in origins.items():
        lines += ["", f"[sources.{key}]"]
        parts = {"kind": origin.kind, "title": origin.title, "url": origin.url}
        parts |= {"read": origin.read, "note": origin.note}
        lines += [f'{part} = "{text}"' for part, text in parts.items() if text]
    return "\n".join(lines) + "\n"
