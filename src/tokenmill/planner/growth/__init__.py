"""How use grows as machines get better: curves, demand, policies."""

from __future__ import annotations
