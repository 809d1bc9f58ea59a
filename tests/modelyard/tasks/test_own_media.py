"""Own files become rows; what the system left behind is passed over, what is broken is named, copies stay together."""

import os
from datetime import UTC, datetime

import numpy as np
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from modelyard.own_data.format import TableFormat
from modelyard.tasks.own_media import UNKNOWN_TIME, labels_in, read_own_media

CLASSES = {"normal": False, "ill": True}


def read(content: bytes) -> np.ndarray:
    if not content.startswith(b"good"):
        raise ValueError("no good")
    return np.frombuffer(content[:8], np.uint8)


def own(path, **more):
    about = {"media": "sound", "blank": np.zeros(8, np.uint8), "endings": (".snd",), "key": "sound_id"}
    return read_own_media(str(path) if path else "", read, **about | {"target": "is_ill", "classes": CLASSES} | more)


@pytest.fixture
def folder(tmp_path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for number in range(4):
            (tmp_path / name / f"{number}.SND").write_bytes(f"good {name} {number}".encode())
    return tmp_path


def test_folders_are_classes_and_broken_files_are_rows_with_their_reason(folder):
    (folder / "ill" / "broken.snd").write_bytes(b"bad")
    (folder / "ill" / "notes.txt").write_text("not looked at")
    rows, values = own(folder)
    assert rows.columns == ["sound_id", "event_time", "split", "parse_errors", "is_ill"]
    assert rows["is_ill"].to_list() == [True] * 5 + [False] * 4
    assert rows.filter(rows["parse_errors"].is_not_null()).select("sound_id", "parse_errors").rows() == [
        ("ill/broken.snd", "sound: no good")
    ]
    assert len(values) == 9
    assert [value.any() for value in values] == [True] * 4 + [False] + [True] * 4


def test_what_the_system_left_behind_is_passed_over_and_counted(folder, caplog):
    for name in ("__MACOSX/normal", "normal/__MACOSX", "ill/@eaDir", "ill/.cache", ".git"):
        (folder / name).mkdir(parents=True)
        (folder / name / "0.snd").write_bytes(b"good copy")
    (folder / "ill" / "._0.snd").write_bytes(b"apple double")
    (folder / "ill" / "folder.snd").mkdir()
    assert own(folder)[0].height == 8
    assert f"passed over below {folder}: 6 hidden files (read are .snd)" in caplog.text


def test_files_of_other_kinds_and_links_to_outside_are_passed_over_and_counted(folder, caplog, tmp_path_factory):
    for name in ("a.tif", "b.TIF", "c.bmp", "README"):
        (folder / "ill" / name).write_bytes(b"good")
    (folder / "9.snd").write_bytes(b"good, but of no class")
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.snd"
    secret.write_bytes(b"good secret")
    (folder / "ill" / "linked.snd").symlink_to(secret)
    (folder / "ill" / "again.snd").symlink_to(folder / "ill" / "0.SND")
    assert own(folder)[0]["sound_id"].to_list()[:5] == [f"ill/{number}.SND" for number in range(4)] + ["ill/again.snd"]
    for words in (
        "2 files ending in .tif",
        "1 file ending in .bmp",
        "1 file without an ending",
        "1 file beside the folders of the classes",
        "1 link to outside",
        "(read are .snd)",
    ):
        assert words in caplog.text
    for file in folder.rglob("*.[sS][nN][dD]"):
        file.unlink()
    with pytest.raises(DataContractError, match=r"no files ending in \.snd, but 2 files ending in \.tif, 1 file"):
        own(folder)


def test_letter_case_of_classes_does_not_matter(folder):
    (folder / "ill").rename(folder / "ILL")
    rows, _ = own(folder)
    assert rows["is_ill"].to_list() == [True] * 4 + [False] * 4
    assert rows["sound_id"][0] == "ILL/0.SND"


DIALECTS = {
    "semicolons": "file;label\nnormal/0.SND;normal\nill/0.SND;ill\n",
    "tabs": "file\tlabel\nnormal/0.SND\tnormal\nill/0.SND\till\n",
    "blanks and case": " File , LABEL\nnormal/0.SND, Normal \nill/0.SND,ILL\n",
    "sep line and BOM": "\ufeffsep=;\nfile;label\nnormal/0.SND;normal\nill/0.SND;ill\n",
    "carriage returns": "file,label\rnormal/0.SND,normal\rill/0.SND,ill\r",
    "blank lines": "file,label\nnormal/0.SND,normal\n\nill/0.SND,ill\n\n,\n",
}


@pytest.mark.parametrize("text", DIALECTS.values(), ids=DIALECTS)
def test_a_csv_file_of_labels_is_read_in_any_dialect(folder, text):
    (folder / "labels.csv").write_bytes(text.encode())
    rows, _ = own(folder / "labels.csv")
    assert rows.select("sound_id", "is_ill", "parse_errors").rows() == [
        ("normal/0.SND", False, None),
        ("ill/0.SND", True, None),
    ]


def test_times_of_a_csv_file_are_read_as_in_every_table(folder):
    (folder / "labels.csv").write_text(
        "picture;class;event_time\nnormal/0.SND;normal;01.03.2024 10:00\nill/0.SND;ill;2024/12/31\nill/1.SND;;\n"
    )
    rows, _ = own(folder / "labels.csv", headers={"file": "picture", "label": "class"})
    times = [datetime(2024, 3, 1, 10, tzinfo=UTC), datetime(2024, 12, 31, tzinfo=UTC)]
    assert rows["event_time"].to_list()[:2] == times
    assert rows["is_ill"].to_list() == [False, True, None]  # a row without a label waits in quarantine
    (folder / "labels.csv").write_text("file,label,event_time\nnormal/0.SND,normal,03/04/2024\n")
    rows, _ = own(folder / "labels.csv")
    assert "event_time: '03/04/2024' may have day or month first" in rows["parse_errors"][0]
    assert rows["event_time"].to_list() == [None]
    rows, _ = own(folder / "labels.csv", table_format=TableFormat(date_format="%d/%m/%Y"))
    assert rows["event_time"].to_list() == [datetime(2024, 4, 3, tzinfo=UTC)]


def test_a_csv_file_of_another_encoding_is_refused_with_the_command_that_converts_it(folder):
    (folder / "labels.csv").write_bytes("file,label\nnormal/größe.snd,normal\n".encode("cp1252"))
    with pytest.raises(DataContractError, match="Windows-1252") as caught:
        own(folder / "labels.csv")
    assert "iconv -f WINDOWS-1252" in caught.value.way_out


def test_a_name_that_is_not_utf8_is_written_out(folder):
    (folder / "ill" / os.fsdecode(b"caf\xe9.snd")).write_bytes(b"good")
    rows, _ = own(folder)
    assert rows["sound_id"][4] == "ill/caf\\xe9.snd"


def test_if_no_file_can_be_read_it_is_said_at_once(folder):
    for path in folder.rglob("*.SND"):
        path.write_bytes(b"bad")
    with pytest.raises(DataContractError, match="None of the 8 files can be read; the first: sound: no good"):
        own(folder)


def test_copies_and_files_of_one_group_lie_in_one_split(folder):
    for number in range(12):
        (folder / "ill" / f"copy_{number}.snd").write_bytes(b"good the same")
    rows, _ = own(folder)
    assert rows.filter(rows["sound_id"].str.contains("copy"))["split"].n_unique() == 1
    assert rows["split"].n_unique() > 1
    lines = [f"{name}/{number}.SND,{name},anna" for name in CLASSES for number in range(4)]
    (folder / "labels.csv").write_text("\n".join(["file,label,patient_id", *lines]))
    rows, _ = own(folder / "labels.csv", group="patient_id")
    assert rows["split"].n_unique() == 1
    # A copy ties two groups, even though one lies between them.
    lines = ["normal/0.SND,normal,anna", "ill/copy_0.snd,ill,anna", "ill/copy_1.snd,ill,ben", "ill/1.SND,ill,ben"]
    (folder / "labels.csv").write_text("\n".join(["file,label,patient_id", *lines, "ill/2.SND,ill,"]))
    rows, _ = own(folder / "labels.csv", group="patient_id")
    assert rows["split"][:4].n_unique() == 1
    assert rows["patient_id"].to_list() == ["anna", "anna", "ben", "ben", None]


def test_adding_a_file_moves_no_other_to_another_split(folder):
    before = dict(own(folder)[0].select("sound_id", "split").iter_rows())
    (folder / "ill" / "0a.snd").write_bytes(b"good new one")
    after = dict(own(folder)[0].select("sound_id", "split").iter_rows())
    assert after.items() > before.items()


def test_a_csv_file_names_times_splits_and_columns(folder):
    (folder / "labels.csv").write_text(
        "file,label,event_time,place\n"
        "normal/0.SND,normal,2024-03-01T10:00:00+01:00,Rome\n"
        "ill/0.SND,ill,2024-03-02,\n"
        "gone.snd,ill,yesterday,Oslo\n"
    )
    rows, _ = own(folder / "labels.csv", columns=("place", "city"))
    assert rows["event_time"].to_list()[:2] == [datetime(2024, 3, 1, 9, tzinfo=UTC), datetime(2024, 3, 2, tzinfo=UTC)]
    assert "split" not in rows.columns  # the spine splits by time
    assert rows["parse_errors"][2].startswith("sound: the file cannot be read")
    assert "event_time: 'yesterday' is no date and time" in rows["parse_errors"][2]
    assert rows["place"].to_list() == ["Rome", None, "Oslo"]
    assert rows["city"].null_count() == 3
    (folder / "labels.csv").write_text("file,label,split\nnormal/0.SND,normal,train\nill/0.SND,ill,test\n")
    assert own(folder / "labels.csv")[0]["split"].to_list() == ["train", "test"]


@pytest.mark.parametrize(("seconds", "sensible"), [(1_700_000_000, True), (0, False), (4_000_000_000, False)])
def test_the_time_of_a_file_is_taken_if_it_is_sensible(folder, seconds, sensible):
    os.utime(folder / "normal" / "0.SND", (seconds, seconds))
    when = own(folder)[0]["event_time"][4]
    assert when == (datetime.fromtimestamp(seconds, UTC) if sensible else UNKNOWN_TIME)


def test_nothing_named_says_what_can_be_set():
    with pytest.raises(ConfigurationError) as caught:
        own(None)
    assert caught.value.where == "<project>.ingest.path"
    assert "sub-folder for each class" in caught.value.way_out
    assert "(.snd), or choose source: simulated" in caught.value.way_out


def test_without_classes_all_files_below_are_read(folder):
    rows, _ = own(folder, classes=None, target="")
    assert rows.columns == ["sound_id", "event_time", "split", "parse_errors"]
    assert rows.height == 8


@pytest.mark.parametrize(
    ("prepare", "error", "found"),
    [
        (lambda path: path / "nowhere", ConfigurationError, "not there"),
        (lambda _: None, ConfigurationError, "No own data are named"),
        (lambda path: (path / "empty").mkdir() or path / "empty", DataContractError, "no files ending in .snd"),
        (lambda path: (path / "cats").mkdir() or path, DataContractError, "no class: cats"),
        (lambda path: (path / "x.csv").write_text("name,label\na,ill\n") and path / "x.csv", DataContractError, "file"),
        (lambda path: (path / "x.csv").write_text("file,label\na,cat\n") and path / "x.csv", DataContractError, "cat"),
        (lambda path: (path / "x.csv").write_text("file,label\n") and path / "x.csv", DataContractError, "no rows"),
    ],
)
def test_what_cannot_be_understood_is_refused(folder, prepare, error, found):
    with pytest.raises(error, match=found):
        own(prepare(folder))


def test_labels_are_the_folders_or_the_column(tmp_path):
    for name in ("cat", "a dog", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "labels.csv").write_text("file,label\n1.png,b\n2.png,a\n3.png,b\n4.png,\n")
    assert labels_in(tmp_path) == ["a dog", "cat"]
    assert labels_in(tmp_path / "labels.csv") == ["a", "b"]
    assert labels_in(tmp_path / "nothing.csv") == []


def test_a_time_outside_the_calendar_is_the_reason_of_its_row(folder):
    (folder / "x.csv").write_text(
        "file,label,event_time\nill/0.SND,ill,0001-01-01T00:00+14:00\nill/1.SND,ill,2024-01-02\n"
    )
    rows, _ = own(folder / "x.csv")
    assert rows["parse_errors"].to_list() == ["event_time: '0001-01-01T00:00+14:00' lies in no year in UTC", None]
