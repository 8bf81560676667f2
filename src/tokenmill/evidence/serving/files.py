"""Fitted constants of engines, written into their records; everything else stays as it stands."""

from __future__ import annotations

import re

from tokenmill.evidence.serving.fit import KEYS, Fitted

__all__ = ["updated"]

_SOURCE = "fit"
_SCALE = {"us": 1e6, "": 1.0}


def updated(text: str, found: Fitted, read: str) -> str:
    """The text of an engine's record with its constants as fitted.

    Parameters: text of the record; found, its line's constants; read, date of the fit.
    """
    for key, value in found.values.items():
        text = _with_line(text, key, _cell(key, value, found.low[key], found.high[key]))
    text = re.sub(rf"\n\[sources\.{_SOURCE}\]\n(?:[^\[\n].*\n?)*", "", text).rstrip() + "\n"
    used = set(re.findall(r'source = "([^"]+)"', text))
    for key in set(re.findall(r"\n\[sources\.([^\]]+)\]", text)) - used:
        text = re.sub(rf"\n\[sources\.{re.escape(key)}\]\n(?:[^\[\n].*\n?)*", "", text)
    note = (
        f"{found.rows} metrics of rows that ran it; median error {found.median_error:.1%} where "
        "their publication or GPU was left out; ranges are those fits"
    ).replace("%", " %")
    return text.rstrip() + (
        f'\n\n[sources.{_SOURCE}]\nkind = "measured"\ntitle = "tokenmill fit on serving rows"\n'
        f'read = "{read}"\nnote = "{note}"\n'
    )


def _cell(key: str, value: float, low: float, high: float) -> str:
    unit = KEYS[key][1]
    told = (
        f"{x * _SCALE[unit]:.4g} {unit}".strip() for x in (value, min(low, value), max(high, value))
    )
    names = ("value", "low", "high")
    inside = ", ".join(f'{name} = "{text}"' for name, text in zip(names, told, strict=True))
    return f'{{ {inside}, source = "{_SOURCE}" }}'


def _with_line(text: str, key: str, cell: str) -> str:
    """The text with a figure set, or added as the last of its section."""
    line = f"{key} = {cell}"
    if re.search(rf"(?m)^{key} = ", text):
        return re.sub(rf"(?m)^{key} = .*$", lambda _: line, text)
    if "[figures]" not in text:
        return text.replace("\n[sources.", f"\n[figures]\n{line}\n\n[sources.", 1)
    head, _, rest = text.partition("[figures]\n")
    body, gap, tail = rest.partition("\n\n")
    return f"{head}[figures]\n{body.rstrip()}\n{line}{gap}{tail}"
