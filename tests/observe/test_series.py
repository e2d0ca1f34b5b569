"""Numbers and what is written of them: exact, capped, and readable by prometheus_client's own parsers."""

from __future__ import annotations

import math
import random
import threading
from bisect import bisect_left
from contextlib import AbstractContextManager

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from prometheus_client.samples import Sample

from gateway.observe.families import FAMILIES, Family
from gateway.observe.series import OVERFLOW, Book

HITS = Family(name="t_hits_total", kind="counter", help="Hits.", labels=("who", "how"))
LEVEL = Family(name="t_level", kind="gauge", help="A level.", labels=("who",))
SIZES = Family(name="t_sizes", kind="histogram", help="Sizes.", labels=("who",), buckets=(0.5, 1, 1e6), exemplars=True)
PLAIN = Family(name="t_plain", kind="histogram", help="Without labels.", buckets=(1,))
ALL = {family.name: family for family in (HITS, LEVEL, SIZES, PLAIN)}
FORMATS = {"text": (generate_latest, read_text), "openmetrics": (generate_openmetrics, read_openmetrics)}


def book(cap: int = 2000) -> Book:
    return Book(ALL, cap)


def samples(book: Book, format: str = "openmetrics") -> list[Sample]:
    write, read = FORMATS[format]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(book)
    return [sample for family in read(write(registry).decode()) for sample in family.samples]


def values(book: Book, format: str = "openmetrics") -> dict[tuple[str, ...], float]:
    order = ("who", "how", "le")
    return {(s.name, *(s.labels[n] for n in order if n in s.labels)): s.value for s in samples(book, format)}


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_added_is_what_is_read(format: str):
    one = book()
    for _ in range(3):
        one.numbers(HITS).add(("a", 'quo"te\\back\nline'))
    one.numbers(HITS).add(("b", ""), 0.25)
    one.numbers(LEVEL).set(("a",), 5)
    one.numbers(LEVEL).set(("a",), -2.5)
    for value in (0.5, 0.75, 1, 999_999, 1e7, 0):
        one.histogram(SIZES).add(("a",), value)
    one.histogram(PLAIN).add((), 3)
    assert values(one, format) == {
        ("t_hits_total", "a", 'quo"te\\back\nline'): 3,
        ("t_hits_total", "b", ""): 0.25,
        ("t_level", "a"): -2.5,
        # A bound belongs to its bucket; buckets count all below them, too.
        ("t_sizes_bucket", "a", "0.5"): 2,
        ("t_sizes_bucket", "a", "1.0"): 4,
        ("t_sizes_bucket", "a", "1e+06"): 5,
        ("t_sizes_bucket", "a", "+Inf"): 6,
        ("t_sizes_sum", "a"): 11_000_001.25,
        ("t_sizes_count", "a"): 6,
        ("t_plain_bucket", "1.0"): 0,
        ("t_plain_bucket", "+Inf"): 1,
        ("t_plain_sum",): 3,
        ("t_plain_count",): 1,
    }


@pytest.mark.parametrize("format", FORMATS)
def test_the_whole_catalogue_can_be_written(format: str):
    one = Book()
    for family in FAMILIES.values():
        labels = tuple(f"a {name}" for name in family.labels)
        if family.kind == "histogram":
            one.histogram(family).add(labels, 0.07, "ab" * 16 if family.exemplars else None, 1e9)
        else:
            one.numbers(family).add(labels)
    found = {each.name: set(each.labels) for each in samples(one, format)}
    for name, family in FAMILIES.items():
        assert found[f"{name}_count" if family.kind == "histogram" else name] == set(family.labels)


def test_an_exemplar_stands_on_the_bucket_it_fell_into():
    one = book()
    for value, trace, at in ((0.4, "01" * 16, 100.5), (0.6, "02" * 16, 101.5), (0.7, "03" * 16, 102.5)):
        one.histogram(SIZES).add(("a",), value, trace, at)
    one.histogram(SIZES).add(("a",), 0.8)
    told = [(each.labels["le"], each.exemplar) for each in samples(one) if each.name == "t_sizes_bucket"]
    said = [(le, each and (each.labels, each.value, float(each.timestamp))) for le, each in told]
    assert said == [
        ("0.5", ({"trace_id": "01" * 16}, 0.4, 100.5)),
        ("1.0", ({"trace_id": "03" * 16}, 0.7, 102.5)),
        ("1e+06", None),
        ("+Inf", None),
    ]
    assert all(each.exemplar is None for each in samples(one, "text"))


def test_a_series_that_is_expected_is_there_at_0():
    one = book(cap=2)
    one.numbers(HITS).expect(("a", "b"))
    one.histogram(SIZES).expect(("a",))
    assert values(one)["t_hits_total", "a", "b"] == 0
    assert values(one)["t_sizes_count", "a"] == values(one)["t_sizes_bucket", "a", "+Inf"] == 0
    one.numbers(HITS).add(("a", "b"))
    one.histogram(SIZES).add(("a",), 1)
    for series in (one.numbers(HITS), one.histogram(SIZES)):
        series.expect(("a", "b")[: len(series.family.labels)])
    assert values(one)["t_hits_total", "a", "b"] == values(one)["t_sizes_count", "a"] == 1
    # What is only expected takes nobody's place, and is no observation that was lost.
    for name in "cdef":
        one.numbers(HITS).expect((name, name))
        one.histogram(SIZES).expect((name,))
    assert one.sizes() == {"t_hits_total": 2, "t_level": 0, "t_sizes": 2, "t_plain": 0}
    assert set(one.overflows().values()) == {0}


def test_what_is_too_many_is_counted_together():
    one = book(cap=3)
    for number in range(10):
        one.numbers(HITS).add((f"who{number}", "x"), 2)
        one.numbers(LEVEL).set((f"who{number}",), number)
        one.histogram(SIZES).add((f"who{number}",), number, "ab" * 16, 1.0)
    # Those that are there go on being counted by themselves.
    one.numbers(HITS).add(("who0", "x"))
    one.histogram(SIZES).add(("who2",), 100)
    found = values(one)
    assert (found["t_hits_total", "who0", "x"], found["t_hits_total", OVERFLOW, OVERFLOW]) == (3, 14)
    assert (found["t_level", "who2"], found["t_level", OVERFLOW]) == (2, 9)
    assert (found["t_sizes_count", "who2"], found["t_sizes_count", OVERFLOW]) == (2, 7)
    assert found["t_sizes_sum", OVERFLOW] == sum(range(3, 10))
    assert one.sizes() == {"t_hits_total": 4, "t_level": 4, "t_sizes": 4, "t_plain": 0}, "the cap, and the overflow"
    assert one.overflows() == {"t_hits_total": 7, "t_level": 7, "t_sizes": 7, "t_plain": 0}


def test_a_spot_adds_as_its_series_does():
    """Nothing is there before; what overflows is counted each time; what has a place of its own later goes there."""
    for at_hand in (False, True):
        one = book(cap=2)
        hits, sizes = one.numbers(HITS), one.histogram(SIZES)
        spots = {who: (hits.at((who, "x")), sizes.at((who,))) for who in "abc"}
        assert (len(hits), len(sizes)) == (0, 0)
        for who in "abcabc":
            if at_hand:
                hit, size = spots[who]
                hit.add(2)
                size.add(1.0, "ab" * 16, 5.0)
            else:
                hits.add((who, "x"), 2)
                sizes.add((who,), 1.0, "ab" * 16, 5.0)
        assert hits.values == {("a", "x"): 4, ("b", "x"): 4, (OVERFLOW, OVERFLOW): 4}
        assert {labels: (sum(cells.counts), cells.sum) for labels, cells in sizes.cells.items()} == {
            ("a",): (2, 2.0),
            ("b",): (2, 2.0),
            (OVERFLOW,): (2, 2.0),
        }
        assert one.overflows() == {"t_hits_total": 2, "t_level": 0, "t_sizes": 2, "t_plain": 0}


@pytest.mark.parametrize("settled", [False, True], ids=["a look", "settle"])
def test_values_that_were_put_by_are_counted_once(settled: bool):
    at_once, later = book(), book()
    spot = later.histogram(SIZES).put_by(("a",))
    assert len(later.histogram(SIZES)) == 0
    for value in (0.1, 5.0, 0.2, 1e9, 0.3):
        at_once.histogram(SIZES).add(("a",), value)
        spot.add(value)
        if settled:
            later.settle()
            assert later.histogram(SIZES).cells[("a",)].waiting == []
    for _ in range(2):
        assert samples(later) == samples(at_once)


def test_random_numbers_add_up():
    draws, one = random.Random(3), Book()
    for family in FAMILIES.values():
        if family.kind != "histogram":
            continue
        labels, top = ("x",) * len(family.labels), family.buckets[-1]
        drawn = [draws.choice((draws.uniform(0, 2 * top), draws.choice(family.buckets))) for _ in range(200)]
        for value in drawn:
            one.histogram(family).add(labels, value)
        found = [each for each in one.histogram(family).samples(one.lock) if each.name.endswith("_bucket")]
        expected = [sum(bisect_left(family.buckets, value) <= place for value in drawn) for place in range(len(found))]
        assert [each.value for each in found] == expected
        assert [float(each.labels["le"]) for each in found] == [*map(float, family.buckets), math.inf]


def test_what_is_written_is_what_was_there_under_the_lock():
    """More is counted the moment the lock is free: none of it is on this page."""
    one = book()
    hits, sizes = one.numbers(HITS), one.histogram(SIZES)
    freed = 0

    def count() -> None:
        hits.add(("a", "x"))
        sizes.add(("a",), 1.0, "ab" * 16, 1.0)

    class Lock(AbstractContextManager[None]):
        def __exit__(self, *error: object) -> None:
            nonlocal freed
            freed += 1
            count()

    count()
    assert [sample.value for sample in hits.samples(Lock())] == [1]
    told = [(sample.value, sample.exemplar) for sample in sizes.samples(Lock())]
    # Two counts by now: one more came when the first page's lock was free.
    assert [value for value, _ in told] == [0, 2, 2, 2, 2.0, 2]
    assert [place for place, (_, exemplar) in enumerate(told) if exemplar] == [1]
    assert freed == 2
    assert hits.values["a", "x"] == 3


def test_a_page_written_meanwhile_is_never_torn():
    one = book()
    hits, sizes = one.numbers(HITS), one.histogram(SIZES)
    done = threading.Event()
    rounds = 20_000

    def count() -> None:
        for number in range(rounds):
            with one.lock:
                hits.add((f"w{number % 40}", "x"))
                sizes.add((f"w{number % 40}",), 2.0 if number % 2 else 0.25, "ab" * 16, 1.0)
        done.set()

    thread = threading.Thread(target=count)
    thread.start()
    pages = 0
    while not done.is_set() or not pages:
        pages += 1
        found = values(one)
        for key, total in found.items():
            if key[0] == "t_sizes_count":
                assert found["t_sizes_bucket", key[1], "+Inf"] == total
                below = found["t_sizes_bucket", key[1], "0.5"]
                assert found["t_sizes_sum", key[1]] == below * 0.25 + (total - below) * 2.0
    thread.join()
    found = values(one)
    assert sum(value for key, value in found.items() if key[0] == "t_hits_total") == rounds
    assert sum(value for key, value in found.items() if key[0] == "t_sizes_count") == rounds


def test_what_waits_is_counted_before_a_page_is_written():
    one = book()
    one.before = lambda: one.numbers(LEVEL).add(("asked",))
    assert values(one)["t_level", "asked"] == 1
    assert values(one)["t_level", "asked"] == 2
