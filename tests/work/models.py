"""The language models of the catalogue, for tests over all of them."""

from __future__ import annotations

from functools import cache

from tokenmill.catalog import load
from tokenmill.catalog.load import files, read_toml
from tokenmill.work.architecture import Architecture
from tokenmill.work.huggingface import architecture

__all__ = ["SLUGS", "arch"]


@cache
def arch(slug: str) -> Architecture:
    """The architecture of a record."""
    return architecture(load.model(slug).config, where=slug)


SLUGS = [slug for slug, path in files("models").items() if read_toml(path)["family"] == "language"]
