"""Every project keeps the contract; so does a new one of each kind."""

import pytest

from tests.contract import check_imports, check_record, check_rooms, check_wiring
from tests.contract.shelves import all_shelves

CHECKS = (*check_rooms.CHECKS, *check_imports.CHECKS, *check_record.CHECKS, *check_wiring.CHECKS)


@pytest.mark.parametrize("shelves", all_shelves(), ids=lambda shelves: shelves.name)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_project_keeps_the_contract(check, shelves):
    assert check(shelves) == []
