"""From validated requests to the frame that ``predict`` takes: decoded once, and checked before any model sees it."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from modelyard.errors import DataContractError
from modelyard.serving.logs import place_of

if TYPE_CHECKING:
    from modelyard.project import Project

logger = logging.getLogger(__name__)

_LARGEST = 3.4e38
"""Models compute in float32, where larger numbers are infinite."""


def decoded(project: "Project", requests: Sequence[Any]) -> pl.DataFrame:
    """What ``decode`` makes of the requests, row for row.

    Raises:
        DataContractError: The requests' values cannot be turned into what the model takes. ``decode`` sees nothing but
            the requests, so whatever it raises is about them; what it was goes to the log, without their values.
    """
    try:
        inputs = project.api.decode(requests)
    except DataContractError:
        raise
    except Exception as error:
        if len(requests) == 1:
            logger.warning("a request cannot be decoded", extra={"project": project.name} | place_of(error))
        raise DataContractError(
            "The values cannot be turned into what the model takes.",
            where=_told(error),
            way_out="see the route's schema in /docs; extreme values are the usual reason",
        ) from error
    if inputs.height != len(requests):
        raise ValueError(f"decode made {inputs.height} rows of {len(requests)} requests")
    _check_finite(inputs)
    return inputs


def _told(error: Exception) -> str:
    """The project's own words where it raises a ValueError, else nothing: other messages may hold values."""
    return str(error).splitlines()[0] if type(error) is ValueError and str(error) else ""


def _check_finite(inputs: pl.DataFrame) -> None:
    for name, dtype in inputs.schema.items():
        series = inputs[name]
        if isinstance(dtype, (pl.List, pl.Array)) and getattr(dtype.inner, "is_float", bool)():
            series = series.explode()
        # NaN, a missing value, is larger than everything in polars.
        if series.dtype.is_float() and bool((series.is_not_nan() & (series.abs() > _LARGEST)).any()):
            raise DataContractError(
                f"What is computed of the values is larger than a model can take: {name}.",
                way_out="give values of the size that the data have",
            )
