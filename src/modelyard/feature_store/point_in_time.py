"""Point-in-time joins: for each entity row, find the latest row of a source at or before its time.

The algorithm, chosen by measurement (``benchmarks/asof.py``): sort the source by entity and time (files of
:mod:`modelyard.feature_store.store` are sorted already), find each entity's slice with one hash join, and run
one vectorised binary search over all rows. Only row numbers are computed; each feature column is gathered once.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

TIME, CREATED = "@time", "@created"
"""Columns of the frames here: int64 times since 1970 in one common unit; no feature can have these names."""

_BLOCK_ROWS = 1 << 15
"""Rows that are searched together; small enough that the temporary arrays stay in the processor's cache."""

_NEVER = -(2**63)
"""Stands for a missing time: earlier than every row."""


def known_rows(
    entities: "pl.DataFrame",
    source: "pl.DataFrame",
    keys: Sequence[str],
    *,
    ttl: int | None,
    only_created: bool = False,
) -> "tuple[NDArray[np.int64], NDArray[np.bool_]]":
    """Finds, for each row of ``entities``, the latest row of ``source`` with the same keys at or before its time.

    Of several rows with that time, the one created last is used (an unknown creation time comes first), then the last
    in the source. A null key or time never matches, on either side.

    Args:
        entities: ``keys`` and ``@time``, N rows in any order, duplicates allowed.
        source: ``keys`` of the same dtypes, ``@time`` and, where creation times are known, ``@created``.
        keys: Columns that identify the entity; if empty, all rows belong to one entity.
        ttl: Largest age of a source row at the entity row's time, in the unit of ``@time``; None: no limit.
        only_created: Leave out source rows created after the entity row's time.

    Returns:
        Row numbers into ``source`` (N; 0 where there is no match) and whether there is a match (N).
    """
    import numpy as np

    ordered, order = _ordered(source, keys, only_created=only_created)
    if not ordered.height:
        return np.zeros(entities.height, np.int64), np.zeros(entities.height, np.bool_)
    # Each entity is one slice of the ordered source; the number of its rows at or before the time gives the match.
    times, latest = ordered[TIME].to_numpy(), None
    starts = _starts(ordered, keys)
    first, end = _slices(entities, ordered, starts, keys)
    moments = entities[TIME].fill_null(_NEVER).to_numpy()
    if only_created:
        visible, latest = _by_visibility(ordered, starts)
        count = _search(visible, first, end, moments)
    else:
        count = _search(times, first, end, moments)
    # From positions in the ordered source to row numbers of the caller's source.
    found = count > 0
    position = np.where(found, first + count - 1, 0)
    if latest is not None:
        position = latest[position]
    if ttl is not None:
        found &= moments - times[position] <= ttl
    return (position if order is None else order[position]), found


def latest_rows(source: "pl.DataFrame", keys: Sequence[str]) -> "NDArray[np.int64]":
    """Returns the row number of each entity's latest row, by the rule of :func:`known_rows`, without null keys."""
    import numpy as np

    ordered, order = _ordered(source, keys, only_created=False)
    if not ordered.height:
        return np.zeros(0, np.int64)
    ends = np.append(_starts(ordered, keys)[1:], ordered.height)
    return ends - 1 if order is None else order[ends - 1]


def gather(column: "pl.Series", rows: "NDArray[np.int64]", found: "NDArray[np.bool_]", validity: Any) -> Any:
    """Returns rows ``rows`` of ``column`` (N), null where not ``found``, as an Arrow array that owns its memory.

    The memory of floats holds NaN where they are null, so that pandas can use it directly; see :func:`floats_with_nan`.

    Args:
        column: Any dtype.
        rows: Row numbers from :func:`known_rows`.
        found: Whether there is a match, from :func:`known_rows`.
        validity: :func:`validity_of` of ``found``, computed once for all columns.
    """
    import numpy as np
    import polars as pl
    import pyarrow as pa

    if not len(column):
        return column.clear(len(rows)).to_arrow()
    # Numbers without nulls: gather in numpy and hand the buffer to Arrow without a copy.
    numbers = column.to_numpy() if column.dtype.is_numeric() and not column.null_count() else None
    if numbers is not None and numbers.dtype.kind in "iuf":  # decimals become objects in numpy
        values = np.take(numbers, rows, mode="clip")  # all are inside; not checking that halves the time
        if values.dtype.kind == "f" and validity is not None:
            np.copyto(values, np.nan, where=~found)
        return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(rows), [validity, pa.py_buffer(values)])
    taken = column.rechunk().gather(pl.Series(rows))
    if validity is None:
        return taken.to_arrow()
    # Gathering every row and setting nulls afterwards is several times faster than gathering by indices with nulls.
    return pl.DataFrame({"@found": found}).select(pl.when("@found").then(taken)).to_series().to_arrow()


def validity_of(found: "NDArray[np.bool_]") -> Any:
    """Returns Arrow's validity bitmap of ``found``, or None if all are valid."""
    import numpy as np
    import pyarrow as pa

    return None if found.all() else pa.py_buffer(np.packbits(found, bitorder="little"))


def floats_with_nan(column: Any) -> "NDArray[Any] | None":
    """Returns a float column from :func:`gather` as numpy without a copy; None for any other chunked array."""
    import numpy as np
    import pyarrow as pa

    if not pa.types.is_floating(column.type) or column.num_chunks != 1:
        return None
    chunk = column.chunk(0)
    memory = chunk.buffers()[1]
    if memory is None or not memory.is_mutable or chunk.offset:
        return None
    return np.frombuffer(memory, column.type.to_pandas_dtype(), len(chunk))


def instants(*columns: "pl.Series") -> "list[pl.Series]":
    """Returns date or datetime columns as int64 since 1970 UTC, all in nanoseconds if any is, else in microseconds.

    A column without time zone is taken as UTC, as in Feast.

    Raises:
        ValueError: A column holds no dates or times.
    """
    import polars as pl

    for column in columns:
        if not isinstance(column.dtype, (pl.Datetime, pl.Date)):
            raise ValueError(f"column '{column.name}' holds {column.dtype}, not timestamps")
    unit = unit_of(*columns)
    return [column.dt.timestamp(unit) for column in columns]


def unit_of(*columns: "pl.Series") -> Any:
    """Returns ``ns`` if any of the columns is in nanoseconds, else ``us``: the common unit of :func:`instants`."""
    return "ns" if any(getattr(column.dtype, "time_unit", "us") == "ns" for column in columns) else "us"


def duration(ttl: timedelta | None, unit: str) -> int | None:
    """Returns ``ttl`` in ``unit`` (``us`` or ``ns``); None and zero mean that a row never expires, as in Feast."""
    microseconds = (ttl or timedelta()) // timedelta(microseconds=1)
    return microseconds * (1000 if unit == "ns" else 1) or None


def _ordered(
    source: "pl.DataFrame", keys: Sequence[str], *, only_created: bool
) -> "tuple[pl.DataFrame, NDArray[np.int64] | None]":
    """Returns the rows that can match, sorted by keys, time, creation and position, and their numbers in ``source``.

    The numbers are None if the source is sorted already.
    """
    import polars as pl

    needed = [*keys, TIME, *([CREATED] if only_created else [])]
    by = [*keys, TIME, *([CREATED] if CREATED in source.columns else [])]
    if not any(source[name].null_count() for name in needed) and _is_sorted(source, by):
        return source, None
    # Nulls first: of equal times the last row is used, and a known creation time must win over an unknown one.
    rows = source.select(by).with_row_index("@row").filter(pl.all_horizontal(pl.col(needed).is_not_null()))
    packed = _packed(rows.select(by))
    if packed is None:
        numbers = rows.sort(by, nulls_last=False, maintain_order=True)["@row"]
    else:
        numbers = rows.select("@row", packed).sort(packed.name, maintain_order=True)["@row"]
    return source[numbers], numbers.to_numpy()


def _packed(rows: "pl.DataFrame") -> "pl.Series | None":
    """Returns one integer for each row that orders as the row's integers do; None if they do not fit into 63 bits.

    Sorting by it takes a fifth of the time of sorting by several columns.
    """
    import polars as pl

    if not rows.height or any(not dtype.is_integer() for dtype in rows.dtypes) or sum(rows.null_count().row(0)):
        return None
    lowest, highest = rows.min().row(0), rows.max().row(0)
    bits = [(high - low).bit_length() for low, high in zip(lowest, highest, strict=True)]
    if sum(bits) > 63 or max(highest) >= 1 << 63 or min(lowest) < -(1 << 63):
        return None
    packed = pl.lit(0, pl.Int64)
    for name, low, n_bits in zip(rows.columns, lowest, bits, strict=True):
        packed = packed * (1 << n_bits) + (pl.col(name).cast(pl.Int64) - low)
    return rows.select(packed.alias("@packed")).to_series()


def _is_sorted(source: "pl.DataFrame", by: Sequence[str]) -> bool:
    import polars as pl

    # Lexicographic comparison of each row with the one before, built from the last column to the first.
    in_order = pl.lit(True)
    for name in reversed(by):
        column, before = pl.col(name), pl.col(name).shift(1)
        in_order = (column > before) | ((column == before) & in_order)
    # The first row has no predecessor. A null anywhere else gives null, which counts as not sorted.
    return bool(source.select(in_order.slice(1).fill_null(False).all()).item())


def _starts(ordered: "pl.DataFrame", keys: Sequence[str]) -> "NDArray[np.int64]":
    """Returns the positions where a new entity begins, in a frame ordered by ``keys`` with at least one row."""
    import numpy as np
    import polars as pl

    if not keys:
        return np.zeros(1, np.int64)
    changed = pl.any_horizontal(pl.col(key).ne(pl.col(key).shift(1)) for key in keys).fill_null(True)
    return ordered.select(changed.arg_true()).to_series().to_numpy().astype(np.int64)


def _slices(
    entities: "pl.DataFrame", ordered: "pl.DataFrame", starts: "NDArray[np.int64]", keys: Sequence[str]
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Returns first and end position of each row's entity in ``ordered``; an empty slice for an unknown entity."""
    import numpy as np
    import polars as pl

    if not keys:
        return np.zeros(entities.height, np.int64), np.full(entities.height, ordered.height)
    ends = np.append(starts[1:], ordered.height)
    known = ordered.select(keys)[starts].with_columns(pl.Series("@first", starts), pl.Series("@end", ends))
    slices = entities.select(keys).join(known, on=list(keys), how="left", maintain_order="left")
    first, end = (slices[name].fill_null(0).to_numpy() for name in ("@first", "@end"))
    return first, end


def _search(
    times: "NDArray[np.int64]", first: "NDArray[np.int64]", end: "NDArray[np.int64]", moments: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Returns, for each row, how many of ``times[first:end]`` (ascending) are at or before its moment."""
    import numpy as np

    # Block by block, see _BLOCK_ROWS.
    count = np.empty(len(first), np.int64)
    for start in range(0, len(first), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        count[rows] = _search_together(times, first[rows], end[rows], moments[rows])
    return count


def _search_together(
    times: "NDArray[np.int64]", first: "NDArray[np.int64]", end: "NDArray[np.int64]", moments: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Returns what :func:`_search` does, by a binary search on all rows at once.

    The count is built from its highest bit down: a bit is set if the last time that it would include is still at or
    before the moment. The number of steps is the bit length of the longest slice, each a few vector operations.
    """
    import numpy as np

    count = np.zeros(len(first), np.int64)
    step = 1 << int((end - first).max(initial=0)).bit_length() >> 1
    while step:
        last = first + count + (step - 1)
        qualifies = last < end
        qualifies &= times[np.minimum(last, len(times) - 1, out=last)] <= moments
        count += qualifies * step
        step >>= 1
    return count


def _by_visibility(
    ordered: "pl.DataFrame", starts: "NDArray[np.int64]"
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Returns when rows become visible (their time, or their creation if later), ascending within each entity.

    Returns:
        These times, and for each the position in ``ordered`` of the latest row visible by then. Positions grow from
        entity to entity, so one running maximum over the whole array never mixes two entities.
    """
    import numpy as np

    # Sort by entity number (a cumulative sum of its starts), then by visibility.
    visible = np.maximum(ordered[TIME].to_numpy(), ordered[CREATED].to_numpy())
    entity = np.zeros(ordered.height, np.int64)
    entity[starts] = 1
    by_visibility = np.lexsort((visible, np.cumsum(entity)))
    return visible[by_visibility], np.maximum.accumulate(by_visibility)
