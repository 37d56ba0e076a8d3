import math

import pytest

from softgate.numerics.minimum import best_of_grid, golden_section_minimum, newton_minimum


@pytest.mark.parametrize("root", [0.06, 1.0, 7.3, 19.9])
def test_newton_finds_the_minimum_of_a_parabola(root: float) -> None:
    found = newton_minimum(lambda x: (x - root, 1.0), low=0.05, high=20.0, start=1.0)

    assert found == pytest.approx(root, rel=1e-12)


@pytest.mark.parametrize(("root", "end"), [(0.01, 0.05), (-3.0, 0.05), (25.0, 20.0)])
def test_newton_stops_exactly_at_an_end(root: float, end: float) -> None:
    assert newton_minimum(lambda x: (x - root, 1.0), low=0.05, high=20.0, start=1.0) == end


@pytest.mark.parametrize("width", [1e-6, 0.01, 1.0])
def test_newton_converges_where_it_would_overshoot_for_ever(width: float) -> None:
    # f = width * ln cosh((x - 3) / width): far from 3 the slope is flat, and a bare Newton step leaves the numbers.
    def derivatives(x: float) -> tuple[float, float]:
        slope = math.tanh((x - 3) / width)
        return slope, (1 - slope**2) / width

    assert newton_minimum(derivatives, low=0.05, high=20.0, start=1.0) == pytest.approx(3, rel=1e-9)


def test_newton_converges_where_the_curvature_vanishes() -> None:
    # f = (x - 2)^4: Newton alone gains a third per step.
    found = newton_minimum(lambda x: (4 * (x - 2) ** 3, 12 * (x - 2) ** 2), low=0.0, high=20.0, start=9.0)

    assert found == pytest.approx(2, rel=1e-8)


def test_newton_takes_a_flat_function_for_a_falling_one() -> None:
    assert newton_minimum(lambda _: (0.0, 0.0), low=0.05, high=20.0, start=1.0) == 20.0


def test_newton_leaves_an_end_where_the_slope_is_infinite() -> None:
    # f = 0.4 x - 0.001 ln x.
    def derivatives(x: float) -> tuple[float, float]:
        return (0.4 - 0.001 / x, 0.001 / x**2) if x else (-math.inf, math.inf)

    assert newton_minimum(derivatives, low=0.0, high=0.5, start=0.05) == pytest.approx(0.0025, rel=1e-9)


@pytest.mark.parametrize("root", [0.1, 1.0, 4.9])
def test_golden_section_finds_the_minimum_of_a_kink(root: float) -> None:
    found = golden_section_minimum(lambda x: abs(x - root), low=0.0, high=5.0, tolerance=1e-6)

    assert found == pytest.approx(root, abs=1e-6)


def test_best_of_a_grid_comes_with_its_neighbours() -> None:
    assert best_of_grid(lambda x: (x - 2.2) ** 2, [1, 2, 3, 4]) == (1, 2, 3)


@pytest.mark.parametrize(("sign", "expected"), [(1, (1, 1, 2)), (-1, (3, 4, 4)), (0, (3, 4, 4))])
def test_an_end_of_a_grid_is_its_own_neighbour(sign: int, expected: tuple[int, int, int]) -> None:
    assert best_of_grid(lambda x: sign * x, [1, 2, 3, 4]) == expected
