"""Compile the engine where Cython and a C compiler are at hand; pyproject.toml says the rest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src")
ENGINES = sorted(SOURCE.glob("tokenmill/simulator/engine*.py"))


class BuildOrInterpret(build_ext):
    """Compile what can be compiled; with `optional=True` alone some failures end the install."""

    def build_extension(self, ext: Extension) -> None:
        """Compile one extension, or say in one line why it will run interpreted."""
        try:
            super().build_extension(ext)
        except Exception as problem:
            Path(self.get_ext_fullpath(ext.name)).unlink(missing_ok=True)  # of an earlier build
            reason = str(problem).splitlines()[0][:120]
            print(f"tokenmill: {ext.name} will run interpreted: {reason}", file=sys.stderr)


def extensions() -> list[Extension]:
    """The engine as optional extensions: the same files run interpreted where this fails."""
    if not ENGINES or os.environ.get("TOKENMILL_INTERPRETED"):
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        print("tokenmill: no Cython here, the engine will run interpreted", file=sys.stderr)
        return []
    modules = [
        Extension(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts),
            [path.as_posix()],
            extra_compile_args=[] if sys.platform == "win32" else ["-O3"],
            optional=True,
        )
        for path in ENGINES
    ]
    return cythonize(modules, build_dir="build/cython", language_level=3)


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildOrInterpret})
