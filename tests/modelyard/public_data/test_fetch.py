import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelyard.errors import ConfigurationError, FetchError, StorageError
from modelyard.public_data import cache as cache_module
from modelyard.public_data import download as download_module
from modelyard.public_data.catalogue import Archive, Cut, load_catalogue
from modelyard.public_data.fetch import fetch, verify
from tests.modelyard.public_data.public_data_server import COMMIT, Reply, published, running_server, toy_dataset, zipped

PLAIN = {"a.csv": bytes(range(256)) * 200, "deep/b.csv": b"b" * 5000}
PACKED = {"days/1.bin": b"1" * 70_000, "days/2.bin": os.urandom(30_000)}
ALL = PLAIN | PACKED
REAL_MIRROR = os.environ.get("MODELYARD_DATA_MIRROR", "")


@pytest.fixture
def server():
    with running_server() as running:
        running.publish(ALL, f"{COMMIT}/")
        yield running


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The data folder; no mirror; pauses before new tries are left out."""
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("MODELYARD_DATA_MIRROR", raising=False)
    monkeypatch.setattr(download_module, "_PAUSES_S", (0.0, 0.0))
    return tmp_path / "data"


@pytest.fixture
def toy(server):
    return {"toy": toy_dataset(server.address, PLAIN, PACKED)}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def folder_mirror(root: Path, contents: dict[str, bytes]) -> Path:
    for path, content in contents.items():
        (root / "toy" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "toy" / path).write_bytes(content)
    return root


def reply(server, path: str) -> Reply:
    return server.replies[f"{COMMIT}/{path}"]


def ranges(server, path: str) -> list[str]:
    return [wanted for asked, wanted in server.requests if asked == f"{COMMIT}/{path}"]


# The order: cache, mirror, publisher.


def test_the_publisher_gives_exactly_the_files_of_the_catalogue(server, toy, data, capsys):
    folder = fetch("toy", catalogue=toy)
    assert folder == data / "01_raw" / "toy"
    assert tree(folder) == ALL
    assert not list((data / "01_raw" / ".fetch").rglob("*.part"))
    assert capsys.readouterr().out == ""


def test_what_is_here_is_neither_asked_for_nor_read_again(server, toy, data, monkeypatch):
    fetch("toy", catalogue=toy)
    server.requests.clear()
    monkeypatch.setattr(cache_module, "sha256_of_file", lambda path: pytest.fail(f"{path} was read"))
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", "/nowhere")
    assert fetch("toy", catalogue=toy).is_dir()
    assert server.requests == []


def test_a_folder_mirror_comes_before_the_publisher_and_gives_the_same_bytes(server, toy, data, tmp_path, monkeypatch):
    mirror = folder_mirror(tmp_path / "mirror", PLAIN | {"packed.zip": zipped(PACKED)})
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(mirror))
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert server.requests == []


def test_a_web_mirror_comes_before_the_publisher(server, toy, data, monkeypatch):
    server.publish(PLAIN | {"packed.zip": zipped(PACKED)}, "copies/toy/")
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", f"{server.address}/copies/")
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert server.paths() == [f"copies/toy/{path}" for path in ("a.csv", "deep/b.csv", "packed.zip")]


def test_what_the_mirror_lacks_or_has_wrong_comes_from_the_publisher(server, toy, data, tmp_path, monkeypatch, caplog):
    mirror = folder_mirror(tmp_path / "mirror", {"a.csv": PLAIN["a.csv"], "packed.zip": b"other bytes"})
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(mirror))
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert server.paths() == sorted(f"{COMMIT}/{path}" for path in ("deep/b.csv", *PACKED))
    assert "not everything is in the mirror" in caplog.text


WHOLE = b"Date,Close\r\n2015-12-30,1.0\r\n2016-01-04,2.0\r\n2015-12-31,3.0"
KEPT = b"Date,Close\r\n2015-12-30,1.0\r\n2015-12-31,3.0"


@pytest.fixture
def cut_toy(server):
    """A data set of one file with the publisher's rows of 2015, which the publisher has with a row of 2016."""
    server.publish({"p.csv": WHOLE}, f"{COMMIT}/")
    file = published("p.csv", KEPT, upstream_sha256=hashlib.sha256(WHOLE).hexdigest())
    rule = Cut(column="Date", before="2016-01-01", largest_bytes=1000)
    return toy_dataset(server.address, {"a.csv": b""}).model_copy(update={"files": (file,), "cut": rule})


def test_rows_are_cut_off_the_publishers_file_and_give_the_mirrors_bytes(server, cut_toy, data, tmp_path, monkeypatch):
    from_publisher = tree(fetch("toy", catalogue={"toy": cut_toy}))
    assert from_publisher == {"p.csv": KEPT}
    assert not [path for path in (data / "01_raw" / ".fetch").rglob("*") if path.suffix in (".part", ".whole")]
    server.requests.clear()
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path / "other"))
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(folder_mirror(tmp_path / "mirror", {"p.csv": KEPT})))
    assert tree(fetch("toy", catalogue={"toy": cut_toy})) == from_publisher
    assert server.requests == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"whole": WHOLE.replace(b"2.0", b"9.9")}, "not the published bytes"),
        ({"column": "Day"}, "no column 'Day'"),
        ({"before": "2015-12-31"}, "not the published ones"),
    ],
)
def test_a_cut_that_gives_other_rows_is_refused(server, cut_toy, data, change, words):
    server.publish({"p.csv": change.pop("whole", WHOLE)}, f"{COMMIT}/")
    wrong = cut_toy.model_copy(update={"cut": cut_toy.cut.model_copy(update=change)})
    with pytest.raises(FetchError, match=words):
        fetch("toy", catalogue={"toy": wrong})
    assert tree(data / "01_raw" / "toy") == {}


def test_an_unreachable_mirror_costs_a_warning(server, toy, data, monkeypatch, caplog):
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", "http://127.0.0.1:9")
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert "no connection to the server" in caplog.text


@pytest.mark.parametrize("value", ["/no/such/folder", "ftp://127.0.0.1/x", __file__])
def test_a_mirror_that_is_none_is_refused_before_anything_is_fetched(server, toy, data, monkeypatch, value):
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", value)
    with pytest.raises(ConfigurationError, match="neither a folder nor") as caught:
        fetch("toy", catalogue=toy)
    assert value in caught.value.where
    assert server.requests == []


def test_the_environments_proxy_is_not_asked_for_this_machines_addresses(server, toy, data, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert tree(fetch("toy", catalogue=toy)) == ALL


@pytest.mark.skipif(not REAL_MIRROR, reason="needs the real data: MODELYARD_DATA_MIRROR is not set")
def test_the_real_archive_and_the_publishers_files_are_the_same_bytes(server, data, tmp_path, monkeypatch):
    name = "fraud_handbook_transactions"
    real = load_catalogue()[name]
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", REAL_MIRROR)
    from_mirror = tree(fetch(name))
    server.publish(from_mirror, f"{real.upstream.commit}/")
    local = real.upstream.model_copy(update={"files": f"{server.address}/{{commit}}/{{path}}"})
    monkeypatch.delenv("MODELYARD_DATA_MIRROR")
    monkeypatch.setenv("MODELYARD_DATA_DIR", str(tmp_path / "second"))
    from_publisher = tree(fetch(name, catalogue={name: real.model_copy(update={"upstream": local})}))
    assert len(server.requests) == len(from_publisher) == 21
    assert from_publisher == from_mirror


# Connections that break, servers that lie.


def test_a_connection_that_breaks_off_is_continued_where_it_broke(server, toy, data):
    reply(server, "a.csv").breaks_after, reply(server, "a.csv").breaks = 20_000, 2
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert ranges(server, "a.csv") == ["", "bytes=20000-", "bytes=40000-"]


def test_a_busy_server_is_asked_again(server, toy, data):
    reply(server, "a.csv").status = [503, 429, 200]
    assert tree(fetch("toy", catalogue=toy)) == ALL


def test_a_server_that_knows_no_ranges_gives_the_file_from_the_beginning(server, toy, data):
    reply(server, "a.csv").breaks_after, reply(server, "a.csv").breaks = 20_000, 1
    reply(server, "a.csv").knows_ranges = False
    assert tree(fetch("toy", catalogue=toy)) == ALL


def test_a_connection_that_always_breaks_leaves_a_part_that_the_next_fetch_continues(server, toy, data):
    reply(server, "a.csv").breaks_after, reply(server, "a.csv").breaks = 10_000, 3
    with pytest.raises(FetchError, match="broke off"):
        fetch("toy", catalogue=toy)
    assert "a.csv" not in tree(data / "01_raw" / "toy")
    server.requests.clear()
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert server.requests == [(f"{COMMIT}/a.csv", "bytes=30000-")]


@pytest.mark.parametrize("left", [b"wrong", b"x" * len(PLAIN["a.csv"]), b"x" * 99_999], ids=["short", "whole", "long"])
def test_a_wrong_part_is_noticed_thrown_away_and_started_anew(server, toy, data, left):
    part = data / "01_raw" / ".fetch" / "toy" / "parts" / "a.csv.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(left)
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert ranges(server, "a.csv")[-1] == ""


def assert_failed(server, toy, data, words: str) -> FetchError:
    """The fetch fails with ``words``, a way out and exit status 4, and leaves the other files and no trace of a.csv."""
    with pytest.raises(FetchError, match=words) as caught:
        fetch("toy", catalogue=toy)
    assert caught.value.exit_code == 4
    assert "a.csv" in caught.value.found
    assert "MODELYARD_DATA_MIRROR" in caught.value.way_out
    assert "`kedro data fetch toy`" in caught.value.way_out
    assert not list(data.rglob("a.csv*"))
    return caught.value


@pytest.mark.parametrize("wrong", [PLAIN["a.csv"][:-1] + b"?", b"<html>log in</html>", b"x" * 2_000_000, b""])
def test_wrong_bytes_never_get_the_files_name(server, toy, data, wrong):
    reply(server, "a.csv").content = wrong
    failure = assert_failed(server, toy, data, "not the published bytes")
    assert failure.where == f"{server.address}/{COMMIT}/a.csv"
    assert len(ranges(server, "a.csv")) == 1
    assert tree(data / "01_raw" / "toy") == {path: ALL[path] for path in ALL if path != "a.csv"}


def test_an_endless_answer_is_cut_off(server, toy, data):
    reply(server, "a.csv").content = b"x" * 50_000_000
    assert_failed(server, toy, data, "not the published bytes")
    assert reply(server, "a.csv").sent < 25_000_000  # what the sockets' buffers took


def test_a_file_that_the_publisher_withdrew(server, toy, data):
    del server.replies[f"{COMMIT}/a.csv"]
    assert_failed(server, toy, data, "404 Not Found")


def test_a_server_that_stays_busy(server, toy, data):
    reply(server, "a.csv").status = [500]
    assert_failed(server, toy, data, "500")
    assert len(ranges(server, "a.csv")) == 3


def test_no_network(server, data, monkeypatch):
    toy = {"toy": toy_dataset("http://127.0.0.1:9", {"a.csv": PLAIN["a.csv"]})}
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", f"{server.address}/copies")
    failure = assert_failed(server, toy, data, "no connection")
    assert "The mirror did not have it either" in failure.found


def test_a_server_that_cannot_be_reached_is_not_tried_for_each_file(data, monkeypatch):
    asked = []
    monkeypatch.setattr(download_module, "_PAUSES_S", (0.5,))
    really_continue = download_module._continue

    def counted(url, *rest):
        asked.append(url)
        really_continue(url, *rest)

    monkeypatch.setattr(download_module, "_continue", counted)
    with pytest.raises(FetchError, match="no connection"):
        fetch("toy", catalogue={"toy": toy_dataset("http://127.0.0.1:9", {f"{n}.csv": b"x" for n in range(1000)})})
    assert len(set(asked)) < 500


# Archives.


def test_a_member_that_points_outside_is_never_written(server, data, tmp_path, monkeypatch):
    evil = {"../../../evil": b"x", "/evil": b"x", "days/../../evil": b"x"}
    packed = zipped(PACKED | evil)
    toy = {"toy": toy_dataset(server.address, {}, PACKED, packed)}
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(folder_mirror(tmp_path / "mirror", {"packed.zip": packed})))
    assert tree(fetch("toy", catalogue=toy)) == PACKED
    assert not list(tmp_path.rglob("*evil*"))
    assert server.requests == []


def bomb(declared: int) -> bytes:
    """A zip whose member unpacks to 64 MB and is declared to have ``declared`` bytes."""
    content = bytes(64_000_000)
    packed = zipped({"days/1.bin": content})
    return packed.replace(len(content).to_bytes(4, "little"), declared.to_bytes(4, "little"))


def fetch_bomb(server, tmp_path, monkeypatch, declared: int) -> None:
    packed = bomb(declared)
    toy = {"toy": toy_dataset(server.address, {}, {"days/1.bin": PACKED["days/1.bin"]}, packed)}
    server.replies.clear()
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(folder_mirror(tmp_path / "mirror", {"packed.zip": packed})))
    fetch("toy", catalogue=toy)


def test_of_a_zip_bomb_not_one_byte_is_unpacked(server, data, tmp_path, monkeypatch):
    part = data / "01_raw" / ".fetch" / "toy" / "parts" / "days" / "1.bin.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # a single byte would be a full disk
    with pytest.raises(FetchError, match=r"The mirror did not have it either: days/1\.bin in packed\.zip"):
        fetch_bomb(server, tmp_path, monkeypatch, declared=64_000_000)


def test_a_zip_bomb_that_lies_about_its_size_is_cut_off_there(server, data, tmp_path, monkeypatch):
    with pytest.raises(FetchError, match=r"The mirror did not have it either: packed\.zip: the archive is damaged"):
        fetch_bomb(server, tmp_path, monkeypatch, declared=70_000)
    assert sum(path.stat().st_size for path in data.rglob("*") if path.is_file()) < 500_000


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (zipped(PACKED)[:-50], "damaged"),
        (zipped({"days/1.bin": PACKED["days/1.bin"]}), "no member days/2.bin"),
        (zipped(PACKED | {"days/2.bin": b"2" * 30_000}), "days/2.bin in packed.zip"),
    ],
    ids=["damaged", "missing", "changed"],
)
def test_an_archive_without_the_published_members_is_no_source(
    server, data, tmp_path, monkeypatch, caplog, packed, words
):
    toy = {"toy": toy_dataset(server.address, {}, PACKED, packed)}
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(folder_mirror(tmp_path / "mirror", {"packed.zip": packed})))
    assert tree(fetch("toy", catalogue=toy)) == PACKED
    assert words in caplog.text
    assert server.requests


def test_a_tar_is_unpacked_too_and_its_links_are_passed_over(server, data, tmp_path, monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz") as archive:
        for name, content in PACKED.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("a.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    packed = published("packed.tar.xz", buffer.getvalue())
    members = tuple(published(path, content) for path, content in PACKED.items())
    archived = Archive(path=packed.path, bytes=packed.bytes, sha256=packed.sha256, members=members)
    toy = {"toy": toy_dataset(server.address, {}, PACKED).model_copy(update={"archives": (archived,)})}
    mirror = folder_mirror(tmp_path / "mirror", {"packed.tar.xz": buffer.getvalue()})
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(mirror))
    assert tree(fetch("toy", catalogue=toy)) == PACKED
    assert server.requests == []


# The disk.


def test_a_full_disk_is_one_clear_error_and_leaves_nothing_half(server, toy, data):
    part = data / "01_raw" / ".fetch" / "toy" / "parts" / "a.csv.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")  # the kernel refuses every byte with "no space left on device"
    with pytest.raises(StorageError, match="disk is full") as caught:
        fetch("toy", catalogue=toy)
    assert "MODELYARD_DATA_DIR" in caught.value.way_out
    assert "a.csv" not in tree(data / "01_raw" / "toy")
    assert tree(fetch("toy", catalogue=toy)) == ALL


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing_half(server, toy, data, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(folder_mirror(tmp_path, {"packed.zip": zipped(PACKED)})))
    part = data / "01_raw" / ".fetch" / "toy" / "parts" / "days" / "2.bin.part"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="disk is full"):
        fetch("toy", catalogue=toy)
    assert "days/2.bin" not in tree(data / "01_raw" / "toy")
    assert not part.is_symlink()
    assert tree(fetch("toy", catalogue=toy)) == ALL


AS_NOBODY = """
import os, sys
from tests.modelyard.public_data.public_data_server import toy_dataset
from modelyard.public_data import download_files, fetch
import filelock, httpx, json, encodings.idna
if os.getuid() == 0:
    os.setuid(65534)
content = {"a.csv": b"abc"}
print(fetch.fetch("toy", catalogue={"toy": toy_dataset(sys.argv[1], content)}))
"""


def fetch_without_rights(server, data):
    """Fetches a toy of one file in a process that may not write to ``data``."""
    for folder in (data, *data.parents):
        if "pytest-of" in str(folder):
            folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", AS_NOBODY, server.address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_read_only_folder_is_one_clear_error(server, data):
    data.mkdir()
    data.chmod(0o555)
    ended = fetch_without_rights(server, data)
    assert "StorageError: The folder cannot be written to." in ended.stderr
    assert "MODELYARD_DATA_DIR" in ended.stderr
    assert not list(data.iterdir())


def test_a_complete_set_on_a_read_only_disk_needs_no_writing(server, data):
    (data / "01_raw" / "toy").mkdir(parents=True)
    (data / "01_raw" / "toy" / "a.csv").write_bytes(b"abc")
    (data / "01_raw").chmod(0o555)
    ended = fetch_without_rights(server, data)
    assert ended.stdout.strip() == str(data / "01_raw" / "toy"), ended.stderr
    assert server.requests == []


def test_a_file_in_the_folders_place_is_one_clear_error(server, toy, data):
    data.write_text("")
    with pytest.raises(StorageError, match="data folder cannot be used"):
        fetch("toy", catalogue=toy)


def test_somebody_elses_files_are_neither_used_nor_deleted(server, toy, data):
    folder = fetch("toy", catalogue=toy)
    (folder / ".DS_Store").touch()
    fetch("toy", catalogue=toy)
    (folder / "deep" / "mine.csv").touch()
    with pytest.raises(StorageError, match=r"deep/mine\.csv"):
        fetch("toy", catalogue=toy)
    assert verify("toy", catalogue=toy) == {"deep/mine.csv": "not part of the data set"}
    assert (folder / "deep" / "mine.csv").exists()


def test_a_changed_file_is_fetched_anew_with_a_word(server, toy, data, caplog):
    folder = fetch("toy", catalogue=toy)
    (folder / "a.csv").write_bytes(b"short")
    server.requests.clear()
    assert tree(fetch("toy", catalogue=toy)) == ALL
    assert server.paths() == [f"{COMMIT}/a.csv"]
    assert "5 bytes, not 51200" in caplog.text


def test_verify_reads_the_bytes_and_what_it_finds_the_next_fetch_repairs(server, toy, data):
    folder = fetch("toy", catalogue=toy)
    assert verify("toy", catalogue=toy) == {}
    before = (folder / "a.csv").stat()
    (folder / "a.csv").write_bytes(PLAIN["a.csv"][::-1])  # the size and the times stay: a disk's silent error
    os.utime(folder / "a.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "deep" / "b.csv").unlink()
    problems = verify("toy", catalogue=toy)
    assert problems["a.csv"].startswith("changed: sha256 is ")
    assert problems["deep/b.csv"] == "missing"
    assert tree(fetch("toy", catalogue=toy)) == ALL


def test_a_new_sha256_in_the_catalogue_makes_the_old_file_wrong(server, toy, data):
    fetch("toy", catalogue=toy)
    newer = PLAIN | {"a.csv": b"new"}
    server.publish(newer, f"{COMMIT}/")
    folder = fetch("toy", catalogue={"toy": toy_dataset(server.address, newer, PACKED)})
    assert tree(folder) == newer | PACKED


# Processes.

CHILD = """
import logging, sys
logging.basicConfig(level="INFO", stream=sys.stdout, format="%(message)s")
from tests.modelyard.public_data.public_data_server import toy_dataset
from modelyard.public_data.fetch import fetch
content = {"a.csv": bytes(range(256)) * 200}
fetch("toy", catalogue={"toy": toy_dataset(sys.argv[1], content)})
print("done")
"""


@contextmanager
def gated_child(server):
    """A process that fetches a.csv and has got half of it; yields it and the gate that gives it the rest."""
    gate = reply(server, "a.csv").gate = threading.Event()
    with start_child(server) as child:
        try:
            wait_for(lambda: len(ranges(server, "a.csv")) == 1)
            yield child, gate
        finally:
            gate.set()
            child.kill()


def start_child(server) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD, server.address], stdout=subprocess.PIPE, text=True)


def wait_for(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_kill_9_leaves_no_file_and_the_next_fetch_continues(server, data):
    part = data / "01_raw" / ".fetch" / "toy" / "parts" / "a.csv.part"
    with gated_child(server) as (child, _):
        wait_for(lambda: part.exists() and part.stat().st_size > 0)
        child.send_signal(signal.SIGKILL)
        assert child.wait() == -9
    assert not (data / "01_raw" / "toy" / "a.csv").exists()
    have = part.stat().st_size
    folder = fetch("toy", catalogue={"toy": toy_dataset(server.address, {"a.csv": PLAIN["a.csv"]})})
    assert tree(folder) == {"a.csv": PLAIN["a.csv"]}
    assert ranges(server, "a.csv") == ["", f"bytes={have}-"]


def test_of_two_processes_one_fetches_and_the_other_waits_and_finds_it_here(server, data):
    with gated_child(server) as (first, gate), start_child(server) as second:
        assert "another process is fetching it" in second.stdout.readline()
        gate.set()
        assert second.communicate()[0].strip() == "done"
        assert first.communicate()[0].strip().endswith("done")
    assert ranges(server, "a.csv") == [""]


# What a person sees.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("quiet", [True, False])
def test_a_progress_bar_is_shown_on_a_terminal_unless_quiet(server, toy, data, monkeypatch, quiet):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    fetch("toy", quiet=quiet, catalogue=toy)
    assert ("toy" in screen.getvalue() and "156.2/156.2 kB" in screen.getvalue()) is not quiet


def test_the_licence_is_in_the_log_of_a_fetch(server, toy, data, caplog):
    with caplog.at_level("INFO"):
        fetch("toy", catalogue=toy)
    assert "licence: CC0-1.0" in caplog.text
