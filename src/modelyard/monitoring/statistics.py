"""Tests whether a difference of counts is significant and large, for rows that are not independent.

Rows of one customer resemble each other, and so do rows of one day; a test that assumes independence finds "drift" in
every window. Here the design effect (the factor by which clustering inflates the variance) is estimated once for each
column of the reference, and windows are tested with the number of effective rows.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

_MIN_EXPECTED = 5.0
"""Bins with fewer expected effective rows on either side are merged for the test (Cochran 1954)."""


class Clustering(NamedTuple):
    """How much the rows of one cluster resemble each other in one column.

    Args:
        effect: Design effect in the reference, at least 1.
        size: Mean size of the cluster that a row of the reference is in.
    """

    effect: float
    size: float


def cluster_size(codes: "Integers") -> float:
    """Returns the mean size of the cluster that a row is in: the sum of squared sizes over the number of rows."""
    import numpy as np

    sizes = np.unique(codes, return_counts=True)[1].astype(np.float64)
    return float((sizes**2).sum() / sizes.sum()) if len(sizes) else 1.0


def design_effect(bins: "Integers", n_bins: int, codes: "Integers") -> float:
    """Returns the factor by which the variance of the bins' shares exceeds that of independent rows.

    It is the mean generalised design effect (Rao & Scott 1984, Annals of Statistics 12(1)), first order: the mean over
    the bins of the ratio of the variance between clusters (linearised) and the multinomial one.

    Args:
        bins: Bin of each row, -1 for none, shape (N,).
        n_bins: K.
        codes: Cluster of each row, shape (N,).

    Returns:
        At least 1; 1 if it cannot be estimated.
    """
    import numpy as np

    # Cross table of clusters and bins, without empty rows and columns.
    has_value = bins >= 0
    n_clusters = int(codes.max(initial=0)) + 1
    flat = np.bincount(codes[has_value] * n_bins + bins[has_value], minlength=n_clusters * n_bins)
    table = flat.reshape(n_clusters, n_bins)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 1.0
    # Variance of each bin's share between clusters (linearised ratio estimator), over the multinomial variance.
    sizes, total = table.sum(axis=1), table.sum()
    shares = table.sum(axis=0) / total
    residuals = table - sizes[:, None] * shares
    n_seen = len(sizes)
    variances = n_seen / (n_seen - 1) * (residuals**2).sum(axis=0) / total**2
    return max(1.0, float(total * (variances / shares).sum() / (len(shares) - 1)))


def effect_in_window(reference: Mapping[str, Clustering], sizes: Mapping[str, float]) -> float:
    """Returns a column's design effect in a window, from the reference's resemblance and the window's cluster sizes.

    A design effect is 1 + (size - 1) * resemblance (Kish 1965, Survey Sampling), so what exceeds 1 grows with the
    size of the clusters.

    Args:
        reference: Name of a clustering to the column's :class:`Clustering`.
        sizes: Name of a clustering to the window's mean cluster size.
    """
    effects = [1 + (of.effect - 1) * sizes[name] / of.size for name, of in reference.items()]
    return max([1.0, *effects])


def chi_square(reference: "Integers", window: "Integers", effects: tuple[float, float]) -> tuple[float, int, float]:
    """Returns Pearson's test of homogeneity on effective counts (Rao & Scott 1984, first-order correction).

    Args:
        reference: Counts in K bins.
        window: Counts in the same bins.
        effects: Design effects of both.

    Returns:
        Statistic, degrees of freedom, p-value; (0, 0, 1) if either side is empty.
    """
    import numpy as np
    from scipy.special import chdtrc  # type: ignore[import-untyped]  # scipy brings no types

    rows = np.array([reference.sum(), window.sum()])
    if not rows.all():
        return 0.0, 0, 1.0
    # Rows of each side divided by their design effect; rare bins are merged into one.
    effective = np.maximum(rows / np.array(effects), 1.0)
    shares = np.stack([reference, window]) / rows[:, None]
    pooled = effective @ shares / effective.sum()
    is_rare = pooled * effective.min() < _MIN_EXPECTED
    merged = np.column_stack([shares[:, ~is_rare], shares[:, is_rare].sum(axis=1)])
    pooled = np.append(pooled[~is_rare], pooled[is_rare].sum())
    merged, pooled = merged[:, pooled > 0], pooled[pooled > 0]
    # Chi-square statistic of two samples, from the difference of their shares.
    weight = effective.prod() / effective.sum()
    statistic = float(weight * ((merged[0] - merged[1]) ** 2 / pooled).sum())
    freedom = len(pooled) - 1
    return statistic, freedom, float(chdtrc(freedom, statistic)) if freedom else 1.0


def jensen_shannon(reference: "Integers", window: "Integers") -> float:
    """Returns the Jensen-Shannon distance of two distributions in the same bins: 0 for equal ones, 1 for disjoint ones.

    Square root of the divergence in bits (Endres & Schindelin 2003, IEEE Transactions on Information Theory 49).
    """
    import numpy as np

    if not reference.sum() or not window.sum():
        return 0.0
    p, q = reference / reference.sum(), window / window.sum()
    middle = (p + q) / 2
    total = 0.0
    for side in (p, q):
        inside = side > 0
        total += float((side[inside] * np.log2(side[inside] / middle[inside])).sum()) / 2
    return math.sqrt(max(total, 0.0))


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for multiple tests, valid under any dependence between them.

    Holm (1979), Scandinavian Journal of Statistics 6(2).
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted
