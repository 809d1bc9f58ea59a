"""Measurements of known pictures, and their bounds."""

import numpy as np
import pytest

from modelyard.tasks.images import descriptors
from modelyard.tasks.images.descriptors import BOUNDS, bounds_expectations, describe


def test_known_pictures():
    pictures = np.zeros((3, 28, 28), np.uint8)
    pictures[1] = 255
    pictures[2, :, 14:] = 255
    black, white, sided = describe(pictures).to_dicts()
    assert (black["brightness_ratio"], white["brightness_ratio"], sided["brightness_ratio"]) == (0, 1, 0.5)
    assert (black["contrast_ratio"], sided["contrast_ratio"]) == (0, 0.5)
    assert (sided["entropy_bit"], black["entropy_bit"]) == (1, 0)
    assert sided["edge_ratio"] == pytest.approx(0.5 / 27)


def test_grey_and_its_three_equal_channels_measure_the_same():
    grey = np.random.default_rng(0).integers(0, 256, (4, 16, 16), dtype=np.uint8)
    of_grey, of_colour = (describe(each).to_numpy() for each in (grey, np.stack([grey] * 3, axis=3)))
    assert of_colour == pytest.approx(of_grey, abs=1e-6)


def test_pieces_change_nothing_and_none_have_columns(monkeypatch):
    many = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), dtype=np.uint8)
    whole = describe(many)
    monkeypatch.setattr(descriptors, "_CHUNK_PIXELS", 2_000)
    assert np.array_equal(describe(many).to_numpy(), whole.to_numpy())
    assert describe(many[:0]).schema == whole.schema
    assert all(whole[name].is_between(*bounds).all() for name, bounds in BOUNDS.items())


def test_bounds_become_expectations():
    (found,) = bounds_expectations({"entropy_bit": (0.0, 5.0)})
    assert (found.column, found.min_value, found.max_value) == ("entropy_bit", 0, 5)
