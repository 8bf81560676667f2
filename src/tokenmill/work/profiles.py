"""Traffic of a known shape, drawn from the published quantiles in catalog/data/traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenmill.errors import BadRecord, InputError
from tokenmill.work.arrivals import OpenLoop, open_loop
from tokenmill.work.lengths import Quantiles
from tokenmill.work.traffic import Traffic

__all__ = ["DEFAULT_PROFILE", "Profile", "default_traffic", "read_profile", "traffic_profile"]

DEFAULT_PROFILE = "azure-2023-conversation"
_FIGURES = {
    "rate": "1/s", "requests": "1", "prompt_mean": "tokens", "output_mean": "tokens",
    "rank_correlation": "1",
}  # fmt: skip
_QUANTILES = ("prompt_tokens", "output_tokens", "gap_s")


@dataclass(frozen=True)
class Profile:
    """The shape of a traffic: rate [1/s], lengths [tokens], gaps [s], and where they were read.

    `prompt_mean` and `output_mean` [tokens] are the published means; `correlation` [1] is
    Spearman's, of prompt with output.
    """

    slug: str
    name: str
    rate_per_s: float
    requests: int
    prompt_mean: float
    output_mean: float
    correlation: float
    prompt: Quantiles
    output: Quantiles
    gaps: Quantiles
    kind: str
    source: str

    def traffic(
        self,
        *,
        requests: int | None = None,
        duration_s: float | None = None,
        rate_per_s: float | None = None,
        seed: int = 0,
    ) -> Traffic:
        """Synthesised traffic of this shape.

        Parameters: requests or duration_s [s], by default as many requests as were published;
        rate_per_s [1/s], by default the published one; seed.
        Raises: InputError.
        """
        if requests is None and duration_s is None:
            requests = self.requests
        rate_per_s = self.rate_per_s if rate_per_s is None else rate_per_s
        return open_loop(
            OpenLoop(rate_per_s, gaps=self.gaps),
            self.prompt,
            self.output,
            requests=requests,
            duration_s=duration_s,
            correlation=self.correlation,
            seed=seed,
            name=self.slug,
            source=f"synthesised from published quantiles: {self.source}",
        )


def default_traffic(
    *,
    requests: int | None = None,
    duration_s: float | None = None,
    rate_per_s: float | None = None,
    seed: int = 0,
) -> Traffic:
    """Chat traffic of the shape of the Azure 2023 conversation trace; see `Profile.traffic`."""
    profile = traffic_profile(DEFAULT_PROFILE)
    return profile.traffic(
        requests=requests, duration_s=duration_s, rate_per_s=rate_per_s, seed=seed
    )


def traffic_profile(name: str) -> Profile:
    """The traffic profile of that slug or alias in the catalogue.

    Raises: UnknownName with the nearest ones; BadRecord.
    """
    from tokenmill.catalog import load  # here, since it brings pydantic

    return read_profile(load.files("traffic")[load.resolve("traffic", name)])


def read_profile(path: Path) -> Profile:
    """One traffic profile from its TOML file, checked.

    Raises: BadRecord naming file, key and remedy.
    """
    from tokenmill.catalog import load

    table = load.read_toml(path)
    found = load.sources(table, path)
    cells = _section(table, "figures", path)
    missing = [key for key in _FIGURES if key not in cells]
    if missing:
        raise BadRecord(path, f"figures.{missing[0]}", "missing from this traffic profile")
    figures = {
        key: load.figure(cells[key], f"figures.{key}", unit, found, path)
        for key, unit in _FIGURES.items()
    }
    laws = _quantiles(_section(table, "quantiles", path), path)
    source = found[figures["rate"].source]
    return Profile(
        slug=path.stem,
        name=str(table.get("name", path.stem)),
        rate_per_s=figures["rate"].value,
        requests=int(figures["requests"].value),
        prompt_mean=figures["prompt_mean"].value,
        output_mean=figures["output_mean"].value,
        correlation=figures["rank_correlation"].value,
        prompt=laws["prompt_tokens"],
        output=laws["output_tokens"],
        gaps=laws["gap_s"],
        kind=source.kind,
        source=source.title,
    )


def _section(table: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = table.get(name)
    if not isinstance(section, Mapping):
        raise BadRecord(path, name, f"a traffic profile needs [{name}]")
    return section


def _quantiles(section: Mapping[str, Any], path: Path) -> dict[str, Quantiles]:
    laws = {}
    for key in _QUANTILES:
        try:
            laws[key] = Quantiles(tuple(section["levels"]), tuple(section[key]))
        except KeyError as missing:
            raise BadRecord(path, f"quantiles.{missing.args[0]}", "missing") from None
        except InputError as problem:
            raise BadRecord(path, f"quantiles.{key}", str(problem)) from None
        except (TypeError, ValueError):
            raise BadRecord(path, f"quantiles.{key}", "must be a list of numbers") from None
    return laws
