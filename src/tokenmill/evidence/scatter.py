"""Predicted against measured as small SVG panels, one a group, with the interval of each point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from tokenmill.evidence.score import Scored

__all__ = ["panels"]

_SIZE, _GAP, _HEAD, _COLUMNS = 150.0, 26.0, 24.0, 5
_MOST = 60  # points of a panel, spread over its rows
_STYLE = (
    "<style>text{font:10px sans-serif;fill:#555}.a{font-size:8px;text-anchor:end}"
    ".f{fill:none;stroke:#999}.d{stroke:#bbb}"
    ".i{stroke:#7aa6d8;fill:none}.p{stroke:#14487f;stroke-width:3.2;stroke-linecap:round}"
    ".o{stroke:#b3261e;stroke-width:3.2;stroke-linecap:round}</style>"
)


def panels(groups: Mapping[str, Sequence[Scored]], title: str) -> str:
    """SVG of one panel for each group: measured to the right, predicted up, both logarithmic.

    Parameters: groups by name, in the order to draw; title. Each panel scales each metric's rows
    by itself; points outside their interval are red. Returns: the text of an SVG file.
    """
    shown = {name: [x for x in items if math.isfinite(x.ratio)] for name, items in groups.items()}
    shown = {name: items for name, items in shown.items() if items}
    rows = -(-len(shown) // _COLUMNS)
    width = _COLUMNS * (_SIZE + _GAP) + _GAP
    height = rows * (_SIZE + _HEAD + _GAP) + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img"><title>{escape(title)}</title>{_STYLE}<rect width="100%" height="100%" '
        'fill="#fff"/>'
    ]
    for at, (name, items) in enumerate(shown.items()):
        x = _GAP + (at % _COLUMNS) * (_SIZE + _GAP)
        y = _GAP + (at // _COLUMNS) * (_SIZE + _HEAD + _GAP)
        parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{_panel(name, items)}</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(name: str, items: Sequence[Scored]) -> str:
    chosen = [items[int(i)] for i in np.linspace(0, len(items) - 1, min(len(items), _MOST))]
    ends = _ends(chosen)
    bars: list[str] = []
    inside: list[str] = []
    outside: list[str] = []
    for item in chosen:
        low, high = ends[item.metric]
        wide = max(high - low, 0.1)

        def place(value: float, low: float = low, wide: float = wide) -> float:
            return min(max((math.log10(value) - low) / wide, 0.0), 1.0) * _SIZE

        x = place(item.measured or 1.0)
        if item.low and item.high:
            bars.append(f"M{x:.0f} {_SIZE - place(item.low):.0f}V{_SIZE - place(item.high):.0f}")
        dot = f"M{x:.0f} {_SIZE - place(item.predicted or 1.0):.0f}h0"
        (inside if item.inside else outside).append(dot)
    label = f"{name[:26]} ({len(items)})"
    axes = (
        f'<text class="a" x="{_SIZE:.0f}" y="{_SIZE + 11:.0f}">measured →</text>'
        '<text class="a" transform="rotate(-90)" y="-4">predicted →</text>'
    )
    return (
        f'{axes}<text y="-6">{escape(label)}</text>'
        f'<path class="f" d="M0 0h{_SIZE:.0f}v{_SIZE:.0f}h-'
        f'{_SIZE:.0f}z"/><path class="d" d="M0 {_SIZE:.0f}L{_SIZE:.0f} 0"/>'
        f'<path class="i" d="{"".join(bars)}"/><path class="p" d="{"".join(inside)}"/>'
        f'<path class="o" d="{"".join(outside)}"/>'
    )


def _ends(items: Sequence[Scored]) -> dict[str, tuple[float, float]]:
    """Logarithms between which a metric's measured and predicted values lie."""
    found: dict[str, tuple[float, float]] = {}
    for metric in {item.metric for item in items}:
        values = [
            math.log10(value)
            for item in items if item.metric == metric
            for value in (item.measured, item.predicted) if value
        ]  # fmt: skip
        found[metric] = min(values) - 0.1, max(values) + 0.1
    return found
