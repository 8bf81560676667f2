"""Checked reading of a configuration: a wrong value is one line with file, key and remedy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NoReturn

from tokenmill.errors import BadRecord

__all__ = ["Facts"]

_MOST = 1_000_000  # no published size comes near; a larger one is a slip of units
_MOST_ITEMS = 10_000


def _plain(value: object) -> object:
    if isinstance(value, Facts):
        return value.seen()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


class Facts:
    """The keys and values of one configuration, read with checks.

    Parameters: values, as parsed from JSON or TOML; where, the file named in messages;
    prefix, the path of a nested table ("text_config."); defaults, what the format says of
    keys left out. A null counts as left out. What has been read can be asked back with `seen`.
    """

    __slots__ = ("_defaults", "_seen", "_values", "prefix", "where")

    def __init__(
        self,
        values: object,
        where: str,
        prefix: str = "",
        defaults: Mapping[str, object] | None = None,
    ) -> None:
        self.where, self.prefix = where, prefix
        if not isinstance(values, Mapping):
            self.refuse("", f"a table of keys is needed here, not {_shown(values)}")
        self._values: Mapping[str, object] = values
        self._defaults = defaults or {}
        self._seen: dict[str, object] = {}

    def seen(self) -> dict[str, object]:
        """The keys read so far with their values, nested as they stand, sorted."""
        return {key: _plain(self._seen[key]) for key in sorted(self._seen)}

    def refuse(self, key: str, problem: str) -> NoReturn:
        """Raise BadRecord for a key of this table."""
        raise BadRecord(self.where, (self.prefix + key).strip("."), problem)

    def raw(self, key: str) -> object:
        """The value as written, or the default of the format, or None."""
        value = self._values.get(key)
        value = self._defaults.get(key) if value is None else value
        if value is not None:
            self._seen.setdefault(key, value)
        return value

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key, None) is not None or self._defaults.get(key) is not None

    def _pick(self, keys: Iterable[str], default: object) -> tuple[str, object]:
        """The one value among synonyms. Two that differ contradict each other."""
        found = {key: self.raw(key) for key in keys if self.has(key)}
        if not found:
            first = next(iter(keys))
            if default is None:
                self.refuse(first, "missing; add it from the model's config.json")
            return first, default
        (key, value), *others = found.items()
        for other, second in others:
            if second != value:
                self.refuse(key, f"{_shown(value)}, but {other} = {_shown(second)}; keep one")
        return key, value

    def count(
        self, *keys: str, default: int | None = None, least: int = 1, most: int = _MOST
    ) -> int:
        """A whole number in [least, most] under one of several names.

        Raises: BadRecord where it is missing without default, no whole number, or out of range.
        """
        key, value = self._pick(keys, default)
        return self._whole(key, value, least, most)

    def _whole(self, key: str, value: object, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(key, f"{_shown(value)} is not a whole number")
        if not math.isfinite(value) or value != int(value):
            self.refuse(key, f"{_shown(value)} is not a whole number")
        if not least <= value <= most:
            self.refuse(key, f"{_shown(value)} is out of range; {least} to {most} is possible")
        return int(value)

    def number(self, key: str, default: float | None = None, most: float = 1e6) -> float:
        """A finite number in (0, most]. Raises: BadRecord."""
        _, value = self._pick((key,), default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(key, f"{_shown(value)} is not a number")
        if not 0 < value <= most:
            self.refuse(key, f"{_shown(value)} is out of range; more than 0, at most {most:g}")
        return float(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A true or false. Raises: BadRecord."""
        value = self.raw(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"{_shown(value)} is neither true nor false")
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A short text. Raises: BadRecord."""
        _, value = self._pick((key,), default)
        if not isinstance(value, str) or len(value) > _MOST_ITEMS or not value.isprintable():
            self.refuse(key, f"{_shown(value)} is not a short text")
        return value

    def items(self, key: str, length: int | None = None) -> list[object]:
        """A list, of the given length where one is given. Raises: BadRecord."""
        value = self.raw(key)
        if not isinstance(value, list | tuple) or len(value) > _MOST_ITEMS:
            self.refuse(key, f"{_shown(value)} is not a list of at most {_MOST_ITEMS} entries")
        if length is not None and len(value) != length:
            self.refuse(key, f"has {len(value)} entries for {length} layers; make them agree")
        return list(value)

    def counts(self, key: str, length: int | None = None, least: int = 0) -> list[int]:
        """A list of whole numbers. Raises: BadRecord."""
        found = self.items(key, length)
        return [self._whole(f"{key}[{at}]", item, least, _MOST) for at, item in enumerate(found)]

    def texts(self, key: str, length: int | None, known: Iterable[str]) -> list[str]:
        """A list of known words. Raises: BadRecord."""
        words = sorted(set(known))
        result = []
        for at, item in enumerate(self.items(key, length)):
            if not isinstance(item, str) or item not in words:
                self.refuse(f"{key}[{at}]", f"{_shown(item)} is not one of {', '.join(words)}")
            result.append(item)
        return result

    def section(self, key: str, defaults: Mapping[str, object] | None = None) -> Facts:
        """A nested table. Raises: BadRecord where it is missing or no table."""
        value = self.raw(key)
        if value is None:
            self.refuse(key, "missing; add it from the model's config.json")
        if not isinstance(self._seen.get(key), Facts):
            self._seen[key] = Facts(value, self.where, f"{self.prefix}{key}.", defaults)
        found = self._seen[key]
        assert isinstance(found, Facts)  # narrows the type
        if defaults is not None:
            found._defaults = defaults
        return found

    def sections(self, key: str, length: int) -> list[Facts]:
        """A list of nested tables. Raises: BadRecord."""
        found = [
            Facts(item, self.where, f"{self.prefix}{key}[{at}].")
            for at, item in enumerate(self.items(key, length))
        ]
        self._seen[key] = found
        return found
