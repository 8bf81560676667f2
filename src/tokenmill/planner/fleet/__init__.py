"""What to buy, when and where: fleets over years, as a mixed-integer programme."""

from __future__ import annotations
