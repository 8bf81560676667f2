"""Serving rows: the same configuration under the same load, and what engines add to kernels."""

from __future__ import annotations
