"""Image models: estimated and planned."""

from __future__ import annotations
