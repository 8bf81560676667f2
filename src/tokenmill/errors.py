"""Every way tokenmill says no, as one tree.

TokenmillError
├── InputError(ValueError)      you asked wrongly
│   ├── UnknownName             "h10": did you mean h100-sxm?
│   ├── BadUnit                 "3 bananas", or watts where bytes belong
│   └── BadRecord               a file, a line, a key, and what is wrong there
├── Infeasible                  the world says no
│   ├── DoesNotFit              needs so many bytes, has so many
│   └── NoPlan                  nothing meets the question; carries the closest
└── Unsupported                 we do not model it
    ├── NoPeak                  no published peak of this precision
    ├── NoPrice                 no price record; say how to supply one
    └── NoCalibration           no constants for this family

Every message is one line: what, where, what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

__all__ = [
    "BadRecord",
    "BadUnit",
    "DoesNotFit",
    "Infeasible",
    "InputError",
    "NoCalibration",
    "NoPeak",
    "NoPlan",
    "NoPrice",
    "TokenmillError",
    "UnknownName",
    "Unsupported",
]


class TokenmillError(Exception):
    """Anything tokenmill refuses on purpose; `str()` is one line for a person."""

    def __str__(self) -> str:
        # names and quantities are quoted as they came: no line breaks, no terminal codes
        text = self._words()
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def _words(self) -> str:
        return super().__str__()


class InputError(TokenmillError, ValueError):
    """The question is wrong: mend it and ask again."""


_FEW = 15  # names that are listed where none is near


class UnknownName(InputError):
    """A name that no record carries; offers the nearest ones, looked for when somebody reads it."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(kind, name)
        self.kind, self.name = kind, name
        self._known = sorted(set(known))

    @cached_property
    def suggestions(self) -> list[str]:
        """Up to three known names, the nearest first."""
        from difflib import get_close_matches

        folded = {item.lower(): item for item in self._known}
        name = self.name.lower()
        close = get_close_matches(name, list(folded), n=3, cutoff=0.5)
        contained = [key for key in folded if name and name in key and key not in close]
        return [folded[key] for key in (close + contained)[:3]]

    def _words(self) -> str:
        if self.suggestions:
            hint = f"did you mean {', '.join(self.suggestions)}?"
        elif 0 < len(self._known) <= _FEW:
            hint = f"known: {', '.join(self._known)}"
        else:
            hint = "list them with: tokenmill show"
        return f'unknown {self.kind} "{self.name[:80]}"; {hint}'


class BadUnit(InputError):
    """A quantity that cannot be read, or has the wrong dimension."""


class BadRecord(InputError):
    """A data file that says something wrong: file, line if known, key, remedy."""

    def __init__(
        self, path: str | Path, key: str, problem: str, *, line: int | None = None
    ) -> None:
        self.path, self.key, self.line = str(path), key, line
        place = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{place}: {key}: {problem}" if key else f"{place}: {problem}")


class Infeasible(TokenmillError):
    """The world says no; `change` says what would make it yes."""

    def __init__(self, message: str, *, change: str = "") -> None:
        self.change = change
        super().__init__(f"{message}; {change}" if change else message)


class DoesNotFit(Infeasible):
    """Memory is short: the numbers, in bytes, and the way out."""

    def __init__(
        self, what: str, needs_bytes: float, has_bytes: float, *, change: str = ""
    ) -> None:
        self.needs_bytes, self.has_bytes = needs_bytes, has_bytes
        super().__init__(
            f"{what} needs {needs_bytes / 1e9:.1f} GB, has {has_bytes / 1e9:.1f} GB",
            change=change,
        )


class NoPlan(Infeasible):
    """No option meets the question; `reasons` holds one line per option refused."""

    def __init__(self, message: str, *, reasons: Sequence[str] = (), change: str = "") -> None:
        self.reasons = tuple(reasons)
        super().__init__(message, change=change)


class Unsupported(TokenmillError):
    """tokenmill does not model this, and will not guess."""


class NoPeak(Unsupported):
    """No published peak rate for this precision on this accelerator."""

    def __init__(self, accelerator: str, precision: str, known: Iterable[str]) -> None:
        self.accelerator, self.precision = accelerator, precision
        have = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"{accelerator} has no published {precision} peak (has {have}); "
            "choose another precision or add the figure to its record"
        )


class NoPrice(Unsupported):
    """No price is on record; never taken as zero."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"no price on record for {what}; {remedy}")


class NoCalibration(Unsupported):
    """No constants are on record for this family."""

    def __init__(self, family: str, what: str) -> None:
        super().__init__(f"no {what} calibration for {family}; add one to catalog/data/calibration")
