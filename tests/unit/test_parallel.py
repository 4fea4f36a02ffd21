from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gaussavatar.parallel import ordered_map


def test_results_come_in_order_and_few_wait() -> None:
    """Bounded look-ahead: the source is not read further than one item beyond what may wait."""
    taken = []

    def source() -> Iterator[int]:
        for i in range(20):
            taken.append(i)
            yield i

    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, lambda i: i * i, source(), 4)
        first = next(results)
        assert len(taken) <= 5
        assert [first, *results] == [i * i for i in range(20)]


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_an_item_waits_for_the_result_that_many_before_it(ahead: int) -> None:
    """So that items may share a worker's state by their number modulo ``ahead``."""
    locks = [threading.Lock() for _ in range(ahead)]

    def work(number: int) -> int:
        assert locks[number % ahead].acquire(blocking=False), "two items of one worker at a time"
        threading.Event().wait(0.001)
        locks[number % ahead].release()
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(ordered_map(pool, work, range(30), ahead)) == list(range(30))


def test_items_are_taken_in_the_callers_thread() -> None:
    def source() -> Iterator[int]:
        for _ in range(5):
            yield threading.get_ident()

    with ThreadPoolExecutor(2) as pool:
        assert set(ordered_map(pool, lambda thread: thread, source(), 2)) == {threading.get_ident()}


def test_a_failure_ends_the_rest() -> None:
    begun = []

    def work(number: int) -> int:
        begun.append(number)
        if number == 2:
            raise ValueError("two")
        return number

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="two"):
        list(ordered_map(pool, work, range(1000), 4))
    assert len(begun) < 10
