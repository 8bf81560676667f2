"""How verbs spell their options: kinds of values that may be left out, and help by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

import typer

__all__ = ["Count", "Number", "Text", "Texts", "options"]

Text = Optional[str]  # noqa: UP045 - typer reads the old spelling on every Python it supports
Texts = Optional[list[str]]  # noqa: UP045
Number = Optional[float]  # noqa: UP045
Count = Optional[int]  # noqa: UP045


def options(*words: Mapping[str, str]) -> Callable[..., Any]:
    """Options of a verb, made from their key and names.

    Parameters: words, help by key; the first that has a key tells.
    """

    def option(key: str, *names: str) -> Any:
        told = next(table[key] for table in words if key in table)
        return typer.Option(*names, help=told, show_default=False)

    return option
