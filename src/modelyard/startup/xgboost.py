"""Imports XGBoost without scikit-learn.

``import xgboost`` imports scikit-learn, and with it SciPy's statistics and pandas, only to offer estimators in
scikit-learn's style; that is a third of the time until the first answer. A server loads boosters alone, so scikit-learn
looks absent while XGBoost is imported. The rest of the process may import it as usual.
"""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

_LEFT_OUT = "sklearn"


def leave_out_scikit_learn() -> None:
    """Makes a later ``import xgboost`` leave out scikit-learn, unless XGBoost is loaded already."""
    if "xgboost" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds ``xgboost.compat``, the one module that looks for scikit-learn, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != "xgboost.compat" or _LEFT_OUT in sys.modules:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithoutEstimators(spec.loader)
        return spec


class _WithoutEstimators(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[_LEFT_OUT] = None  # type: ignore[assignment]  # the language's way to say: not there
        try:
            self._loader.exec_module(module)
        finally:
            del sys.modules[_LEFT_OUT]
