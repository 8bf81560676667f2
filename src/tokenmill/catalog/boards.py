"""Cards as boards: the slots they cover and the power supply suggested for a PC with one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache

from tokenmill.catalog.figure import Figure, Source
from tokenmill.catalog.load import accelerator, canonical, figure, files, names, read_toml, sources
from tokenmill.errors import BadRecord, Unsupported

__all__ = ["Board", "board", "desktop_cards"]

_KEYS = {"item", "slots", "supply", "source"}


@dataclass(frozen=True, slots=True)
class Board:
    """The maker's own board: slots [count] it covers; supply [W], the size of power supply
    suggested for a whole PC with one card, which is no draw."""

    slots: Figure
    supply: Figure
    source: Source


def board(card: str) -> Board:
    """The board of a card. Raises: Unsupported where none is on record; BadRecord."""
    slug = canonical(card)
    known = _boards(os.environ.get("TOKENMILL_CATALOG", ""))
    if slug not in known:
        raise Unsupported(
            f"no slot width and power supply on record for {slug}; "
            "add them to boards/*.toml in TOKENMILL_CATALOG"
        )
    return known[slug]


def desktop_cards() -> list[str]:
    """Slugs of the cards that go into a slot of a desktop PC."""
    return [
        slug for slug in names("accelerators")
        if accelerator(slug).market in ("consumer", "workstation")
        and accelerator(slug).form_factor.startswith("PCIe")
    ]  # fmt: skip


@cache
def _boards(_user_folders: str) -> dict[str, Board]:
    known: dict[str, Board] = {}
    for path in files("boards").values():
        table = read_toml(path)
        found = sources(table, path)
        for index, row in enumerate(table.get("boards", [])):
            where = f"boards[{index}]"
            if set(row) != _KEYS:
                raise BadRecord(path, where, "write { item = [...], slots, supply, source }")
            cells = {
                key: figure({"value": row[key], "source": row["source"]}, f"{where}.{key}",
                            dimension, found, path)
                for key, dimension in (("slots", "1"), ("supply", "power"))
            }  # fmt: skip
            for item in row["item"]:
                known[item] = Board(cells["slots"], cells["supply"], found[row["source"]])
    return known
