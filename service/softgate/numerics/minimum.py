"""
Minima of a function of one variable between two ends.

Convention for the searches:

    0 <= low < high; the minimum is looked for in [low, high]

Own solvers, because the service needs no more of scipy than this.
"""

import math
from collections.abc import Callable, Sequence

# In a relative sense. Near the root Newton's step squares the error, so the answer is better than that.
_NEWTON_TOLERANCE = 1e-10
# Each step halves the bracket or the stride, so this is more than any bracket used here can take.
_MAX_STEPS = 200
_GOLDEN = (math.sqrt(5) - 1) / 2


def newton_minimum(
    derivatives: Callable[[float], tuple[float, float]], *, low: float, high: float, start: float
) -> float:
    """
    Minimum by Newton's method inside a shrinking bracket; where Newton stalls or leaves it, halve it.

    x <- x - f'(x) / f''(x)

    Parameters
    ----------
    derivatives : function of x that returns (f'(x), f''(x))
        For a convex f the result is the global minimum, otherwise one of the
        local ones. A flat f counts as falling.
    low, high : float
        Ends of the bracket.
    start : float
        In [low, high].

    Returns
    -------
    float
        In [low, high]; exactly an end where f falls towards it.

    References
    ----------
    Press et al. (2007), "Numerical recipes", 9.4 (Newton-Raphson with bracketing).
    """
    x, lower, upper = start, low, high
    last_stride = math.inf
    for _ in range(_MAX_STEPS):
        slope, curvature = derivatives(x)
        if slope < 0 or (slope == 0 and curvature == 0):
            lower = x
        else:
            upper = x
        if lower >= upper:
            return x
        following = _newton_step(x, slope, curvature, lower=lower, upper=upper)
        if abs(following - x) <= _NEWTON_TOLERANCE * x:
            return following
        # Strides that do not shrink creep along an exponential tail, or go round in circles.
        if abs(following - x) > last_stride / 2:
            following = (lower + upper) / 2
        last_stride = abs(following - x)
        x = following
    return x


def golden_section_minimum(function: Callable[[float], float], *, low: float, high: float, tolerance: float) -> float:
    """
    Minimum by golden section, without derivatives.

    Parameters
    ----------
    function : function of x
        With several local minima in the bracket, the result is one of them.
    low, high : float
        Ends of the bracket.
    tolerance : float
        Width of the last bracket, in the unit of x.

    Returns
    -------
    float
        In [low, high]; never worse than the inner points that were tried.

    References
    ----------
    Kiefer (1953), "Sequential minimax search for a maximum".
    """
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    f_left, f_right = function(left), function(right)
    while high - low > tolerance:
        if f_left <= f_right:
            high, right, f_right = right, left, f_left
            left = high - _GOLDEN * (high - low)
            f_left = function(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + _GOLDEN * (high - low)
            f_right = function(right)
    return left if f_left <= f_right else right


def best_of_grid(function: Callable[[float], float], grid: Sequence[float]) -> tuple[float, float, float]:
    """
    The best point of a grid between its neighbours: where to refine a function with several minima.

    Parameters
    ----------
    function : function of x
    grid : rising values of x

    Returns
    -------
    (left, best, right)
        Of equals the largest x is best. An end of the grid is its own neighbour.
    """
    values = [function(x) for x in grid]
    best = max(range(len(grid)), key=lambda i: (-values[i], i))
    return grid[max(best - 1, 0)], grid[best], grid[min(best + 1, len(grid) - 1)]


def _newton_step(x: float, slope: float, curvature: float, *, lower: float, upper: float) -> float:
    if not 0 < curvature < math.inf:
        return upper if lower == x else lower
    return min(max(x - slope / curvature, lower), upper)
