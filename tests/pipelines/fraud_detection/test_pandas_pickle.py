import os
import pickle
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.errors import StorageError
from modelyard.public_data.fetch import fetch
from pipelines.fraud_detection.pandas_pickle import read_dataframe


class Index:
    """Pickles as pandas 1.0's index did, once :func:`legacy` has put the old names in place of these classes'."""

    def __init__(self, labels):
        self.labels = labels

    def __reduce__(self):
        return new_index, (Index, {"data": self.labels, "name": None})


class Manager:
    def __init__(self, blocks, labels, rows):
        axes = [Index(np.array(labels, dtype=object)), Index(np.arange(rows))]
        self.state = (axes, [], [], {"0.14.1": {"axes": axes, "blocks": blocks}})

    def __getstate__(self):
        return self.state


class Frame:
    def __init__(self, blocks, labels, rows, attribute="_data"):
        self.state = {attribute: Manager(blocks, labels, rows), "_typ": "dataframe", "_metadata": []}

    def __getstate__(self):
        return self.state


def new_index(cls, content):
    raise NotImplementedError


class Evil:
    """What pickle runs while it reads this is whatever the writer liked."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


OLD_NAMES = {
    f"{__name__}\nFrame": "pandas.core.frame\nDataFrame",
    f"{__name__}\nManager": "pandas.core.internals.managers\nBlockManager",
    f"{__name__}\nnew_index": "pandas.core.indexes.base\n_new_Index",
    f"{__name__}\nIndex": "pandas.core.indexes.numeric\nInt64Index",
    "numpy._core.multiarray\n": "numpy.core.multiarray\n",
}
"""Protocol 3 writes names as plain lines, so one text can take another's place."""


def legacy(thing) -> bytes:
    written = pickle.dumps(thing, protocol=3)
    for new, old in OLD_NAMES.items():
        written = written.replace(new.encode(), old.encode())
    return written


def block(columns, *rows, dtype):
    return {"values": np.array(rows, dtype=dtype), "mgr_locs": columns}


def table_frame(attribute="_data") -> Frame:
    blocks = [
        block(slice(0, 4, 2), [1.5, 2.5], [-0.0, np.inf], dtype="float64"),
        block(np.array([1]), ["2018-07-25T00:00:29", "2018-07-25T00:01:08"], dtype="datetime64[ns]"),
        block(slice(3, 4), [True, False], dtype="bool"),
    ]
    return Frame(blocks, ["amount", "at", "rate", "is_fraud"], 2, attribute)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "table.pkl"


@pytest.mark.parametrize("attribute", ["_data", "_mgr"])
def test_columns_come_in_their_order_with_their_types(path, attribute):
    path.write_bytes(legacy(table_frame(attribute)))
    expected = pl.DataFrame(
        {
            "amount": [1.5, 2.5],
            "at": [datetime(2018, 7, 25, 0, 0, 29), datetime(2018, 7, 25, 0, 1, 8)],
            "rate": [-0.0, np.inf],
            "is_fraud": [True, False],
        },
        schema_overrides={"at": pl.Datetime("ns")},
    )
    assert read_dataframe(path).equals(expected)
    assert read_dataframe(path).schema == expected.schema


def test_reading_does_not_import_pandas(path):
    path.write_bytes(legacy(table_frame()))
    code = (
        "import sys; from pathlib import Path; from pipelines.fraud_detection.pandas_pickle import read_dataframe\n"
        "assert read_dataframe(Path(sys.argv[1])).height == 2; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)


def test_a_pickle_that_would_run_a_command_does_not(path, tmp_path):
    marker = tmp_path / "was_run"
    path.write_bytes(pickle.dumps(Evil(os.system, f"touch {marker}")))
    pickle.loads(path.read_bytes())
    assert marker.exists(), "read without care, this pickle does run"
    marker.unlink()
    with pytest.raises(StorageError, match=r"asks for posix\.system") as caught:
        read_dataframe(path)
    assert not marker.exists()
    assert "nothing was run" in caught.value.found
    assert "kedro data verify" in caught.value.way_out


def test_a_command_hidden_in_a_table_is_not_run_either(path, tmp_path):
    marker = tmp_path / "was_run"
    hidden = np.array([Evil(os.system, f"touch {marker}"), 1], dtype=object)
    frame = Frame([{"values": hidden, "mgr_locs": slice(0, 1)}], ["a"], 2)
    path.write_bytes(legacy(frame))
    with pytest.raises(StorageError, match=r"asks for posix\.system"):
        read_dataframe(path)
    assert not marker.exists()


REFUSED = {
    "eval": pickle.dumps(Evil(eval, "1")),
    "getattr": pickle.dumps(Evil(getattr, "a", "upper")),
    "import": pickle.dumps(Evil(__import__, "os")),
    "attribute of an allowed class": b"\x80\x04\x8c\x11pandas.core.frame\x8c\x12DataFrame.__init__\x93.",
    "other name in an allowed module": b"\x80\x02cnumpy.core.multiarray\nscalar\n.",
    "other class of pandas": b"\x80\x02cpandas.core.series\nSeries\n.",
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_every_name_outside_the_list_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(StorageError, match="was refused and nothing was run"):
        read_dataframe(path)


GOOD = legacy(table_frame())
DAMAGED = {
    "empty": b"",
    "text": b"TX_AMOUNT,TX_FRAUD\n1,0\n",
    "cut off": GOOD[:-20],
    "no table": pickle.dumps([1, 2, 3]),
    "no blocks": legacy(Frame([], ["a"], 2)),
    "no state": legacy(Frame([], ["a"], 2)).replace(b"_data", b"_gone"),
    "more rows than labels": legacy(Frame([block(slice(0, 1), [1], [2], dtype="int64")], ["a"], 1)),
    "lengths that differ": legacy(
        Frame([block([0], [1], dtype="int64"), block([1], [1, 2], dtype="int64")], ["a", "b"], 1)
    ),
    "Python objects": legacy(Frame([block([0], ["a", "b"], dtype=object)], ["a"], 2)),
    "another file's identifier": b"\x80\x02X\x01\x00\x00\x00aQ.",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_one_clear_error(path, content):
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged or no pickled table") as caught:
        read_dataframe(path)
    assert caught.value.where == str(path)


@pytest.mark.skipif(
    "MODELYARD_DATA_MIRROR" not in os.environ, reason="needs the real data: MODELYARD_DATA_MIRROR is not set"
)
def test_the_real_files_are_read_as_pandas_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path))
    files: list[Path] = sorted(fetch("fraud_handbook_transactions").rglob("*.pkl"))
    tables = [read_dataframe(file) for file in files]
    together = pl.concat(tables)
    assert (together.height, together.width, together["TX_FRAUD"].sum()) == (201_295, 23, 1792)
    import pandas as pd

    assert tables[0].equals(pl.from_pandas(pd.read_pickle(files[0])))
