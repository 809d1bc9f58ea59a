"""Tables as numbers: what training did not know has a place of its own, and so has a gap."""

import numpy as np
import polars as pl
import pytest

from modelyard.tasks.tabular import blend_weight, codes, filled, fit_levels, numbers, one_hot, ordered_codes

TRAIN = pl.DataFrame({"roof": ["flat", "hip", "hip", None, "tower"], "sea": ["near", "far", "far", "near", "near"]})
PRICE = np.array([1.0, 5.0, 7.0, 100.0, 3.0])


def test_levels_ascend_by_their_mean_and_rare_ones_are_unknown():
    assert fit_levels(TRAIN, ["roof"], order_by=PRICE) == {"roof": ["flat", "tower", "hip"]}
    assert fit_levels(TRAIN, ["roof", "sea"]) == {"roof": ["flat", "hip", "tower"], "sea": ["far", "near"]}
    assert fit_levels(TRAIN, ["roof"], min_rows=2) == {"roof": ["hip"]}


def test_levels_do_not_depend_on_the_order_of_the_rows():
    values = np.array([0.1, 0.2, 0.3, 0.7, 1e16])
    table = TRAIN.with_columns(roof=pl.Series(["a", "a", "a", "a", "b"]))
    backwards = fit_levels(table.reverse(), ["roof"], order_by=values[::-1])
    assert backwards == fit_levels(table, ["roof"], order_by=values)


def test_an_unknown_level_is_no_known_one_and_no_gap():
    levels = {"roof": ["flat", "hip"], "gone": ["x"]}
    rows = pl.DataFrame({"roof": ["hip", "dome", None]})
    coded = codes(rows, levels)
    assert coded.tolist() == [[3, 1], [0, 1], [1, 1]]
    assert one_hot(coded, levels).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert np.array_equal(ordered_codes(rows, levels)[:, 0], [1, np.nan, np.nan], equal_nan=True)
    assert codes(rows, {}).shape == one_hot(codes(rows, {}), {}).shape == (3, 0)


def test_numbers_have_gaps_and_a_column_that_is_not_there_is_one():
    rows = pl.DataFrame({"age": [3, None], "is_new": [True, False]})
    found = numbers(rows, ["age", "is_new", "missing"])
    assert np.array_equal(found, [[3, 1, np.nan], [np.nan, 0, np.nan]], equal_nan=True)
    values, mask = filled(found, np.array([9.0, 8.0, 7.0]))
    assert values.tolist() == [[3, 1, 7], [9, 0, 7]]
    assert mask.tolist() == [[0, 0, 1], [1, 0, 1]]
    assert numbers(rows, []).shape == (2, 0)


@pytest.mark.parametrize(("second", "weight"), [(np.array([2.0, -2.0]), 0.5), (np.array([1.0, 0.0]), 0.0)])
def test_the_blend_is_the_best_of_its_steps_and_of_equals_the_first_model(second, weight):
    first = np.array([0.0, 0.0]) if weight else np.array([1.0, -1.0])
    wanted = np.array([1.0, -1.0])
    assert blend_weight(first, second, lambda each: float(np.mean((each - wanted) ** 2))) == weight
    assert blend_weight(first, first, lambda each: 0.0) == 0
