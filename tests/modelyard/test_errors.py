import pickle

import pytest

from modelyard import errors


@pytest.mark.parametrize(
    "kind", [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.ModelyardError)]
)
def test_an_error_says_what_where_and_the_way_out_and_survives_a_process_border(kind):
    error = kind("Found.", where="here", way_out="that way")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == "Found.\n  where:   here\n  way out: that way"
    assert copy.exit_code == error.exit_code


def test_a_place_and_a_way_out_name_the_project():
    error = errors.ConfigurationError("Found.", where="<project>.path", way_out="set <project>.path").naming("rentals")
    assert (error.found, error.where, error.way_out) == ("Found.", "rentals.path", "set rentals.path")
    assert error.exit_code == errors.ConfigurationError.exit_code


def test_exit_codes_are_distinct_and_the_documented_one_is_3():
    kinds = [kind for kind in errors.ModelyardError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert errors.DataContractError.exit_code == 3
