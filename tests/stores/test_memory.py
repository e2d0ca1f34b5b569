"""What this process keeps: for how long, how much, and what gives way."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.stores.memory import MemoryStore


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def kept(store: MemoryStore, *keys: str) -> list[bytes | None]:
    async def ask() -> list[bytes | None]:
        return [await store.get(key) for key in keys]

    return asyncio.run(ask())


def store(most: int = 3, seconds: float = 10) -> tuple[MemoryStore, Clock]:
    clock = Clock()
    return MemoryStore(clock, seconds, most), clock


def test_what_is_put_is_kept_replaced_and_taken_away():
    made, _ = store()
    made.put("a", b"1")
    made.put("b", b"2")
    made.put("a", b"3")
    assert kept(made, "a", "b", "c") == [b"3", b"2", None]
    made.put("a", None)
    made.put("never", None)
    assert kept(made, "a", "b") == [None, b"2"]


def test_several_are_asked_for_at_once():
    made, _ = store()
    made.put("a", b"1")
    made.put("c", b"3")
    assert asyncio.run(made.several(["c", "b", "a"])) == [b"3", None, b"1"]
    assert asyncio.run(made.several([])) == []


def test_it_is_kept_as_long_as_somebody_asks_for_it():
    made, clock = store(seconds=10)
    made.put("a", b"1")
    for clock.now in (109.0, 118.0, 128.0):
        assert kept(made, "a") == [b"1"]
    clock.now = 138.1
    assert kept(made, "a") == [None]
    clock.now = 100.0
    assert kept(made, "a") == [None], "what has ended does not come back"


def test_of_too_many_the_one_goes_that_was_asked_for_longest_ago():
    made, _ = store(most=3)
    for key in "abc":
        made.put(key, key.encode())
    kept(made, "a")
    made.put("d", b"d")
    assert kept(made, *"abcd") == [b"a", None, b"c", b"d"]
    for number in range(1000):
        made.put(str(number), b"")
    assert len(made._kept) == 3


def test_of_too_many_bytes_those_go_that_were_asked_for_longest_ago():
    made = MemoryStore(Clock(), 10, 100, most_bytes=100)
    for key in "abc":
        made.put(key, b"x" * 30)
    kept(made, "a")
    made.put("d", b"x" * 40)
    assert kept(made, *"abcd") == [b"x" * 30, None, b"x" * 30, b"x" * 40]
    made.put("d", b"small")
    made.put("e", b"x" * 35)
    assert kept(made, *"acde") == [b"x" * 30, b"x" * 30, b"small", b"x" * 35], "what was replaced or has gone is free"
    made.put("f", b"x" * 101)
    assert kept(made, "f") == [None], "what is larger than all of it is not kept"
    assert kept(made, *"acde") == [b"x" * 30, b"x" * 30, b"small", b"x" * 35], "and drives nobody out"
    for number in range(1000):
        made.put(str(number % 7), b"x" * (number % 50))
        assert sum(len(value) for _, value in made._kept.values()) == made._bytes <= 100


def test_the_longest_plans_do_not_fill_the_memory():
    made, _ = store(most=10_000)
    for number in range(2000):
        made.put(str(number), bytes(96_000))
    assert sum(len(value) for _, value in made._kept.values()) <= 64 * 2**20


def test_the_table_is_another_one_after_each_change():
    made, _ = store()
    seen: list[Any] = [made.table]
    for name, value in (("x", b"1"), ("y", b"2"), ("x", b"3"), ("y", None), ("never", None)):
        made.enter(name, value)
        assert made.table is not seen[-1]
        seen.append(made.table)
    assert seen == [{}, {"x": b"1"}, {"x": b"1", "y": b"2"}, {"x": b"3", "y": b"2"}, {"x": b"3"}, {"x": b"3"}]
