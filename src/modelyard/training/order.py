"""Which rows come when: the order of an epoch, its batches, and each process's share of them."""

import numpy as np

_POOL_BATCHES = 64
"""Rows of so many batches are drawn at random and then put together by length: enough to find neighbours of much the
same length, few enough that batches stay mixed."""


def row_order(n_rows: int, seed: int, epoch: int, sampling_weights: np.ndarray | None = None) -> np.ndarray:
    """The rows of one epoch in training order.

    Args:
        n_rows: Number of rows N.
        seed: Seed of the run.
        epoch: Number of the epoch; each has its own order.
        sampling_weights: (N,) float64, >= 0. None: every row once, shuffled. Otherwise N rows drawn with
            replacement, each with a probability proportional to its weight.

    Returns:
        (N,) int64 row numbers.
    """
    generator = np.random.default_rng([seed, epoch])
    if sampling_weights is None:
        return generator.permutation(n_rows)
    cumulative = np.cumsum(sampling_weights)
    drawn = np.searchsorted(cumulative, generator.random(n_rows) * cumulative[-1], side="right")
    # Rounding may put a draw at the very end, behind the last row that has a weight.
    last = int(np.flatnonzero(sampling_weights)[-1])
    return np.asarray(np.minimum(drawn, last), dtype=np.int64)


def blocks_of(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Cuts ``order`` into batches of ascending row numbers; the last one may be smaller.

    A single row left over joins the batch before it: batch normalisation cannot train on one row.
    """
    ends = list(range(batch_size, len(order), batch_size))
    if ends and len(order) - ends[-1] == 1:
        ends.pop()
    return [np.sort(part) for part in np.split(order, ends)]


def bucketed_blocks_of(
    order: np.ndarray, batch_size: int, lengths: np.ndarray, seed: int, epoch: int
) -> list[np.ndarray]:
    """As :func:`blocks_of`, with rows of much the same length in a batch, and the batches in random order.

    Args:
        order: Row numbers in random order.
        batch_size: Rows of a batch.
        lengths: Length of each row of the data, (N,).
        seed: Seed of the run.
        epoch: Number of the epoch.
    """
    pools = np.split(order, range(_POOL_BATCHES * batch_size, len(order), _POOL_BATCHES * batch_size))
    by_length = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    blocks = blocks_of(by_length, batch_size)
    return [blocks[number] for number in np.random.default_rng([seed, epoch, 1]).permutation(len(blocks))]


def share_of(order: np.ndarray, process: int, n_processes: int) -> np.ndarray:
    """The rows of one of several processes; first rows are repeated so that all have equally many."""
    padded = np.resize(order, -(-len(order) // n_processes) * n_processes)
    return padded[process::n_processes]
