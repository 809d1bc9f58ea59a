"""Tables that are given to the monitor keep what is text in the contract."""

from pathlib import Path

import pytest

from modelyard.monitoring.windows import read_table
from modelyard.projects import load_project


@pytest.mark.parametrize("option", ["--batch", "--labels"])
def test_identifiers_keep_their_leading_zeros(tmp_path: Path, option: str) -> None:
    (tmp_path / "rows.csv").write_text("transaction_id,customer_id,amount,is_fraud\n0007,042,12.5,true\n")
    table = read_table(load_project("fraud_detection"), tmp_path / "rows.csv", option)
    assert table.rows() == [("0007", "042", 12.5, True)]
