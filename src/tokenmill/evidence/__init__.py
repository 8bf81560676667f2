"""How far to trust it: measured points, fits, scores, intervals."""

from __future__ import annotations
