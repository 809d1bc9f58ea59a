"""Real processes: eight that write at once, and writers that are killed before each of their steps."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOY = Path(__file__).with_name("toy.py")


def toy(what: str, folder: Path) -> list | dict:
    command = [sys.executable, str(TOY), what, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_eight_projects_written_at_once_are_all_registered_and_readable(tmp_path):
    import runpy

    assert toy("eight", tmp_path) == {"statuses": [0] * 8}
    module = runpy.run_path(str(TOY))
    stores = [module["store"](f"project_{number}", tmp_path) for number in range(8)]
    assert [module["amount"](store) for store in stores] == [3.25 + number for number in range(8)]

    import feast

    from modelyard.feature_store.objects import repo_config

    registry = feast.FeatureStore(config=repo_config("project_0", tmp_path, str(tmp_path / "registry.db"))).registry
    names = {project.name for project in registry.list_projects()}
    assert names >= {f"project_{number}" for number in range(8)}
    for name in names:
        assert {view.name for view in registry.list_feature_views(name)} == {"customer", "shop"}


@pytest.fixture(scope="module")
def kills(tmp_path_factory) -> list:
    """One line for each kill: step, its number, readable after it, readable after a re-run, its status, leftovers."""
    return toy("killed", tmp_path_factory.mktemp("killed"))


def test_a_killed_write_leaves_the_old_features_or_the_new_or_says_that_there_are_none(kills):
    assert {"sqlite3.connect", "os.rename"} <= {step for step, *_ in kills}
    for step, number, readable, *_ in kills:
        old, new = 3.25 + (number - 0.5 if number > 1 else 0), 3.25 + number
        assert readable in (old, new, "The project's features have not been written yet."), (step, number)
    assert kills[0][2] == 3.25
    assert kills[-1][2] == 3.25 + len(kills)


def test_after_a_kill_a_re_run_completes_and_sweeps(kills):
    for step, number, _, readable, status, leftovers in kills:
        assert status == 0, (step, number)
        assert readable == 3.25 + number + 0.5, (step, number)
        assert leftovers == [], (step, number)
