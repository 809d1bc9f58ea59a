"""Imports Great Expectations without what draws distributions.

One of its sixty expectations compares distributions and draws them; Altair and SciPy's statistics, which it needs for
that, take half of the import's time. They are loaded when something of them is asked for.
"""

import importlib
from typing import Any

from modelyard.startup import telemetry
from modelyard.startup.lazy_imports import lazy_imports


def load_great_expectations() -> Any:
    """Returns the library, imported quickly, with telemetry off (which can only be switched off before the import)."""
    telemetry.switch_off()
    with lazy_imports("altair", "scipy.stats"):
        return importlib.import_module("great_expectations")
