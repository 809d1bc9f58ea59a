"""Monitor: the reference that a version carries, from its test rows."""

from collections.abc import Callable
from typing import Any

from modelyard.monitoring.reference import MonitorParameters, summarise_reference
from modelyard.parameters import typed
from modelyard.project import Project
from modelyard.scoring import learning_rows, rows_of


def make_summarise(project: Project) -> Callable[..., Any]:
    """Node function ``(examples, predictions, evaluation, params) -> (summary, sample)``.

    The reference is the test split: the latest rows, which the model has not learned from, so that its predictions
    there are what they will be in service.
    """

    def summarise(examples: Any, predictions: Any, evaluation: Any, params: Any) -> Any:
        test = rows_of(examples, "test")
        known = {column.name for column in project.contract.columns}
        answers = predictions.select(name for name in predictions.columns if name not in known)
        found = summarise_reference(project, test, answers, learning_rows(examples), params)
        name = evaluation["primary"]
        performance = {"metric": name, "greater_is_better": evaluation["greater_is_better"]}
        return found.summary | {"performance": performance | evaluation["metrics"][name]}, found.sample

    return typed(summarise, params=MonitorParameters)
