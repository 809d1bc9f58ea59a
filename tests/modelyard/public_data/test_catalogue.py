import os
import tomllib
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader

from modelyard.errors import ConfigurationError
from modelyard.paths import repository
from modelyard.public_data.catalogue import Archive, catalogue_path, find_dataset, load_catalogue
from tests.modelyard.public_data.public_data_server import toy_dataset

MIRROR = os.environ.get("MODELYARD_DATA_MIRROR", "")
NAMES = sorted(load_catalogue())


def entry(**changes) -> dict:
    fields = toy_dataset("https://127.0.0.1", {"a.csv": b"a"}).model_dump(mode="json", exclude={"name"})
    return fields | changes


def write(tmp_path: Path, entries: object) -> Path:
    path = tmp_path / "public_data.yml"
    path.write_text(yaml.safe_dump(entries))
    return path


def test_every_shipped_entry_says_whose_it_is_and_what_was_reached():
    for name, dataset in load_catalogue().items():
        assert dataset.name == name
        assert dataset.licence
        assert dataset.citation
        # On our own split of these two nothing has been published.
        assert bool(dataset.reference_results) == (name not in {"core_co2_ppm", "core_global_temp"})
        assert dataset.floors
        assert dataset.total_bytes > 0


def test_the_handbooks_best_average_precision_and_the_floor_are_data():
    dataset = find_dataset("fraud_handbook_transactions")
    published = {result.method: result.values["average_precision"] for result in dataset.reference_results}
    assert max(published, key=published.get) == "Random forest"
    assert published["Random forest"] == 0.658
    assert {floor.evidence for floor in dataset.floors} == {"measured"}
    assert dataset.upstream_url(next(dataset.all_files())).endswith("8269/data/2018-07-25.pkl")


def recorded(file: dict, archive: Archive) -> list[dict]:
    """The members of a packed file as the mirror records them: each one, or hundreds of them by one digest."""
    if "members_sha256" not in file:
        return [member | {"path": member["upstream"]} for member in file["members"]]
    lines = "".join(f"{member.path}\0{member.sha256}\n" for member in archive.members)
    assert sha256(lines.encode()).hexdigest() == file["members_sha256"]
    return [member.model_dump() | {"url": file["url"].format(member=member.path)} for member in archive.members]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("_full")])  # no mirror of parts has these
@pytest.mark.skipif(
    not (MIRROR and Path(MIRROR, NAMES[0], "SOURCE.toml").is_file()),
    reason="needs a folder in MODELYARD_DATA_MIRROR that has a SOURCE.toml for each data set",
)
def test_an_entry_agrees_with_the_mirrors_own_record(name):
    dataset = find_dataset(name)
    record = tomllib.loads(Path(MIRROR, name, "SOURCE.toml").read_text(encoding="utf-8"))
    plain = [file for file in record["files"] if "members" not in file]
    packed = [file for file in record["files"] if "members" in file]
    members = [each for file, archive in zip(packed, dataset.archives, strict=True) for each in recorded(file, archive)]
    ours = [(file.path, file.bytes, file.sha256, dataset.upstream_url(file)) for file in dataset.all_files()]
    assert ours == [(file["path"], file["bytes"], file["sha256"], file["url"]) for file in [*plain, *members]]
    archives = [(archive.path, archive.bytes, archive.sha256) for archive in dataset.archives]
    assert archives == [(file["path"], file["bytes"], file["sha256"]) for file in packed]
    assert dataset.upstream.commit == record["commit"]
    assert dataset.upstream.repository == f"https://github.com/{record['github']}"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(ConfigurationError, match="Did you mean 'vehicle_claim_fraud'") as caught:
        find_dataset("vehicle_claims_fraud")
    assert "kedro data list" in caught.value.way_out


def test_a_name_like_no_other_is_told_no_nearest():
    with pytest.raises(ConfigurationError) as caught:
        find_dataset("zzz", {"toy": toy_dataset("https://127.0.0.1", {"a": b""})})
    assert "mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"licence": None}, "licence"),
        ({"colour": "red"}, "colour: Extra inputs"),
        ({"files": []}, "no files are listed"),
        ({"files": entry()["files"] * 2}, "listed twice: a.csv"),
        ({"files": [entry()["files"][0] | {"sha256": "abc"}]}, "files.0.sha256"),
        ({"files": [entry()["files"][0] | {"url": "file:///etc/passwd"}]}, "files.0.url"),
        ({"upstream": entry()["upstream"] | {"commit": "main"}}, "upstream.commit"),
        ({"files": [entry()["files"][0] | {"upstream_sha256": "0" * 64}]}, "come together"),
    ],
)
def test_a_wrong_entry_is_named_with_its_field(tmp_path, changes, words):
    with pytest.raises(ConfigurationError) as caught:
        load_catalogue(write(tmp_path, {"toy": entry(**changes)}))
    assert words in caught.value.found
    assert caught.value.where.endswith("public_data.yml")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//b", "./a", "", "C:/x", "a\\b", "a/.."])
def test_a_path_that_leaves_its_folder_is_refused(tmp_path, path):
    files = [entry()["files"][0] | {"path": path}]
    with pytest.raises(ConfigurationError, match="stays inside its folder"):
        load_catalogue(write(tmp_path, {"toy": entry(files=files)}))


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", "toy: 3\n", "\udcff"])
def test_a_file_that_is_no_catalogue_is_one_clear_error(tmp_path, text):
    path = tmp_path / "public_data.yml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalogue(path)


def test_a_missing_catalogue_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalogue(tmp_path / "none.yml")


def test_an_address_is_filled_in_with_its_path_quoted():
    dataset = toy_dataset("https://127.0.0.1", {"a b/ü.csv": b"a"})
    assert dataset.upstream_url(dataset.files[0]).endswith("4567/a%20b/%C3%BC.csv")
    own = dataset.files[0].model_copy(update={"url": "https://127.0.0.1/elsewhere"})
    assert dataset.upstream_url(own) == "https://127.0.0.1/elsewhere"


def test_kedro_takes_the_catalogue_neither_for_parameters_nor_for_its_own_catalog():
    loader = OmegaConfigLoader(str(repository() / "conf"), base_env="base", default_run_env="local")
    assert catalogue_path().parent == repository() / "conf" / "base"
    assert not set(NAMES) & set(loader["parameters"])
    for patterns in loader.config_patterns.values():
        assert not any(catalogue_path().match(pattern) for pattern in patterns)


def test_a_catalogue_is_what_its_model_writes(tmp_path):
    dataset = find_dataset("fraud_handbook_transactions")
    path = write(tmp_path, {dataset.name: dataset.model_dump(mode="json", exclude={"name"})})
    assert load_catalogue(path) == {dataset.name: dataset}


def test_the_example_in_the_documentation_is_a_valid_entry(tmp_path):
    page = (repository() / "docs" / "public-data.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    for placeholder, value in {"<40 hex digits>": "0" * 40, "<64 hex digits>": "0" * 64, "<owner>": "owner"}.items():
        example = example.replace(placeholder, value)
    path = tmp_path / "public_data.yml"
    path.write_text(example.replace("<repository>", "repository"), encoding="utf-8")
    assert load_catalogue(path)["iris"].reference_results[0].values == {"accuracy": 0.98}


def test_hundreds_of_members_stand_in_a_list_of_their_own(tmp_path):
    digest = "ab" * 32
    (tmp_path / "tiles.txt").write_text(f"{digest} 3 tiles/a.png\n{digest} 4 tiles/b with blanks.png\n")
    packed = {"path": "tiles.tar.xz", "bytes": 9, "sha256": digest, "member_list": "tiles.txt"}
    (dataset,) = load_catalogue(write(tmp_path, {"toy": entry(archives=[packed])})).values()
    (archive,) = dataset.archives
    assert [(member.path, member.bytes) for member in archive.members] == [
        ("tiles/a.png", 3),
        ("tiles/b with blanks.png", 4),
    ]


@pytest.mark.parametrize("line", ["not a digest", f"{'ab' * 32} 3 ../a.png", f"{'ab' * 32} -3 a.png"])
def test_a_list_of_members_that_is_none_is_named_with_its_line(tmp_path, line):
    (tmp_path / "tiles.txt").write_text(f"{line}\n")
    packed = {"path": "tiles.tar.xz", "bytes": 9, "sha256": "ab" * 32, "member_list": "tiles.txt"}
    with pytest.raises(ConfigurationError, match=r"tiles\.txt, line 1"):
        load_catalogue(write(tmp_path, {"toy": entry(archives=[packed])}))


def test_dvc_fetches_every_data_set_of_the_catalogue():
    stages = yaml.safe_load((repository() / "conf" / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert sorted(stages["fetch"]["foreach"]) == sorted(load_catalogue())
