"""A cluster by its own measurements."""

from __future__ import annotations
