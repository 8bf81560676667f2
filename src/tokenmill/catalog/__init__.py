"""What exists: facts with sources, no arithmetic."""

from __future__ import annotations
