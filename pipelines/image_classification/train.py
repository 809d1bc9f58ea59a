"""Fits the networks; strangers are left out, so that what is unknown has to be told from what is known."""

from __future__ import annotations

import polars as pl

from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.multiclass_classifier import fit_multiclass
from pipelines.image_classification.data import FORMAT
from pipelines.image_classification.model import FitParameters
from pipelines.image_classification.simulator import STRANGER


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> Ensemble[FitParameters]:
    """Fits the networks one after the other.

    Args:
        examples: Records with ``image`` and ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there
            are any, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: The geometric mean of the calibrated probabilities of what was true is reported after each epoch, network
            by network, and of all together at the end.

    Returns:
        The model; its ``params`` fit it again without validation rows.
    """
    return fit_multiclass(examples.filter(pl.col("label") != STRANGER), "label", params, run, FORMAT.shape)
