"""Learning: what holds for every project's model, checked on the small fit that its tests share.

Each check takes the sizes, the model trained at them and an empty folder, and returns what is wrong.
"""

import dataclasses
import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal
from pydantic import BaseModel

from modelyard.errors import StorageError
from modelyard.scoring import score, scored_rows, without_answers
from modelyard.stages.evaluate import shown_rows
from modelyard.training.parameters import LoopParameters
from tests.pipelines.small_fit import SmallFit, Trained

N_REQUESTS = 5
"""Rows whose answers are compared one by one: enough to mix up their order."""

TOLERANCE = 1e-5
"""Relative: sums of another batch are added in another order, in float32."""


def the_model_lies_between_floor_and_ceiling(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """On the test rows, in the primary metric."""
    project, test = small.project, trained.rows("test")
    shown = without_answers(project, test)
    trivial = _primary(small, test, project.metrics.floor(trained.rows("train"), shown))
    ours = _primary(small, test, trained.predictions)
    sign = 1 if project.metrics.greater_is_better else -1
    problems = [f"the floor is {trivial}, the model {ours}"] if not sign * ours > sign * trivial else []
    if small.ceiling is not None:
        best = small.ceiling(small.ingest)[project.metrics.primary]
        if not sign * ours <= sign * best + small.ceiling_slack:
            problems.append(f"the model is {ours}, the ceiling {best}: does it see its answers?")
    return problems


def _primary(small: SmallFit, rows: pl.DataFrame, predictions: pl.DataFrame) -> float:
    scored = scored_rows(small.project, rows, predictions, small.score_params)
    return small.project.metrics.score(scored, small.score_params)[small.project.metrics.primary]


def every_step_is_reported(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """Tuning prunes on what is reported; a step that is left out or comes twice would mislead it."""
    steps = [step for step, _ in trained.reports]
    wanted = max([2, *(loop.epochs for loop in _loops(small.fit))])
    problems = [f"{len(steps)} reports for {wanted} epochs"] if len(steps) < wanted else []
    if any(later <= earlier for earlier, later in pairwise(steps)):
        problems.append(f"steps do not ascend: {steps}")
    return problems + [f"step {step} reports {value}" for step, value in trained.reports if not math.isfinite(value)]


def _loops(params: BaseModel) -> Iterator[LoopParameters]:
    for value in dict(params).values():
        if isinstance(value, LoopParameters):
            yield value
        elif isinstance(value, BaseModel):
            yield from _loops(value)


def its_parameters_rebuild_the_model(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """Without validation rows, what they decided is followed exactly: the same seed gives the same bits."""
    rest = trained.examples.filter(pl.col("split") != "valid")
    model, reports = small.fitted(rest, folder, trained.model.params)
    problems = [f"without validation rows, {reports} is reported"] if reports else []
    if model.params != trained.model.params:
        problems.append(f"without validation rows, {trained.model.params!r} becomes {model.params!r}")
    return problems + _differences("the model rebuilt from its parameters", small, model, trained)


def a_stopped_fit_goes_on(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """A fit that ends in the middle leaves checkpoints; a second one there ends at the same bits and reports."""
    middle = trained.reports[len(trained.reports) // 2][0]
    try:
        small.fitted(trained.examples, folder, stop_at=middle)
        return [f"fit() does not let the error of report number {middle} pass through"]
    except InterruptedError:
        pass
    problems = [] if any(path.is_file() for path in folder.rglob("*")) else ["a stopped fit leaves no checkpoint"]
    model, reports = small.fitted(trained.examples, folder)
    told = f"reports were {trained.reports} in one go, and are {reports} after a stop"
    problems += [] if reports == trained.reports else [told]
    return problems + _differences("the model that was stopped and went on", small, model, trained)


def a_loaded_model_predicts_the_same_bits(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    small.project.model_format.save(trained.model, folder)
    loaded = small.project.model_format.load(folder)
    problems = [f"{path.name} is a pickle" for path in folder.iterdir() if _is_pickle(path)]
    if loaded.params != trained.model.params:
        problems.append(f"{trained.model.params!r} comes back as {loaded.params!r}")
    return problems + _differences("the loaded model", small, loaded, trained)


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do, or as torch's zip of them."""
    return path.suffix != ".safetensors" and path.read_bytes().startswith((b"\x80", b"PK"))


def _differences(what: str, small: SmallFit, model: Any, trained: Trained) -> list[str]:
    predictions = small.predicted(model, trained.rows("test"))
    return [] if predictions.equals(trained.predictions) else [f"{what} predicts other bits"]


def a_damaged_file_is_said(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """One readable error for each file of the model, whether it is torn or missing."""
    load = small.project.model_format.load
    small.project.model_format.save(trained.model, folder)
    problems = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        problems += [f"{path.name} torn: {problem}" for problem in _loading_problems(load, folder)]
        path.unlink()
        problems += [f"{path.name} missing: {problem}" for problem in _loading_problems(load, folder)]
        path.write_bytes(whole)
    return problems


def _loading_problems(load: Any, folder: Path) -> list[str]:
    try:
        load(folder)
    except StorageError:
        return []
    except Exception as error:  # any other error is what is looked for
        return [f"{type(error).__name__} instead of a StorageError: {error}"]
    return ["nobody notices"]


def what_is_served_is_what_a_batch_predicts(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """Requests become the rows that the examples were, and answers come in their order."""
    api, project = small.project.api, small.project
    answers = _answers(small, trained.model, [api.example, api.example])
    problems = [] if len(answers) == 2 else [f"2 requests have {len(answers)} answers"]
    problems += [f"{answer!r} is no {api.response.__name__}" for answer in answers if type(answer) is not api.response]
    if small.as_requests is None:
        return problems
    rows = trained.rows("test").sample(N_REQUESTS, seed=0)
    decoded = api.decode(small.as_requests(trained.examples, rows))
    served, batch = project.predict(trained.model, decoded), small.predicted(trained.model, rows)
    try:
        assert_frame_equal(served, batch, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except AssertionError as error:
        problems.append(f"served and batch differ: {error}")
    return problems


def _answers(small: SmallFit, model: Any, requests: list[Any]) -> list[Any]:
    api = small.project.api
    answer = api.answer or small.project.predict
    return api.encode(answer(model, api.decode(requests)))


def its_page_is_answered(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """Every example of the page gets an answer, the first one a visible one, and the gallery's figure is drawn."""
    project = small.project
    if project.play is None:
        return ["the record has no page"]
    problems = []
    for number, example in enumerate(project.play.examples()):
        request = project.api.request.model_validate_json(json.dumps(dict(example.request)))
        (answer,) = _answers(small, trained.model, [request])
        told = project.api.response.model_validate_json(answer.model_dump_json())
        if number == 0 and getattr(told, project.play.outputs[0].field) is None:
            problems.append(f"the first example, {example.title!r}, has no {project.play.outputs[0].field}")
    test = trained.rows("test")
    rows = scored_rows(project, test, trained.predictions, small.score_params)
    known = [column.name for column in project.contract.columns if column.name in test.columns]
    shown = shown_rows(project, test, test.select(known).hstack(trained.predictions), rows)
    drawn = project.figures(shown, trained.model)
    if project.play.picture not in drawn:
        problems.append(f"the gallery's picture {project.play.picture!r} is none of the figures {sorted(drawn)}")
    return problems


def a_prediction_depends_on_its_own_row(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """Rows that are answered together, or in another order, are answered as if alone."""
    rows = trained.rows("test").sample(N_REQUESTS, seed=1)
    together = small.predicted(trained.model, rows)
    alone = pl.concat([small.predicted(trained.model, rows[n : n + 1]) for n in range(rows.height)])
    try:
        assert_frame_equal(together, alone, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except AssertionError as error:
        return [f"a row among others is predicted as another alone: {error}"]
    return []


def no_prediction_sees_its_answer(small: SmallFit, trained: Trained, folder: Path) -> list[str]:
    """A model that would copy its answers is shown none of them by the spine, nor media that are targets."""
    seen: set[str] = set()

    def peeking(model: Any, examples: pl.DataFrame) -> pl.DataFrame:
        seen.update(examples.columns)
        return small.project.predict(model, examples)

    peek = dataclasses.replace(small.project, predict=peeking)
    ours = score(peek, trained.model, trained.rows("test"), small.score_params)
    problems = [f"predict() sees {name}" for name in small.project.contract.hidden_columns() if name in seen]
    wanted = _primary(small, trained.rows("test"), trained.predictions)
    if ours[small.project.metrics.primary] != wanted:
        problems.append(f"score() is {ours[small.project.metrics.primary]}, of the predictions themselves {wanted}")
    return problems


CHECKS = (
    the_model_lies_between_floor_and_ceiling,
    every_step_is_reported,
    its_parameters_rebuild_the_model,
    a_stopped_fit_goes_on,
    a_loaded_model_predicts_the_same_bits,
    a_damaged_file_is_said,
    what_is_served_is_what_a_batch_predicts,
    its_page_is_answered,
    a_prediction_depends_on_its_own_row,
    no_prediction_sees_its_answer,
)
