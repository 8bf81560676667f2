"""Collective rows: read, predicted, fitted."""

from __future__ import annotations
