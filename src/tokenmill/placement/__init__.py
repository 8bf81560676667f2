"""How a model is split over GPUs: layouts, memory, steps."""

from __future__ import annotations
