"""Imports Feast without the parts that cost most and are never used here.

``import feast`` takes 17 s of processor time on a slow core. A third of it is torch, which Feast loads at once to be
able to hand tensors out; another third is typeguard, which recompiles Feast's classes so that their calls are checked
at run time. Here torch is loaded when a tensor is first asked for, and the classes stay as they are written, which is
what ``python -O`` does. Both change only how Feast is loaded: other users of torch and typeguard notice nothing.

Feast also makes a folder in /tmp for metrics that nobody collects, which a killed process leaves behind. Here its
metrics stay in memory, unless the environment names a folder.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from modelyard.startup import telemetry
from modelyard.startup.lazy_imports import lazy_imports


def load_feast() -> None:
    """Imports ``feast``, quickly and with telemetry off; does nothing where it is loaded already."""
    if "feast" in sys.modules:
        return
    telemetry.switch_off()
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = _unchecked
    try:
        with _metrics_in_memory(), lazy_imports("torch"):
            importlib.import_module("feast")
    finally:
        typeguard.typechecked = checked


@contextlib.contextmanager
def _metrics_in_memory() -> Iterator[None]:
    """prometheus_client decides at its import where values live; Feast makes its folder if none is named."""
    folders = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")
    if any(name in os.environ for name in folders):
        yield
        return
    importlib.import_module("prometheus_client")
    os.environ[folders[0]] = ""
    try:
        yield
    finally:
        for name in folders:
            os.environ.pop(name, None)


def _unchecked(target: Any = None, **_options: Any) -> Any:
    return target if target is not None else _unchecked
