"""The rounds of ``skein bench``: every proxy with every case in turn, again and again; the median of each counts."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import msgspec
import uvloop

from gateway.cli.bench_cases import Case
from gateway.cli.bench_load import Load, Tally
from gateway.cli.bench_proxies import Proxy, cpu_seconds, memory_mb
from gateway.cli.printing import columns

SETTLING = 0.2
"""Seconds after the last answer in which what is told afterwards is paid for."""

LONG_SAMPLES = 100

ENOUGH = 20_000
"""Requests below which memory is still being filled on purpose."""

T = TypeVar("T")


class Amount(msgspec.Struct, frozen=True):
    """How much load: ``requests`` of each case and round (times the case's share), or ``seconds`` of them."""

    requests: int
    connections: int
    rounds: int = 1
    seconds: float | None = None

    def of(self, case: Case) -> tuple[int, int]:
        """Requests and connections."""
        requests = max(1, round(self.requests * case.share))
        return requests, min(case.connections or self.connections, requests)


class Measured(msgspec.Struct, frozen=True):
    """One proxy with one case in one round. CPU and time in seconds."""

    tally: Tally
    cpu: float | None
    load_cpu: float
    took: float
    memory_mb: float | None


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy with one case: medians over the rounds; None where it is not known."""

    proxy: str
    case: str
    requests: int
    """Answered rightly, in all rounds."""
    failures: dict[str, int]
    """What was wrong with the other answers, in all rounds."""
    cpu_us_per_request: float | None
    cpu_us_per_event: float | None
    of_nginx: float | None
    """Its CPU time over that of nginx with the same case, or with the one nearest to it."""
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    added_p50_ms: float | None
    """To the same load sent straight to the vendor."""
    added_p99_ms: float | None
    memory_mb: float | None
    busy: float | None
    """The share of the time for which it had a core; above 1.0: several."""
    load_us_per_request: float
    """CPU time of the load generator."""


class Memory(msgspec.Struct, frozen=True):
    """What a proxy holds over a run: (requests so far, MB), after each round or, of a long one, each hundredth."""

    proxy: str
    samples: list[tuple[int, float]]
    kb_per_1000_requests: float | None
    """Its slope by least squares over the later half; None where there is too little to tell."""


class Report(msgspec.Struct, frozen=True):
    figures: list[Figure]
    memory: list[Memory]
    scaling: dict[str, float]
    """Of ``workers`` over one: requests per second of each case, and what its CPU time alone would allow."""

    @property
    def failures(self) -> int:
        return sum(sum(each.failures.values()) for each in self.figures)


def measure(proxies: Mapping[str, Proxy], cases: Iterable[Case], amount: Amount, workers: int = 1) -> Report:
    """Raises ``OSError`` when nobody listens."""
    rounds: dict[tuple[str, str], list[Measured]] = {}
    # After a whole round each: one case needs more than another.
    memory: dict[str, dict[int, tuple[int, float]]] = {}
    plan = [(number, case, proxy) for number in range(amount.rounds) for case in cases for proxy in proxies.values()]
    for at, (number, case, proxy) in enumerate(plan):
        if proxy.bare and case.beside:
            continue
        progress(f"{at * 100 // len(plan):3} %  round {number + 1}: {case.name} {proxy.name}")
        requests, connections = amount.of(case)
        measured = in_loop(once(proxy, case, requests, connections, amount.seconds))
        rounds.setdefault((proxy.name, case.name), []).append(measured)
        if measured.memory_mb is not None and proxy.name != "direct":
            seen = memory.setdefault(proxy.name, {})
            before = max((requests for requests, _ in seen.values()), default=0)
            seen[number] = (before + measured.tally.ended, measured.memory_mb)
    progress("")
    figures = list(_figures(rounds, {case.name: case for case in cases}))
    slopes = [Memory(name, list(seen.values()), slope(list(seen.values()))) for name, seen in memory.items()]
    return Report(figures, slopes, _scaling(figures, workers))


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def once(proxy: Proxy, case: Case, requests: int, connections: int, seconds: float | None = None) -> Measured:
    """A short warming up, then the load, each followed by the time in which the proxy finishes its books."""
    expected = msgspec.structs.replace(case.expected, events=None) if proxy.rewrites else case.expected
    load = Load(proxy.target, case.body, expected)
    await load.connect(connections)
    try:
        await load.run(min(connections * 2, requests))
        await asyncio.sleep(SETTLING)
        before, own, began = _cpu(proxy), time.process_time(), time.perf_counter()
        tally = await load.run(requests, seconds)
        took, own = time.perf_counter() - began, time.process_time() - own
        await asyncio.sleep(SETTLING)
        after = _cpu(proxy)
    finally:
        load.close()
    cpu = None if before is None or after is None else after - before
    return Measured(tally, cpu, own, took, memory_mb(proxy.pid) if proxy.pid is not None else None)


def _cpu(proxy: Proxy) -> float | None:
    return None if proxy.pid is None else cpu_seconds(proxy.pid)


def _figures(rounds: Mapping[tuple[str, str], Sequence[Measured]], cases: Mapping[str, Case]) -> Iterator[Figure]:
    for (name, case), measured in rounds.items():
        direct = rounds.get(("direct", case)) if name != "direct" else None
        bare = rounds.get(("nginx", cases[case].beside or case))
        p50, p99 = (_percentile(measured, share) for share in (0.5, 0.99))
        cpu, of_nginx = _cpu_each(measured), _cpu_each(bare or ())
        yield Figure(
            proxy=name,
            case=case,
            requests=sum(each.tally.answered for each in measured),
            failures=dict(sum((each.tally.mistakes for each in measured), Counter())),
            cpu_us_per_request=cpu,
            cpu_us_per_event=_cpu_each(measured, events=True) if cases[case].expected.stream else None,
            of_nginx=cpu / of_nginx if cpu is not None and of_nginx and name != "direct" else None,
            requests_per_second=median(each.tally.ended / max(each.took, 1e-6) for each in measured),
            p50_ms=p50,
            p99_ms=p99,
            added_p50_ms=p50 - _percentile(direct, 0.5) if direct else None,
            added_p99_ms=p99 - _percentile(direct, 0.99) if direct else None,
            memory_mb=measured[-1].memory_mb,
            busy=None if cpu is None else median((each.cpu or 0.0) / max(each.took, 1e-6) for each in measured),
            load_us_per_request=median(each.load_cpu / max(each.tally.ended, 1) for each in measured) * 1e6,
        )


def _percentile(measured: Sequence[Measured], share: float) -> float:
    """In milliseconds."""
    return median(each.tally.percentile(share) for each in measured) * 1e3


def _cpu_each(measured: Sequence[Measured], events: bool = False) -> float | None:
    """Microseconds per request, or per event."""
    spent = [
        each.cpu / max(each.tally.events if events else each.tally.ended, 1)
        for each in measured
        if each.cpu is not None
    ]
    return median(spent) * 1e6 if spent else None


def _scaling(figures: Iterable[Figure], workers: int) -> dict[str, float]:
    by_name = {(each.proxy, each.case): each for each in figures}
    found = {}
    for (proxy, case), several in by_name.items():
        one = by_name.get(("skein", case))
        if proxy != "workers" or one is None:
            continue
        found[case] = several.requests_per_second / max(one.requests_per_second, 1e-6)
        if one.cpu_us_per_request and several.cpu_us_per_request:
            found[f"{case}, by CPU"] = workers * one.cpu_us_per_request / several.cpu_us_per_request
    return found


def slope(samples: Sequence[tuple[int, float]]) -> float | None:
    """KB per 1,000 requests, by least squares over the later half: at first memory is filled on purpose.

    None: a single sample, or fewer requests than are ``ENOUGH``.
    """
    later = samples[len(samples) // 2 :]
    if len(later) < 2 or later[-1][0] < ENOUGH:
        return None
    middle = sum(at for at, _ in later) / len(later), sum(held for _, held in later) / len(later)
    spread = sum((at - middle[0]) ** 2 for at, _ in later)
    return sum((at - middle[0]) * (held - middle[1]) for at, held in later) / spread * 1024 * 1000 if spread else 0.0


def long(proxy: Proxy, case: Case, amount: Amount) -> Report:
    """``amount.requests`` of one case, and the memory after each hundredth of them."""
    samples: list[tuple[int, float]] = []

    async def run() -> Measured:
        load = Load(proxy.target, case.body, case.expected)
        await load.connect(amount.connections)
        whole, before, own, began = Tally(), _cpu(proxy), time.process_time(), time.perf_counter()
        for part in range(LONG_SAMPLES):
            progress(f"{part:3} %  {whole.ended} requests")
            count = amount.requests * (part + 1) // LONG_SAMPLES - amount.requests * part // LONG_SAMPLES
            whole.add(await load.run(count))
            if proxy.pid is not None:
                samples.append((whole.ended, memory_mb(proxy.pid)))
        progress("")
        load.close()
        after, took = _cpu(proxy), time.perf_counter() - began
        cpu = None if before is None or after is None else after - before
        return Measured(whole, cpu, time.process_time() - own, took, samples[-1][1] if samples else None)

    figures = _figures({(proxy.name, case.name): [in_loop(run())]}, {case.name: case})
    return Report(list(figures), [Memory(proxy.name, samples, slope(samples))], {})


def progress(text: str) -> None:
    """One line that changes; nothing where nobody looks."""
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"\r{text:60}", end="" if text else "\r", file=sys.stderr, flush=True)


# For people -----------------------------------------------------------------------------------------------------------

HEAD = (
    *("CASE", "PROXY", "CPU µs/REQUEST", "µs/EVENT", "× NGINX", "REQUESTS/s"),
    *("p50 ms", "p99 ms", "ADDED p50", "ADDED p99", "BUSY", "MB", "FAILED"),
)


def rows(figures: Iterable[Figure]) -> list[tuple[str, ...]]:
    """In the order of the cases. ``direct`` is the vendor: its CPU is what an answer costs to make."""
    figures = list(figures)
    order = list(dict.fromkeys(each.case for each in figures))
    return [
        (
            each.case,
            each.proxy,
            _said(each.cpu_us_per_request, ".0f"),
            _said(each.cpu_us_per_event, ".2f"),
            _said(each.of_nginx, ".1f"),
            f"{each.requests_per_second:.0f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            _said(each.added_p50_ms, ".2f"),
            _said(each.added_p99_ms, ".2f"),
            _said(each.busy, ".0%"),
            _said(each.memory_mb, ".0f"),
            str(sum(each.failures.values())),
        )
        for each in sorted(figures, key=lambda each: order.index(each.case))
    ]


def _said(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def show(report: Report) -> None:
    for line in columns([HEAD, *rows(report.figures)]):
        print(line)
    for remark in remarks(report):
        print(remark)


def markdown(report: Report) -> str:
    """The same as a table for a page."""
    lines = [HEAD, tuple("---" if at < 2 else "--:" for at in range(len(HEAD))), *rows(report.figures)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([table, "", *(f"- {remark}" for remark in remarks(report))])


def _sloping(memory: Memory) -> str:
    by = memory.kb_per_1000_requests
    if by is None:
        return f" (too short to tell whether it grows: that takes {ENOUGH:,} requests)"
    return f" ({by:+.1f} KB per 1,000 in the later half)"


def remarks(report: Report) -> list[str]:
    said = [
        f"{each.proxy}, {each.case}: {count} × {what}"
        for each in report.figures
        for what, count in each.failures.items()
    ]
    said += [
        f"memory of {each.proxy}: {each.samples[0][1]:.1f} MB, then {each.samples[-1][1]:.1f} MB after "
        f"{each.samples[-1][0]} requests{_sloping(each)}"
        for each in report.memory
        if len(each.samples) > 1
    ]
    said += [f"workers over one, {case}: {ratio:.2f}" for case, ratio in report.scaling.items()]
    if spent := [each.load_us_per_request for each in report.figures if each.case == "small"]:
        said.append(f"the load itself: {median(spent):.0f} µs of CPU per small request, on other cores")
    return said
