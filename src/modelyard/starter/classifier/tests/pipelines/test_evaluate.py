"""Metrics are those counted by hand, and there are none where there is nothing to tell apart."""

import math

import polars as pl
import pytest

from modelyard.errors import ConfigurationError, DataContractError
from pipelines.starter_project.data import IngestParameters, ingest
from pipelines.starter_project.evaluate import ScoreParameters, score
from pipelines.starter_project.figures import figures


def test_metrics_of_four_rows_are_those_counted_by_hand():
    rows = pl.DataFrame({"is_failing": [False, True, False, True], "failure_probability": [0.1, 0.2, 0.2, 0.9]})
    found = score(rows, ScoreParameters(inspected_share=0.25))
    # Of four pairs of a failing and a sound part, three are ranked right and one is tied.
    assert (found["roc_auc"], found["recall_when_inspecting"]) == (0.875, 0.5)


@pytest.mark.parametrize("is_failing", [True, False])
def test_rows_of_one_class_have_no_ranking(is_failing):
    rows = pl.DataFrame({"is_failing": [is_failing] * 2, "failure_probability": [0.1, 0.2]})
    assert math.isnan(score(rows, ScoreParameters())["roc_auc"])


def test_training_rows_of_one_class_are_refused(trained, refit, tmp_path):
    with pytest.raises(DataContractError, match="one class"):
        refit(trained.examples.filter("is_failing"), tmp_path)


def test_own_data_without_a_path_are_refused():
    with pytest.raises(ConfigurationError, match="No own data are named"):
        ingest(IngestParameters(source="own"))


def test_figures_are_drawn(trained):
    drawn = figures(trained.rows("test").hstack(trained.predictions), trained.model)
    assert set(drawn) == {"ranking", "calibration"}
    assert all(figure.axes for figure in drawn.values())
