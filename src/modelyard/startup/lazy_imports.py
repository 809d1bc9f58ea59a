"""Modules that a library imports at its top and hardly ever needs, loaded when something of them is asked for."""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class OnUse(ModuleType):
    """A module's place until something of it is asked for; from then on it hands out what the real one has.

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
def imported_on_use(*names: str) -> Iterator[None]:
    """What is imported inside the block gets these modules as :class:`OnUse`; all others later get them as they are.

    ``from module import name`` at the top of what is imported loads the module nevertheless.
    """
    absent = [name for name in names if name not in sys.modules]
    sys.modules.update({name: OnUse(name) for name in absent})
    try:
        yield
    finally:
        for name in absent:
            if isinstance(sys.modules.get(name), OnUse):
                del sys.modules[name]
