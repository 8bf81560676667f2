"""A page of lines and tables that keeps to the width of its terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tokenmill.interface.cli import view

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Page", "Row"]

Row = Mapping[str, str]
_GAP = 2


class Page:
    """Where the answer is printed; what it says is never read as markup."""

    def __init__(self) -> None:
        self._out: Console = view.console()

    def say(self, line: str = "", style: str = "", *, indent: int = 0) -> None:
        """One paragraph."""
        from rich.padding import Padding
        from rich.text import Text

        self._out.print(Padding(Text(line, style), (0, 0, 0, indent)))

    def section(self, title: str) -> None:
        """A title after an empty line."""
        self.say()
        self.say(title, "bold")

    def table(
        self, titles: Mapping[str, str], rows: Sequence[Row], leave_out: Sequence[str],
        left: Sequence[str],
    ) -> tuple[str, ...]:  # fmt: skip
        """A table with the columns that there is room for.

        Parameters: titles, by column in the order shown; rows, cells by column; leave_out,
        columns that a narrow terminal does without, the first one first; left, those whose
        cells start at the left. Returns: the columns shown.
        """
        from rich.cells import cell_len
        from rich.table import Table
        from rich.text import Text

        widths = {
            key: max(cell_len(cell) for cell in (title, *(row[key] for row in rows))) + _GAP
            for key, title in titles.items()
        }
        keys = list(titles)
        for key in leave_out:
            if sum(widths[one] for one in keys) - _GAP > self._out.width:
                keys.remove(key)
        table = Table(box=None, header_style="bold", pad_edge=False)
        for key in keys:
            table.add_column(
                Text(titles[key]), justify="left" if key in left else "right", overflow="fold",
                no_wrap=key != "card",
            )  # fmt: skip
        for row in rows:
            table.add_row(*(Text(row[key]) for key in keys))
        self._out.print(table)
        return tuple(keys)
