import json
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import psutil
import pytest
from filelock import FileLock
from kedro.pipeline import Node, Pipeline
from kedro.validation.type_extractor import TypeExtractor

from modelyard.arrow_mmap import read_arrow, write_arrow
from modelyard.errors import BusyError, ConfigurationError, ModelyardError, StorageError
from modelyard.project import Pruned
from modelyard.stages import tune as stage
from modelyard.stages.train import RunParameters
from modelyard.stages.tune import make_tune
from modelyard.tracking import journal as tracking
from modelyard.tuning.parameters import STORAGE_VARIABLE, TuneParameters
from modelyard.tuning.search import Search, SearchSettings
from modelyard.tuning.study import configured_suggestions, generations, mend_journal, sample_generation, study_name
from modelyard.tuning.worker import PruningRule, Reports, judge_of
from tests.modelyard.stages import toy_tuning as toy

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 60


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = []
    monkeypatch.setattr(tracking, "log_trial", trials.append)
    return trials


@dataclass
class Reference:
    """An undisturbed study of eight trials."""

    folder: Path
    model: toy.ToyModel
    summary: dict[str, Any]
    logged: list[dict[str, Any]]
    steps: list[tuple[str, int, int]]

    def equals(self, model: toy.ToyModel, summary: dict[str, Any]) -> bool:
        same_model = (self.model.weights == model.weights).all() and self.model.params == model.params
        return bool(same_model) and json.dumps(self.summary) == json.dumps(summary)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    folder, logged = tmp_path_factory.mktemp("reference"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_TRACE", str(folder / "trace"))
        patch.setattr(tracking, "log_trial", logged.append)
        model, summary = toy.tune(folder)
    return Reference(folder, model, summary, logged, steps_in(folder / "trace"))


def steps_in(trace: Path) -> list[tuple[str, int, int]]:
    """Computed steps as (fit, step, process)."""
    rows = [line.split() for line in trace.read_text().splitlines()] if trace.exists() else []
    return [(name, int(step), int(process)) for name, step, process in rows]


def computed(steps: list[tuple[str, int, int]], name: str) -> Counter[int]:
    return Counter(step for fit, step, _ in steps if fit == name)


def stored_trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    (journal,) = folder.glob("work/tune/*/study.journal")
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name=journal.parent.name, storage=storage).trials


# --- what a study gives


def test_winner_is_refitted_and_never_worse_than_the_trained_model(reference: Reference) -> None:
    summary, model = reference.summary, reference.model
    assert [trial["number"] for trial in summary["trials"]] == list(range(8))
    assert summary["best_value"] == min(t["value"] for t in summary["trials"] if t["state"] == "COMPLETE")
    assert summary["valid"]["tuned"]["rmse"] <= summary["valid"]["trained"]["rmse"]
    assert summary["best_trial"] > 0
    assert model.n_rows == 60  # the 40 rows of train and the 20 of valid
    assert model.params.learning_rate == summary["best_params"]["learning_rate"]
    assert all(trial.state.is_finished() for trial in stored_trials(reference.folder))


def test_trial_0_is_the_trained_model_and_is_not_fitted_again(reference: Reference) -> None:
    first = stored_trials(reference.folder)[0]
    model, summary = toy.train(reference.folder / "again")
    assert first.params == {"learning_rate": 0.05, "momentum": 0.0, "loss": "squared"}
    assert first.value == summary["valid"]["rmse"]
    assert [[step, value] for step, value in first.intermediate_values.items()] == summary["reports"]
    assert not computed(reference.steps, "trial_0000")
    assert model.params == toy.ToyParameters()


def test_hopeless_trials_are_pruned_against_earlier_generations(reference: Reference) -> None:
    pruned = [trial for trial in reference.summary["trials"] if trial["state"] == "PRUNED"]
    assert pruned
    for trial in pruned:
        assert 1 <= len(computed(reference.steps, f"trial_{trial['number']:04d}")) < 8


def test_every_trial_is_tracked_in_order(reference: Reference) -> None:
    assert [trial["number"] for trial in reference.logged] == list(range(8))
    assert {trial["study"] for trial in reference.logged} == {reference.summary["study"]}
    assert [trial["value"] for trial in reference.logged] == [trial["value"] for trial in reference.summary["trials"]]
    assert reference.logged[0]["reports"][0][0] == 0


def test_only_the_best_model_stays_on_disk(reference: Reference) -> None:
    (study,) = (reference.folder / "work" / "tune").iterdir()
    best = reference.summary["best_trial"]
    assert {path.name for path in study.iterdir() if path.is_dir()} == {f"trial_{best:04d}", f"refit_{best:04d}"}
    assert not list(study.rglob("checkpoints"))
    assert not (study / "examples.arrow").exists()


def test_results_depend_neither_on_timing_nor_on_cores(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_FAULTS", '{"*": "sleep"}')
    monkeypatch.setattr(stage, "available_cores", lambda: 1)
    monkeypatch.setenv("TOY_TRACE", str(tmp_path / "trace"))
    assert reference.equals(*toy.tune(tmp_path))
    assert len({process for name, _, process in steps_in(tmp_path / "trace") if name.startswith("trial")}) == 1


def test_finished_study_is_returned_without_a_fit(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[dict[str, Any]]
) -> None:
    shutil.copytree(reference.folder / "work" / "tune", tmp_path / "work" / "tune")
    monkeypatch.setattr("modelyard.tuning.pool._Worker", lambda *_: pytest.fail("a worker was started"))
    assert reference.equals(*toy.tune(tmp_path))
    assert [trial["number"] for trial in logged] == list(range(8))  # tracking knows them already, by study and number


def test_changed_inputs_begin_a_new_study(reference: Reference, caplog: pytest.LogCaptureFixture) -> None:
    names = {reference.summary["study"]}
    with caplog.at_level(logging.INFO, logger="modelyard"):
        for change in ({"seed": 1}, {"n_parallel": 3}, {"prune_warmup_steps": 4}):
            names.add(toy.tune(reference.folder / "changed", n_trials=1, refit=False, **change)[1]["study"])
    assert len(names) == 4
    assert caplog.text.count("begins anew: data, trained model, code, search space or parameters differ") == 2


def test_another_search_space_is_another_study_wherever_it_stands(tmp_path: Path) -> None:
    model, summary = toy.train(tmp_path)
    settings = SearchSettings(
        fit_params=toy.ToyParameters(), tune_params=TuneParameters(), score_params=toy.ScoreParameters(), seed=0
    )
    names = []
    for bounds in ("0.1, 0.2", "0.1, 0.2", "0.1, 0.9"):
        (tmp_path / "shared.py").write_text(
            f"def search_space(trial, params):\n    trial.suggest_float('x', {bounds})\n"
        )
        space = runpy.run_path(str(tmp_path / "shared.py"))["search_space"]
        project = replace(toy.load("toy"), search_space=space)
        names.append(study_name(project, toy.examples(), model, summary["valid"], settings, tmp_path))
    assert names[0] == names[1] != names[2]


def test_single_trial_is_the_trained_model_itself(tmp_path: Path, logged: list[dict[str, Any]]) -> None:
    model, summary = toy.tune(tmp_path, n_trials=1, refit=False)
    assert model.n_rows == 40
    assert summary["best_trial"] == 0
    assert len(summary["trials"]) == len(logged) == 1


# --- faults


def start(folder: Path, faults: dict[str, str]) -> subprocess.Popen[bytes]:
    # A child inherits it if its parent ignores or blocks Ctrl-C; a command in a terminal begins like this.
    terminal = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT]);"
    )
    code = (
        f"{terminal} from pathlib import Path; from tests.modelyard.stages.toy_tuning import tune;"
        f"tune(Path({str(folder)!r}))"
    )
    environment = {**os.environ, "TOY_FAULTS": json.dumps(faults), "TOY_TRACE": str(folder / "trace")}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, start_new_session=True, stderr=subprocess.DEVNULL
    )


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def lives(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def interrupt(folder: Path, sign: signal.Signals) -> None:
    """Tunes in another process and ends it while trials 3 and 4 are being fitted; returns when its workers are gone."""
    parent, trace = start(folder, {"trial_0003": "slow", "trial_0004": "slow"}), folder / "trace"
    wait_until(lambda: {0, 1, 2} <= set(computed(steps_in(trace), "trial_0003")), "trial 3 is well under way")
    if sign == signal.SIGINT:
        os.killpg(parent.pid, sign)  # a terminal sends it to the parent and its workers alike
    else:
        parent.send_signal(sign)
    parent.wait()
    workers = {process for name, _, process in steps_in(trace) if name.startswith("trial")}
    wait_until(lambda: not any(lives(process) for process in workers), "the workers have ended")
    assert [trial.state.name for trial in stored_trials(folder)] == ["COMPLETE"] * 3 + ["RUNNING"] * 2


def test_killed_run_is_completed_by_the_next_as_if_nothing_had_happened(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(tmp_path, signal.SIGKILL)
    before = computed(steps_in(tmp_path / "trace"), "trial_0003")
    monkeypatch.setenv("TOY_TRACE", str(tmp_path / "trace"))
    assert reference.equals(*toy.tune(tmp_path))
    assert all(trial.state.is_finished() for trial in stored_trials(tmp_path))
    steps = steps_in(tmp_path / "trace")
    assert computed(steps, "trial_0001") == computed(reference.steps, "trial_0001")  # ended before: not fitted again
    again = computed(steps, "trial_0003") - before
    assert again
    assert 0 not in again  # continued from its own checkpoint


def test_ctrl_c_ends_the_workers_and_leaves_the_same_state_as_a_kill(tmp_path: Path) -> None:
    interrupt(tmp_path, signal.SIGINT)


def test_killed_worker_is_replaced_and_its_trial_continues(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOY_FAULTS", '{"trial_0002": "kill once"}')
    monkeypatch.setenv("TOY_TRACE", str(tmp_path / "trace"))
    caplog.set_level(logging.INFO, logger="modelyard")
    assert reference.equals(*toy.tune(tmp_path))
    assert "trial 2: the worker died (killed with SIGKILL" in caplog.text
    assert computed(steps_in(tmp_path / "trace"), "trial_0002")[0] == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "modelyard.tuning.progress"]
    assert len(lines) == 7
    assert lines[0].startswith("trial 1 completed in ")
    assert "(2 of 8; best " in lines[0]


def test_bad_trials_fail_with_a_reason_and_the_study_goes_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    logged: list[dict[str, Any]],
) -> None:
    faults = {"trial_0001": "raise", "trial_0002": "kill always", "trial_0003": "nan"}
    monkeypatch.setenv("TOY_FAULTS", json.dumps(faults))
    _, summary = toy.tune(tmp_path, n_trials=5, n_parallel=1, prune_after_trials=None, refit=False)
    assert summary["states"] == {"COMPLETE": 2, "FAIL": 3}
    assert [trial["state"] for trial in summary["trials"]][1:4] == ["FAIL"] * 3
    reasons = {trial["number"]: trial.get("reason", "") for trial in logged}
    assert reasons[1] == "ValueError: planted"
    assert reasons[2].startswith("the worker died twice: killed with SIGKILL")
    assert "not a number" in reasons[3]
    assert all(f"trial {number} failed: {reasons[number]}" in caplog.text for number in (1, 2, 3))
    (error,) = tmp_path.glob("work/tune/*/trial_0001/error.txt")
    assert "in _plant" in error.read_text()


def test_trained_model_stays_when_every_trial_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TOY_FAULTS", '{"trial_0001": "raise", "trial_0002": "raise"}')
    model, summary = toy.tune(tmp_path, n_trials=3, n_parallel=1)
    assert summary["best_trial"] == 0
    assert model.params == toy.ToyParameters()
    assert model.n_rows == 60
    assert "every trial failed; the trained model stays" in caplog.text


def test_full_disk_stops_the_study_and_a_rerun_completes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAULTS", '{"trial_0002": "full"}')
    with pytest.raises(StorageError, match="disk is full"):
        toy.tune(tmp_path, n_trials=3, n_parallel=1, prune_after_trials=None, refit=False)
    monkeypatch.delenv("TOY_FAULTS")
    assert toy.tune(tmp_path, n_trials=3, n_parallel=1, prune_after_trials=None, refit=False)[1]["states"] == {
        "COMPLETE": 3
    }


def test_failed_refit_is_an_error_that_names_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_FAULTS", '{"refit_0000": "raise"}')
    with pytest.raises(ModelyardError, match="refit of the winner failed: ValueError: planted") as caught:
        toy.tune(tmp_path, n_trials=1)
    assert "planted" in Path(caught.value.where).read_text()


def test_damaged_journal_is_cut_back_and_the_study_completed(
    reference: Reference, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(reference.folder / "work" / "tune", tmp_path / "work" / "tune")
    (journal,) = tmp_path.glob("work/tune/*/study.journal")
    lines = journal.read_bytes().splitlines(keepends=True)
    begun = [number for number, line in enumerate(lines) if b'"op_code":4' in line]
    # Trial 6 is the second of its generation: half of the generation stays, the line of the other half is torn.
    journal.write_bytes(b"".join(lines[: begun[6]]) + lines[begun[6]][:40])
    assert [trial.state.name for trial in stored_trials(tmp_path)][5:] == ["RUNNING"]
    assert reference.equals(*toy.tune(tmp_path))
    assert "was damaged by a crash" in caplog.text
    assert journal.with_name("study.journal.damaged").exists()


@pytest.mark.parametrize("tail", [b'{"op_code":', b"\0\0\0\0", b'not json\n{"op_code":5}\n', b"[]\n"])
def test_journal_keeps_its_whole_lines(tmp_path: Path, tail: bytes) -> None:
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"op_code":0}\n' + tail)
    mend_journal(journal)
    assert journal.read_bytes() == b'{"op_code":0}\n'


def test_sound_journal_is_left_alone(tmp_path: Path) -> None:
    journal = tmp_path / "study.journal"
    journal.write_bytes(b'{"op_code":0}\n{"op_code":4}\n')
    mend_journal(journal)
    assert journal.read_bytes() == b'{"op_code":0}\n{"op_code":4}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["study.journal"]


def test_lock_left_by_a_killed_process_does_not_hold_up_the_next(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(reference.folder / "work" / "tune", tmp_path / "work" / "tune")
    (journal,) = tmp_path.glob("work/tune/*/study.journal")
    Path(f"{journal}.lock").touch()
    no_waiting = SimpleNamespace(sleep=lambda _: pytest.fail("waited for the lock"), monotonic=time.monotonic)
    monkeypatch.setattr("optuna.storages.journal._file.time", no_waiting)
    assert reference.equals(*toy.tune(tmp_path))


def test_second_process_on_the_same_study_is_told_so(reference: Reference, tmp_path: Path) -> None:
    shutil.copytree(reference.folder / "work" / "tune", tmp_path / "work" / "tune")
    (study,) = (tmp_path / "work" / "tune").iterdir()
    with FileLock(study / ".lock"), pytest.raises(BusyError, match="Another process is tuning"):
        toy.tune(tmp_path)


def test_project_that_no_worker_can_load_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="could not load the project 'toy': ModuleNotFoundError"):
        toy.tune(tmp_path, "no_such_module:load", n_trials=2)


def test_parameters_that_no_worker_can_import_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script_class = type("ScriptScore", (toy.ScoreParameters,), {"__module__": "__main__"})
    monkeypatch.setattr(sys.modules["__main__"], "ScriptScore", script_class, raising=False)
    monkeypatch.setattr(toy, "ScoreParameters", script_class)
    with pytest.raises(ConfigurationError, match="could not read a trial's parameters"):
        toy.tune(tmp_path, n_trials=2)


def test_missing_validation_rows_and_metrics_are_said() -> None:
    node = make_tune(toy.load("toy"), toy.LOADER)
    parameters = toy.ToyParameters(), TuneParameters(), RunParameters(), toy.ScoreParameters(), Path("unused")
    only_train = toy.examples().filter(pl.col("split") == "train")
    with pytest.raises(ConfigurationError, match="no validation rows"):
        node(only_train, pl.DataFrame(), None, {"valid": {"rmse": 1.0}}, *parameters)
    with pytest.raises(ConfigurationError, match="no validation value of 'rmse'"):
        node(toy.examples(), pl.DataFrame(), None, {"valid": {"mae": 1.0}}, *parameters)


def test_timeout_begins_no_generation(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, summary = toy.tune(tmp_path, timeout_s=1e-9, refit=False)
    assert len(summary["trials"]) == 1
    assert "before trial 1" in caplog.text


# --- storage in a database


def test_study_in_a_database_is_extended_as_if_asked_for_at_once_and_lost_models_are_fitted_again(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path}/studies.db")
    _, shorter = toy.tune(tmp_path, n_trials=6, refit=False)  # the last generation is cut in half
    assert len(shorter["trials"]) == 6
    assert reference.equals(*toy.tune(tmp_path))
    assert not list(tmp_path.glob("work/tune/*/study.journal"))
    shutil.rmtree(tmp_path / "work" / "tune")  # another machine, or a cleaned disk
    monkeypatch.setenv("TOY_TRACE", str(tmp_path / "trace"))
    assert reference.equals(*toy.tune(tmp_path))
    fitted = {name for name, _, _ in steps_in(tmp_path / "trace") if name.startswith(("trial", "refit"))}
    assert fitted == {
        f"trial_{reference.summary['best_trial']:04d}",
        f"refit_{reference.summary['best_trial']:04d}",
    }


@pytest.mark.parametrize(
    "url", ["postgresql://tuner:hush@127.0.0.1:1/studies", "sqlite:////no/such/folder/a.db", "no url"]
)
def test_unusable_database_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    with pytest.raises(ConfigurationError, match="tuning database cannot be used") as caught:
        toy.tune(tmp_path, n_trials=2)
    assert "hush" not in str(caught.value)


# --- parts


def test_kedro_finds_the_projects_own_parameter_classes() -> None:
    stored = ["examples", "media", "model", "train_summary"]
    inputs = [*stored, "params:fit", "params:tune", "params:run", "params:score", "work"]
    pipeline = Pipeline([Node(make_tune(toy.load("toy")), inputs, ["tuned_model", "tuning_summary"])])
    types = TypeExtractor({"toy": pipeline}).extract_types_from_pipelines()
    assert types == {
        "fit": toy.ToyParameters,
        "tune": TuneParameters,
        "run": RunParameters,
        "score": toy.ScoreParameters,
    }


def test_generations_cover_every_trial_once() -> None:
    assert generations(1, 3) == []
    assert [list(numbers) for numbers in generations(6, 2)] == [[1, 2], [3, 4], [5]]


def test_generation_is_drawn_from_its_seed_alone() -> None:
    def draw(seed: int) -> list[dict[str, Any]]:
        trials = sample_generation(toy.load("toy"), toy.ToyParameters(), [], size=3, seed=seed, n_random_trials=2)
        return [trial.params for trial in trials]

    assert draw(4) == draw(4)
    assert draw(4) != draw(5)
    assert draw(4)[0] != draw(4)[1]


def test_configured_parameters_outside_of_the_search_space_have_no_suggestions() -> None:
    project = toy.load("toy")
    assert configured_suggestions(project, toy.ToyParameters(learning_rate=1.5)) == ({}, {})
    assert configured_suggestions(project, toy.ToyParameters(momentum=0.5))[0]["momentum"] == 0.5


@pytest.mark.parametrize(("greater_is_better", "sign"), [(True, 1.0), (False, -1.0)])
def test_pruning_compares_the_best_report_with_the_median_at_the_step(greater_is_better: bool, sign: float) -> None:
    curves = tuple((sign * value, {0: 0.0, 1: sign * value, 2: sign * value}) for value in (1.0, 2.0, 3.0))
    rule = PruningRule(completed=curves, after_trials=3, warmup_steps=1, greater_is_better=greater_is_better)
    hopeless = judge_of(rule)
    assert not hopeless({0: sign * -9})  # warm-up
    assert hopeless({0: sign * -9, 1: sign * 1.9})
    assert not hopeless({0: 0.0, 1: sign * 2.1})
    assert not hopeless({0: sign * 2.1, 1: sign * 1.0})  # the best report so far counts
    assert not hopeless({7: sign * -9})  # nobody has reported that step
    assert not judge_of(PruningRule(completed=curves[:2], after_trials=3, warmup_steps=0, greater_is_better=True))(
        {1: -9}
    )


def test_continued_reports_are_judged_like_uninterrupted_ones(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    first = Reports(path, lambda curve: False)
    first(0, 0.1)
    first(1, 0.30000000000000004)
    with path.open("a") as file:
        file.write("[2, 0.4")  # cut short by a kill
    seen: list[dict[int, float]] = []
    again = Reports(path, lambda curve: bool(seen.append(curve)))
    again.replay()
    again(2, 0.5)
    assert seen == [{0: 0.1}, {0: 0.1, 1: 0.30000000000000004}, {0: 0.1, 1: 0.30000000000000004, 2: 0.5}]
    with pytest.raises(Pruned):
        Reports(path, lambda curve: len(curve) == 3).replay()


@pytest.mark.parametrize(("greater_is_better", "number"), [(True, 1), (False, 2)])
def test_winner_is_the_first_of_the_best_in_the_right_direction(greater_is_better: bool, number: int) -> None:
    complete = optuna.trial.TrialState.COMPLETE
    study = optuna.create_study(direction="maximize" if greater_is_better else "minimize")
    study.add_trials([optuna.trial.create_trial(value=value, state=complete) for value in (2.0, 3.0, 1.0, 3.0, 1.0)])
    search: Any = SimpleNamespace(
        project=SimpleNamespace(metrics=SimpleNamespace(greater_is_better=greater_is_better)),
        _ended=lambda: study.trials,
    )
    assert Search.winner(search).number == number


def test_examples_reach_the_workers_unchanged(tmp_path: Path) -> None:
    frame = pl.concat([toy.examples().head(2), toy.examples().tail(1)], rechunk=False).with_columns(
        at=pl.lit("2026-01-02T03:04:05").str.to_datetime("%Y-%m-%dT%H:%M:%S", time_zone="UTC"),
        is_new=pl.Series([True, None, False]),
        kind=pl.Series(["x", None, "y"], dtype=pl.Enum(["x", "y"])),
        embedding=pl.Series([[1.0, 2.0], [], None], dtype=pl.List(pl.Float32)),
        fixed=pl.Series([[1, 2], [3, 4], [5, 6]], dtype=pl.Array(pl.Int64, 2)),
    )
    write_arrow(frame, tmp_path / "examples.arrow")
    mapped = read_arrow(tmp_path / "examples.arrow")
    assert mapped.equals(frame, null_equal=True)
    assert mapped.schema == frame.schema
    assert mapped.n_chunks() == 1
