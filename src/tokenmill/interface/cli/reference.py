"""The reference of the command line as Markdown, made from the commands themselves.

`python -m tokenmill.interface.cli.reference FILE` writes it (`make docs`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from tokenmill.interface.cli import text
from tokenmill.interface.cli.app import app

__all__ = ["reference"]


def reference() -> str:
    """Every verb with its arguments and options, in Markdown."""
    sections = [text.REFERENCE]
    for name, command in _commands("tokenmill", get_command(app)):
        sections.append(f"## `{name}`\n\n{_words(command)}")
        rows = [_row(one) for one in command.params if not one.hidden]
        if rows:
            sections.append("\n".join(["| | |", "|---|---|", *rows]))
    return "\n\n".join(sections) + "\n"


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for verb, inner in getattr(command, "commands", {}).items():
        yield from _commands(f"{name} {verb}", inner)


def _words(command: Any) -> str:
    return " ".join(str(command.help or "").split())


def _row(one: Any) -> str:
    """An argument or an option, what it takes, and what it means."""
    if one.param_type_name == "argument":
        spelled = f"`{one.name.upper()}`"
    else:
        spelled = ", ".join(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
        spelled += "" if one.is_flag else " …"
    meaning = " ".join(str(one.help or "").split()).replace("|", "\\|")
    return f"| {spelled} | {meaning}{' (needed)' if one.required else ''} |"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
