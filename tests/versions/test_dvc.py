"""DVC on a checkout of its own: what runs again and what does not, and that data goes to a remote and comes back."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "fraud_detection"
STAGES = ("ingest", "validate", "featurize", "train", "tune", "evaluate")


class Checkout:
    """A copy of the code with a git and a DVC repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, status: int = 0) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
        environment |= {
            "PYTHONPATH": f"{self.folder / 'src'}:{self.folder}",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "true",
            "GIT_CONFIG_COUNT": "2",
            "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Test",
            "GIT_CONFIG_KEY_1": "user.email", "GIT_CONFIG_VALUE_1": "test@localhost",
        }  # fmt: skip
        mirror = os.environ.get("MODELYARD_DATA_MIRROR")
        if mirror:
            environment["MODELYARD_DATA_MIRROR"] = mirror
        ended = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def would_run(self) -> list[str]:
        """Stages whose own data, code or parameters differ from those of their last run."""
        self.run("dvc", "repro", "code")
        status = json.loads(self.run("dvc", "status", "--json").splitlines()[-1])
        return [stage for stage in STAGES if f"{stage}@{PROJECT}" in status]

    def edit(self, path: str, add: str) -> None:
        file = self.folder / path
        file.write_text(file.read_text() + add)

    def undo(self, *paths: str) -> None:
        self.run("git", "checkout", "--", *paths)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    """The repository after one `dvc repro` of the smallest lifecycle."""
    made = Checkout(tmp_path_factory.mktemp("dvc") / "checkout")
    made.folder.mkdir()
    for name in ("src", "pipelines", "conf", ".dvc/config", ".dvc/.gitignore", ".dvcignore"):
        source, target = ROOT / name, made.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name in ("dvc.yaml", "pyproject.toml", "requirements.lock", ".gitignore"):
        shutil.copy(ROOT / name, made.folder)
    stages = made.folder / "dvc.yaml"  # one project is enough
    stages.write_text(re.sub(r"(foreach: &projects\n)(?: +- \w+\n)+", rf"\1      - {PROJECT}\n", stages.read_text()))
    parameters = made.folder / "conf" / "base" / PROJECT / "parameters.yml"
    values = yaml.safe_load(parameters.read_text())[PROJECT]
    values |= yaml.safe_load((ROOT / "conf" / "ci" / PROJECT / "parameters.yml").read_text())[PROJECT]
    values |= {"tune": {"n_trials": 1, "refit": False}}
    parameters.write_text(yaml.safe_dump({PROJECT: values}))
    (made.folder / "conf" / "dvc.lock").unlink(missing_ok=True)  # public data sets that nobody has fetched here
    made.run("git", "init", "-q")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-qm", "start")
    made.run("dvc", "repro")
    made.run("git", "add", "-A")
    made.run("git", "commit", "-qm", "ran")
    return made


def test_a_second_repro_runs_nothing(checkout):
    assert checkout.would_run() == []
    lock = checkout.folder / "dvc.lock"
    before = lock.stat().st_mtime_ns
    said = checkout.run("dvc", "repro")
    assert "Stage 'code' didn't change, skipping" in said
    assert "Running" not in said
    assert lock.stat().st_mtime_ns == before, "writing it anew would take seconds with 29 projects"


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("pipelines/fraud_detection/model.py", ["train", "tune", "evaluate"]),
        ("pipelines/fraud_detection/serve.py", ["evaluate"]),
        ("src/modelyard/stages/evaluate.py", ["evaluate"]),
        ("src/modelyard/commands/run.py", []),
    ],
)
def test_touched_code_runs_what_uses_it(checkout, path, stages):
    checkout.edit(path, "\n# A change.\n")
    try:
        runs = checkout.would_run()
    finally:
        checkout.undo(path)
    assert runs == stages


@pytest.mark.parametrize(
    ("group", "value", "runs"),
    [("gate", {"floor_margin": 0.01}, ["evaluate"]), ("fit", {"blend": {}}, ["train", "tune"])],
)
def test_one_parameter_runs_what_depends_on_it(checkout, group, value, runs):
    path = f"conf/base/{PROJECT}/parameters.yml"
    file = checkout.folder / path
    values = yaml.safe_load(file.read_text())
    values[PROJECT][group] = (values[PROJECT].get(group) or {}) | value
    file.write_text(yaml.safe_dump(values))
    try:
        assert checkout.would_run() == runs
    finally:
        checkout.undo(path)


def test_an_experiment_with_another_parameter_runs_what_depends_on_it(checkout):
    path = f"conf/base/{PROJECT}/parameters.yml"
    setting = f"{path}:++{PROJECT}.gate.floor_margin=0.01"
    try:
        # Without --force it fails as `dvc repro --dry` does on a fresh clone, because it looks in a fresh folder.
        planned = checkout.run("dvc", "exp", "run", "--dry", "--force", "-S", setting)
        assert f"Running stage 'evaluate@{PROJECT}'" in planned
        said = checkout.run("dvc", "exp", "run", "--name", "wider-margin", "-S", setting)
        assert f"Running stage 'evaluate@{PROJECT}'" in said
        assert f"Running stage 'train@{PROJECT}'" not in said
        assert "wider-margin" in checkout.run("dvc", "exp", "list", "--name-only")
        assert "floor_margin: 0.01" in (checkout.folder / path).read_text()
    finally:
        checkout.undo(".")
        checkout.run("dvc", "checkout", "dvc.yaml")
    assert checkout.would_run() == []


def test_a_group_that_appears_with_nothing_in_it_runs_nothing(checkout):
    path = f"conf/base/{PROJECT}/parameters.yml"
    checkout.edit(path, "  validate: {}\n")
    try:
        assert checkout.would_run() == []
    finally:
        checkout.undo(path)


def test_metrics_are_one_line_for_each_project(checkout):
    heading, _, *lines = checkout.run("dvc", "metrics", "show", "--md").strip().splitlines()
    columns = [cell.strip() for cell in heading.strip("|").split("|")]
    assert columns == ["Path", "floor", "n_test", "primary", "value"]  # there is no champion yet
    assert [f"{PROJECT}/primary_metric.json" in line and "average_precision" in line for line in lines] == [True]


def test_plots_are_a_page_that_git_does_not_see(checkout):
    page = checkout.run("dvc", "plots", "show").strip().splitlines()[-1]
    assert "precision_recall" in Path(page.removeprefix("file://")).read_text()
    assert "dvc_plots" in page
    assert "dvc_plots" not in checkout.run("git", "status", "--porcelain")


def test_a_fresh_clone_says_what_it_would_run(checkout, tmp_path):
    """DVC 3.67 hashes dependencies that are not there yet unless it need not ask (treeverse/dvc#9818): --force."""
    clone = Checkout(tmp_path / "clone")
    checkout.run("git", "clone", "-q", str(checkout.folder), str(clone.folder))
    (clone.folder / "dvc.lock").unlink()
    planned = clone.run("dvc", "repro", "--dry", "--force")
    assert [f"Running stage '{stage}@{PROJECT}'" in planned for stage in STAGES] == [True] * len(STAGES)
    status = json.loads(clone.run("dvc", "status", "--json", "dvc.yaml").splitlines()[-1])
    assert set(status) == {"code", *(f"{stage}@{PROJECT}" for stage in STAGES)}


def test_outputs_go_to_a_folder_and_come_back(checkout, tmp_path):
    checkout.run("dvc", "remote", "add", "--default", "--local", "store", str(tmp_path / "store"))
    checkout.run("dvc", "push", "dvc.yaml")
    examples = checkout.folder / "data" / "05_model_input" / PROJECT / "examples.parquet"
    before = examples.read_bytes()
    examples.unlink()
    shutil.rmtree(checkout.folder / ".dvc" / "cache")
    checkout.run("dvc", "pull", "dvc.yaml")
    assert examples.read_bytes() == before
    assert checkout.would_run() == []


def test_a_series_published_anew_is_a_new_version(checkout, tmp_path, monkeypatch):
    mirror = tmp_path / "mirror"
    publish(checkout, mirror, "month,ppm\n2024-11,423.85\n")
    monkeypatch.setenv("MODELYARD_DATA_MIRROR", str(mirror))
    checkout.run("dvc", "repro", "conf/dvc.yaml:fetch@series")
    checkout.run("git", "add", "-A")
    checkout.run("git", "commit", "-qm", "first publication")
    publish(checkout, mirror, "month,ppm\n2024-11,423.85\n2024-12,425.40\n")
    checkout.run("dvc", "repro", "conf/dvc.yaml:fetch@series")
    series = checkout.folder / "data" / "01_raw" / "series" / "series.csv"
    assert "2024-12" in series.read_text()
    assert "series" in checkout.run("dvc", "diff")
    checkout.run("git", "stash")
    checkout.run("dvc", "checkout", "conf/dvc.yaml:fetch@series")
    assert "2024-12" not in series.read_text()
    checkout.run("git", "stash", "drop")


def publish(checkout: Checkout, mirror: Path, text: str) -> None:
    """Puts a data set `series` into a mirror, the catalogue and conf/dvc.yaml."""
    from hashlib import sha256

    (mirror / "series").mkdir(parents=True, exist_ok=True)
    (mirror / "series" / "series.csv").write_text(text)
    catalogue = checkout.folder / "conf" / "base" / "public_data.yml"
    entries = yaml.safe_load(catalogue.read_text())
    entry = dict(entries["vehicle_claim_fraud"])
    entry |= {
        "upstream": entry["upstream"] | {"commit": sha256(text.encode()).hexdigest()[:40]},
        "files": [{"path": "series.csv", "bytes": len(text), "sha256": sha256(text.encode()).hexdigest()}],
        "reference_results": [],
        "floors": [],
    }
    catalogue.write_text(yaml.safe_dump(entries | {"series": entry}))
    stages = checkout.folder / "conf" / "dvc.yaml"
    stages.write_text(stages.read_text().replace("      - vehicle_claim_fraud\n", "      - series\n"))
