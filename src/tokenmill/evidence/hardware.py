"""Hardware as publications name it: the card behind makers' words, sizes of memory and cores."""

from __future__ import annotations

import re
from functools import lru_cache

from tokenmill.catalog import load
from tokenmill.errors import UnknownName
from tokenmill.placement.platform import Platform, platform

__all__ = ["as_noted", "platform_named", "power_limit_w"]

_MAKERS = re.compile(
    r"\b(?:nvidia|amd|intel|apple|geforce|radeon|quadro|tesla|instinct|gpu|graphics)\b"
)
_SIZES = re.compile(r"\b\d+-?(?:gb|gib|g|c|cores?|core-gpu|w)\b")
_FAMILIES = ("", "rtx-", "gtx-", "rx-", "arc-", "apple-", "radeon-", "radeon-pro-", "jetson-")


@lru_cache(maxsize=512)
def platform_named(name: str) -> Platform:
    """The platform that a publication's name for it stands for.

    Raises: UnknownName where nothing on record begins like it.
    """
    try:
        return platform(name)
    except UnknownName:
        for likely in _likely(load.canonical(name)):
            try:
                return platform(likely)
            except UnknownName:
                continue
        raise


@lru_cache(maxsize=512)
def as_noted(name: str, note: str) -> str:
    """The record of a card with the size of memory that a note gives it ("GH200-144GB"), or name.

    Sizes on labels and in records differ by a few percent.
    """
    own = load.canonical(name)
    found = re.search(rf"\b{re.escape(own)}[-_ ](\d+) ?GB", note.replace("_", " "), re.IGNORECASE)
    if not found:
        return name
    size = float(found[1]) * 1e9
    alike = [slug for slug in load.names("accelerators") if slug.startswith(f"{own}-")]
    memory = {slug: load.accelerator(slug).value("memory") for slug in (own, *alike)}
    return min(memory, key=lambda slug: abs(memory[slug] - size))


def power_limit_w(note: str, usual_w: float) -> float:
    """The power limit [W] that a note states ("TGP 1000W", "TDP: 500W", "power-capped").

    Parameters: usual_w [W], the card's own, which counts where the note is silent.
    """
    stated = re.search(r"\bT[GD]P:? (\d+) ?W", note)
    if "power-capped" in note:
        return usual_w * load.calibration("sustained").figures["capped"].value
    return float(stated[1]) if stated else usual_w


def _likely(name: str) -> list[str]:
    """Names that it may stand for, the nearest first."""
    plain = _SIZES.sub("", name)
    found = []
    for text in (plain, _MAKERS.sub("", plain)):
        words = [word for word in re.split(r"[-+/,()]+", text) if word]
        for many in range(len(words), 0, -1):
            short = "-".join(words[:many])
            if any(digit.isdigit() for digit in short):
                found += [family + short for family in _FAMILIES]
    return found
