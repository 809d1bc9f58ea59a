"""IDX files: what is written as MNIST's are comes back, and what is damaged is named."""

import gzip

import numpy as np
import pytest

from modelyard.errors import DataContractError
from modelyard.tasks.images.idx import read_idx

VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = b"\0\0\x08\x03" + np.array([2, 3, 4], ">u4").tobytes() + VALUES.tobytes()


@pytest.mark.parametrize("content", [CONTENT, gzip.compress(CONTENT)])
def test_plain_and_gzipped_files_are_read(tmp_path, content):
    (tmp_path / "digits").write_bytes(content)
    assert np.array_equal(read_idx(tmp_path / "digits"), VALUES)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "does not begin"),
        (b"\0\0\x0d\x01" + CONTENT[4:], "does not begin"),
        (CONTENT[:9], "does not begin"),
        (CONTENT[:-1], "announces 24 numbers, and 23 follow"),
        (gzip.compress(CONTENT)[:-9], "compression is damaged"),
    ],
)
def test_what_is_no_idx_file_is_said(tmp_path, content, problem):
    (tmp_path / "digits").write_bytes(content)
    with pytest.raises(DataContractError, match=problem):
        read_idx(tmp_path / "digits")
