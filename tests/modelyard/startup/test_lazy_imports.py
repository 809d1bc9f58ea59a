import subprocess
import sys

import pytest

from modelyard.startup.lazy_imports import LazyModule, lazy_imports


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """``library``, which imports ``rare`` and ``rare.part`` at its top, and both of them."""
    for path, text in {
        "rare/__init__.py": "answer = 42\n",
        "rare/part.py": "half = 21\n",
        "library.py": "import rare as used\ndef answer():\n    return used.answer\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("library", "rare", "rare.part"):
        sys.modules.pop(name, None)


def test_a_module_is_loaded_when_something_of_it_is_asked_for(packages):
    with lazy_imports("rare"):
        import library
    assert isinstance(library.used, LazyModule)
    assert "rare" not in sys.modules
    assert library.answer() == 42
    assert not isinstance(sys.modules["rare"], LazyModule)
    assert library.answer() == 42


def test_others_get_the_module_as_it_is(packages):
    with lazy_imports("rare"):
        import library
    import rare

    assert not isinstance(rare, LazyModule)
    assert library.used.answer is rare.answer


def test_a_submodule_inside_the_block_loads_its_package(packages):
    with lazy_imports("rare"):
        import rare.part
    assert rare.part.half == 21
    assert not isinstance(sys.modules["rare"], LazyModule)


def test_a_module_that_is_loaded_already_stays(packages):
    import rare

    with lazy_imports("rare"):
        import library
    assert library.used is rare


def test_one_that_is_not_installed_is_told_when_it_is_used(packages):
    with lazy_imports("not_installed"):
        import not_installed
    with pytest.raises(ModuleNotFoundError, match="not_installed"):
        _ = not_installed.anything


_DIVERGENCE = """
import sys
from modelyard.startup.great_expectations import load_great_expectations
from modelyard.validation.checks import evaluate
load_great_expectations()
import great_expectations.expectations as gxe
import polars as pl
letters = pl.DataFrame({"letter": ["a", "b"] * 50})
def check(*expectations):
    return [(found.is_passed, found.error) for found in evaluate(letters, expectations)]
assert check(gxe.ExpectColumnValuesToNotBeNull(column="letter")) == [(True, "")]
assert not {"altair", "scipy.stats"} & set(sys.modules), "nothing of them was asked for"
near, far = ({"values": ["a", "b"], "weights": weights} for weights in ([0.5, 0.5], [0.99, 0.01]))
print(check(*(
    gxe.ExpectColumnKLDivergenceToBeLessThan(column="letter", partition_object=partition, threshold=0.1)
    for partition in (near, far)
)))
assert "scipy.stats" in sys.modules
"""


def test_an_expectation_that_needs_what_was_left_out_still_works():
    done = subprocess.run([sys.executable, "-c", _DIVERGENCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[(True, ''), (False, '')]"
