"""Every project's model keeps the laws of learning at its small size; so does that of a new project of each kind."""

import pytest

from tests.contract.check_learning import CHECKS
from tests.contract.shelves import all_shelves
from tests.pipelines.small_fit import small_of, trained_once


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [shelves.name for shelves in all_shelves()])
def test_a_model_keeps_the_laws(name, check, session_folder, tmp_path):
    small = small_of(name)
    assert check(small, trained_once(small, session_folder), tmp_path) == []
