"""``skein bench --idle`` and ``--streams``: what many connections cost in memory, and who suffers meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

import msgspec

from gateway.cli import UsageError
from gateway.cli.bench_cases import DRIP, DRIPPING, EVENTS, FLOODING, Case
from gateway.cli.bench_load import Client, Load, SlowReader, Tally
from gateway.cli.bench_proxies import Proxy, memory_mb
from gateway.cli.bench_rounds import SETTLING, in_loop, progress
from gateway.cli.printing import columns
from gateway.cli.serve import allow_open_files

SLOW = 0.1
"""The share of the streams that are large and read slowly."""
PROBES = 500
"""Requests of a single client, before and among the many."""
LOOK_EVERY = 0.1
SPARE_FILES = 200
"""Open files of a process besides the crowd's: its own, the probe's, connections to the vendor while clients come."""


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """``alone_p99_ms``: of the probing client before the others came."""

    proxy: str
    connections: int
    there: int
    """Connections still open after that; of streams, those that ran at the same time."""
    memory_mb: float | None
    most_memory_mb: float | None
    kb_per_connection: float | None
    alone_p50_ms: float
    alone_p99_ms: float
    among_p50_ms: float
    among_p99_ms: float
    failures: dict[str, int]


class _Watch:
    """The most memory that was seen."""

    def __init__(self, proxy: Proxy) -> None:
        self._pid = proxy.pid
        self.first = self.most = self._now()

    def _now(self) -> float:
        return memory_mb(self._pid) if self._pid is not None else 0.0

    def look(self) -> None:
        self.most = max(self.most, self._now())

    async def keep_looking(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)


def idle(proxy: Proxy, count: int, probe: Case) -> Crowd:
    """Clients that asked once each and stay."""
    return in_loop(_idle(proxy, count, probe))


async def _idle(proxy: Proxy, count: int, probe: Case) -> Crowd:
    prober = await _connected(proxy, probe, 1)
    alone = await prober.run(PROBES)
    watch, groups = _Watch(proxy), []
    mistakes = Counter(alone.mistakes)
    # A hundred at a time: what is measured is that they are there, not that they ask all at once.
    for begin in range(0, count, 100):
        progress(f"{proxy.name}: {begin} of {count} connections")
        size = min(100, count - begin)
        groups.append(await _connected(proxy, probe, size))
        mistakes += (await groups[-1].run(size)).mistakes
    await asyncio.sleep(SETTLING)
    watch.look()
    among = await prober.run(PROBES)
    open_at_end = sum(len(group.clients) for group in groups)
    for group in (prober, *groups):
        group.close()
    progress("")
    return _crowd(proxy, count, open_at_end, watch, alone, among, mistakes + among.mistakes)


def streams(proxy: Proxy, count: int, probe: Case) -> Crowd:
    """Streams at once, an event of each every 100 ms; a share of them large, and read slowly."""
    return in_loop(_streams(proxy, count, probe))


async def _streams(proxy: Proxy, count: int, probe: Case) -> Crowd:
    prober = await _connected(proxy, probe, 1)
    alone = await prober.run(PROBES)
    watch = _Watch(proxy)
    progress(f"{proxy.name}: {count} streams")
    slow = round(count * SLOW)
    loads = [await _connected(proxy, DRIPPING, count - slow), await _connected(proxy, FLOODING, slow, SlowReader)]
    watching = asyncio.create_task(watch.keep_looking())
    running = [asyncio.create_task(load.run(len(load.clients))) for load in loads]
    # Once all of them are under way, but before the first is over.
    await asyncio.sleep(EVENTS * DRIP / 5)
    open_at_end = sum(client.busy for load in loads for client in load.clients)
    among = await prober.run(PROBES)
    tallies = await asyncio.gather(*running)
    watching.cancel()
    for load in (prober, *loads):
        load.close()
    progress("")
    mistakes: Counter[str] = sum((each.mistakes for each in (alone, among, *tallies)), Counter())
    return _crowd(proxy, count, open_at_end, watch, alone, among, mistakes)


async def _connected(proxy: Proxy, case: Case, count: int, kind: type[Client] = Client) -> Load:
    load = Load(proxy.target, case.body, case.expected, kind)
    await load.connect(count)
    return load


def _crowd(
    proxy: Proxy, count: int, there: int, watch: _Watch, alone: Tally, among: Tally, mistakes: Counter[str]
) -> Crowd:
    known = proxy.pid is not None
    return Crowd(
        proxy=proxy.name,
        connections=count,
        there=there,
        memory_mb=watch.first if known else None,
        most_memory_mb=watch.most if known else None,
        kb_per_connection=(watch.most - watch.first) * 1024 / count if known else None,
        alone_p50_ms=alone.percentile(0.5) * 1e3,
        alone_p99_ms=alone.percentile(0.99) * 1e3,
        among_p50_ms=among.percentile(0.5) * 1e3,
        among_p99_ms=among.percentile(0.99) * 1e3,
        failures=dict(mistakes),
    )


def show(crowds: Iterable[Crowd]) -> None:
    head = (
        *("PROXY", "CONNECTIONS", "THERE", "MB BEFORE", "MB", "KB EACH"),
        *("ALONE p50 ms", "p99", "AMONG p50", "p99", "FAILED"),
    )
    rows = [
        (
            each.proxy,
            str(each.connections),
            str(each.there),
            *("" if said is None else f"{said:.1f}" for said in (each.memory_mb, each.most_memory_mb)),
            "" if each.kb_per_connection is None else f"{each.kb_per_connection:.1f}",
            *(f"{said:.2f}" for said in (each.alone_p50_ms, each.alone_p99_ms)),
            *(f"{said:.2f}" for said in (each.among_p50_ms, each.among_p99_ms)),
            ", ".join(f"{count} × {what}" for what, count in each.failures.items()) or "0",
        )
        for each in crowds
    ]
    for line in columns([head, *rows]):
        print(line)
    print("alone and among: one more client, which sends small requests, before and while the others are there")


def require_open_files(option: str, count: int) -> None:
    """The processes that are started get the same. Raises ``UsageError`` where these are too few."""
    allowed, needed = allow_open_files(), count + SPARE_FILES
    if allowed < needed:
        what = f"{needed} open files are needed and {allowed} are allowed"
        raise UsageError(option, what, f"raise the limit (ulimit -Hn {needed}, as root), or take fewer")
