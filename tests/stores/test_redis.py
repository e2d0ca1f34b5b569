"""Redis, real and sham: what is shared, what a request waits for at most, what happens while Redis is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from gateway import events
from gateway.stores import redis as module
from gateway.stores.redis import RedisStore
from tests.backends.redis import RedisServer, free_port, sham

EVERY = 0.05
# A request's patience here: longer than Redis ever takes, far shorter than any clock of a connection.
TIMEOUT = 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(server: RedisServer) -> RedisServer:
    if not server.answers():
        server.start()
    with server.client() as client:
        client.flushall()
    return server


class Heard(list[events.Event]):
    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


@asynccontextmanager
async def opened(url: str, heard: Heard | None = None, **settings: Any) -> AsyncIterator[RedisStore]:
    told = Heard() if heard is None else heard
    said = {"seconds": 60.0, "most": 100, "timeout": TIMEOUT, "prefix": "test", "every": EVERY, **settings}
    store = RedisStore(url, clock=time.monotonic, emit=told.append, **said)
    store.start()
    try:
        yield store
    finally:
        await store.close()


async def eventually(claim: Callable[[], Any], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not claim():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.01)


async def written(store: RedisStore) -> None:
    await eventually(lambda: not store._waiting)


# A Redis that is well


def test_one_process_finds_what_another_has_put(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as one, opened(redis.url, heard) as other:
            one.put("session\0plan", b"\x00\xff")
            assert await one.get("session\0plan") == b"\x00\xff", "its own word at once"
            await written(one)
            assert await other.get("session\0plan") == b"\x00\xff"
            one.put("session\0plan", b"newer")
            await written(one)
            assert await other.get("session\0plan") == b"newer"
            other.put("session\0plan", None)
            await written(other)
            assert await one.get("session\0plan") is None
            assert await one.get("never") is None
        assert heard == []

    asyncio.run(story())


def test_of_several_values_put_at_once_the_last_is_kept(redis: RedisServer):
    async def story() -> None:
        async with opened(redis.url) as one, opened(redis.url) as other:
            for number in range(1000):
                one.put(f"key-{number % 250}", str(number).encode())
            await written(one)
            keys = [f"key-{number}" for number in range(250)]
            found = [await other.get(key) for key in keys]
            assert found == [str(number).encode() for number in range(750, 1000)]
            assert await other.several([*keys[:3], "never"]) == [*found[:3], None]

    asyncio.run(story())


def test_what_is_put_anew_while_it_is_being_written_is_written_too(redis: RedisServer):
    async def story() -> None:
        async with opened(redis.url) as one, opened(redis.url) as other:
            for number in range(100):
                one.put(f"key-{number}", b"old")
                for _ in range(number % 10):
                    await asyncio.sleep(0)
                one.put(f"key-{number}", b"new")
                await written(one)
            assert {await other.get(f"key-{number}") for number in range(100)} == {b"new"}

    asyncio.run(story())


def test_keys_hold_no_names_and_everything_ends(redis: RedisServer):
    async def story() -> None:
        async with opened(redis.url, prefix="blue", seconds=60.0) as store:
            store.put("ci:somebody@example.com\0coder", b"1")
            store.enter("ci:somebody@example.com", b"2")
            store.put("surrogates \ud800 too", b"3")
            await written(store)
            with redis.client() as client:
                names: Any = client.keys("*")
                ends = {name: client.pttl(name) for name in names}
                fields: Any = client.hkeys("blue:table")
                assert all(name.startswith(b"blue:") for name in names)
                assert not any(b"somebody" in name for name in (*names, *fields))
                assert len(ends) == 3
                assert all(0 < left <= 120_000 for left in ends.values())
                client.pexpire(next(name for name in names if b"table" not in name), 30_000)
            assert await store.get("ci:somebody@example.com\0coder") == b"1"
            assert await store.get("surrogates \ud800 too") == b"3"
            with redis.client() as client:
                left = [client.pttl(name) for name in names if b"table" not in name]
                assert min(left) > 50_000, "asked for, it is kept on"

    asyncio.run(story())


def test_it_ends_in_redis_when_nobody_asks(redis: RedisServer):
    async def story() -> None:
        async with opened(redis.url, seconds=0.2) as one:
            one.put("a", b"1")
            await written(one)
            async with opened(redis.url) as other:
                await asyncio.sleep(0.3)
                assert await other.get("a") is None
                assert await one.get("a") is None

    asyncio.run(story())


def test_what_is_entered_is_known_everywhere_without_asking(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as one, opened(redis.url, heard) as other:
            one.enter("a", b"1")
            assert list(one.table.values()) == [b"1"]
            await eventually(lambda: list(other.table.values()) == [b"1"])
            known = other.table
            await asyncio.sleep(3 * EVERY)
            assert other.table is known, "nothing has changed"
            other.enter("b", b"2")
            one.enter("a", b"3")
            await eventually(lambda: one.table == other.table and sorted(one.table.values()) == [b"2", b"3"])
            one.enter("a", None)
            await eventually(lambda: list(other.table.values()) == [b"2"])
        async with opened(redis.url) as late:
            await eventually(lambda: list(late.table.values()) == [b"2"])
        assert heard == []

    asyncio.run(story())


def test_what_is_entered_here_is_not_forgotten_while_the_table_is_read(redis: RedisServer):
    async def story() -> None:
        async with opened(redis.url) as one, opened(redis.url) as other:
            for number in range(300):
                (one if number % 2 else other).enter(str(number), b"%d" % number)
                await asyncio.sleep(0.001 * (number % 3))
                for store, own in ((one, 1), (other, 0)):
                    entered = {b"%d" % each for each in range(own, number + 1, 2)}
                    assert entered <= set(store.table.values())
            await eventually(lambda: one.table == other.table and len(one.table) == 300)

    asyncio.run(story())


def test_a_stop_writes_what_still_waits(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as store:
            for number in range(500):
                store.put(str(number), b"last words")
        async with opened(redis.url) as other:
            assert [await other.get(str(number)) for number in range(500)] == [b"last words"] * 500
        assert heard == []

    asyncio.run(story())


def test_a_password_and_a_socket_of_the_file_system():
    async def story(url: str) -> None:
        async with opened(url) as one, opened(url) as other:
            one.put("a", b"1")
            await written(one)
            assert await other.get("a") == b"1"

    with RedisServer(password="not-in-any-event") as redis:
        asyncio.run(story(redis.url))
        asyncio.run(story(f"unix://{redis._directory}/socket?password=not-in-any-event"))


def test_many_at_once_share_few_connections(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard, timeout=5.0) as store:
            store.put("a", b"1")
            await written(store)
            found = await asyncio.gather(*(store.get("a" if number % 2 else "b") for number in range(500)))
            assert found == [b"1" if number % 2 else None for number in range(500)]
            with redis.client() as client:
                assert len(client.client_list()) <= module.MOST_CONNECTIONS + 1
        assert heard == []

    asyncio.run(story())


# A Redis that is not


def quiet(said: bytes) -> None:
    return None


SHAMS: dict[str, tuple[Callable[[bytes], bytes | None], str]] = {
    "hangs": (quiet, "timeout"),
    "hangs up": (lambda said: b"", "unreachable"),
    "says what is no Redis": (lambda said: b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbled"),
    "says numbers that are none": (lambda said: b"$twelve\r\nabc\r\n", "garbled"),
    "says something else": (lambda said: b"+OK\r\n:1\r\n" * said.count(b"\r\n*"), "garbled"),
    "wants a password": (lambda said: b"-NOAUTH Authentication required.\r\n" * 9, "refused"),
    "is loading": (lambda said: b"-LOADING Redis is loading the dataset in memory\r\n" * 9, "refused"),
    "has no such command": (lambda said: b"-ERR unknown command 'a-secret-argument'\r\n" * 9, "refused"),
    "begins and never ends": (lambda said: b"$1000000000\r\nabc", "timeout"),
}


@pytest.mark.parametrize("how", SHAMS)
def test_a_request_waits_no_longer_than_it_may_and_only_once(how: str):
    answer, _ = SHAMS[how]
    # Which of several words it is depends on who asks first: a request, or the task in the background.
    words = {"hangs": {"timeout"}, "begins and never ends": {"timeout"}, "hangs up": {"unreachable"}}

    async def story(url: str) -> None:
        heard = Heard()
        async with opened(url, heard, every=30.0) as store:
            began = time.perf_counter()
            assert await store.get("a") is None
            assert time.perf_counter() - began < TIMEOUT + 0.3
            store.put("a", b"1")
            store.enter("n", b"2")
            began = time.perf_counter()
            for _ in range(1000):
                assert await store.get("a") == b"1", "what was put here is known here"
                assert await store.get("b") is None
            assert time.perf_counter() - began < TIMEOUT, "nobody else waits"
            assert list(store.table.values()) == [b"2"]
            assert len(heard) == 1, "told once"
        first, last = heard
        assert first.store == "redis"
        assert not first.again
        assert first.why in words.get(how, {"garbled", "refused", "unreachable"})
        assert (last.why, last.missed) == ("closed", 1000 + 2)
        assert "secret" not in repr(heard)

    with sham(answer) as url:
        asyncio.run(story(url))


def test_nobody_listens():
    async def story() -> None:
        heard = Heard()
        async with opened(f"redis://:hidden@127.0.0.1:{free_port()}", heard) as store:
            assert await store.get("a") is None
            await eventually(lambda: len(heard) >= 3)
            first, *others = heard
            assert (first.why, first.again, first.missed) == ("unreachable", False, 1)
            assert all(each.again for each in others)
        assert "hidden" not in repr(heard)

    asyncio.run(story())


def test_it_is_looked_for_ever_less_often():
    tries: list[float] = []

    def refused(said: bytes) -> bytes:
        tries.append(time.monotonic())
        return b"-ERR no\r\n" * 9

    async def story(url: str) -> None:
        heard = Heard()
        async with opened(url, heard, every=0.1) as store:
            await eventually(lambda: len(heard) >= 5)
            assert store._pause == pytest.approx(1.6)
        pauses = [after.at - before.at for before, after in pairwise(heard[:5])]
        assert all(0.1 * 2**number <= pause for number, pause in enumerate(pauses))

    with sham(refused) as url:
        asyncio.run(story(url))
    assert len(tries) < 10


def test_it_goes_and_comes_back(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as one, opened(redis.url, heard) as other:
            one.put("before", b"1")
            one.enter("pin", b"p")
            await written(one)
            assert await other.get("before") == b"1"
            await eventually(lambda: other.table)
            redis.stop()
            for store in (one, other):
                assert await store.get("before") == b"1", "the last good state"
                assert list(store.table.values()) == [b"p"]
            one.put("during", b"2")
            other.enter("second", b"q")
            await eventually(lambda: len({event.again for event in heard}) == 2)
            redis.start()
            await eventually(lambda: len(heard.of(events.StoreRecovered)) == 2)
            await written(one)
            assert await other.get("during") == b"2", "written when it was back"
            # It came back empty, and was told again what everybody knows.
            await eventually(lambda: sorted(one.table.values()) == sorted(other.table.values()) == [b"p", b"q"])
            with redis.client() as client:
                assert len(client.hkeys("test:table")) == 4, "with what says which table it is, and how new"
        failed = heard.of(events.StoreFailed)
        assert [event.again for event in failed].count(False) == 2, "once per store"
        assert all(event.seconds > 0 for event in heard.of(events.StoreRecovered))

    asyncio.run(story())


def test_what_is_told_adds_up_to_what_was_missed(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as store:
            await store.get("a")
            redis.stop()
            for _ in range(300):
                await store.get("a")
                await asyncio.sleep(0.001)
            redis.start()
            await eventually(lambda: heard.of(events.StoreRecovered))
            assert sum(event.missed for event in heard) == pytest.approx(300, abs=1)

    asyncio.run(story())


def test_a_slow_redis_is_left_alone_and_its_late_answers_harm_nobody():
    slow = 0.4

    def answer(said: bytes) -> bytes:
        time.sleep(slow)
        if b"PING" in said:
            return b"+PONG\r\n"
        return b"$4\r\nlate\r\n" if b"GETEX" in said else b"$-1\r\n"

    async def story(url: str) -> None:
        nonlocal slow
        heard = Heard()
        async with opened(url, heard, timeout=0.1) as store:
            began = time.perf_counter()
            assert await store.get("a") is None
            assert time.perf_counter() - began < 0.35
            await eventually(lambda: len(heard) >= 2)
            assert heard[0].why == "timeout"
            assert not heard.of(events.StoreRecovered), "it answers, but too late for a request"
            slow = 0.0
            await eventually(lambda: heard.of(events.StoreRecovered))
            assert await store.get("a") == b"late"

    with sham(answer) as url:
        asyncio.run(story(url))


def test_a_request_that_is_given_up_takes_no_connection_with_it(redis: RedisServer):
    async def story() -> None:
        heard = Heard()
        async with opened(redis.url, heard) as store:
            store.put("a", b"1")
            await written(store)
            for number in range(200):
                asking = asyncio.create_task(store.get("a"))
                await asyncio.sleep(0.0001 * (number % 10))
                asking.cancel()
                await asyncio.wait({asking})
            assert await store.get("a") == b"1"
            await eventually(lambda: not store._asking)
            with redis.client() as client:
                assert len(client.client_list()) <= module.MOST_CONNECTIONS + 1
        assert heard == []

    asyncio.run(story())


def test_what_waits_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_WAITING_BYTES", 1000)

    async def story() -> None:
        heard = Heard()
        async with opened(f"redis://127.0.0.1:{free_port()}", heard, every=30.0, most=1000) as store:
            await store.get("a")
            for number in range(25):
                store.put(str(number), b"x" * 200)
            assert len(store._waiting) == 5
            for number in range(30):
                store.put("same", b"x" * (10 * number))
            store.put("same", None)
            assert len(store._waiting) == 4
            assert store._waiting_bytes == 600
        assert (heard[-1].why, heard[-1].missed) == ("closed", 20 + 2 + 4)

    asyncio.run(story())


def test_what_waits_is_bounded_and_what_gives_way_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_WAITING", 10)

    async def story() -> None:
        heard = Heard()
        async with opened(f"redis://127.0.0.1:{free_port()}", heard, every=30.0, most=1000) as store:
            await store.get("a")
            for number in range(25):
                store.put(str(number), b"x")
            assert len(store._waiting) == 10
            assert [await store.get(str(number)) for number in (0, 24)] == [b"x", b"x"]
            store.put("large", b"x" * (module.LARGEST + 1))
            assert heard[-1].why == "too_large"
        assert (heard[-1].why, heard[-1].missed) == ("closed", 15 + 1 + 10)

    asyncio.run(story())
