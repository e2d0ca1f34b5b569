"""Kept in Redis, for several processes: asked within a deadline, and left alone for a while when it fails.

What was put or found here lately is kept in memory too. While Redis is away that is what there is, the last good state,
and no request waits. One task writes what was put, reads the table again every second, and finds out that Redis is
back.

Redis 6.2 or newer, or Valkey. Keys are digests: the names of sessions may hold mail addresses.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Literal

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import TimeoutError as TookTooLong

from gateway import events
from gateway.stores.memory import MOST_BYTES, MemoryStore, changed
from gateway.strand import in_task

# Seconds that one exchange with Redis may take in the background; a request waits no longer than it is told to.
PATIENCE = 1.0
# Seconds between two looks at the table, and between two tries while Redis is away, doubled up to the longest.
EVERY, LONGEST = 1.0, 30.0
# Seconds a stop waits for what is still to be written.
LAST_WORDS = 1.0
MOST_WAITING, MOST_WAITING_BYTES = 10_000, MOST_BYTES
BATCH = 100
LARGEST = 2**20
MOST_CONNECTIONS = 32
# Fields of the table that are no digests: one changes with each change of it, one is made with it and stays.
VERSION, ORIGIN = b"version", b"origin"

Place = Literal["value", "entry"]


class RedisStore:
    """A ``Store``. ``emit`` hears ``StoreFailed`` and ``StoreRecovered``."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        emit: events.Observer,
        seconds: float,
        most: int,
        timeout: float,
        prefix: str,
        every: float = EVERY,
    ) -> None:
        """``seconds`` and ``most`` as for memory, which keeps a copy. ``timeout``: the longest a request waits."""
        self._clock, self._emit, self._seconds, self._timeout = clock, emit, seconds, timeout
        self._prefix, self._every = prefix, every
        self._client = _client(url)
        self._lately = MemoryStore(clock, seconds, most)
        self.table: Mapping[str, bytes] = {}
        self._version: bytes | None = None
        self._origin: bytes | None = None
        self._entered = 0
        self._waiting: OrderedDict[tuple[Place, str], bytes | None] = OrderedDict()
        self._waiting_bytes = 0
        self._wake, self._ended = asyncio.Event(), asyncio.Event()
        self._asking: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._failed_at: float | None = None
        self._pause = every
        self._missed = 0

    # A store

    async def get(self, key: str) -> bytes | None:
        name = self._digest(key)
        if ("value", name) in self._waiting:
            return self._waiting["value", name]
        if self._failed_at is None:
            await in_task()
            asked = self._client.execute_command("GETEX", self._key(name), "PX", self._milliseconds)  # type: ignore[no-untyped-call]
            try:
                found = await self._within(asked)
            except Exception as error:
                # Somebody else's key of another kind is nothing of ours, and says nothing of the whole store.
                if str(error).startswith("WRONGTYPE"):
                    return None
                self._failed(error)
            else:
                # What was put while Redis was asked is newer.
                if ("value", name) not in self._waiting:
                    self._lately.put(name, found)
        else:
            self._missed += 1
        return self._lately.look(name)

    async def several(self, keys: Sequence[str]) -> list[bytes | None]:
        await in_task()
        return await asyncio.gather(*map(self.get, keys))

    def put(self, key: str, value: bytes | None) -> None:
        name = self._digest(key)
        self._lately.put(name, value)
        self._write_later("value", name, value)

    def enter(self, name: str, value: bytes | None) -> None:
        digest = self._digest(name)
        self.table = changed(self.table, digest, value)
        self._entered += 1
        self._write_later("entry", digest, value)

    def start(self) -> None:
        self._keeper = asyncio.get_running_loop().create_task(self._keep_up())

    async def close(self) -> None:
        """Writes what still waits, if that is soon done; what is lost is told."""
        self._ended.set()
        self._wake.set()
        if self._keeper:
            # Asked to end, not cancelled: the client may swallow that.
            await asyncio.wait({self._keeper}, timeout=LAST_WORDS)
            self._keeper.cancel()
        if missed := self._missed + len(self._waiting):
            self._tell("closed", missed, again=self._failed_at is not None)
        for task in list(self._asking):
            task.cancel()
        with suppress(Exception):
            async with asyncio.timeout(LAST_WORDS):
                await self._client.aclose()

    # Asking

    async def _within(self, asked: Coroutine[Any, Any, Any]) -> Any:
        """What Redis says in time. Raises ``TimeoutError`` and what the client raises.

        A question that takes longer is left to end by itself: to break it off would cost the connection it is on.
        """
        task = asyncio.get_running_loop().create_task(asked)
        self._asking.add(task)
        task.add_done_callback(self._answered)
        await asyncio.wait({task}, timeout=self._timeout)
        if not task.done():
            raise TimeoutError
        return task.result()

    def _answered(self, task: asyncio.Task[Any]) -> None:
        self._asking.discard(task)
        if not task.cancelled():
            # Looked at, so that nobody complains of an error that was never asked for.
            task.exception()

    # Health

    def _failed(self, error: Exception) -> None:
        """From now on nobody asks but the keeper. Told in full once, then counted."""
        self._missed += 1
        if self._failed_at is not None:
            return
        self._failed_at, missed, self._missed = self._clock(), self._missed, 0
        self._tell(why(error), missed, again=False)
        self._wake.set()

    def _well(self) -> None:
        self._pause, missed = self._every, self._missed
        if self._failed_at is None:
            if missed:
                self._missed = 0
                self._tell("queue_full", missed, again=False)
            return
        now = self._clock()
        seconds, self._failed_at, self._missed = now - self._failed_at, None, 0
        self._emit(events.StoreRecovered(at=now, store="redis", seconds=seconds, missed=missed))

    def _tell(self, why: events.StoreWhy, missed: int, *, again: bool) -> None:
        self._emit(events.StoreFailed(at=self._clock(), store="redis", why=why, missed=missed, again=again))

    # In the background

    async def _keep_up(self) -> None:
        while True:
            if self._failed_at is None:
                await _happens(self._wake, self._every)
            self._wake.clear()
            trying = self._failed_at is not None
            if trying and await _happens(self._ended, self._pause):
                return
            try:
                await self._catch_up(trying)
            except Exception as error:
                self._not_yet(error)
            else:
                # What failed for a request meanwhile is another failure.
                if trying or self._failed_at is None:
                    self._well()
            if self._ended.is_set():
                return

    def _not_yet(self, error: Exception) -> None:
        if self._failed_at is None:
            self._failed(error)
            return
        self._pause, missed, self._missed = min(2 * self._pause, LONGEST), self._missed, 0
        self._tell(why(error), missed, again=True)

    async def _catch_up(self, trying: bool) -> None:
        if trying:
            # The first makes the connection, which may take longer than a request would wait.
            await self._client.ping()
            await self._within(self._client.execute_command("PING"))  # type: ignore[no-untyped-call]
        await self._write()
        await self._read_table()

    def _write_later(self, place: Place, name: str, value: bytes | None) -> None:
        if value is not None and len(value) > LARGEST:
            self._tell("too_large", 1, again=False)
            return
        self._waits_no_more((place, name))
        self._waiting[place, name] = value
        self._waiting_bytes += len(value or b"")
        while len(self._waiting) > MOST_WAITING or self._waiting_bytes > MOST_WAITING_BYTES:
            self._waits_no_more(next(iter(self._waiting)))
            self._missed += 1
        self._wake.set()

    def _waits_no_more(self, key: tuple[Place, str]) -> None:
        self._waiting_bytes -= len(self._waiting.pop(key, None) or b"")

    async def _write(self) -> None:
        """Oldest first; what has been put anew meanwhile goes with the next batch."""
        while batch := list(islice(self._waiting.items(), BATCH)):
            pipeline = self._client.pipeline(transaction=False)
            for (place, name), value in batch:
                if place == "entry":
                    pipeline.hset(self._table, name, value) if value is not None else pipeline.hdel(self._table, name)
                elif value is None:
                    pipeline.delete(self._key(name))
                else:
                    pipeline.set(self._key(name), value, px=self._milliseconds)
            if any(place == "entry" for (place, _), _ in batch):
                pipeline.hsetnx(self._table, ORIGIN, secrets.token_bytes(8))
                # Last: who sees the new version sees what it stands for.
                pipeline.hset(self._table, VERSION, secrets.token_bytes(8))
                pipeline.pexpire(self._table, 2 * self._milliseconds)
            await pipeline.execute()
            for key, value in batch:
                if key in self._waiting and self._waiting[key] is value:
                    self._waits_no_more(key)

    async def _read_table(self) -> None:
        entered = self._entered
        version: Any = await self._client.hget(self._table, VERSION)
        if version == self._version:
            return
        found: Any = await self._client.hgetall(self._table)
        if entered != self._entered:
            # What was entered meanwhile is newer: it is written next, and all is read again.
            return
        self._version, origin = found.pop(VERSION, None), found.pop(ORIGIN, None)
        table = {name.decode(errors="replace"): value for name, value in found.items()}
        if self._origin not in (None, origin):
            # Redis has forgotten: whoever remembers tells it again.
            for name, value in self.table.items():
                if name not in table:
                    table[name] = value
                    self._write_later("entry", name, value)
        self._origin, self.table = origin or self._origin, table

    # Names

    def _key(self, digest: str) -> str:
        return f"{self._prefix}:{digest}"

    @property
    def _table(self) -> str:
        return f"{self._prefix}:table"

    @property
    def _milliseconds(self) -> int:
        return max(1, round(self._seconds * 1000))

    @staticmethod
    def _digest(name: str) -> str:
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    """Within the time?"""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


def why(error: Exception) -> events.StoreWhy:
    """In one word: messages may quote what was said."""
    match error:
        case TimeoutError() | TookTooLong():
            return "timeout"
        case AuthenticationError() | ResponseError():
            return "refused"
        case NotConnected() | OSError():
            return "unreachable"
    return "garbled"


def _client(url: str) -> Redis:
    """Raises ``ValueError`` for what is no URL of a Redis. Nothing is tried twice: that is the keeper's business."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MOST_CONNECTIONS,
        timeout=PATIENCE,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
        # The older protocol needs no greeting, and everything that is like Redis speaks it.
        protocol=2,
        driver_info=None,
    )
    return Redis.from_pool(pool)
