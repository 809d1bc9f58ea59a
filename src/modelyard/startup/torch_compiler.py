"""torch's compiler stays unloaded where nothing is compiled."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from modelyard.startup.lazy_imports import LazyModule

_COMPILER = "torch._dynamo"


class _NothingCompiles(LazyModule):
    """What torch's optimizers ask of the compiler at each step, answered as it does where nothing is compiled."""

    def __init__(self) -> None:
        super().__init__(_COMPILER)
        self.hidden: list[Any] = []

    def graph_break(self) -> None:
        """There is no graph to break."""

    def disable(self, function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Any:
        """There is no compiler to hide the function from."""
        self.hidden.append(function)
        return function


@contextlib.contextmanager
def compiler_unloaded() -> Iterator[None]:
    """An optimizer's steps inside the block do not load ``torch._dynamo``; whatever else asks for it still gets it.

    The first step of any optimizer of torch imports the compiler only to have it look away: 1.5 s in every process
    that trains, much more than many a test's whole fit.
    """
    if _COMPILER in sys.modules:
        yield
        return
    stand_in = sys.modules[_COMPILER] = _NothingCompiles()
    try:
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]
        for function in stand_in.hidden:  # torch keeps the answer there
            vars(function).pop("__dynamo_disable", None)
