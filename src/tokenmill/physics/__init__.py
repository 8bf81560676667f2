"""How long it takes and how much energy: one phenomenon a file, pure functions."""

from __future__ import annotations
