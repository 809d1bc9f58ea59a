"""Strangers: pictures with nothing on them, and pictures whose parts are all there but nowhere where they belong."""

import numpy as np
import pytest
import torch

from modelyard.tasks.images.strangers import BLANK_KINDS, blank_pictures, synthetic_strangers


@pytest.mark.parametrize("shape", [(28, 28), (32, 32, 3)])
def test_blank_pictures_show_nothing(shape):
    for kind in BLANK_KINDS:
        made = blank_pictures(20, shape, kind, seed=3)
        assert (made.shape, made.dtype) == ((20, *shape), np.uint8)
        assert np.array_equal(made, blank_pictures(20, shape, kind, seed=3))
    steps = [np.abs(np.diff(blank_pictures(20, shape, kind).astype(int), axis=2)).mean() for kind in BLANK_KINDS]
    assert steps[0] < 1
    assert steps[1] > 5


def test_some_plain_pictures_are_grey():
    plain = blank_pictures(10, (8, 8, 3), "plain").astype(int)
    is_grey = (plain.max(axis=-1) - plain.min(axis=-1)).max(axis=(1, 2)) <= 1
    assert is_grey.tolist() == [True, False] * 5


def test_strangers_of_a_batch():
    pictures = torch.rand(12, 3, 30, 32)
    assert synthetic_strangers(pictures, 0).shape == (0, 3, 30, 32)
    made = synthetic_strangers(pictures, 9)
    assert made.shape == (9, 3, 30, 32)
    assert (made >= 0).all()
    assert (made <= 1).all()
    is_plain = (made.std(dim=(2, 3)) < 1e-6).all(dim=1)
    values = [one.flatten(1).sort().values for one in (made, pictures[:9])]
    is_shuffled = torch.isclose(*values, atol=1e-6).all(dim=1)
    assert (is_plain.sum(), is_shuffled.sum()) == (3, 3)
    assert not torch.isclose(made, pictures[:9]).flatten(1).all(dim=1).any()
    first = {bool((synthetic_strangers(pictures, 1).std(dim=(2, 3)) < 1e-6).all()) for _ in range(30)}
    assert first == {False, True}
