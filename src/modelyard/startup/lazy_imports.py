"""Lazy imports: modules that a library imports at its top and hardly ever needs are loaded on first use."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class LazyModule(ModuleType):
    """Stands in for a module until an attribute is read; from then on it returns the real module's attributes.

    ``importlib.util.LazyLoader`` does not do here: up to Python 3.12 a second ``import`` of the module loads it.
    """

    def __getattr__(self, name: str) -> Any:
        # Python looks for these on every module that it knows. A package's submodule, though, needs the real package.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def lazy_imports(*names: str) -> Iterator[None]:
    """Gives what is imported inside the block these modules as :class:`LazyModule`; later imports get the real ones.

    ``from module import name`` at the top of what is imported loads the module nevertheless.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: LazyModule(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            if isinstance(sys.modules.get(name), LazyModule):
                del sys.modules[name]
