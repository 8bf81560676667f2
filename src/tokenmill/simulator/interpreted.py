"""Running the engine from its sources: where nothing was compiled, or to compare the two.

`compiled` and `nogil` stand in for Cython's, on machines without Cython.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["compiled", "is_compiled", "load_source", "nogil"]

compiled = False

# there is nothing to release
nogil: nullcontext[None] = nullcontext()

_PACKAGE = __package__ or ""
_PREFIX = f"{_PACKAGE}.engine"


class _SourceFinder(MetaPathFinder):
    """Finds the engine's modules as sources, compiled ones beside them or not."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(_PREFIX):
            return None
        source = Path(__file__).with_name(f"{name.rpartition('.')[2]}.py")
        return spec_from_file_location(name, source)


def is_compiled(module: ModuleType) -> bool:
    """Whether a module runs compiled."""
    return not (module.__file__ or "").endswith(".py")


def load_source(*names: str) -> list[ModuleType]:
    """Interpreted copies of engine modules (`engine`, `engine_solo`, ...), beside the usual ones.

    The copies know each other; the modules that others import stay as they are.
    """
    package = sys.modules[_PACKAGE]
    usual = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith(_PREFIX)}
    finder = _SourceFinder()
    sys.meta_path.insert(0, finder)
    try:
        return [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(_PREFIX)]:
            del sys.modules[name]
            vars(package).pop(name.rpartition(".")[2], None)
        sys.modules.update(usual)
        for name, module in usual.items():
            setattr(package, name.rpartition(".")[2], module)
