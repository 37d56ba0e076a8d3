from typing import Any, TypeAlias, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from softgate.runtime.jobs import Job, take

Jobs: TypeAlias = list[Job[int, Any]]

NO_FUTURE = cast(Any, None)
queues = st.lists(st.tuples(st.integers(1, 9), st.sampled_from("ab")), max_size=12)


def queue(*sizes_and_groups: tuple[int, str]) -> Jobs:
    """Jobs in the order of their arrival; the payload is the place in it."""
    return [
        Job(place, n_rows=n_rows, group=group, queued_at=float(place), done=NO_FUTURE)
        for place, (n_rows, group) in enumerate(sizes_and_groups)
    ]


def places(jobs: Jobs) -> list[int]:
    return [job.payload for job in jobs]


def test_nothing_is_taken_from_an_empty_queue() -> None:
    assert take([], max_rows=4) == []


def test_jobs_are_taken_up_to_max_rows() -> None:
    assert places(take(queue((1, "a"), (2, "a"), (1, "a"), (1, "a")), max_rows=4)) == [0, 1, 2]


def test_the_oldest_is_taken_even_where_it_exceeds_max_rows_alone() -> None:
    assert places(take(queue((9, "a"), (1, "a")), max_rows=4)) == [0]


def test_a_smaller_job_may_pass_one_that_does_not_fit() -> None:
    assert places(take(queue((2, "a"), (3, "a"), (2, "a")), max_rows=4)) == [0, 2]


def test_the_group_is_that_of_the_oldest() -> None:
    assert places(take(queue((1, "b"), (1, "a"), (1, "b")), max_rows=4)) == [0, 2]


@settings(deadline=None, derandomize=True)
@given(sizes_and_groups=queues, max_rows=st.integers(1, 12))
def test_what_is_taken_is_the_oldest_and_all_of_its_group_that_fits_in_order(
    sizes_and_groups: list[tuple[int, str]], max_rows: int
) -> None:
    jobs = queue(*sizes_and_groups)

    taken = take(jobs, max_rows=max_rows)

    n_rows = sum(job.n_rows for job in taken)
    assert places(taken) == sorted(set(places(taken)))
    assert taken[:1] == jobs[:1]
    assert len({job.group for job in taken}) <= 1
    assert n_rows <= max_rows or len(taken) == 1
    # Whatever of the group stayed behind did not fit when its turn came.
    for job in jobs:
        if taken and job.group == taken[0].group and job not in taken:
            before = sum(other.n_rows for other in taken if other.payload < job.payload)
            assert before + job.n_rows > max_rows


@settings(deadline=None, derandomize=True)
@given(sizes_and_groups=queues, max_rows=st.integers(1, 12))
def test_every_job_is_taken_once_in_the_end(sizes_and_groups: list[tuple[int, str]], max_rows: int) -> None:
    waiting, served = queue(*sizes_and_groups), []

    while waiting:
        taken = take(waiting, max_rows=max_rows)
        served += places(taken)
        waiting = [job for job in waiting if job not in taken]

    assert sorted(served) == list(range(len(sizes_and_groups)))
