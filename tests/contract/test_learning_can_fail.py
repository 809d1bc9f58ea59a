"""Each law of learning finds the fault that it is there for, planted in a new project."""

import contextlib
import dataclasses
import itertools
import math
import pickle

import polars as pl
import pytest
from pydantic import BaseModel

from modelyard import scoring
from tests.contract import check_learning
from tests.contract.shelves import new_projects
from tests.pipelines.small_fit import small_of, trained_once


@pytest.fixture(scope="module")
def sound(session_folder):
    """The small fit of a new project of tables, and its model."""
    small = small_of(new_projects()[0].name)
    return small, trained_once(small, session_folder)


def with_project(small, **changes):
    return dataclasses.replace(small, project=dataclasses.replace(small.project, **changes))


def with_part(small, part, **changes):
    return with_project(small, **{part: dataclasses.replace(getattr(small.project, part), **changes)})


def fit_with(small, change):
    """A project whose fit is another one: ``change(run)`` is what it is given for a run."""
    fit = small.project.fit
    return with_project(small, fit=lambda examples, params, run: fit(examples, params, change(run)))


def other_seeds(small):
    numbers = itertools.count(1)
    return fit_with(small, lambda run: dataclasses.replace(run, seed=next(numbers)))


def deaf(run):
    """A run whose report lets no error through."""

    def report(step, value):
        with contextlib.suppress(InterruptedError):
            run.report(step, value)

    return dataclasses.replace(run, report=report)


def elsewhere(folder):
    """Checkpoints that go where nobody looks for them."""
    return lambda run: dataclasses.replace(run, folder=folder)


def talkative(run):
    run.report(1, 0.5)
    return run


def forgetful_load(small, trained):
    """A model of the same parameters whose weights were never loaded."""
    project = small.project
    fresh, _ = small.fitted(trained.examples.head(2000), trained.folder.parent / "fresh")
    return lambda folder: dataclasses.replace(fresh, params=project.model_format.load(folder).params)


def predictions_of(small, change):
    predict = small.project.predict
    return with_project(small, predict=lambda model, rows: predict(model, rows).pipe(change))


def centred(predictions):
    return predictions.with_columns(pl.all() - pl.all().mean())


class Unsure(BaseModel):
    failure_probability: float | None = None


FAULTS = {
    "the floor is": (
        check_learning.the_model_lies_between_floor_and_ceiling,
        lambda small, trained: with_part(small, "metrics", floor=lambda train, test: trained.predictions),
    ),
    "does it see its answers": (
        check_learning.the_model_lies_between_floor_and_ceiling,
        lambda small, trained: dataclasses.replace(small, ceiling=lambda ingest: {"roc_auc": 0.6}),
    ),
    "the model rebuilt from its parameters predicts other bits": (
        check_learning.its_parameters_rebuild_the_model,
        lambda small, trained: other_seeds(small),
    ),
    "without validation rows, [(1, 0.5)] is reported": (
        check_learning.its_parameters_rebuild_the_model,
        lambda small, trained: fit_with(small, talkative),
    ),
    "does not let the error of report number 4 pass": (
        check_learning.a_stopped_fit_goes_on,
        lambda small, trained: fit_with(small, deaf),
    ),
    "a stopped fit leaves no checkpoint": (
        check_learning.a_stopped_fit_goes_on,
        lambda small, trained: fit_with(small, elsewhere(trained.folder.parent / "elsewhere")),
    ),
    "went on predicts other bits": (
        check_learning.a_stopped_fit_goes_on,
        lambda small, trained: other_seeds(small),
    ),
    "the loaded model predicts other bits": (
        check_learning.a_loaded_model_predicts_the_same_bits,
        lambda small, trained: with_part(small, "model_format", load=forgetful_load(small, trained)),
    ),
    "all.bin is a pickle": (
        check_learning.a_loaded_model_predicts_the_same_bits,
        lambda small, trained: with_part(small, "model_format", save=save_with_a_pickle(small)),
    ),
    "params.json torn: nobody notices": (
        check_learning.a_damaged_file_is_said,
        lambda small, trained: with_part(small, "model_format", load=lambda folder: trained.model),
    ),
    "params.json missing: FileNotFoundError instead": (
        check_learning.a_damaged_file_is_said,
        lambda small, trained: with_part(
            small, "model_format", load=lambda folder: (folder / "params.json").read_bytes()
        ),
    ),
    "2 requests have 1 answers": (
        check_learning.what_is_served_is_what_a_batch_predicts,
        lambda small, trained: with_part(small, "api", encode=lambda rows: small.project.api.encode(rows)[:1]),
    ),
    "served and batch differ": (
        check_learning.what_is_served_is_what_a_batch_predicts,
        lambda small, trained: with_part(small, "api", decode=lambda many: small.project.api.decode(many[::-1])),
    ),
    "is no PartResponse": (
        check_learning.what_is_served_is_what_a_batch_predicts,
        lambda small, trained: with_part(small, "api", encode=lambda rows: rows["failure_probability"].to_list()),
    ),
    "has no failure_probability": (
        check_learning.its_page_is_answered,
        lambda small, trained: with_part(small, "api", response=Unsure, encode=lambda rows: [Unsure()] * rows.height),
    ),
    "is none of the figures": (
        check_learning.its_page_is_answered,
        lambda small, trained: with_project(small, play=small.project.play.model_copy(update={"picture": "portrait"})),
    ),
    "a row among others": (
        check_learning.a_prediction_depends_on_its_own_row,
        lambda small, trained: predictions_of(small, centred),
    ),
    "score() is": (
        check_learning.no_prediction_sees_its_answer,
        lambda small, trained: predictions_of(small, lambda rows: rows.with_columns(pl.all() * -1)),
    ),
}


def save_with_a_pickle(small):
    def save(model, folder):
        small.project.model_format.save(model, folder)
        (folder / "all.bin").write_bytes(pickle.dumps({}))

    return save


@pytest.mark.parametrize("says", FAULTS)
def test_a_planted_fault_is_found(says, sound, tmp_path):
    check, plant = FAULTS[says]
    small, trained = sound
    problems = check(plant(small, trained), trained, tmp_path)
    assert any(says in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        ([(1, 0.5), (2, 0.6)], "2 reports for 6 epochs"),
        ([(step, 0.5) for step in (1, 2, 2, 3, 4, 5)], "steps do not ascend"),
        ([(step, math.nan) for step in range(1, 7)], "step 1 reports nan"),
    ],
)
def test_faulty_reports_are_found(reports, says, sound, tmp_path):
    small, trained = sound
    problems = check_learning.every_step_is_reported(small, dataclasses.replace(trained, reports=reports), tmp_path)
    assert says in problems[0]


def test_a_spine_that_shows_the_answers_is_found(sound, tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "without_answers", lambda project, examples: examples)
    assert "predict() sees is_failing" in check_learning.no_prediction_sees_its_answer(*sound, tmp_path)


def test_every_law_has_a_planted_fault():
    assert {check for check, _ in FAULTS.values()} | {check_learning.every_step_is_reported} == set(
        check_learning.CHECKS
    )
