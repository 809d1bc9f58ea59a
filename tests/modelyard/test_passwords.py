"""A password in any setting reaches no error, log line, tag, record or tracked parameter."""

import json
import logging

import pytest

from modelyard.errors import DataContractError
from modelyard.passwords import MaskPasswords, masked, masked_values
from modelyard.serving.logs import JsonLines
from modelyard.tracking import journal

SECRET = "hunter2"
ADDRESSES = (
    f"https://user:{SECRET}@mirror.example/data",
    f"postgresql+psycopg://user:{SECRET}@host:5432/db",
    f"redis://:{SECRET}@host:6379/0",
    f"s3://key:{SECRET}@bucket",
    f"https://user:p@{SECRET}@mirror.example/data",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_password_is_masked_and_the_place_stays_readable(address):
    assert SECRET not in masked(f"cannot reach {address}: refused")
    assert masked(address).rpartition("@")[2] == address.rpartition("@")[2]
    assert SECRET not in str(DataContractError(f"no {address}", where=address, way_out=address))


def test_text_without_a_password_is_left_alone():
    for text in ("https://host:80/a@b", "a: b@c", "user@host", "12:30 https://host/x"):
        assert masked(text) == text


def test_nested_values_are_masked():
    values = {"ingest": {"path": ADDRESSES[0], "columns": {"a": ADDRESSES[1]}}, "n": 3, "list": [ADDRESSES[2]]}
    assert SECRET not in json.dumps(masked_values(values))
    assert masked_values(values)["n"] == 3


def test_log_records_are_masked(caplog):
    caplog.handler.addFilter(MaskPasswords())
    logging.getLogger("modelyard.test").warning("fetching from %s", ADDRESSES[0])
    assert SECRET not in caplog.text
    assert "mirror.example" in caplog.text


def test_a_traceback_in_a_log_is_masked(caplog):
    caplog.handler.addFilter(MaskPasswords())
    try:
        raise OSError(f"no answer from {ADDRESSES[0]}")
    except OSError:
        logging.getLogger("modelyard.test").exception("the registry cannot be read")
    assert "OSError: no answer from https://user:***@mirror.example/data" in caplog.text
    assert SECRET not in caplog.text
    record = logging.makeLogRecord({"exc_info": (OSError, OSError(ADDRESSES[1]), None), "msg": "again"})
    assert SECRET not in JsonLines().format(record)


def test_the_tracking_journal_holds_no_password(data_directory, monkeypatch):
    monkeypatch.setattr(journal, "_start_writer", lambda path: None)
    journal.start("secrets", experiment="toy", run_name="toy", tags={"source": ADDRESSES[0]})
    journal.log_params({"ingest.path": ADDRESSES[0]})
    journal.set_tags({"error": f"no {ADDRESSES[1]}"})
    journal._journal.close()
    journal._journal = None
    written = "".join(path.read_text() for path in data_directory.rglob("*.jsonl"))
    assert "ingest.path" in written
    assert SECRET not in written
