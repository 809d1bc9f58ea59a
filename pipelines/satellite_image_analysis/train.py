"""Fits the networks; the log loss on validation rows chooses the epochs.

Accuracy is what counts in the end, but from epoch to epoch it jumps by 0.1 with the network's bias, which the threshold
corrects later: of four small fits the epochs that it chose were right on 76 % of new tiles, those chosen by the log
loss on 81 %. Each class weighs one half: how many buildings a storm damages is not to be learnt from the last storm.
"""

from __future__ import annotations

import polars as pl

from modelyard.project import FitRun
from modelyard.tasks.ensemble import Ensemble
from modelyard.tasks.images.binary_classifier import fit_classifier, geometric_mean_probability
from pipelines.satellite_image_analysis.model import FitParameters, build_network, logits_of, to_tiles


def fit(examples: pl.DataFrame, params: FitParameters, run: FitRun) -> Ensemble[FitParameters]:
    """Fits the networks one after the other.

    Args:
        examples: Records with ``image`` and ``split``: rows of ``train`` are learnt from; rows of ``valid``, if there
            are any of both classes, decide what ``params`` leave open.
        params: See :class:`FitParameters`.
        run: The geometric mean of the probabilities of what was true is reported after each epoch, network by network,
            and of all together at the end.

    Returns:
        The model; its ``params`` fit it again without validation rows.
    """
    return fit_classifier(
        examples,
        "is_damaged",
        params,
        run,
        build=build_network,
        to_pictures=lambda pixels: to_tiles(pixels, params.input_side),
        logits_of=lambda networks, rows: logits_of(networks, rows, params),
        value=geometric_mean_probability,
    )
