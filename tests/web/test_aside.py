import asyncio
import threading

import pytest

from softgate.web.aside import Aside


class Crowd:
    """Work that notes how many do it at once."""

    def __init__(self) -> None:
        self.most = self._inside = 0
        self._alone = threading.Event()

    def work(self) -> int:
        self._inside += 1
        self.most = max(self.most, self._inside)
        # Nobody sets it: whoever may come in at the same time has the chance to.
        self._alone.wait(0.01)
        self._inside -= 1
        return threading.get_ident()


def test_work_is_done_one_at_a_time_and_not_by_the_loop() -> None:
    crowd = Crowd()

    async def ask() -> list[int]:
        aside = Aside()
        return await asyncio.gather(*(aside.run(crowd.work) for _ in range(8)))

    threads = asyncio.run(ask())

    assert crowd.most == 1
    assert len(threads) == 8
    assert threading.get_ident() not in threads


def test_work_that_fails_makes_room_for_the_next() -> None:
    async def ask() -> int:
        aside = Aside()
        with pytest.raises(ZeroDivisionError):
            await aside.run(lambda: 1 // 0)
        return await aside.run(lambda: 1)

    assert asyncio.run(asyncio.wait_for(ask(), timeout=5)) == 1
