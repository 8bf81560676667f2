"""Which card to buy: the shopper."""

from __future__ import annotations
