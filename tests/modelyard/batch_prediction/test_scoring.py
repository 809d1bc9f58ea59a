"""Batches are scored by the server's code, row for row, and a run after a kill goes on where it stopped."""

import csv
import json
import signal
import subprocess
import sys
import textwrap
import time

import polars as pl
import pytest
from PIL import Image

from modelyard.batch_prediction import scoring
from modelyard.batch_prediction.rows import rows_of
from modelyard.batch_prediction.scoring import score
from modelyard.errors import ConfigurationError, DataContractError
from modelyard.projects import load_project
from tests.modelyard.serving.toy import SLOW, version


def _ignore(_n_rows):
    pass


def _orders(n_rows):
    return [{"customer_id": number, "amount_eur": 10.0 * number, "order": f"A{number}"} for number in range(n_rows)]


def _write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        pl.DataFrame(rows).write_csv(path)
    else:
        pl.DataFrame(rows).write_parquet(path)
    return path


def _read(path):
    if path.suffix == ".jsonl":
        return pl.read_ndjson(path)
    return pl.read_csv(path) if path.suffix == ".csv" else pl.read_parquet(path)


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_every_row_is_answered_in_order_and_further_columns_are_carried(tmp_path, monkeypatch, ending):
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 3)
    source, output = _write(tmp_path / f"in{ending}", _orders(10)), tmp_path / f"out{ending}"
    found = score(version(7), source, output, _ignore)
    assert found == (10, 0, 0)
    read = _read(output)
    assert read.columns == ["row", "order", "price_eur", "is_high", "model_version", "error"]
    assert read["row"].to_list() == list(range(1, 11))
    assert read["order"].to_list() == [f"A{number}" for number in range(10)]
    assert read["price_eur"].to_list() == [20.0 * number for number in range(10)]
    assert set(map(str, read["model_version"])) == {"7"}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_row_that_is_wrong_says_why_and_spoils_no_other(tmp_path):
    rows = _orders(4)
    rows[1]["amount_eur"] = -5.0
    rows[2]["note"] = "nonsense"
    output = tmp_path / "out.jsonl"
    assert score(version(1), _write(tmp_path / "in.jsonl", rows), output, _ignore).n_failed == 2
    found = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["error"] is None for row in found] == [True, False, False, True]
    assert found[1]["error"] == "amount_eur: Input should be greater than or equal to 0"
    assert "makes no sense" in found[2]["error"]
    assert "-5" not in found[1]["error"]
    assert found[1]["price_eur"] is None
    assert found[3]["price_eur"] == 60.0


def test_a_projects_own_limit_of_rows_bounds_a_part(tmp_path):
    model = version(1, project=SLOW)
    score(model, _write(tmp_path / "in.jsonl", _orders(5)), tmp_path / "out.csv", _ignore)
    assert max(model.model.batches) == SLOW.api.max_rows == 2
    with (tmp_path / "out.csv").open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 5


_PROGRAM = """
    import sys, pathlib
    from modelyard.batch_prediction import scoring
    from tests.modelyard.serving.toy import version
    scoring.ROWS_PER_PART = 2
    model = version(1, seconds=float(sys.argv[1]))
    print(*scoring.score(model, pathlib.Path("in.jsonl"), pathlib.Path("out.csv"), lambda n: None))
"""


def test_a_killed_run_goes_on_where_it_stopped_and_leaves_no_half_file(tmp_path):
    _write(tmp_path / "in.jsonl", _orders(40))
    command = [sys.executable, "-c", textwrap.dedent(_PROGRAM)]
    process = subprocess.Popen([*command, "0.1"], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob(".out.csv.parts/part-*.parquet"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out.csv").exists()
    again = subprocess.run([*command, "0"], cwd=tmp_path, capture_output=True, text=True, check=True)
    n_rows, n_failed, n_resumed = map(int, again.stdout.split())
    assert (n_rows, n_failed) == (40, 0)
    assert 6 <= n_resumed < 40
    assert pl.read_csv(tmp_path / "out.csv")["price_eur"].to_list() == [20.0 * number for number in range(40)]


def test_parts_of_another_version_or_input_are_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "ROWS_PER_PART", 2)
    source, output = _write(tmp_path / "in.jsonl", _orders(6)), tmp_path / "out.jsonl"
    parts = tmp_path / ".out.jsonl.parts"
    with pytest.raises(ZeroDivisionError):
        score(
            version(1),
            _write(source, [*_orders(4), {"customer_id": 1, "amount_eur": 1.0, "note": "crash"}]),
            output,
            _ignore,
        )
    assert len(list(parts.glob("part-*.parquet"))) == 2
    _write(source, _orders(6))
    assert score(version(1), source, output, _ignore).n_resumed == 0


def test_what_cannot_be_read_is_said_with_its_place(tmp_path):
    order = load_project("fraud_detection").api.request
    with pytest.raises(ConfigurationError, match="no such file"):
        list(rows_of(tmp_path / "none.csv", order))
    (tmp_path / "in.xlsx").write_bytes(b"PK")
    with pytest.raises(ConfigurationError, match="xlsx"):
        list(rows_of(tmp_path / "in.xlsx", order))
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataContractError, match="no JSON") as found:
        list(rows_of(tmp_path / "in.jsonl", order))
    assert "line 2" in found.value.where
    (tmp_path / "latin.csv").write_bytes("name\nMüller\n".encode("latin-1"))
    with pytest.raises(DataContractError, match="UTF-8"):
        list(rows_of(tmp_path / "latin.csv", order))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(DataContractError, match="Parquet"):
        list(rows_of(tmp_path / "broken.parquet", order))
    with pytest.raises(ConfigurationError, match="no picture"):
        list(rows_of(tmp_path, order))
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataContractError, match="no row"):
        score(version(1), tmp_path / "empty.jsonl", tmp_path / "out.csv", _ignore)


def test_a_folder_of_pictures_becomes_requests(tmp_path):
    request = load_project("medical_image_analysis").api.request
    for name in ("b.png", "a/c.JPG", ".hidden/x.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no picture")
        else:
            Image.new("L", (64, 64), 100).save(path)
    rows = list(rows_of(tmp_path, request))
    assert [row["file"] for row in rows] == ["a/c.JPG", "b.png"]
    assert all(request.model_validate({"image": row["image"]}).image.pixels.shape for row in rows)


def test_a_broken_picture_is_said_as_the_server_says_it(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    project = load_project("medical_image_analysis")
    (row,) = rows_of(tmp_path, project.api.request)
    assert scoring.request_of(project, row) == "image: Value error, the bytes are neither a PNG nor a JPEG image"


def test_a_cell_of_csv_may_hold_a_list_and_an_empty_one_is_left_out(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("\ufefffirst;values;note\n1;[1.5, 2];\n")
    assert list(rows_of(path, load_project("fraud_detection").api.request)) == [{"first": "1", "values": [1.5, 2]}]
