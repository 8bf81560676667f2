"""Who asks: views of the same answers."""

from __future__ import annotations
