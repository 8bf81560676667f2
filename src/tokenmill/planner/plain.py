"""Answers as plain values for JSON: money as amount and currency, statements with their total."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

from pydantic import BaseModel

from tokenmill.cost.money import Money, Statement

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Dataclasses, models, money and statements inside `value` as dicts, lists and numbers."""
    if isinstance(value, Money):
        return {"amount": value.amount, "currency": value.currency}
    if isinstance(value, Statement):
        return {
            "lines": [{"label": one.label, "basis": one.basis, **plain(one.money)}
                      for one in value.lines],
            "total": plain(value.total),
        }  # fmt: skip
    if isinstance(value, Fraction):
        return float(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
