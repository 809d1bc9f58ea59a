"""Media of examples: kept apart from the records, and put beside their rows where a model needs them."""

import math
from typing import TYPE_CHECKING, Any

from modelyard.errors import DataContractError
from modelyard.records import Contract, Media

if TYPE_CHECKING:
    import polars as pl


def split_media(records: "pl.DataFrame", contract: Contract) -> "tuple[pl.DataFrame, pl.DataFrame]":
    """Takes the contract's media out of what ``ingest`` returned.

    Args:
        records: One row per example, with every media column of the contract.
        contract: Says which media there are.

    Returns:
        The records without media, and key and media (no columns where the contract has none), row for row.

    Raises:
        DataContractError: A media column is missing or of another type or shape.
    """
    names = [media.name for media in contract.media]
    if missing := [name for name in names if name not in records.columns]:
        raise DataContractError(
            f"The media {', '.join(missing)} are missing.",
            where="what ingest() returned",
            way_out=f"let ingest() return the columns {', '.join(names)} beside the records",
        )
    columns = [_conform(records[media.name], media) for media in contract.media]
    return records.drop(names), records.select(contract.key if columns else []).with_columns(columns)


def with_media(rows: "pl.DataFrame", media: "pl.DataFrame", contract: Contract) -> "pl.DataFrame":
    """Rows with their media.

    Args:
        rows: Examples (N), each with its key.
        media: What :func:`split_media` kept, perhaps of more examples.
        contract: Names the key.
    """
    if not contract.media:
        return rows
    # A repeated key is nobody's: validation has rejected its rows.
    return rows.join(media.unique(contract.key, keep="first"), on=contract.key, how="left", maintain_order="left")


def _conform(column: "pl.Series", media: Media) -> "pl.Series":
    import polars as pl

    numbers: Any = {"uint8": pl.UInt8, "int16": pl.Int16, "int32": pl.Int32, "float32": pl.Float32}
    inner = numbers.get(media.dtype, pl.String)
    found, lengths = column.dtype, [length for length in media.shape if length is not None]
    wanted: Any
    if len(lengths) < len(media.shape):
        wanted = pl.List(inner)
        fits = isinstance(found, pl.List | pl.Array) and column.cast(pl.List(found.inner)).dtype == wanted
        # Examples of shape (None, 88) are flat lists whose lengths are multiples of 88.
        fits = fits and not (column.cast(wanted).list.len() % math.prod(lengths)).max()
    elif media.dtype == "string" and not media.shape:
        wanted, fits = pl.String(), found == pl.String
    else:
        wanted = pl.Array(inner, math.prod(lengths))
        fits = found == wanted
    if not fits or column.null_count():
        missing = f" with {column.null_count()} missing" if column.null_count() else ""
        raise DataContractError(
            f"The media column holds {found}{missing}, the contract says {wanted}.",
            where=f"column '{media.name}' of what ingest() returned",
            way_out=f"return flat {media.dtype} arrays of shape {media.shape} (None: any length) for every example",
        )
    return column.cast(wanted)
