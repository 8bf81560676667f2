"""What must be computed: FLOPs, bytes, messages and traffic; no hardware here."""

from __future__ import annotations
