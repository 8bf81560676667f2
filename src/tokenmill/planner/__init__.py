"""What to buy: questions, search, plans."""

from __future__ import annotations
