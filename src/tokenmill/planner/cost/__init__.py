"""What work costs: bought, rented, hosted, by the hour and by the piece."""

from __future__ import annotations
