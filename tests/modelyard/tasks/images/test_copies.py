"""A picture never lies on both sides of a split; the test keeps it."""

import numpy as np
import polars as pl

from modelyard.tasks.images.copies import without_copies_across


def test_the_later_split_keeps_a_copy():
    kinds = np.array([0, 1, 2, 3, 0, 1, 2, 2])
    pictures = np.broadcast_to(kinds[:, None, None], (8, 4, 4)).astype(np.uint8)
    rows = pl.DataFrame({"split": ["train", "train", "train", "train", "valid", "test", "valid", "test"]})
    found = without_copies_across(rows, pictures)["split"].to_list()
    assert found == ["unused", "unused", "unused", "train", "valid", "test", "unused", "test"]


def test_copies_within_a_split_stay():
    rows = pl.DataFrame({"split": ["train", "train", "test"]})
    pictures = np.stack([np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)])
    assert without_copies_across(rows, pictures).equals(rows)
