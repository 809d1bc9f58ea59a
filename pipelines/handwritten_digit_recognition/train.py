"""Fits the networks; what is no digit is left out, so that it has to be told from digits unseen."""

from __future__ import annotations

import polars as pl

from modelyard.errors import ConfigurationError
from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.multiclass_classifier import fit_multiclass
from pipelines.handwritten_digit_recognition.model import FitParameters
from pipelines.handwritten_digit_recognition.preparation import FORMAT
from pipelines.handwritten_digit_recognition.simulator import STRANGER


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

    Raises:
        ConfigurationError: ``params`` would mirror digits.
    """
    if params.is_mirrored_too or params.augmentation.flip_share:
        raise ConfigurationError(
            "Digits would be mirrored: a mirrored digit is none, or another one.",
            where="handwritten_digit_recognition.fit",
            way_out="leave is_mirrored_too false and augmentation.flip_share 0",
        )
    return fit_multiclass(examples.filter(pl.col("label") != STRANGER), "label", params, run, FORMAT.shape)
