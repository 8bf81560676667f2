"""What happens: the closed form and the event engine, both answering with an Outcome."""

from __future__ import annotations
