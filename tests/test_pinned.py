"""The models operators set: at once, for how long, how many, and what a stranger may have entered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import events
from gateway.errors import CallerError
from gateway.pinned import Pinned
from gateway.stores.memory import MemoryStore


class World:
    """Two processes of one store; ``told``: their events."""

    def __init__(self, most: int = 3, seconds: float = 100.0) -> None:
        self.now = 1000.0
        self.store = MemoryStore(self.clock, seconds, most)
        self.told: list[events.Event] = []
        of: dict[str, Any] = {"seconds": seconds, "most": most, "resolve": self.resolve}
        self.here = Pinned(self.store, self.clock, self.told.append, **of)
        self.there = Pinned(self.store, self.clock, self.told.append, **of)

    def clock(self) -> float:
        return self.now

    def resolve(self, model: str) -> None:
        if model == "nowhere":
            raise CallerError(404, "model_not_found", "there is no such model")


def test_a_pin_is_there_at_once_and_until_it_is_taken_back():
    world = World()
    made = world.here.pin("ci:s-1", "smart")
    assert (made.session, made.model, made.since, made.until) == ("ci:s-1", "smart", 1000.0, 1100.0)
    assert world.here.of("ci:s-1") == world.there.of("ci:s-1") == "smart"
    assert world.here.of("ci:s-2") is None
    world.there.pin("ci:s-1", "fast")
    assert world.here.of("ci:s-1") == "fast"
    world.here.free("ci:s-1")
    world.here.free("ci:s-1")
    assert world.there.of("ci:s-1") is None
    assert [(each.session, each.model) for each in world.told] == [  # type: ignore[attr-defined]
        ("ci:s-1", "smart"),
        ("ci:s-1", "fast"),
        ("ci:s-1", None),
    ]


def test_an_unknown_model_changes_nothing():
    world = World()
    world.here.pin("s", "smart")
    with pytest.raises(CallerError) as refused:
        world.here.pin("s", "nowhere")
    assert refused.value.status == 404
    assert world.here.of("s") == "smart"


def test_a_pin_ends_when_nobody_uses_it_and_holds_on_when_somebody_does():
    world = World(seconds=100.0)
    world.here.pin("used", "smart")
    world.here.pin("unused", "smart")
    for world.now in (1040.0, 1090.0, 1180.0, 1270.0):
        assert world.here.of("used") == "smart"
    assert world.here.of("unused") is None
    assert [each.session for each in world.there.pins()] == ["used"]
    assert len(world.store.table) == 2
    world.there.sweep()
    assert len(world.store.table) == 1
    world.now = 1371.0
    assert world.here.of("used") is None


def test_use_is_written_down_seldom():
    world = World(seconds=100.0)
    world.here.pin("used", "smart")
    tables = set()
    for second in range(1000):
        world.now = 1000.0 + second
        world.here.of("used")
        tables.add(world.store.table["used"])
    assert len(tables) <= 1000 / 50 + 1


def test_there_are_no_more_than_so_many():
    world = World(most=3)
    for name in "abc":
        world.here.pin(name, "smart")
    with pytest.raises(CallerError) as refused:
        world.here.pin("d", "smart")
    assert (refused.value.status, refused.value.code) == (409, "too_many_pins")
    world.here.pin("a", "fast")
    world.here.free("b")
    world.here.pin("d", "smart")
    assert {each.session for each in world.here.pins()} == {"a", "c", "d"}


def test_what_another_version_has_entered_harms_nobody():
    world = World()
    world.here.pin("s", "smart")
    more = msgspec.json.encode({"session": "t", "model": "m", "since": 1, "until": 2000, "reason": "new"})
    for name, value in {"x": b"{", "y": b'{"session": 1}', "t": more}.items():
        world.store.enter(name, value)
    assert world.here.of("s") == "smart"
    assert world.here.of("t") == "m"
    assert [each.session for each in world.here.pins()] == ["s", "t"]
