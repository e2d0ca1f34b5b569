"""Counters, gauges and histograms as plain numbers in dicts: cheap to add to, capped in number, rendered by
prometheus_client.

Adding is done in the event loop and rendering in another thread: who adds holds ``lock`` while numbers that belong
together change, who renders holds it while they are copied.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar, Sample
from prometheus_client.utils import floatToGoString

from gateway.observe.families import FAMILIES, Family

# Label sets of one metric; what comes later is counted together.
CAP = 2000
OVERFLOW = "_overflow"

Labels = tuple[str, ...]
Lock = AbstractContextManager[Any]


class _Number:
    """One label set of a counter or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        self.value += amount


class Numbers:
    """A counter or a gauge."""

    def __init__(self, family: Family, overflowed: Callable[[str], None], cap: int = CAP) -> None:
        self.family, self._overflowed, self._cap = family, overflowed, cap
        self.cells: dict[Labels, _Number] = {}

    def add(self, labels: Labels = (), amount: float = 1.0) -> None:
        (self.cells.get(labels) or self._new(labels)).value += amount

    def at(self, labels: Labels) -> Spot:
        return Spot(self, labels, lambda cell: cell.add)

    def set(self, labels: Labels, value: float) -> None:
        (self.cells.get(labels) or self._new(labels)).value = value

    def expect(self, labels: Labels) -> None:
        """Is there from now on, at 0: an increase cannot be seen of a series that was not there before."""
        if labels not in self.cells and len(self.cells) < self._cap:
            self.cells[labels] = _Number()

    def clear(self) -> None:
        """For gauges that are only ever ``set``: a ``Spot`` would go on adding to what is gone."""
        self.cells.clear()

    @property
    def values(self) -> dict[Labels, float]:
        return {labels: cell.value for labels, cell in self.cells.items()}

    def _new(self, labels: Labels) -> _Number:
        if len(self.cells) >= self._cap:
            self._overflowed(self.family.name)
            labels = (OVERFLOW,) * len(labels)
        return self.cells.setdefault(labels, _Number())

    def __len__(self) -> int:
        return len(self.cells)

    def samples(self, lock: Lock) -> Iterator[Sample]:
        names, name = self.family.labels, self.family.name
        with lock:
            values = self.values
        for labels, value in values.items():
            yield Sample(name, dict(zip(names, labels, strict=True)), value)


class _Cells:
    """One label set of a histogram: how many fell into each bucket, their sum, the last trace of each bucket.

    ``waiting``: values that are counted when somebody looks, all together and at a third of the cost.
    """

    __slots__ = ("_bounds", "_counts", "_sum", "exemplars", "waiting")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        self.waiting: list[float] = []

    def add(self, value: float, trace_id: str | None = None, at: float = 0.0) -> None:
        bucket = bisect_left(self._bounds, value)
        self._counts[bucket] += 1
        self._sum += value
        if trace_id is not None:
            self.exemplars[bucket] = trace_id, value, at

    @property
    def counts(self) -> list[int]:
        self.settle()
        return self._counts

    @property
    def sum(self) -> float:
        self.settle()
        return self._sum

    def settle(self) -> None:
        bounds, counts = self._bounds, self._counts
        for value in self.waiting:
            counts[bisect_left(bounds, value)] += 1
            self._sum += value
        self.waiting.clear()


class Histogram:
    def __init__(self, family: Family, overflowed: Callable[[str], None], cap: int = CAP) -> None:
        self.family, self._overflowed, self._cap = family, overflowed, cap
        self._bounds = tuple(float(bound) for bound in family.buckets)
        self._les = (*map(floatToGoString, self._bounds), "+Inf")
        self.cells: dict[Labels, _Cells] = {}

    def add(self, labels: Labels, value: float, trace_id: str | None = None, at: float = 0.0) -> None:
        """``trace_id``: an example of such a value, of the moment ``at``."""
        (self.cells.get(labels) or self._new(labels)).add(value, trace_id, at)

    def at(self, labels: Labels) -> Spot:
        """For values with an example."""
        return Spot(self, labels, lambda cell: cell.add)

    def put_by(self, labels: Labels) -> Spot:
        """For values without: they wait, for somebody who looks or ``settle``."""
        return Spot(self, labels, lambda cell: cell.waiting.append)

    def settle(self) -> None:
        for cells in self.cells.values():
            if cells.waiting:
                cells.settle()

    def expect(self, labels: Labels) -> None:
        if labels not in self.cells and len(self.cells) < self._cap:
            self.cells[labels] = _Cells(self._bounds)

    def _new(self, labels: Labels) -> _Cells:
        if len(self.cells) >= self._cap:
            self._overflowed(self.family.name)
            labels = (OVERFLOW,) * len(labels)
        return self.cells.setdefault(labels, _Cells(self._bounds))

    def __len__(self) -> int:
        return len(self.cells)

    def samples(self, lock: Lock) -> Iterator[Sample]:
        names, name = self.family.labels, self.family.name
        with lock:
            copied = [
                (labels, tuple(cells.counts), cells.sum, dict(cells.exemplars)) for labels, cells in self.cells.items()
            ]
        for labels, counts, sum, exemplars in copied:
            named = dict(zip(names, labels, strict=True))
            total = 0
            for place, (le, count) in enumerate(zip(self._les, counts, strict=True)):
                total += count
                found = exemplars.get(place)
                example = Exemplar({"trace_id": found[0]}, *found[1:]) if found else None
                yield Sample(f"{name}_bucket", {**named, "le": le}, total, None, example)
            yield Sample(f"{name}_sum", named, sum)
            yield Sample(f"{name}_count", named, total)


class Spot:
    """One label set of a series, looked up once: ``add`` is its cell's own from the first time on.

    Until then nothing is there, as with ``Numbers.add``; and what overflows is looked up, and counted, every time.
    """

    __slots__ = ("_labels", "_series", "_way", "add")

    def __init__(self, series: Numbers | Histogram, labels: Labels, way: Callable[[Any], Callable[..., None]]) -> None:
        """``way``: what adds to a cell."""
        self._series, self._labels, self._way = series, labels, way
        self.add: Callable[..., None] = self._look_up

    def _look_up(self, *observed: Any) -> None:
        self._series.add(self._labels, *observed)
        cell = self._series.cells.get(self._labels)
        if cell is not None:
            self.add = self._way(cell)


class Book(Collector):
    """All series of the catalogue. A collector of prometheus_client's, so that its exposition does the writing.

    ``before`` is called ahead of every collection: it has what is still waiting counted.
    """

    def __init__(self, families: Mapping[str, Family] = FAMILIES, cap: int = CAP) -> None:
        self.lock = threading.RLock()
        self.before: Callable[[], None] = lambda: None
        self._overflows: dict[str, int] = {}
        self._series: dict[str, Numbers | Histogram] = {
            name: (Histogram if family.kind == "histogram" else Numbers)(family, self.overflow, cap)
            for name, family in families.items()
        }

    def numbers(self, family: Family) -> Numbers:
        found = self._series[family.name]
        assert isinstance(found, Numbers)  # noqa: S101
        return found

    def histogram(self, family: Family) -> Histogram:
        found = self._series[family.name]
        assert isinstance(found, Histogram)  # noqa: S101
        return found

    def settle(self) -> None:
        """Counts what was put by: now and then, so that it does not grow for as long as nobody looks."""
        with self.lock:
            for series in self._series.values():
                if isinstance(series, Histogram):
                    series.settle()

    def overflow(self, name: str) -> None:
        """One more observation that could not have a label set of its own."""
        self._overflows[name] = self._overflows.get(name, 0) + 1

    def sizes(self) -> Mapping[str, int]:
        """Metric -> its label sets."""
        return {name: len(series) for name, series in self._series.items()}

    def overflows(self) -> Mapping[str, int]:
        """Metric -> observations that were put under ``_overflow``."""
        return {name: self._overflows.get(name, 0) for name in self._series}

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        self.before()
        for name, series in self._series.items():
            family = series.family
            metric = Metric(name.removesuffix("_total"), family.help, family.kind)
            metric.samples = list(series.samples(self.lock))
            yield metric
