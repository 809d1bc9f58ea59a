"""The value that chooses epochs, and what tuning varies; that both projects of pictures learn is in contract."""

import numpy as np
import optuna
import pytest

from modelyard.tasks.images.binary_classifier import ClassifierParameters, geometric_mean_probability, search_space


def test_the_geometric_mean_of_what_was_true():
    logits = np.log(np.array([0.8, 0.5]) / np.array([0.2, 0.5]))
    assert geometric_mean_probability(np.array([True, False]), logits) == pytest.approx((0.8 * 0.5) ** 0.5)
    assert geometric_mean_probability(np.array([True]), np.array([-2000.0])) == 0


def test_a_trial_varies_the_loop_and_keeps_the_rest():
    given = ClassifierParameters.model_validate({"width": 7, "loop": {"epochs": 3}})
    fixed = {"loop.learning_rate": 2e-3, "loop.weight_decay": 0.01, "dropout": 0.1}
    found = search_space(optuna.trial.FixedTrial(fixed), given)
    assert (found.width, found.loop.epochs, found.dropout) == (7, 3, 0.1)
    assert (found.loop.learning_rate, found.loop.weight_decay) == (2e-3, 0.01)
