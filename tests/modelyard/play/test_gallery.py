"""What the gallery says, from a real registry and a real data folder; and that it never fails."""

import json
from dataclasses import replace

import pytest

from modelyard.errors import StorageError
from modelyard.files import write_json
from modelyard.model_registry.aliases import RegistryView
from modelyard.paths import reporting_folder, verdicts_folder
from modelyard.play.gallery import GalleryView
from tests.modelyard.play.test_page import PLAYED
from tests.modelyard.serving.toy import SLOW

PNG = b"\x89PNG of version "


@pytest.fixture
def store(mlflow_database):
    """Versions 1 to 3 of the toy, made by two runs with pictures; version 2 was deleted again."""
    from modelyard.tracking.mlflow_store import client, experiment_id

    store = client()
    store.create_registered_model("toy")
    pictures = mlflow_database.parent / "pictures"
    for number, dataset in ((1, {}), (2, {}), (3, {"dataset": "pneumonia_mnist"})):
        run = store.create_run(experiment_id(store, "toy")).info.run_id
        (pictures / "figures").mkdir(parents=True, exist_ok=True)
        (pictures / "figures" / "prices.png").write_bytes(PNG + str(number).encode())
        store.log_artifacts(run, str(pictures), "reports")
        tags = {"gate": "passed" if number == 1 else "failed", "source": "public" if dataset else "simulated"}
        tags |= {"error": f"0.{number}", "error_interval": f"0.0{number} to nan", "error_floor": "0.9"} | dataset
        store.create_model_version("toy", source=str(mlflow_database.parent / "model"), run_id=run, tags=tags)
    store.delete_model_version("toy", "2")
    return store


def entry(serving=None, **changes):
    view = GalleryView({"toy": replace(PLAYED, **changes), "slow": SLOW}, RegistryView())
    slow, toy = view.gallery(serving or {}).projects
    assert (slow.project, slow.version, slow.alias, slow.has_page, slow.picture) == ("slow", None, None, False, None)
    assert slow.command == "kedro run --pipeline=slow"
    return toy


def test_the_champion_else_the_challenger_else_the_latest_version_is_shown(store):
    assert RegistryView().versions() == {"toy": ["3", "1"]}
    latest = entry()
    assert (latest.version, latest.alias, latest.gate) == ("3", "latest", "failed")
    assert latest.data == "public: pneumonia_mnist"
    assert latest.metric is not None
    assert (latest.metric.value, latest.metric.low, latest.metric.high, latest.metric.floor) == (0.3, 0.03, None, 0.9)
    assert latest.metric.meaning == PLAYED.play.meaning
    store.set_registered_model_alias("toy", "challenger", "1")
    assert (entry().version, entry().alias, entry().data) == ("1", "challenger", "simulated")
    store.set_registered_model_alias("toy", "champion", "3")
    assert (entry().version, entry().alias) == ("3", "champion")
    assert (entry({"toy": "1"}).version, entry({"toy": "1"}).alias) == ("1", "champion")  # it serves still


def test_published_results_on_the_same_data_in_the_same_metric_stand_beside_it(store):
    from modelyard.public_data.catalogue import results_on

    known = results_on("pneumonia_mnist", lambda dataset: dataset.reference_results)
    name = next(name for one in known for name, value in one.values.items() if isinstance(value, float))
    values = sorted(one.values[name] for one in known if isinstance(one.values.get(name), float))
    assert values
    metrics = replace(PLAYED.metrics, primary=name, greater_is_better=False)
    assert [one.value for one in entry(metrics=metrics).published] == values[:5]
    assert entry().published == []


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        ({"is_drifted": True, "alarms": ["amount"]}, "drifted"),
        ({"is_drifted": False, "alarms": ["missing"]}, "warning"),
        ({"is_drifted": False, "alarms": []}, "none"),
        ({"is_drifted": False, "alarms": [], "is_tested": False}, "unknown"),
        ({"is_drifted": True, "alarms": [], "model_version": 1}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_the_latest_verdict_is_shown_if_it_is_about_that_version(store, verdict, shown):
    write_json(verdicts_folder("toy") / "latest.json", {"model_version": 3, "is_tested": True} | verdict)
    assert entry().drift == shown


def test_the_picture_is_that_of_the_version_that_answers(store):
    view = GalleryView({"toy": PLAYED}, RegistryView())
    assert view.picture("toy", None) == ("3", PNG + b"3")
    assert view.picture("toy", "1") == ("1", PNG + b"1")
    without = GalleryView({"toy": replace(PLAYED, play=PLAYED.play.model_copy(update={"picture": "none"}))}, None)
    assert without.picture("toy", None) is None


def test_a_picture_in_the_data_folder_counts_only_for_the_version_of_the_latest_run_there(store):
    import shutil

    from modelyard.paths import data_directory

    shutil.rmtree(data_directory() / "mlartifacts")
    figures = reporting_folder("toy") / "figures"
    figures.mkdir(parents=True)
    (figures / "prices.png").write_bytes(PNG)
    (reporting_folder("toy") / "metrics.json").write_text(json.dumps({"model_version": 3}))
    view = GalleryView({"toy": PLAYED}, RegistryView())
    assert view.picture("toy", "3") == ("3", PNG)
    assert view.picture("toy", "1") is None


def test_a_registry_that_fails_leaves_a_gap_and_later_what_was_known(store, monkeypatch):
    class Broken(RegistryView):
        is_down = False

        def aliases(self):
            if self.is_down:
                raise StorageError("The registry cannot be read.")
            return super().aliases()

    monkeypatch.setattr("modelyard.play.gallery._KEPT_S", -1.0)
    registry = Broken()
    view = GalleryView({"toy": PLAYED}, registry)
    registry.is_down = True
    assert view.gallery({}).projects[0].version is None
    registry.is_down = False
    assert view.gallery({}).projects[0].version == "3"
    registry.is_down = True
    assert view.gallery({}).projects[0].version == "3"


def test_without_a_registry_every_project_is_there(data_directory):
    (toy,) = GalleryView({"toy": PLAYED}, RegistryView()).gallery({}).projects
    assert (toy.title, toy.question, toy.version, toy.drift) == (PLAYED.title, PLAYED.play.question, None, "unknown")


def test_no_project_may_be_called_play(tmp_path):
    from modelyard.commands.new_project import check_new_name
    from modelyard.errors import ConfigurationError

    with pytest.raises(ConfigurationError):
        check_new_name("play", tmp_path)
