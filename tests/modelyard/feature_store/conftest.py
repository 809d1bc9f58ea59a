import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="session")
def toy() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(TOY)))
