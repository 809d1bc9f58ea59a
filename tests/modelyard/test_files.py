import os
import subprocess
import sys

import polars as pl
import pytest

from modelyard.errors import StorageError
from modelyard.files import atomic_directory, atomic_file, sha256_of_directory, write_text


def test_a_file_takes_its_place_only_when_the_block_succeeds(tmp_path):
    path = tmp_path / "deep" / "table.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["table.txt"]


def test_a_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "table.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from pathlib import Path; from modelyard.files import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    assert path.read_text() == "old"


def test_a_directory_holds_exactly_the_new_content(tmp_path):
    path = tmp_path / "model"
    for name in ("first", "second"):
        with atomic_directory(path) as temporary:
            (temporary / name).write_text(name)
    assert [p.name for p in path.iterdir()] == ["second"]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_failed_directory_keeps_the_old_one(tmp_path):
    path = tmp_path / "model"
    with atomic_directory(path) as temporary:
        (temporary / "weights").write_text("1")
    with pytest.raises(RuntimeError), atomic_directory(path) as temporary:
        raise RuntimeError
    assert (path / "weights").read_text() == "1"


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(tmp_path):
    """The operating system's own refusal: the soft file-size limit raises EFBIG, a full /dev/full raises ENOSPC."""
    path = tmp_path / "table.txt"
    write_text(path, "old")
    with pytest.raises(StorageError, match="disk is full"), atomic_file(path), open("/dev/full", "w") as full:
        full.write("x" * 100_000)
    assert path.read_text() == "old"


def test_a_full_disk_is_known_also_where_a_library_has_an_error_of_its_own(tmp_path):
    """polars raises neither an OSError nor the number of one; shutil.copytree one without a number."""
    table = pl.DataFrame({"a": range(1000)})
    with pytest.raises(StorageError, match="disk is full"), atomic_file(tmp_path / "table.parquet"):
        table.write_parquet("/dev/full")
    with pytest.raises(pl.exceptions.ColumnNotFoundError), atomic_file(tmp_path / "table.parquet"):
        table.select("b")


def test_a_read_only_folder_is_one_clear_error(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from modelyard.files import write_text\nos.setuid(65534)\n"
        if os.getuid() == 0
        else "import sys; from pathlib import Path; from modelyard.files import write_text\n"
    ) + "write_text(Path(sys.argv[1]), 'x')"
    folder.chmod(0o555)
    tmp_path.chmod(0o755)
    ended = subprocess.run([sys.executable, "-c", code, str(folder / "f")], capture_output=True, text=True, check=False)
    assert "The folder cannot be written to" in ended.stderr


def test_the_digest_of_a_folder_covers_names_and_bytes(tmp_path):
    (tmp_path / "a").write_text("1")
    first = sha256_of_directory(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = sha256_of_directory(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, renamed, sha256_of_directory(tmp_path)}) == 3
