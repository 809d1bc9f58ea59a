"""Fits the networks; AUC on validation rows, which no threshold and no share of ill exams can move, chooses the epochs.

Each class weighs one half in the loss: how many exams of a hospital show a pneumonia is its own affair, and the public
set's training and test parts differ in it (74 % and 62.5 %). Calibration follows the validation rows as they are.
"""

from __future__ import annotations

import polars as pl

from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.binary_classifier import fit_classifier
from modelyard.tasks.ranking import roc_auc
from pipelines.medical_image_analysis.model import FitParameters, build_network, logits_of, to_pictures


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> Ensemble[FitParameters]:
    """Fits the networks one after the other.

    Args:
        examples: Records with ``image`` and ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there
            are any of both classes, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: AUC on the validation rows is reported after each epoch, network by network, and of all at the end.

    Returns:
        The model; its ``params`` fit it again without validation rows.
    """
    return fit_classifier(
        examples,
        "is_pneumonia",
        params,
        run,
        build=build_network,
        to_pictures=to_pictures,
        logits_of=logits_of,
        value=roc_auc,
    )
