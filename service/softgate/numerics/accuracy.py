"""
Accuracy without labels: what the reference's right and wrong rows say about live ones.

Convention, for every function here:

    entropy.shape == right.shape == (n_rows,): of the probabilities of each row, in nats; whether its label was right
    upper_edges.shape == (n_edges,) and counts.shape == (n_edges + 1,), as in `histogram`

Such an estimate assumes that rows of one entropy are right as often as they were. Rows from
elsewhere, which no training has seen, break that: whether too many of them are about is what
`share_shift` asks. ValueError is raised for arguments that break the convention.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from softgate.numerics.histogram import Counts, Edges

Floats = NDArray[np.float64]

# In standard deviations: what lies beyond is below the smallest float64.
_REACH = 40.0


def atc_threshold(entropy: Floats, right: NDArray[np.bool_]) -> float:
    """
    The entropy at or below which as large a share of the reference's rows lies as was right.

    t = the k-th smallest entropy, with k the number of rows that were right

    Parameters
    ----------
    entropy, right : arrays of shape (n_rows,)
        At least one row, no NaN.

    Returns
    -------
    float
        One of the entropies; just below the smallest where no row was right. Rows equal to it are all at or below
        it, so ties make the share larger.

    References
    ----------
    Garg, Balakrishnan, Lipton, Neyshabur & Sedghi (2022), "Leveraging unlabeled data to predict out-of-distribution
    performance": average thresholded confidence (ATC) with negative entropy.
    """
    if entropy.ndim != 1 or entropy.shape != right.shape or not entropy.size or np.isnan(entropy).any():
        raise ValueError(
            f"Expected one entropy per outcome, at least one and no NaN; got shapes {entropy.shape} and {right.shape}."
        )
    k = int(np.count_nonzero(right))
    if k == 0:
        return float(np.nextafter(entropy.min(), -np.inf))
    return float(np.partition(entropy, k - 1)[k - 1])


def atc_estimate(counts: Counts, upper_edges: Edges, threshold: float) -> float:
    """
    Accuracy of live rows, from the counts of their entropy.

    a = the share of rows at or below the threshold

    Parameters
    ----------
    counts : integers of shape (n_edges + 1,), at least one row
    upper_edges : array of shape (n_edges,)
    threshold : float
        One of the edges, so that the share is exact.

    Returns
    -------
    float, in [0, 1]

    References
    ----------
    As `atc_threshold`.
    """
    if counts.shape != (len(upper_edges) + 1,) or counts.sum() == 0:
        raise ValueError(
            f"Expected counts of at least one row over {len(upper_edges) + 1} bins; got {counts.sum()} over "
            f"{counts.shape}."
        )
    below = np.flatnonzero(upper_edges == threshold)
    if below.size == 0:
        raise ValueError(f"Expected a threshold that is one of the {len(upper_edges)} upper edges; got {threshold}.")
    return float(counts[: below[0] + 1].sum() / counts.sum())


def average_confidence(total: float, rows: int) -> float:
    """
    Accuracy of live rows, if their confidence means what it says.

    a = sum of the confidence / rows

    Parameters
    ----------
    total : float
        Of the rows' calibrated confidence.
    rows : int
        At least 1.

    Returns
    -------
    float, in [0, 1]

    References
    ----------
    Hendrycks & Gimpel (2017), "A baseline for detecting misclassified and out-of-distribution examples".
    """
    if rows < 1:
        raise ValueError(f"Expected at least one row; got {rows}.")
    return total / rows


def share_shift(hits_ref: int, m: int, hits: int, n: int) -> float:
    """
    Chance of as large a share in the window, or larger, if the window's rows came from where the reference's did.

    p = P(X >= hits), X = how many of all hits fall to n rows drawn from the m + n of both

    Parameters
    ----------
    hits_ref, m : int
        Of m reference rows; 0 <= hits_ref <= m, m at least 1.
    hits, n : int
        Of n rows of the window; as above.

    Returns
    -------
    float, in [0, 1]
        One-sided: a share that has fallen gives a p near 1.

    References
    ----------
    Fisher (1935): the same as `scipy.stats.fisher_exact(..., alternative="greater")`. Where a hit is an energy below
    a gate that is itself the (hits_ref + 1)-th smallest energy of the reference, it is exact too: any of the
    hits_ref + hits lowest energies of all is as likely to be the window's as any other row.
    """
    for name, marked, rows in (("reference", hits_ref, m), ("window", hits, n)):
        if rows < 1 or not 0 <= marked <= rows:
            raise ValueError(f"Expected 0 to all of at least one row to be hits in the {name}; got {marked} of {rows}.")
    total, marked = m + n, hits_ref + hits
    mean = n * marked / total
    spread = np.sqrt(mean * (m / total) * ((total - marked) / max(total - 1, 1)))
    lowest, highest = max(0, marked - m), min(n, marked)
    reach = int(_REACH * spread) + 1
    k = np.arange(max(lowest, min(int(mean), hits) - reach), min(highest, max(int(mean), hits) + reach) + 1)
    weight = -(gammaln(k + 1) + gammaln(marked - k + 1) + gammaln(n - k + 1) + gammaln(m - marked + k + 1))
    weight = np.exp(weight - weight.max())
    return float(weight[k >= hits].sum() / weight.sum())
