"""Compile the engine where Cython and a C compiler are at hand; pyproject.toml says the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup

SOURCE = Path("src")
ENGINES = sorted(SOURCE.glob("tokenmill/simulator/engine*.py"))


def extensions() -> list[Extension]:
    """The engine as optional extensions: the same files run interpreted where this fails."""
    if not ENGINES or os.environ.get("TOKENMILL_INTERPRETED"):
        return []
    try:
        from Cython.Build import cythonize
        from Cython.Compiler import Options
    except ImportError:
        print("tokenmill: no Cython here, the engine will run interpreted", file=sys.stderr)
        return []
    Options.buffer_max_dims = 2  # a view takes 64 bytes, not 208, so more of them fit into caches
    flags = [] if sys.platform == "win32" else ["-O3", "-g0"]
    modules = [
        Extension(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts),
            [path.as_posix()],
            extra_compile_args=flags,
        )
        for path in ENGINES
    ]
    compiled: list[Extension] = cythonize(
        modules, build_dir="build/cython", include_path=[str(SOURCE)], language_level=3
    )
    for module in compiled:
        module.optional = True  # set here, since cythonize makes new objects without it
    return compiled


setup(ext_modules=extensions())
